//! Small files that are durable once written and private to their owner, and the lock. Not here: what is in
//! them, and the database's own files (SQLite writes those).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Result, VaultError};

/// Creates a file that only its owner may read; an existing one is an error.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    private_options().write(true).create_new(true).open(path)
}

/// Creates a folder that only its owner may enter, and those above it; an existing one is left as it is.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a new file so that after a crash it is there whole or not at all: beside, sync, rename, sync.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    remove_if_there(&beside)?;
    let mut file = create_private(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    sync_dir_of(path)
}

/// Copies a file into a new one that only its owner may read, durably.
pub(crate) fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = create_private(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()?;
    sync_dir_of(to)
}

/// Reads a file of at most `bytes_max`; a longer one is cut there plus one byte, so that its length is wrong.
pub(crate) fn read_small(path: &Path, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Overwrites a whole file with zeros and waits until the disk has them.
pub(crate) fn overwrite_with_zeros(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&vec![0; len])?;
    file.sync_all()
}

/// Removes a file, if it is there, and waits until its folder has forgotten it.
pub(crate) fn remove_durably(path: &Path) -> io::Result<()> {
    remove_if_there(path)?;
    sync_dir_of(path)
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in the folder of `path` durable; elsewhere than on unix a folder cannot be opened for that.
pub(crate) fn sync_dir_of(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Locks the vault for this process until the file is dropped, also by `kill -9`.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = private_options()
        .write(true)
        .create(true)
        .open(path)
        .map_err(VaultError::file("open the vault's lock file"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(VaultError::InUse),
        Err(TryLockError::Error(source)) => {
            Err(VaultError::File { action: "lock the vault's lock file", source })
        }
    }
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_write_replaces_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("header");
        fs::write(dir.path().join("header.new"), b"left by a crash").unwrap();
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(read_small(&path, 10).unwrap().as_slice(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_long_file_is_read_one_byte_past_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_small(&path, 10).unwrap().len(), 11);
    }

    #[test]
    fn zeros_replace_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, [7; 100]).unwrap();
        overwrite_with_zeros(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [0; 100]);
    }

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(VaultError::InUse)));
        drop(held);
        lock(&path).unwrap();
    }
}
