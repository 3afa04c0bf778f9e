//! Recognizing a file by its content. Not here: names and extensions, which say nothing.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::{ImportReport, RecordSink};
use crate::{ImportError, RecordError, apple, fhir};

/// Bytes looked at to recognize a format: a whole first NDJSON line fits.
const HEAD_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    AppleXml,
    AppleZip,
    FhirJson,
    FhirNdjson,
}

/// Imports an Apple Health export (XML or zip), a FHIR R4 Bundle or resource, or FHIR NDJSON: whichever it is.
///
/// # Errors
/// [`RecordError::UnknownFormat`] if it is none of these, else as the importer of that format. After any error
/// nothing that went into the sink should be kept.
pub fn import<R: Read + Seek, S: RecordSink>(
    mut source: R,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    let (format, bytes_total) = look(&mut source).map_err(ImportError::Record)?;
    match format {
        Format::AppleXml => apple::import_sized(source, bytes_total, sink),
        Format::AppleZip => apple::import_zip(source, sink),
        Format::FhirJson => fhir::import_sized(source, bytes_total, sink),
        Format::FhirNdjson => fhir::import_ndjson(BufReader::new(source), sink),
    }
}

/// The format and the size; the source is at its beginning again.
fn look<R: Read + Seek>(source: &mut R) -> Result<(Format, Option<u64>), RecordError> {
    let at_start = |error: io::Error| RecordError::Read { byte: 0, kind: error.kind() };
    let bytes_total = source.seek(SeekFrom::End(0)).map_err(at_start)?;
    source.rewind().map_err(at_start)?;
    let mut head = Vec::new();
    source.by_ref().take(HEAD_BYTES_MAX).read_to_end(&mut head).map_err(at_start)?;
    source.rewind().map_err(at_start)?;
    Ok((recognize(&head).ok_or(RecordError::UnknownFormat)?, Some(bytes_total)))
}

fn recognize(head: &[u8]) -> Option<Format> {
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Some(Format::AppleZip);
    }
    // Text of two bytes a letter: an export's reader refuses it by name.
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some(Format::AppleXml);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match text.first()? {
        b'<' => Some(Format::AppleXml),
        b'{' if is_ndjson(text) => Some(Format::FhirNdjson),
        b'{' => Some(Format::FhirJson),
        _ => None,
    }
}

/// Whether the first line is a JSON document by itself and more follows.
fn is_ndjson(text: &[u8]) -> bool {
    let Some(end) = text.iter().position(|&byte| byte == b'\n') else { return false };
    let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(&text[..end]).is_ok();
    is_whole && !text[end..].trim_ascii_start().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        let cases: [(&[u8], Option<Format>); 10] = [
            (b"\xff\xfe<\0", Some(Format::AppleXml)),
            (b"PK\x03\x04rest", Some(Format::AppleZip)),
            (b"\xef\xbb\xbf<?xml", Some(Format::AppleXml)),
            (b" \n<HealthData>", Some(Format::AppleXml)),
            (b"{\n \"resourceType\": 1}", Some(Format::FhirJson)),
            (b"{\"a\":1}\n", Some(Format::FhirJson)),
            (b"{\"a\":1}\n\n{\"a\":2}", Some(Format::FhirNdjson)),
            (b"[]", None),
            (b"", None),
            (b"hello", None),
        ];
        for (head, format) in cases {
            assert_eq!(recognize(head), format, "{}", String::from_utf8_lossy(head));
        }
    }
}
