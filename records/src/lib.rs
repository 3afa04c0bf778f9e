//! The clinical records that Sealcare shares: what a record is, its FHIR R4 form, and how records are read out of
//! an Apple Health export or FHIR files.
//!
//! Five types travel ([`RecordType`]). A [`Record`] is an id, a type and a FHIR R4 resource whose content is kept
//! as the source wrote it, down to the text of its decimals; [`model`] is the narrow typed view of that resource.
//! [`import()`] recognizes a file by its content and streams its records into a [`RecordSink`].
//!
//! ```
//! use std::io::Cursor;
//! use sealcare_records::{Record, import};
//!
//! let file = br#"<HealthData><Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch"
//!     unit="count/min" value="72" startDate="2024-06-15 08:00:00 +0200" endDate="2024-06-15 08:00:00 +0200"/>
//!     <Workout/></HealthData>"#;
//! let report = import(Cursor::new(file), &mut |record: Record| {
//!     assert_eq!(record.summary(), "72 /min");
//!     Ok::<_, std::convert::Infallible>(())
//! })?;
//! assert_eq!(report.records(), 1);
//! assert_eq!(report.skipped.keys().map(|reason| reason.name()).collect::<Vec<_>>(), ["workout"]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Not here: files and paths (callers hand over readers), the network, sealing (a record is bytes to the protocol
//! and an envelope is unknown to this crate), and storage.

mod code;
mod decimal;
mod error;
mod id;
mod json;
mod patient;
mod provenance;
mod record;
mod record_type;
mod time;
mod unit;

pub mod apple;
pub mod fhir;
mod import;
pub mod model;

pub use code::Coding;
pub use decimal::Decimal;
pub use error::{FhirVersion, ImportError, RecordError, XmlFault, ZipFault};
pub use id::{RECORD_ID_BYTES_MAX, RecordId};
pub use import::{
    FingerprintSet, ImportReport, Progress, RecordSink, SkipReason, SourceName, WithProgress, import,
};
pub use model::Model;
pub use patient::Person;
pub use provenance::{Entry, Provenance, SourceDevice};
pub use record::{RESOURCE_BYTES_MAX, Record};
pub use record_type::RecordType;
pub use time::{Effective, Moment};
pub use unit::{Quantity, Unit};
