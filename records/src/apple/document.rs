//! Streaming `export.xml`: one pass, one item in memory, nothing expanded. The document type that real exports
//! carry is skipped; XML's five entities and character references are resolved, any other is refused.
//! Not here: what elements mean (`export`).

use std::io::{BufReader, Read};

use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader, XmlVersion};

use super::clinical::Listing;
use super::export::{Element, Export};
use crate::import::{Intake, Limit, Meter, Metered, RecordSink};
use crate::{ImportError, ImportReport, RecordError, SkipReason, XmlFault, ZipFault};

/// Largest tag, comment, text or document type, in bytes.
const ITEM_BYTES_MAX: u64 = 1024 * 1024;
/// Deepest nesting; real exports have five levels.
const DEPTH_MAX: usize = 32;
/// Attributes of one element; real ones have a dozen.
const ATTRIBUTES_MAX: usize = 64;
/// Bytes read at a time; they may count towards the item before.
const BUFFER_BYTES: usize = 64 * 1024;

/// Imports an `export.xml`.
///
/// # Errors
/// [`RecordError::Xml`] with the byte and the fault, [`RecordError::Read`], or the sink's own error.
pub fn import_xml<R: Read, S: RecordSink>(
    source: R,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    import_sized(source, None, sink)
}

/// As [`import_xml`], with the size for progress.
pub(crate) fn import_sized<R: Read, S: RecordSink>(
    source: R,
    bytes_total: Option<u64>,
    sink: &mut S,
) -> Result<ImportReport, ImportError<S::Error>> {
    let meter = meter(u64::MAX);
    let (mut intake, listing) = read(source, Intake::new(sink, meter, bytes_total))?;
    intake.skip_elsewhere(SkipReason::ClinicalRecord, listing.left());
    Ok(intake.finish())
}

/// A meter with this format's bound on items.
pub(super) fn meter(bytes_max: u64) -> Meter {
    Meter::new(ITEM_BYTES_MAX + BUFFER_BYTES as u64, bytes_max)
}

/// Reads a document to its end, so that a checksum behind it is checked too.
pub(super) fn read<R: Read, S: RecordSink>(
    source: R,
    intake: Intake<'_, S>,
) -> Result<(Intake<'_, S>, Listing), ImportError<S::Error>> {
    let source = Metered::new(source, intake.meter().clone());
    let mut pump = Pump {
        reader: Reader::from_reader(BufReader::with_capacity(BUFFER_BYTES, source)),
        export: Export::new(intake),
        depth: 0,
        root: Root::Awaited,
    };
    let mut buffer = Vec::new();
    while pump.step(&mut buffer)? == Step::More {
        buffer.clear();
        pump.export.intake().begin_item();
    }
    pump.export.finish()
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    More,
    Done,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Root {
    Awaited,
    Open,
    Closed,
}

struct Pump<'a, R: Read, S> {
    reader: Reader<BufReader<Metered<R>>>,
    export: Export<'a, S>,
    depth: usize,
    root: Root,
}

impl<R: Read, S: RecordSink> Pump<'_, R, S> {
    /// Reads one item.
    fn step(&mut self, buffer: &mut Vec<u8>) -> Result<Step, ImportError<S::Error>> {
        let start = self.reader.buffer_position();
        let event = match self.reader.read_event_into(buffer) {
            Ok(event) => event,
            Err(error) => return Err(self.refusal(&error).into()),
        };
        let at = |fault| ImportError::Record(RecordError::Xml { byte: start, fault });
        match event {
            Event::Start(element) => {
                begin(&mut self.depth, &mut self.root, &mut self.export, &element).map_err(at)?;
            }
            Event::Empty(element) => {
                begin(&mut self.depth, &mut self.root, &mut self.export, &element).map_err(at)?;
                self.end()?;
            }
            Event::End(_) => self.end()?,
            Event::Decl(declaration) => check_encoding(&declaration).map_err(at)?,
            Event::GeneralRef(reference) => check_reference(&reference).map_err(at)?,
            Event::Text(text) if self.depth == 0 && !text.trim_ascii().is_empty() => {
                return Err(at(if self.root == Root::Awaited {
                    XmlFault::NotAnExport
                } else {
                    XmlFault::Syntax
                }));
            }
            Event::Eof => return self.check_end().map_err(at),
            Event::Text(_) | Event::CData(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        Ok(Step::More)
    }

    fn end(&mut self) -> Result<(), ImportError<S::Error>> {
        self.export.end(self.depth)?;
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            self.root = Root::Closed;
        }
        Ok(())
    }

    fn check_end(&self) -> Result<Step, XmlFault> {
        match self.root {
            Root::Closed => Ok(Step::Done),
            Root::Open => Err(XmlFault::Truncated),
            Root::Awaited => Err(XmlFault::NotAnExport),
        }
    }

    fn refusal(&mut self, error: &Error) -> RecordError {
        let byte = self.reader.error_position().max(self.reader.buffer_position().min(1));
        let meter = self.export.intake().meter();
        let fault = match (error, meter.exceeded()) {
            (_, Some(Limit::Total)) => return RecordError::Zip { entry: None, fault: ZipFault::Bomb },
            (_, Some(Limit::Item)) => XmlFault::ItemTooLarge,
            (Error::Io(error), None) => {
                return RecordError::Read { byte: meter.bytes(), kind: error.kind() };
            }
            (Error::Syntax(_), None) => XmlFault::Truncated,
            (Error::Encoding(_), None) => XmlFault::Encoding,
            (_, None) => XmlFault::Syntax,
        };
        RecordError::Xml { byte, fault }
    }
}

fn begin<S: RecordSink>(
    depth: &mut usize,
    root: &mut Root,
    export: &mut Export<'_, S>,
    element: &BytesStart<'_>,
) -> Result<(), XmlFault> {
    if *root == Root::Closed {
        return Err(XmlFault::NotAnExport);
    }
    // XML 1.0, section 3.1: no value has one, whether the attribute is looked at or not.
    if element.contains('<') {
        return Err(XmlFault::Syntax);
    }
    *root = Root::Open;
    *depth += 1;
    if *depth > DEPTH_MAX {
        return Err(XmlFault::TooDeep);
    }
    export.begin(*depth, element)
}

fn check_encoding(declaration: &BytesDecl<'_>) -> Result<(), XmlFault> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("us-ascii") => Ok(()),
        Some(_) => Err(XmlFault::Encoding),
    }
}

fn check_reference(reference: &BytesRef<'_>) -> Result<(), XmlFault> {
    let is_predefined = matches!(&**reference, "lt" | "gt" | "amp" | "apos" | "quot");
    if is_predefined || matches!(reference.resolve_char_ref(), Ok(Some(_))) {
        Ok(())
    } else {
        Err(XmlFault::Entity)
    }
}

impl Element for BytesStart<'_> {
    fn name(&self) -> &str {
        let name = BytesStart::name(self);
        // The name borrows from the element, whose text begins with it.
        self.get(..name.as_ref().len()).unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Result<Option<String>, XmlFault> {
        let attribute = self.try_get_attribute(name).map_err(|_| XmlFault::Syntax)?;
        attribute.map(|attribute| resolved(&attribute)).transpose()
    }

    fn each_attribute(&self, visit: &mut dyn FnMut(&str, String)) -> Result<(), XmlFault> {
        // Each attribute is compared with those before it, so their number is bounded before that.
        for (at, attribute) in self.attributes().enumerate() {
            if at >= ATTRIBUTES_MAX {
                return Err(XmlFault::TooManyAttributes);
            }
            let attribute = attribute.map_err(|_| XmlFault::Syntax)?;
            visit(attribute.key.as_ref(), resolved(&attribute)?);
        }
        Ok(())
    }
}

fn resolved(attribute: &quick_xml::events::attributes::Attribute<'_>) -> Result<String, XmlFault> {
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    value.map(std::borrow::Cow::into_owned).map_err(|_| XmlFault::Entity)
}

#[cfg(test)]
mod tests;
