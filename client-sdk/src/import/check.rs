//! The first reading: what is in the files, or why one is refused. Not here: taking what is in them (`take`).

use std::{
    convert::Infallible,
    io::{Read, Seek},
};

use sealcare_records::{ImportError, ImportReport, Progress, Record, RecordError, WithProgress, import};

use super::checkpoint::{Checkpoint, FileKey, file_key};
use crate::{
    error::{ClientError, Result},
    patient::Patient,
    store::Store,
};

/// Files that were read to their ends and found good. Nothing of them is kept yet.
#[must_use = "nothing is kept before the files are taken"]
pub struct CheckedFiles<R> {
    pub(super) files: Vec<CheckedFile<R>>,
}

pub(super) struct CheckedFile<R> {
    pub(super) reader: R,
    pub(super) key: FileKey,
    pub(super) checkpoint: Checkpoint,
}

impl<R> CheckedFiles<R> {
    /// For each file, what is in it and what will be left out.
    pub fn reports(&self) -> impl Iterator<Item = &ImportReport> {
        self.files.iter().map(|file| &file.checkpoint.report)
    }

    /// For each file, how many of its records an interrupted import has taken already.
    pub fn taken_before(&self) -> impl Iterator<Item = u64> {
        self.files.iter().map(|file| file.checkpoint.taken)
    }
}

impl<R> std::fmt::Debug for CheckedFiles<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckedFiles").field("files", &self.files.len()).finish()
    }
}

impl Patient {
    /// Reads files (Apple Health exports, FHIR R4 bundles and NDJSON; recognized by content) and keeps nothing.
    /// `on_progress` hears the index of the file, about once a mebibyte. A file whose import was interrupted was
    /// checked then and is not read again.
    ///
    /// # Errors
    /// [`ClientError::Import`] naming the file.
    pub async fn check<R: Read + Seek + Send + 'static>(
        &self,
        files: Vec<R>,
        on_progress: impl FnMut(usize, Progress) + Send + 'static,
    ) -> Result<CheckedFiles<R>> {
        self.check_with(files, on_progress).await.map(|(checked, _)| checked)
    }

    /// As [`Self::check`]; gives the callback back.
    pub(super) async fn check_with<R, P>(
        &self,
        files: Vec<R>,
        mut on_progress: P,
    ) -> Result<(CheckedFiles<R>, P)>
    where
        R: Read + Seek + Send + 'static,
        P: FnMut(usize, Progress) + Send + 'static,
    {
        let store = self.store.clone();
        let work = move || {
            let mut checked = Vec::with_capacity(files.len());
            for (index, reader) in files.into_iter().enumerate() {
                checked.push(check_one(&store, reader, index, &mut |progress| on_progress(index, progress))?);
            }
            Ok((CheckedFiles { files: checked }, on_progress))
        };
        self.store.run(move |_| work()).await
    }
}

fn check_one<R: Read + Seek>(
    store: &Store,
    mut reader: R,
    file: usize,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<CheckedFile<R>> {
    let unread = |error: std::io::Error| ClientError::Import {
        file,
        error: RecordError::Read { byte: 0, kind: error.kind() },
    };
    let key = file_key(store, &mut reader).map_err(unread)?;
    if let Some(checkpoint) = store.vault().read(|tx| Checkpoint::load(tx, &key))? {
        return Ok(CheckedFile { reader, key, checkpoint });
    }
    let mut sink = WithProgress::new(|_: Record| Ok::<_, Infallible>(()), on_progress);
    let report = import(&mut reader, &mut sink).map_err(|error| match error {
        ImportError::Record(error) => ClientError::Import { file, error },
        _ => ClientError::Source,
    })?;
    Ok(CheckedFile { reader, key, checkpoint: Checkpoint::new(report) })
}
