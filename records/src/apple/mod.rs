//! Apple Health exports: `export.xml`, or the `export.zip` that holds it.
//!
//! Read are heart rate, exercise time and blood pressure, and in an archive the FHIR R4 resources of its
//! `clinical-records`, as any other FHIR. What else an export holds is counted by reason.
//!
//! **Identity.** An export has no ids of its own, so a record's id is a hash of type, source, device, start, end,
//! value and an ordinal among identical records; where the app wrote a UUID beside the record (`HKExternalUUID`),
//! the first record with that UUID has it as its id. Times enter the hash as instants, because an export writes all
//! times in the offset that the phone is in on that day, and the device enters without its memory address.
//!
//! **Blood pressure.** A correlation is one record. Its two readings appear again at top level, before or after it;
//! each such twin is matched once (as a multiset) and counted as `blood-pressure-child`. Top-level readings without
//! a correlation are one record where exactly one systolic and one diastolic reading share source, device, start
//! and end; others are counted as `blood-pressure-unpaired`.
//!
//! Not here: what FHIR resources mean (`fhir`), GPX routes, ECG files.

mod archive;
mod clinical;
mod device;
mod directory;
mod document;
mod draft;
mod export;
mod held;
mod pairing;

#[cfg(any(test, feature = "test-util"))]
pub mod generated;

pub use archive::import_zip;
pub use document::import_xml;

pub(crate) use document::import_sized;
