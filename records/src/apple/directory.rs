//! The list of what an archive holds, read with bounded memory and checked name by name before any entry is opened.
//! Not here: reading the entries (`archive`).

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::{RecordError, ZipFault};

/// Bytes read to find and hold the list of an archive: about 40,000 names as long as an export's, one for each
/// workout route, electrocardiogram and clinical record of a long life.
const DIRECTORY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Entries of an archive; above what fits by their bytes only names of no length would.
const ENTRIES_MAX: usize = 50_000;
/// Folder that macOS adds beside the real one.
const RESOURCE_FORKS: &str = "__MACOSX/";
const CLINICAL_FOLDER: &str = "clinical-records";

/// The end of the list; where there is zip64, its record and what tells where that is stand before it.
const END: &[u8] = b"PK\x05\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const LOCATOR64_BYTES: usize = 20;
const END64: &[u8] = b"PK\x06\x06";
const END64_BYTES: usize = 56;
/// The longest comment with all three before it, and room for what a reader is lenient about.
const TAIL_BYTES_MAX: u64 = 64 * 1024 + 1024;

/// What of an archive is read.
pub(super) struct Contents {
    pub(super) export: usize,
    /// Index and path from the export's folder, as the export itself names it (`clinical-records/….json`).
    pub(super) clinical_records: Vec<(usize, String)>,
}

/// A reader that gives out no more than a budget of bytes, until the budget is lifted.
pub(super) struct Metered<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(u64::try_from(read).unwrap_or(u64::MAX));
        self.left.set(left.unwrap_or(0));
        left.map(|_| read).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Reads the list.
pub(super) fn open<R: Read + Seek>(mut source: R) -> Result<ZipArchive<Metered<R>>, RecordError> {
    check_claims(&mut source)?;
    let left = Rc::new(Cell::new(DIRECTORY_BYTES_MAX));
    let source = Metered { inner: source, left: Rc::clone(&left) };
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let archive = ZipArchive::with_config(config, source).map_err(|error| match left.get() {
        0 => RecordError::Zip { entry: None, fault: ZipFault::TooManyEntries },
        _ => damage(&error, None),
    })?;
    if archive.len() > ENTRIES_MAX {
        return Err(RecordError::Zip { entry: None, fault: ZipFault::TooManyEntries });
    }
    left.set(u64::MAX);
    Ok(archive)
}

/// Looks at every name before anything is read.
pub(super) fn survey<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<Contents, RecordError> {
    if archive.has_duplicate_names() {
        return Err(RecordError::Zip { entry: None, fault: ZipFault::DuplicateName });
    }
    let (mut exports, mut localized, mut clinical_records) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..archive.len() {
        let file = archive.by_index_data(index).map_err(|error| damage(&error, Some(index)))?;
        let name = file.name().map_err(|error| damage(&error, Some(index)))?;
        if file.enclosed_name().is_none() || has_escape(&name) {
            return Err(fault_in(ZipFault::UnsafePath, index));
        }
        if file.is_symlink() {
            return Err(fault_in(ZipFault::Link, index));
        }
        if !file.is_file() || name.starts_with(RESOURCE_FORKS) {
            continue;
        }
        match classify(&name) {
            Content::Export => exports.push(index),
            Content::PerhapsExport => localized.push(index),
            Content::ClinicalRecord(path) => clinical_records.push((index, path)),
            Content::Other => continue,
        }
        if file.encrypted() {
            return Err(fault_in(ZipFault::Encrypted, index));
        }
        if !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(fault_in(ZipFault::Compression, index));
        }
    }
    if archive.has_overlapping_entries().map_err(|error| damage(&error, None))? {
        return Err(RecordError::Zip { entry: None, fault: ZipFault::Overlap });
    }
    let found = if exports.is_empty() { localized } else { exports };
    match found[..] {
        [export] => Ok(Contents { export, clinical_records }),
        [] => Err(RecordError::Zip { entry: None, fault: ZipFault::NoExport }),
        [_, second, ..] => Err(fault_in(ZipFault::SeveralExports, second)),
    }
}

/// A fault with its place.
pub(super) fn fault_in(fault: ZipFault, index: usize) -> RecordError {
    RecordError::Zip { entry: Some(index), fault }
}

/// A failure of the disk as such, else damage.
pub(super) fn damage(error: &ZipError, entry: Option<usize>) -> RecordError {
    match error {
        ZipError::Io(error)
            if !matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) =>
        {
            RecordError::Read { byte: 0, kind: error.kind() }
        }
        _ => RecordError::Zip { entry, fault: ZipFault::Damaged },
    }
}

/// Memory for the list is reserved by what the archive's end claims, so the claim is compared with the file first.
fn check_claims<R: Read + Seek>(source: &mut R) -> Result<(), RecordError> {
    let at_start = |error: io::Error| RecordError::Read { byte: 0, kind: error.kind() };
    let archive_bytes = source.seek(SeekFrom::End(0)).map_err(at_start)?;
    source.seek(SeekFrom::Start(archive_bytes.saturating_sub(TAIL_BYTES_MAX))).map_err(at_start)?;
    let mut tail = Vec::new();
    source.by_ref().take(TAIL_BYTES_MAX).read_to_end(&mut tail).map_err(at_start)?;
    source.rewind().map_err(at_start)?;
    let tail_at = archive_bytes.saturating_sub(u64::try_from(tail.len()).unwrap_or(u64::MAX));
    if !finds(&tail, LOCATOR64).all(|start| is_beside_end(&tail, start, tail_at)) {
        return Err(RecordError::Zip { entry: None, fault: ZipFault::Damaged });
    }
    for start in finds(&tail, END64).filter(|start| start + END64_BYTES <= tail.len()) {
        let [entries, bytes, at] = [32, 40, 48].map(|field| number(&tail, start + field));
        let is_inside = at.checked_add(bytes).is_some_and(|end| end <= archive_bytes);
        if !is_inside || entries > bytes / 46 {
            return Err(RecordError::Zip { entry: None, fault: ZipFault::Damaged });
        }
        if bytes > DIRECTORY_BYTES_MAX {
            return Err(RecordError::Zip { entry: None, fault: ZipFault::TooManyEntries });
        }
    }
    Ok(())
}

/// Whether the record of zip64 that a locator names stands right before it, among what is looked at: one that is longer
/// than its fields, as no export's is, could begin anywhere.
fn is_beside_end(tail: &[u8], locator: usize, tail_at: u64) -> bool {
    if !tail[locator..].get(LOCATOR64_BYTES..).is_some_and(|end| end.starts_with(END)) {
        return true;
    }
    locator.checked_sub(END64_BYTES).is_some_and(|start| {
        let place = u64::try_from(start).ok().and_then(|start| start.checked_add(tail_at));
        tail[start..].starts_with(END64) && place == Some(number(tail, locator + 8))
    })
}

fn finds<'a>(bytes: &'a [u8], signature: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes
        .windows(signature.len())
        .enumerate()
        .filter(move |(_, window)| *window == signature)
        .map(|(at, _)| at)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    bytes.map_or(u64::MAX, u64::from_le_bytes)
}

enum Content {
    Export,
    /// The export's file name is in the phone's language; the CDA document beside it ends in `_cda.xml`.
    PerhapsExport,
    ClinicalRecord(String),
    Other,
}

fn classify(name: &str) -> Content {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let has_suffix = |suffix: &str| file.to_ascii_lowercase().ends_with(suffix);
    if file == "export.xml" {
        Content::Export
    } else if has_suffix(".xml") && !has_suffix("_cda.xml") && !folder.contains('/') {
        Content::PerhapsExport
    } else if folder.rsplit('/').next() == Some(CLINICAL_FOLDER) && has_suffix(".json") {
        Content::ClinicalRecord(format!("{CLINICAL_FOLDER}/{file}"))
    } else {
        Content::Other
    }
}

/// Names that some program would read as a way out, even if it leads back in.
fn has_escape(name: &str) -> bool {
    name.starts_with('/')
        || name.split(['/', '\\']).any(|part| part == "..")
        || name.as_bytes().get(1) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_seen() {
        for name in ["../a", "a/../../b", "/etc/a", "a\\..\\b", "C:\\a"] {
            assert!(has_escape(name), "{name}");
        }
        assert!(!has_escape("apple_health_export/workout-routes/r..1.gpx"));
    }

    #[test]
    fn the_export_is_found_in_any_language() {
        assert!(matches!(classify("apple_health_export/export.xml"), Content::Export));
        assert!(matches!(classify("apple_health_export/Exportar.xml"), Content::PerhapsExport));
        assert!(matches!(classify("apple_health_export/export_cda.xml"), Content::Other));
        let clinical = classify("apple_health_export/clinical-records/Observation-1.json");
        assert!(
            matches!(clinical, Content::ClinicalRecord(path) if path == "clinical-records/Observation-1.json")
        );
    }
}
