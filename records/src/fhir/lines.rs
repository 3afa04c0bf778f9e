//! NDJSON: one resource to a line, a Bundle allowed. Not here: JSON documents over several lines (`document`).

use std::io::{self, BufRead};

use serde_json::Value;
use serde_json::value::RawValue;

use super::resources::Resources;
use crate::import::{Intake, Meter, RecordSink};
use crate::json::{Object, text};
use crate::{ImportError, ImportReport, RESOURCE_BYTES_MAX, RecordError, SkipReason};

/// Largest line that is read, in bytes; a longer one is skipped as too large.
const LINE_BYTES_MAX: usize = RESOURCE_BYTES_MAX;

/// Imports NDJSON: a FHIR R4 resource on each line. Empty lines are passed over.
///
/// # Errors
/// [`RecordError::Json`] with the line, [`RecordError::NotFhir`], [`RecordError::Version`] with the line's index,
/// [`RecordError::Read`], or the sink's own error.
pub fn import_ndjson<R: BufRead, S: RecordSink>(
    mut source: R,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    let meter = Meter::new(u64::MAX, u64::MAX);
    let mut resources = Resources::new(Intake::new(sink, meter.clone(), None));
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        let kind = read_line(&mut source, &mut line, &meter)
            .map_err(|error| RecordError::Read { byte: meter.bytes(), kind: error.kind() })?;
        number += 1;
        let text = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line);
        match kind {
            Line::End => break,
            Line::TooLong => resources.intake.skip(SkipReason::TooLarge),
            Line::Whole if text.trim_ascii().is_empty() => {}
            Line::Whole => take_line(&mut resources, text, number)?,
        }
        resources.intake.begin_item();
    }
    Ok(resources.intake.finish())
}

fn take_line<S: RecordSink>(
    resources: &mut Resources<'_, S>,
    line: &[u8],
    number: usize,
) -> Result<(), ImportError<S::Error>> {
    let damaged = |error: serde_json::Error| RecordError::Json { line: number, column: error.column() };
    let resource: Object = serde_json::from_slice(line).map_err(damaged)?;
    match text(&resource, "resourceType") {
        None => Err(RecordError::NotFhir.into()),
        Some("Bundle") => take_bundle(resources, resource),
        Some(_) => {
            resources.entries += 1;
            resources.take(resource, None)
        }
    }
}

/// A Bundle that fits on one line is small enough to be held whole.
fn take_bundle<S: RecordSink>(
    resources: &mut Resources<'_, S>,
    mut bundle: Object,
) -> Result<(), ImportError<S::Error>> {
    let Some(Value::Array(entries)) = bundle.remove("entry") else { return Ok(()) };
    for entry in &entries {
        let json: Box<RawValue> =
            serde_json::value::to_raw_value(entry).expect("a JSON value with string keys serializes");
        resources.take_entry(json.get())?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads up to the next line feed into `line`, keeping no more than a line may have.
fn read_line<R: BufRead>(source: &mut R, line: &mut Vec<u8>, meter: &Meter) -> io::Result<Line> {
    line.clear();
    let mut kind = Line::End;
    loop {
        let available = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            return Ok(kind);
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if kind == Line::TooLong || line.len() + part.len() > LINE_BYTES_MAX {
            kind = Line::TooLong;
        } else {
            kind = Line::Whole;
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        meter.count(used)?;
        source.consume(used);
        if end.is_some() {
            return Ok(kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn long_lines_are_dropped_not_kept() {
        let mut source = Cursor::new([vec![b'a'; LINE_BYTES_MAX + 1], b"\nb\n\nc".to_vec()].concat());
        let (mut line, meter) = (Vec::new(), Meter::new(u64::MAX, u64::MAX));
        let mut next = || read_line(&mut source, &mut line, &meter).map(|kind| (kind, line.clone())).unwrap();
        assert_eq!(next().0, Line::TooLong);
        assert_eq!(next(), (Line::Whole, b"b".to_vec()));
        assert_eq!(next(), (Line::Whole, Vec::new()));
        assert_eq!(next(), (Line::Whole, b"c".to_vec()));
        assert_eq!(next().0, Line::End);
    }
}
