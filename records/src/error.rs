//! What can go wrong while records are read. Texts name the place (byte, line, entry) and the reason, never a
//! value of the input: they are safe to log. Not here: why a single record is left out ([`SkipReason`]).

use std::fmt;
use std::io;

use crate::SkipReason;

/// Why a record or a file of records was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// An id is empty, longer than 128 bytes or has characters other than printable ASCII.
    #[error("a record id is 1 to 128 printable ascii characters")]
    Id,
    /// A name is none of the five types.
    #[error("not a shared record type")]
    UnknownType,
    /// A text is not a decimal number of at most 64 characters.
    #[error("not a decimal number")]
    Decimal,
    /// A text is not a FHIR date, dateTime or instant.
    #[error("not a point in time")]
    Time,
    /// A resource is larger than [`crate::RESOURCE_BYTES_MAX`].
    #[error("the resource is larger than 1 MiB")]
    TooLarge,
    /// A resource is FHIR but cannot be shared.
    #[error("the resource cannot be shared: {0}")]
    NotShared(SkipReason),
    /// JSON is damaged or not of FHIR's shape.
    #[error("not well-formed fhir json at line {line}, column {column}")]
    Json {
        /// Line of the input, from 1.
        line: usize,
        /// Column in that line.
        column: usize,
    },
    /// A JSON document is neither a FHIR Bundle nor a FHIR resource.
    #[error("a fhir bundle or resource was expected")]
    NotFhir,
    /// One entry of a bundle is so large that reading it whole would not be bounded.
    #[error("entry {entry} is larger than 64 MiB")]
    EntryTooLarge {
        /// Index of the entry, from 0.
        entry: u64,
    },
    /// A resource is of an older FHIR version, whose meaning differs.
    #[error("entry {entry} is FHIR {version}, only R4 is read")]
    Version {
        /// The version recognized.
        version: FhirVersion,
        /// Index of the entry or resource in the file, from 0.
        entry: u64,
    },
    /// XML is damaged or uses what an export never does.
    #[error("xml refused at byte {byte}: {fault}")]
    Xml {
        /// Position in the (inflated) document, from 0.
        byte: u64,
        /// What is wrong.
        fault: XmlFault,
    },
    /// A zip archive is damaged or hostile.
    #[error("zip archive refused{}: {fault}", in_entry(*.entry))]
    Zip {
        /// Index of the entry, from 0, where the fault is in one.
        entry: Option<usize>,
        /// What is wrong.
        fault: ZipFault,
    },
    /// The content is none of the formats that can be read.
    #[error("neither an apple health export (xml or zip) nor fhir json")]
    UnknownFormat,
    /// More records than are kept apart in one import.
    #[error("more records in one file than can be told apart")]
    TooManyRecords,
    /// The reader failed.
    #[error("reading failed after byte {byte}: {kind}")]
    Read {
        /// Bytes read before.
        byte: u64,
        /// The kind of failure.
        kind: io::ErrorKind,
    },
}

fn in_entry(entry: Option<usize>) -> String {
    entry.map(|entry| format!(" at entry {entry}")).unwrap_or_default()
}

/// Why an import ended early. After either, nothing that was handed to the sink should be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError<E> {
    /// The input was refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The sink refused a record.
    #[error("the record could not be taken")]
    Sink(E),
}

/// A FHIR version that is recognized in order to be refused by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FhirVersion {
    /// FHIR 1.0 (2015).
    Dstu2,
    /// FHIR 3.0 (2017).
    Stu3,
}

impl fmt::Display for FhirVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dstu2 => "DSTU2",
            Self::Stu3 => "STU3",
        })
    }
}

/// What is wrong with an XML document.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlFault {
    /// The document breaks XML's syntax.
    #[error("broken syntax")]
    Syntax,
    /// The document ends inside an element.
    #[error("the document ends early")]
    Truncated,
    /// The text is not UTF-8, or declares another encoding.
    #[error("not utf-8")]
    Encoding,
    /// An entity other than XML's five and character references.
    #[error("an entity that is not predefined")]
    Entity,
    /// One tag, comment or text is larger than 1 MiB.
    #[error("a single item is larger than 1 MiB")]
    ItemTooLarge,
    /// An element has more than 64 attributes.
    #[error("an element has too many attributes")]
    TooManyAttributes,
    /// Elements nest deeper than 32.
    #[error("elements nest too deeply")]
    TooDeep,
    /// The root element is not `HealthData`, or there is more than one root.
    #[error("not a health export")]
    NotAnExport,
}

/// What is wrong with a zip archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ZipFault {
    /// The archive's structure, its claims or a checksum are wrong.
    #[error("damaged")]
    Damaged,
    /// What would be read is encrypted.
    #[error("encrypted")]
    Encrypted,
    /// What would be read is compressed in another way than an export's.
    #[error("compressed in an unknown way")]
    Compression,
    /// Two entries have one name, so that programs would read different ones.
    #[error("two entries have the same name")]
    DuplicateName,
    /// Entries share bytes, as in bombs.
    #[error("entries overlap")]
    Overlap,
    /// A symbolic link.
    #[error("a symbolic link")]
    Link,
    /// More entries than an export has.
    #[error("too many entries")]
    TooManyEntries,
    /// A name leads out of the archive's folder.
    #[error("a file name leads out of the archive")]
    UnsafePath,
    /// No `export.xml`.
    #[error("no export.xml inside")]
    NoExport,
    /// More than one `export.xml`.
    #[error("more than one export.xml inside")]
    SeveralExports,
    /// The export inflates beyond what an export's text can.
    #[error("inflates beyond its bound")]
    Bomb,
}
