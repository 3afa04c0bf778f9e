//! One JSON document: a Bundle, whose entries are streamed, or a single resource.
//! Not here: NDJSON (`lines`).

use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::identity::content;
use super::resources::Resources;
use crate::import::{Intake, Meter, Metered, RecordSink};
use crate::json::Object;
use crate::{ImportError, ImportReport, RESOURCE_BYTES_MAX, RecordError, SkipReason};

/// Largest entry that is read at all, in bytes; above [`RESOURCE_BYTES_MAX`] it is skipped.
const ENTRY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Imports one JSON document: a FHIR R4 Bundle of any type, or a single resource.
///
/// # Errors
/// [`RecordError::Json`], [`RecordError::NotFhir`], [`RecordError::Version`], [`RecordError::EntryTooLarge`],
/// [`RecordError::Read`], or the sink's own error.
pub fn import_bundle<R: Read, S: RecordSink>(
    source: R,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    import_sized(source, None, sink)
}

/// As [`import_bundle`], with the size for progress.
pub(crate) fn import_sized<R: Read, S: RecordSink>(
    source: R,
    bytes_total: Option<u64>,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    let meter = Meter::new(ENTRY_BYTES_MAX, u64::MAX);
    let source = without_mark(BufReader::with_capacity(BUFFER_BYTES, Metered::new(source, meter.clone())))
        .map_err(|kind| RecordError::Read { byte: 0, kind })?;
    let mut resources = Resources::new(Intake::new(sink, meter, bytes_total));
    let mut stopped = None;
    let mut json = serde_json::Deserializer::from_reader(source);
    let read = Document { resources: &mut resources, stopped: &mut stopped }.deserialize(&mut json);
    match (stopped, read.and_then(|()| json.end())) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(resources.intake.finish()),
        (None, Err(error)) => Err(refusal(&error, &resources).into()),
    }
}

/// Skips a byte order mark.
fn without_mark<R: std::io::BufRead>(mut source: R) -> Result<R, std::io::ErrorKind> {
    let head = source.fill_buf().map_err(|error| error.kind())?;
    if head.starts_with(b"\xef\xbb\xbf") {
        source.consume(3);
    }
    Ok(source)
}

fn refusal<S: RecordSink>(error: &serde_json::Error, resources: &Resources<'_, S>) -> RecordError {
    let meter = resources.intake.meter();
    match error.io_error_kind() {
        Some(_) if meter.exceeded().is_some() => RecordError::EntryTooLarge { entry: resources.entries },
        Some(kind) => RecordError::Read { byte: meter.bytes(), kind },
        None => RecordError::Json { line: error.line(), column: error.column() },
    }
}

/// Why reading stopped for another reason than JSON.
type Stopped<E> = Option<ImportError<E>>;

/// The document: an object whose `entry` is streamed if it is a Bundle's.
struct Document<'r, 'a, S: RecordSink> {
    resources: &'r mut Resources<'a, S>,
    stopped: &'r mut Stopped<S::Error>,
}

impl<'de, S: RecordSink> DeserializeSeed<'de> for Document<'_, '_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: RecordSink> Visitor<'de> for Document<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fhir bundle or resource")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        let mut resource = Object::new();
        let mut streamed = None;
        while let Some(member) = members.next_key::<String>()? {
            let kind = resource.get("resourceType").and_then(Value::as_str);
            if member == "entry" && kind.is_none_or(|kind| kind == "Bundle") {
                let entries = Entries { resources: &mut *self.resources, stopped: &mut *self.stopped };
                streamed = Some(members.next_value_seed(entries)?);
            } else if kind == Some("Bundle") {
                members.next_value::<IgnoredAny>()?;
            } else {
                resource.insert(member, members.next_value()?);
            }
        }
        let settled = settle(self.resources, resource, streamed);
        settled.map_err(|error| stop(self.stopped, error))
    }
}

/// Decides what the document was, now that all of it has been read.
fn settle<S: RecordSink>(
    resources: &mut Resources<'_, S>,
    resource: Object,
    streamed: Option<Streamed>,
) -> Result<(), ImportError<S::Error>> {
    match (resource.get("resourceType").and_then(Value::as_str), streamed) {
        (Some("Bundle"), _) => Ok(()),
        (Some(_), None) if content(&resource).len() > RESOURCE_BYTES_MAX => {
            resources.intake.skip(SkipReason::TooLarge);
            Ok(())
        }
        (Some(_), None) => {
            resources.entries += 1;
            resources.take(resource, None)
        }
        // Entries were read as a Bundle's before the document said that it is something else, or nothing.
        (Some(_), Some(Streamed)) | (None, _) => Err(RecordError::NotFhir.into()),
    }
}

/// Keeps the true error while serde carries a placeholder out.
fn stop<S, E: serde::de::Error>(stopped: &mut Stopped<S>, error: ImportError<S>) -> E {
    *stopped = Some(error);
    E::custom("stopped")
}

/// Says that entries were handed on.
struct Streamed;

/// A Bundle's entries.
struct Entries<'r, 'a, S: RecordSink> {
    resources: &'r mut Resources<'a, S>,
    stopped: &'r mut Stopped<S::Error>,
}

impl<'de, S: RecordSink> DeserializeSeed<'de> for Entries<'_, '_, S> {
    type Value = Streamed;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Streamed, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, S: RecordSink> Visitor<'de> for Entries<'_, '_, S> {
    type Value = Streamed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<Q: SeqAccess<'de>>(self, mut entries: Q) -> Result<Streamed, Q::Error> {
        self.resources.intake.begin_item();
        while let Some(entry) = entries.next_element::<Box<RawValue>>()? {
            self.resources.take_entry(entry.get()).map_err(|error| stop(self.stopped, error))?;
            self.resources.intake.begin_item();
        }
        Ok(Streamed)
    }
}

#[cfg(test)]
mod tests;
