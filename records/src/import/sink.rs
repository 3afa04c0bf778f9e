//! Where imported records go. Not here: what the caller does with them.

use super::SourceName;
use crate::Record;

/// How far an import is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Bytes read of the document (inflated, inside a zip archive).
    pub bytes_read: u64,
    /// The document's size, where it is known.
    pub bytes_total: Option<u64>,
    /// Records handed over so far.
    pub records: u64,
}

/// Takes records one by one. Closures from [`Record`] to a `Result` are sinks.
pub trait RecordSink {
    /// Why a record could not be taken.
    type Error;

    /// Takes one record.
    ///
    /// # Errors
    /// Whatever keeps the record from being taken; the import ends with it.
    fn accept(&mut self, record: Record) -> Result<(), Self::Error>;

    /// Hears that the records that follow are of this source, another one than the file's.
    fn begin_source(&mut self, _source: &SourceName) {}

    /// Hears how far the import is, about once a mebibyte and at the end.
    fn progress(&mut self, _progress: Progress) {}
}

impl<E, F: FnMut(Record) -> Result<(), E>> RecordSink for F {
    type Error = E;

    fn accept(&mut self, record: Record) -> Result<(), E> {
        self(record)
    }
}

/// A sink with a callback for progress.
pub struct WithProgress<S, P> {
    sink: S,
    on_progress: P,
}

impl<S: RecordSink, P: FnMut(Progress)> WithProgress<S, P> {
    /// Reports progress of imports into `sink` to `on_progress`.
    pub fn new(sink: S, on_progress: P) -> Self {
        Self { sink, on_progress }
    }
}

impl<S: RecordSink, P: FnMut(Progress)> RecordSink for WithProgress<S, P> {
    type Error = S::Error;

    fn accept(&mut self, record: Record) -> Result<(), S::Error> {
        self.sink.accept(record)
    }

    fn begin_source(&mut self, source: &SourceName) {
        self.sink.begin_source(source);
    }

    fn progress(&mut self, progress: Progress) {
        (self.on_progress)(progress);
    }
}
