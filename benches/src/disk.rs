//! The disk itself: what appending and syncing costs without a store, and how much a folder holds.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant},
};

/// Appends `total` bytes to a new file in `folder`, `group` bytes at a time, each followed by fdatasync; returns
/// how long it took and removes the file.
pub(crate) fn append_synced(folder: &Path, group: usize, total: usize) -> io::Result<Duration> {
    let path = folder.join("append");
    let mut file = File::create(&path)?;
    // Not zeros, which a disk may store in no space.
    let mut bytes = vec![0; group.clamp(1, total.max(1))];
    rand::fill(&mut bytes[..]);
    let start = Instant::now();
    let mut left = total;
    while left > 0 {
        let now = left.min(bytes.len());
        file.write_all(&bytes[..now])?;
        file.sync_data()?;
        left -= now;
    }
    let took = start.elapsed();
    fs::remove_file(path)?;
    Ok(took)
}

/// Bytes that the files in `folder` and below occupy on their disk.
pub(crate) fn occupied(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file may go while its folder is read.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { occupied(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Whether a file in `folder` or below holds `needle`.
pub(crate) fn holds(folder: &Path, needle: &[u8]) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            holds(&path, needle)?
        } else {
            fs::read(&path).is_ok_and(|bytes| contains(&bytes, needle))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_what_a_file_below_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), b"aab-needle").unwrap();
        assert!(holds(folder.path(), b"ab-need").unwrap());
        assert!(!holds(folder.path(), b"ab-needles").unwrap());
        assert!(occupied(folder.path()).unwrap() > 0);
    }

    #[test]
    fn the_appended_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        append_synced(folder.path(), 3, 10).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
