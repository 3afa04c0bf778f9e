//! `export.zip`: the one export inside and the clinical records beside it, with inflation bounded. Nothing is ever
//! extracted. Not here: the list of what is inside (`directory`), the export itself (`document`).

use std::io::{Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::read::ZipFile;

use super::clinical::{Declared, Listing};
use super::directory::{self, Contents, Metered};
use super::document;
use crate::import::{Intake, RecordSink, SourceName};
use crate::{ImportError, ImportReport, RESOURCE_BYTES_MAX, RecordError, SkipReason, ZipFault, fhir};

/// How many times its compressed size an entry may inflate to; 600,000 generated samples compress 35-fold.
const INFLATE_RATIO_MAX: u64 = 250;
/// An export may always inflate to this many bytes.
const EXPORT_FLOOR_BYTES: u64 = 16 * 1024 * 1024;
/// A clinical record may always inflate to this many bytes.
const CLINICAL_FLOOR_BYTES: u64 = 64 * 1024;

/// Imports the `export.xml` inside an `export.zip`, and the FHIR R4 resources in its `clinical-records`.
///
/// # Errors
/// [`RecordError::Zip`] with entry and fault, else as [`super::import_xml`].
pub fn import_zip<R: Read + Seek, S: RecordSink>(
    mut source: R,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    let archive_bytes = archive_bytes(&mut source)?;
    let mut archive = directory::open(source)?;
    let contents = directory::survey(&mut archive)?;
    let (mut intake, mut listing) = read_export(&mut archive, &contents, archive_bytes, sink)?;
    intake.begin_source(SourceName::apple_clinical());
    let mut resources = fhir::Resources::new(intake);
    for (index, path) in &contents.clinical_records {
        let Some(json) = read_clinical(&mut archive, *index, archive_bytes)? else {
            listing.take(path);
            resources.intake.skip(SkipReason::TooLarge);
            continue;
        };
        match listing.take(path) {
            Declared::Older(reason) => resources.intake.skip(reason),
            Declared::Readable(url) => resources.take_clinical(&json, url.as_deref())?,
        }
    }
    resources.intake.skip_many(SkipReason::ClinicalRecord, listing.left());
    Ok(resources.intake.finish())
}

fn archive_bytes<R: Seek>(source: &mut R) -> Result<u64, RecordError> {
    let at_start = |error: std::io::Error| RecordError::Read { byte: 0, kind: error.kind() };
    let bytes = source.seek(SeekFrom::End(0)).map_err(at_start)?;
    source.rewind().map_err(at_start)?;
    Ok(bytes)
}

fn read_export<'a, R: Read + Seek, S: RecordSink>(
    archive: &mut ZipArchive<Metered<R>>,
    contents: &Contents,
    archive_bytes: u64,
    sink: &'a mut S,
) -> Result<(Intake<'a, S>, Listing), ImportError<S::Error>> {
    let entry = contents.export;
    let export = archive.by_index(entry).map_err(|error| directory::damage(&error, Some(entry)))?;
    let bytes_max = bytes_max(&export, archive_bytes, EXPORT_FLOOR_BYTES);
    let bytes_total = Some(export.size());
    let intake = Intake::new(sink, document::meter(bytes_max), bytes_total);
    document::read(export, intake).map_err(|error| match error {
        ImportError::Record(error) => ImportError::Record(in_entry(error, entry)),
        sink => sink,
    })
}

/// The whole text of a clinical record; `None` if it is larger than a record may be.
fn read_clinical<R: Read + Seek>(
    archive: &mut ZipArchive<Metered<R>>,
    index: usize,
    archive_bytes: u64,
) -> Result<Option<Vec<u8>>, RecordError> {
    let file = archive.by_index(index).map_err(|error| directory::damage(&error, Some(index)))?;
    let bomb_bytes = bytes_max(&file, archive_bytes, CLINICAL_FLOOR_BYTES);
    let record_bytes = u64::try_from(RESOURCE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut json = Vec::new();
    let limit = bomb_bytes.min(record_bytes);
    file.take(limit + 1)
        .read_to_end(&mut json)
        .map_err(|error| in_entry(RecordError::Read { byte: 0, kind: error.kind() }, index))?;
    let read = u64::try_from(json.len()).unwrap_or(u64::MAX);
    match read {
        read if read <= limit => Ok(Some(json)),
        _ if bomb_bytes <= record_bytes => Err(directory::fault_in(ZipFault::Bomb, index)),
        _ => Ok(None),
    }
}

/// The claimed size is not trusted further than the archive is long.
fn bytes_max<R: Read + ?Sized>(file: &ZipFile<'_, R>, archive_bytes: u64, floor: u64) -> u64 {
    file.compressed_size().min(archive_bytes).saturating_mul(INFLATE_RATIO_MAX).max(floor)
}

/// A reader inside an archive fails where its data or checksum is wrong; and it is the entry that is a bomb.
fn in_entry(error: RecordError, index: usize) -> RecordError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error {
        RecordError::Read { kind: InvalidData | InvalidInput | UnexpectedEof, .. } => {
            directory::fault_in(ZipFault::Damaged, index)
        }
        RecordError::Zip { fault, .. } => directory::fault_in(fault, index),
        other => other,
    }
}
