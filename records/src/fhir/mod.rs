//! FHIR R4 files: a Bundle or a single resource as JSON, and NDJSON (a resource to a line, as bulk export writes).
//!
//! Resources of the five types pass with their content untouched; others are counted by reason, so that imported
//! and skipped add up to what the file holds. FHIR DSTU2 and STU3 are refused by name (`version`).
//!
//! **Identity.** A UUID as the resource's id, else an absolute `fullUrl`, else a UUID as `fullUrl`; a resource that
//! has only a relative id, which another institution may use too, is told apart by type, id, identifiers, subject,
//! code and time; one without any id, by its whole content.
//!
//! Not here: fetching from a server (`sealcare-smart`), FHIR in XML.

mod document;
mod identity;
mod lines;
mod resources;
mod version;

pub use document::import_bundle;
pub use lines::import_ndjson;

pub(crate) use document::import_sized;
pub(crate) use resources::Resources;
