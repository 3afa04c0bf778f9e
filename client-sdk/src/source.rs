//! Where records come from: anything that can tell what changed since an anchor. Files are one such source.
//! Not here: parsing (`sealcare-records`) or keeping (`record_store`).

use std::io::{Read, Seek};

use sealcare_records::{ImportError, ImportReport, Progress, Record, RecordId, RecordSink, import};

use crate::error::{ClientError, Result};

/// What became of a record at its source.
#[derive(Debug)]
pub enum RecordChange {
    /// It is this now: new, changed or the same.
    Upsert(Box<Record>),
    /// The source has it no more.
    Deleted(RecordId),
}

/// A source of records: HealthKit through the app, an export, a connected institution.
///
/// A reading is one transaction: on any error nothing of it is kept, and the next reading begins at the same anchor.
pub trait RecordSource: Send {
    /// A name that stays the same for the source's life; it is never stored in clear.
    fn id(&self) -> String;

    /// Hands every change since `anchor` (none: everything) to `sink`, in order, and returns the anchor to begin at
    /// next time; none if the source has no such thing and is read whole each time.
    ///
    /// # Errors
    /// Those of the sink unchanged; [`ClientError::Source`] for the source's own.
    fn read_changes(
        &mut self,
        anchor: Option<&[u8]>,
        sink: &mut dyn FnMut(RecordChange) -> Result<()>,
    ) -> Result<Option<Vec<u8>>>;
}

/// Files that are imported together: all of them or none.
pub(crate) struct FileSource<R, P> {
    files: Vec<R>,
    on_progress: P,
    pub(crate) reports: Vec<ImportReport>,
}

impl<R, P> FileSource<R, P> {
    pub(crate) fn new(files: Vec<R>, on_progress: P) -> Self {
        Self { files, on_progress, reports: Vec::new() }
    }
}

impl<R: Read + Seek + Send, P: FnMut(usize, Progress) + Send> RecordSource for FileSource<R, P> {
    fn id(&self) -> String {
        "files".to_owned()
    }

    fn read_changes(
        &mut self,
        _anchor: Option<&[u8]>,
        sink: &mut dyn FnMut(RecordChange) -> Result<()>,
    ) -> Result<Option<Vec<u8>>> {
        for (file, reader) in self.files.iter_mut().enumerate() {
            let mut sink = FileSink { file, sink, on_progress: &mut self.on_progress };
            let report = import(reader, &mut sink).map_err(|error| match error {
                ImportError::Record(error) => ClientError::Import { file, error },
                ImportError::Sink(error) => error,
                _ => ClientError::Source,
            })?;
            self.reports.push(report);
        }
        Ok(None)
    }
}

struct FileSink<'a, P> {
    file: usize,
    sink: &'a mut dyn FnMut(RecordChange) -> Result<()>,
    on_progress: &'a mut P,
}

impl<P: FnMut(usize, Progress)> RecordSink for FileSink<'_, P> {
    type Error = ClientError;

    fn accept(&mut self, record: Record) -> Result<()> {
        (self.sink)(RecordChange::Upsert(Box::new(record)))
    }

    fn progress(&mut self, progress: Progress) {
        (self.on_progress)(self.file, progress);
    }
}
