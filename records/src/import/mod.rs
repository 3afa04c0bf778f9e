//! Importing: what an import reports, where its records go, and recognizing a file by its content.
//!
//! An import streams: each record is handed to a [`RecordSink`] as soon as it is read, and what is kept besides is
//! hashes. A file may turn out to be damaged at its last byte, so after an error the caller keeps nothing: it wraps
//! the sink in a transaction.
//!
//! Not here: the formats (`apple`, `fhir`).

mod detect;
mod fingerprints;
mod intake;
mod meter;
mod ordinals;
mod report;
mod sink;
mod source_name;

pub use detect::import;
pub use fingerprints::FingerprintSet;
pub use report::{ImportReport, SkipReason};
pub use sink::{Progress, RecordSink, WithProgress};
pub use source_name::SourceName;

pub(crate) use intake::Intake;
pub(crate) use meter::{Limit, Meter, Metered};
pub(crate) use source_name::SourceSeen;
