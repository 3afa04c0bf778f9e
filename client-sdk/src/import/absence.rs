//! What a source has no more: found by a file that is all of it, deleted only when confirmed.
//! Not here: how a deletion reaches organizations (`outbox`).

use std::collections::{BTreeMap, BTreeSet};

use sealcare_records::{FingerprintSet, ImportReport, RecordType, SourceName};
use sealcare_vault::ReadTransaction;

use crate::{
    error::{ClientError, Result},
    patient::Patient,
    record_store::{self, RecordRow, RecordWriter},
    store::Store,
};

/// Records deleted in one transaction.
const BATCH_RECORDS: usize = 2_000;

/// Records that are here and in none of the files that were named complete for their sources.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "nothing is deleted before it is confirmed"]
pub struct Absence {
    /// Versions: a record that has changed meanwhile is left alone. One that another source has too stays.
    versions: Vec<u64>,
    sources: BTreeSet<SourceName>,
    /// What would be deleted, by type.
    pub types: BTreeMap<RecordType, AbsentRecords>,
    /// Records of the same sources that the files do have.
    pub present: u64,
}

/// Absent records of one type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AbsentRecords {
    /// How many.
    pub count: u64,
    /// The first instant of the earliest one, milliseconds since 1970, where it is known.
    pub first_ms: Option<u64>,
    /// The first instant of the latest one.
    pub last_ms: Option<u64>,
}

/// Why an absence looks more like a mistake than like what the person did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Caution {
    /// The files have nothing of what is here.
    NothingLeft,
    /// More would be deleted than stays.
    MuchSmaller,
}

impl Absence {
    /// How many records would be deleted.
    pub fn count(&self) -> u64 {
        self.types.values().map(|absent| absent.count).sum()
    }

    /// What the person should be warned of.
    pub fn caution(&self) -> Option<Caution> {
        match self.present {
            0 => Some(Caution::NothingLeft),
            present if self.count() > present => Some(Caution::MuchSmaller),
            _ => None,
        }
    }

    /// Looks through all records; none if nothing is absent.
    pub(super) fn find(
        store: &Store,
        files: &[ImportReport],
        in_files: &FingerprintSet,
    ) -> Result<Option<Self>> {
        let sources: BTreeSet<_> = files.iter().filter_map(|report| report.source.clone()).collect();
        let made_ms = files.iter().filter_map(made_ms).max();
        let mut absence = Self { versions: Vec::new(), sources, types: BTreeMap::new(), present: 0 };
        store.vault().read(|tx| absence.search(tx, in_files, made_ms))?;
        Ok((absence.count() > 0).then_some(absence))
    }

    fn search(
        &mut self,
        tx: &ReadTransaction<'_>,
        in_files: &FingerprintSet,
        made_ms: Option<u64>,
    ) -> Result<()> {
        record_store::each(tx, |key, row| {
            if !row.is_of(&self.sources) {
                return Ok(());
            }
            if in_files.contains(fingerprint(key)) {
                self.present += 1;
                return Ok(());
            }
            if made_ms.is_none_or(|made| row.start_ms.is_none_or(|start| start <= made)) {
                self.note(row)?;
            }
            Ok(())
        })
    }

    fn note(&mut self, row: &RecordRow) -> Result<()> {
        self.versions.push(row.version);
        if !row.is_only_of(&self.sources) {
            return Ok(());
        }
        let kind = row.type_name.parse().map_err(|_| ClientError::Kept("a record"))?;
        let absent = self.types.entry(kind).or_default();
        absent.count += 1;
        absent.first_ms = [absent.first_ms, row.start_ms].into_iter().flatten().min();
        absent.last_ms = absent.last_ms.max(row.start_ms);
        Ok(())
    }
}

impl Patient {
    /// Deletes what a complete import did not find: the person has seen it and said so. Returns how many records.
    /// A record that came back or changed meanwhile stays. When this is interrupted, some are deleted; importing
    /// again finds the others.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn confirm_absence(&self, absence: Absence) -> Result<u64> {
        let store = self.store.clone();
        let work = move || {
            let mut deleted = 0;
            for versions in absence.versions.chunks(BATCH_RECORDS) {
                deleted += store.vault().write(|tx| {
                    let mut writer = RecordWriter::new(tx, &store)?;
                    for version in versions {
                        writer.withdraw(*version, &absence.sources)?;
                    }
                    writer.finish().map(|changes| changes.deleted)
                })?;
            }
            Ok(deleted)
        };
        self.store.run(move |_| work()).await
    }
}

/// When a file was made, milliseconds since 1970.
pub(super) fn made_ms(report: &ImportReport) -> Option<u64> {
    report.made_ms.and_then(|made| u64::try_from(made).ok())
}

/// What stands for a record in a set: its blinded key is a hash already.
pub(super) fn fingerprint(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}
