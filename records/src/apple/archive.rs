//! `export.zip`: finding the one export inside, with every name checked and inflation bounded. Nothing is ever
//! extracted. Not here: the export itself (`document`).

use std::io::{Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::result::ZipError;

use super::document;
use crate::import::{Intake, RecordSink};
use crate::{ImportError, ImportReport, RecordError, SkipReason, ZipFault};

/// How many times its compressed size an export may inflate to; 600,000 generated samples compress 35-fold.
const INFLATE_RATIO_MAX: u64 = 250;
/// An export may always inflate to this many bytes.
const INFLATE_FLOOR_BYTES: u64 = 16 * 1024 * 1024;
/// Folder that macOS adds beside the real one.
const RESOURCE_FORKS: &str = "__MACOSX/";

/// Imports the `export.xml` inside an `export.zip`.
///
/// # Errors
/// [`RecordError::Zip`] with the fault, else as [`super::import_xml`].
pub fn import_zip<R: Read + Seek, S: RecordSink>(
    mut source: R,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    let archive_bytes = archive_bytes(&mut source)?;
    let mut archive = ZipArchive::new(source).map_err(damage)?;
    let contents = survey(&mut archive)?;
    let export = archive.by_index(contents.export).map_err(damage)?;
    // The claimed size is not trusted further than the archive is long.
    let compressed_bytes = export.compressed_size().min(archive_bytes);
    let bytes_max = compressed_bytes.saturating_mul(INFLATE_RATIO_MAX).max(INFLATE_FLOOR_BYTES);
    let bytes_total = Some(export.size());
    let intake = Intake::new(sink, document::meter(bytes_max), bytes_total);
    let mut intake = document::read(export, intake).map_err(|error| match error {
        ImportError::Record(error) => ImportError::Record(corruption(error)),
        sink => sink,
    })?;
    // A clinical record is a file here and an element in the export: the same thing, counted once.
    let counted = intake.skipped(SkipReason::ClinicalRecord);
    intake.skip_many(SkipReason::ClinicalRecord, contents.clinical_records.saturating_sub(counted));
    Ok(intake.finish())
}

struct Contents {
    export: usize,
    clinical_records: u64,
}

fn archive_bytes<R: Seek>(source: &mut R) -> Result<u64, RecordError> {
    let at_start = |error: std::io::Error| RecordError::Read { byte: 0, kind: error.kind() };
    let bytes = source.seek(SeekFrom::End(0)).map_err(at_start)?;
    source.rewind().map_err(at_start)?;
    Ok(bytes)
}

/// Looks at every name before anything is read.
fn survey<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<Contents, RecordError> {
    let (mut exports, mut localized, mut clinical_records) = (Vec::new(), Vec::new(), 0);
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(damage)?;
        let name = file.name().map_err(damage)?.into_owned();
        if file.enclosed_name().is_none() || has_escape(&name) {
            return Err(RecordError::Zip(ZipFault::UnsafePath));
        }
        if !file.is_file() || name.starts_with(RESOURCE_FORKS) {
            continue;
        }
        match classify(&name) {
            Content::Export => exports.push(index),
            Content::PerhapsExport => localized.push(index),
            Content::ClinicalRecord => clinical_records += 1,
            Content::Other => {}
        }
    }
    let found = if exports.is_empty() { localized } else { exports };
    match found[..] {
        [export] => Ok(Contents { export, clinical_records }),
        [] => Err(RecordError::Zip(ZipFault::NoExport)),
        _ => Err(RecordError::Zip(ZipFault::SeveralExports)),
    }
}

enum Content {
    Export,
    /// The export's file name is in the phone's language; the CDA document beside it ends in `_cda.xml`.
    PerhapsExport,
    ClinicalRecord,
    Other,
}

fn classify(name: &str) -> Content {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let has_suffix = |suffix: &str| file.to_ascii_lowercase().ends_with(suffix);
    if file == "export.xml" {
        Content::Export
    } else if has_suffix(".xml") && !has_suffix("_cda.xml") && !folder.contains('/') {
        Content::PerhapsExport
    } else if folder.rsplit('/').next() == Some("clinical-records") && has_suffix(".json") {
        Content::ClinicalRecord
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

/// A reader inside an archive fails where its data or checksum is wrong.
fn corruption(error: RecordError) -> RecordError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error {
        RecordError::Read { kind: InvalidData | InvalidInput | UnexpectedEof, .. } => {
            RecordError::Zip(ZipFault::Damaged)
        }
        other => other,
    }
}

// By value, as `map_err` hands it over.
#[allow(clippy::needless_pass_by_value)]
fn damage(error: ZipError) -> RecordError {
    match error {
        ZipError::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            RecordError::Read { byte: 0, kind: error.kind() }
        }
        _ => RecordError::Zip(ZipFault::Damaged),
    }
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
        assert!(matches!(
            classify("apple_health_export/clinical-records/Observation-1.json"),
            Content::ClinicalRecord
        ));
    }
}
