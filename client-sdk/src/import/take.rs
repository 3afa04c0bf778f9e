//! The second reading: the records go into the vault, a batch to a transaction. Not here: what is missing in a file
//! (`absence`).

use std::{
    cmp::Ordering,
    io::{Read, Seek},
};

use sealcare_records::{FingerprintSet, ImportError, Progress, Record, RecordSink, SourceName, import};
use sealcare_vault::WriteTransaction;

use super::{
    Absence, CheckedFiles, Completeness, Imported, absence,
    check::CheckedFile,
    checkpoint::{Checkpoint, FileKey, file_key},
};
use crate::{
    error::{ClientError, Result},
    patient::Patient,
    record_store::{ChangeCounts, NewRecord, RecordWriter},
    store::{FILE_SOURCES, IMPORTS, RECORDS, Store, load_number},
};

/// Records of one transaction.
const BATCH_RECORDS: usize = 2_000;
/// Bytes of one transaction, about.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

impl Patient {
    /// Takes the records of checked files. What is imported again changes nothing; an import that was interrupted
    /// goes on where it was when the same files are checked and taken again.
    ///
    /// # Errors
    /// [`ClientError::NoSource`] or [`ClientError::OlderExport`] for a file that cannot be complete: then nothing was
    /// taken. [`ClientError::FileChanged`] if a file is another one than was checked: what was taken of it by then
    /// stays, and the checked one is to be imported from its beginning. Those of the vault: the import can be repeated.
    pub async fn take<R: Read + Seek + Send + 'static>(
        &self,
        files: CheckedFiles<R>,
        completeness: Completeness,
        mut on_progress: impl FnMut(usize, Progress) + Send + 'static,
    ) -> Result<Imported> {
        let store = self.store.clone();
        let work = move || take_all(&store, files.files, completeness, &mut on_progress);
        self.store.run(move |_| work()).await
    }

    /// [`Self::check`] and [`Self::take`] of files that may be a part of what their sources have. `on_progress` hears
    /// of both readings.
    ///
    /// # Errors
    /// [`ClientError::Import`] naming the file that is refused; then nothing of any of them is kept. Else as for
    /// [`Self::take`].
    pub async fn import<R: Read + Seek + Send + 'static>(
        &self,
        files: Vec<R>,
        on_progress: impl FnMut(usize, Progress) + Send + 'static,
    ) -> Result<Imported> {
        let (checked, on_progress) = self.check_with(files, on_progress).await?;
        self.take(checked, Completeness::Partial, on_progress).await
    }
}

fn take_all<R: Read + Seek>(
    store: &Store,
    files: Vec<CheckedFile<R>>,
    completeness: Completeness,
    on_progress: &mut dyn FnMut(usize, Progress),
) -> Result<Imported> {
    if completeness == Completeness::Complete {
        for (index, file) in files.iter().enumerate() {
            check_complete(store, file, index)?;
        }
    }
    let mut present = (completeness == Completeness::Complete).then(FingerprintSet::default);
    let mut imported = Imported { files: Vec::new(), changes: ChangeCounts::default(), absence: None };
    for (index, file) in files.into_iter().enumerate() {
        let mut on_progress = |progress| on_progress(index, progress);
        let done = take_one(store, file, index, present.as_mut(), &mut on_progress)?;
        imported.changes.add(done.changes);
        imported.files.push(done.report);
    }
    if let Some(present) = present {
        imported.absence = Absence::find(store, &imported.files, &present)?;
    }
    Ok(imported)
}

/// A file without a source is complete for nothing; one older than what was imported lacks what is newer.
fn check_complete<R>(store: &Store, file: &CheckedFile<R>, index: usize) -> Result<()> {
    let report = &file.checkpoint.report;
    let source = report.source.as_ref().ok_or(ClientError::NoSource { file: index })?;
    let key = store.blind(FILE_SOURCES, source.as_str().as_bytes());
    let newest = store.vault().read(|tx| load_number(tx, FILE_SOURCES, &key))?;
    match (newest, absence::made_ms(report)) {
        (Some(newest), Some(made)) if made < newest => Err(ClientError::OlderExport { file: index }),
        (Some(_), None) => Err(ClientError::OlderExport { file: index }),
        _ => Ok(()),
    }
}

fn take_one<R: Read + Seek>(
    store: &Store,
    file: CheckedFile<R>,
    index: usize,
    mut present: Option<&mut FingerprintSet>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Checkpoint> {
    let CheckedFile { mut reader, key, mut checkpoint } = file;
    loop {
        let mut batch = Batch::new(store, key, checkpoint, present.as_deref_mut(), on_progress);
        let read = import(&mut reader, &mut batch);
        if let Err(ImportError::Sink(Refusal::Failed(error))) = read {
            return Err(error);
        }
        if !file_key(store, &mut reader).is_ok_and(|now| now == key) {
            Checkpoint::forget(store, &key)?;
            return Err(ClientError::FileChanged { file: index });
        }
        match read {
            Err(ImportError::Record(error)) => return Err(ClientError::Import { file: index, error }),
            Ok(report) if batch.passed >= batch.checkpoint.taken => {
                if report == batch.checkpoint.report {
                    return batch.finish();
                }
                Checkpoint::forget(store, &key)?;
                return Err(ClientError::FileChanged { file: index });
            }
            // What was taken in this file's name was another's: this one is taken from its beginning.
            _ => checkpoint = Checkpoint::new(batch.checkpoint.report),
        }
        Checkpoint::forget(store, &key)?;
    }
}

/// Why a batch takes no more.
enum Refusal {
    /// The records that were taken before are not the file's.
    OtherRecords,
    Failed(ClientError),
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        Self::Failed(error)
    }
}

/// Records on their way into the vault.
struct Batch<'a> {
    store: &'a Store,
    key: FileKey,
    /// Of the records that come now.
    source: Option<SourceName>,
    /// Records of the file that were seen, taken by now or before.
    passed: u64,
    /// The chain of hashes over those.
    chain: [u8; 32],
    checkpoint: Checkpoint,
    records: Vec<NewRecord>,
    bytes: usize,
    /// Every record of the file, where it matters which ones are not in it.
    present: Option<&'a mut FingerprintSet>,
    on_progress: &'a mut dyn FnMut(Progress),
}

impl RecordSink for Batch<'_> {
    type Error = Refusal;

    fn accept(&mut self, record: Record) -> Result<(), Refusal> {
        if let Some(present) = &mut self.present {
            let key = self.store.blind(RECORDS, record.id().as_str().as_bytes());
            present.insert(absence::fingerprint(&key));
        }
        let record = NewRecord::new(&record, self.source.as_ref());
        self.passed += 1;
        self.chain = record.chained(&self.chain);
        match self.passed.cmp(&self.checkpoint.taken) {
            Ordering::Less => return Ok(()),
            Ordering::Equal if self.chain == self.checkpoint.chain => return Ok(()),
            Ordering::Equal => return Err(Refusal::OtherRecords),
            Ordering::Greater => {}
        }
        self.bytes += record.bytes();
        self.records.push(record);
        if self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES {
            self.commit(|tx, key, checkpoint| checkpoint.save(tx, key))?;
        }
        Ok(())
    }

    fn begin_source(&mut self, source: &SourceName) {
        self.source = Some(source.clone());
    }

    fn progress(&mut self, progress: Progress) {
        (self.on_progress)(progress);
    }
}

impl<'a> Batch<'a> {
    fn new(
        store: &'a Store,
        key: FileKey,
        checkpoint: Checkpoint,
        present: Option<&'a mut FingerprintSet>,
        on_progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let source = checkpoint.report.source.clone();
        let (records, chain) = (Vec::new(), [0; 32]);
        Self { store, key, source, passed: 0, chain, checkpoint, records, bytes: 0, present, on_progress }
    }

    /// The file is over: its checkpoint goes with the last batch, and its source is known to be this new.
    fn finish(mut self) -> Result<Checkpoint> {
        let report = &self.checkpoint.report;
        let newest = report.source.as_ref().zip(absence::made_ms(report));
        let newest =
            newest.map(|(name, made)| (self.store.blind(FILE_SOURCES, name.as_str().as_bytes()), made));
        self.commit(|tx, key, _| {
            tx.delete(IMPORTS, key)?;
            if let Some((source, made)) = newest {
                let before = load_number(tx, FILE_SOURCES, &source)?.unwrap_or(0);
                tx.put(FILE_SOURCES, &source, &made.max(before).to_be_bytes())?;
            }
            Ok(())
        })?;
        Ok(self.checkpoint)
    }

    /// Takes the batch, together with how far the import is then.
    fn commit(
        &mut self,
        note: impl FnOnce(&mut WriteTransaction<'_>, &FileKey, &Checkpoint) -> Result<()>,
    ) -> Result<()> {
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        let (store, key, chain, checkpoint) = (self.store, self.key, self.chain, &mut self.checkpoint);
        store.vault().write(|tx| {
            let mut writer = RecordWriter::new(tx, store)?;
            for record in &records {
                writer.take(record)?;
            }
            let changes = writer.finish()?;
            checkpoint.changes.add(changes);
            checkpoint.chain = chain;
            checkpoint.taken +=
                u64::try_from(records.len()).map_err(|_| ClientError::Kept(IMPORTS.name()))?;
            note(tx, &key, checkpoint)
        })
    }
}

#[cfg(test)]
mod tests;
