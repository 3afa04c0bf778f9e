//! What a source has no more: found by a file that is all of it, deleted only when confirmed.
//! Not here: how a deletion reaches organizations (`outbox`).

use std::collections::BTreeMap;

use sealcare_records::{FingerprintSet, ImportReport, RecordType};
use sealcare_vault::ReadTransaction;

use super::Coverage;
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
    coverage: Coverage,
    /// What would be deleted, by type.
    pub types: BTreeMap<RecordType, AbsentRecords>,
    /// Records of the same sources that the files do have.
    pub present: u64,
    /// Records of the same sources that are not in the files and stay all the same: of their types something was left
    /// out that they may be.
    pub left_alone: BTreeMap<RecordType, u64>,
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
            _ if self.count() == 0 => None,
            0 => Some(Caution::NothingLeft),
            present if self.count() > present => Some(Caution::MuchSmaller),
            _ => None,
        }
    }

    /// Looks through all records; none if each one of the sources is in the files.
    pub(super) fn find(
        store: &Store,
        files: &[ImportReport],
        in_files: &FingerprintSet,
    ) -> Result<Option<Self>> {
        let made_ms = files.iter().filter_map(made_ms).max();
        let mut absence = Self {
            versions: Vec::new(),
            coverage: Coverage::of(files),
            types: BTreeMap::new(),
            present: 0,
            left_alone: BTreeMap::new(),
        };
        store.vault().read(|tx| absence.search(tx, in_files, made_ms))?;
        Ok((absence.count() > 0 || !absence.left_alone.is_empty()).then_some(absence))
    }

    fn search(
        &mut self,
        tx: &ReadTransaction<'_>,
        in_files: &FingerprintSet,
        made_ms: Option<u64>,
    ) -> Result<()> {
        record_store::each(tx, |key, row| {
            if !self.coverage.is_of(row) {
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
        let kind = row.type_name.parse().map_err(|_| ClientError::Kept("a record"))?;
        if !self.coverage.covers_any(row) {
            *self.left_alone.entry(kind).or_default() += 1;
            return Ok(());
        }
        self.versions.push(row.version);
        if !self.coverage.covers_all(row) {
            return Ok(());
        }
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
                        writer.withdraw(*version, &absence.coverage)?;
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
