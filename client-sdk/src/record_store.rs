//! The patient's records as last seen, and the order in which they changed: each record has the version of its
//! newest change, and a grant has come as far as a version. Not here: what a grant's scope covers (`outbox`).

use std::collections::{BTreeMap, BTreeSet};

use sealcare_records::{Record, RecordId, RecordType, SourceName};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    error::{ClientError, Result},
    import::Coverage,
    store::{ACCOUNT, CHANGES, RECORDS, Store, load_number},
};

const VERSION: &[u8] = b"version";
const KEPT: ClientError = ClientError::Kept("a record");

/// What is known of a record without parsing it. Followed by its FHIR JSON.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct RecordRow {
    pub(crate) id: String,
    pub(crate) type_name: String,
    pub(crate) version: u64,
    /// The first instant it holds, milliseconds since 1970; before 1970 is 0, unknown is none.
    pub(crate) start_ms: Option<u64>,
    pub(crate) state: RecordState,
    /// What it was before, where that differs: type → the latest first instant that it had as such. A grant that
    /// covered it then and does not now has something to take back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) former: BTreeMap<String, Option<u64>>,
    /// Which sources have it. Empty once deleted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) sources: BTreeSet<SourceName>,
}

/// A record as it is kept, without its place among the changes.
pub(crate) struct NewRecord {
    row: RecordRow,
    json: Vec<u8>,
}

/// Whether the source still has it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordState {
    Present,
    Deleted,
}

/// Writes changes within one transaction of the vault.
pub(crate) struct RecordWriter<'a, 'v> {
    tx: &'a mut WriteTransaction<'v>,
    store: &'a Store,
    version: u64,
    counts: ChangeCounts,
}

/// What a reading of a source changed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChangeCounts {
    /// Records that were new.
    pub added: u64,
    /// Records with other content than before.
    pub updated: u64,
    /// Records that the source has no more.
    pub deleted: u64,
    /// Records that were the same as before.
    pub unchanged: u64,
}

impl NewRecord {
    pub(crate) fn new(record: &Record, source: Option<&SourceName>) -> Self {
        let row = RecordRow {
            id: record.id().as_str().to_owned(),
            type_name: record.record_type().name().to_owned(),
            version: 0,
            start_ms: start_ms(record),
            state: RecordState::Present,
            former: BTreeMap::new(),
            sources: source.cloned().into_iter().collect(),
        };
        Self { row, json: record.fhir_json() }
    }

    /// A hash of it, and of all before it by their hash.
    pub(crate) fn chained(&self, before: &[u8; 32]) -> [u8; 32] {
        let parts = [self.row.id.as_bytes(), &self.json];
        let hash = parts.iter().fold(Sha256::new_with_prefix(before), |hash, part| {
            hash.chain_update(part.len().to_be_bytes()).chain_update(part)
        });
        hash.finalize().into()
    }

    /// What it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.json.len() + self.row.id.len()
    }
}

impl ChangeCounts {
    /// Adds what another transaction changed.
    pub(crate) fn add(&mut self, other: Self) {
        self.added += other.added;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
    }
}

impl<'a, 'v> RecordWriter<'a, 'v> {
    pub(crate) fn new(tx: &'a mut WriteTransaction<'v>, store: &'a Store) -> Result<Self> {
        let version = newest_version(tx)?;
        Ok(Self { tx, store, version, counts: ChangeCounts::default() })
    }

    /// A record as its source has it now.
    pub(crate) fn take(&mut self, record: &NewRecord) -> Result<()> {
        self.change(record.row.clone(), &record.json)
    }

    /// A record that was never here is nobody's loss.
    pub(crate) fn delete(&mut self, id: &RecordId) -> Result<()> {
        let key = self.store.blind(RECORDS, id.as_str().as_bytes());
        let Some(before) = self.tx.get(RECORDS, &key)? else { return Ok(()) };
        let (row, _) = decode(&before)?;
        self.change(RecordRow { state: RecordState::Deleted, sources: BTreeSet::new(), ..row }, &[])
    }

    /// Says that the sources that are covered have a record no more, if it is as it was at `version`: deleted once no
    /// source has it.
    pub(crate) fn withdraw(&mut self, version: u64, coverage: &Coverage) -> Result<()> {
        let Some(key) = self.tx.get(CHANGES, &version.to_be_bytes())? else { return Ok(()) };
        let (mut row, json) = load_record(self.tx, &key)?;
        row.sources.retain(|source| !coverage.covers(&row.type_name, source));
        if row.sources.is_empty() {
            return self.change(RecordRow { state: RecordState::Deleted, ..row }, &[]);
        }
        Ok(self.tx.put(RECORDS, &key, &encode(&row, &json)?)?)
    }

    fn change(&mut self, mut row: RecordRow, json: &[u8]) -> Result<()> {
        let key = self.store.blind(RECORDS, row.id.as_bytes());
        let before = self.tx.get(RECORDS, &key)?;
        let before = before.as_deref().map(|bytes| decode(bytes)).transpose()?;
        if let Some((was, was_json)) = &before {
            if row.state == RecordState::Present {
                row.sources.extend(was.sources.iter().cloned());
            }
            if was.state == row.state && *was_json == json {
                self.counts.unchanged += 1;
                return self.note_sources(&key, was, row.sources, json);
            }
            self.tx.delete(CHANGES, &was.version.to_be_bytes())?;
            row.former = former(was, &row);
        }
        match (&before, row.state) {
            (_, RecordState::Deleted) => self.counts.deleted += 1,
            (Some((was, _)), _) if was.state == RecordState::Present => self.counts.updated += 1,
            _ => self.counts.added += 1,
        }
        self.version += 1;
        let row = RecordRow { version: self.version, ..row };
        self.tx.put(RECORDS, &key, &encode(&row, json)?)?;
        self.tx.put(CHANGES, &self.version.to_be_bytes(), &key)?;
        Ok(())
    }

    /// A record that is the same, and that a further source has.
    fn note_sources(
        &mut self,
        key: &[u8],
        was: &RecordRow,
        sources: BTreeSet<SourceName>,
        json: &[u8],
    ) -> Result<()> {
        if was.sources == sources {
            return Ok(());
        }
        Ok(self.tx.put(RECORDS, key, &encode(&RecordRow { sources, ..was.clone() }, json)?)?)
    }

    /// Must be called, within the same transaction.
    pub(crate) fn finish(self) -> Result<ChangeCounts> {
        self.tx.put(ACCOUNT, VERSION, &self.version.to_be_bytes())?;
        Ok(self.counts)
    }
}

/// The first instant that a record holds, milliseconds since 1970; before 1970 is 0.
pub(crate) fn start_ms(record: &Record) -> Option<u64> {
    let start = record.effective().start()?;
    Some(u64::try_from(start.as_millisecond()).unwrap_or(0))
}

/// What `was` had been and was, without what `now` is; one entry a type, so that it stays small.
fn former(was: &RecordRow, now: &RecordRow) -> BTreeMap<String, Option<u64>> {
    let mut former = was.former.clone();
    if (&was.type_name, was.start_ms) != (&now.type_name, now.start_ms) {
        let latest = former.entry(was.type_name.clone()).or_default();
        *latest = (*latest).max(was.start_ms);
    }
    former
}

/// The version of the newest change.
pub(crate) fn newest_version(tx: &ReadTransaction<'_>) -> Result<u64> {
    Ok(load_number(tx, ACCOUNT, VERSION)?.unwrap_or(0))
}

/// The newest changes of records above `version`, in order, at most `limit`.
pub(crate) fn changes_after(
    tx: &ReadTransaction<'_>,
    version: u64,
    limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>> {
    let rows = tx.scan(CHANGES, &KeyRange::all().after(&version.to_be_bytes()), limit)?;
    let parse = |(key, value): (Vec<u8>, zeroize::Zeroizing<Vec<u8>>)| {
        let version = key.as_slice().try_into().map_err(|_| KEPT)?;
        Ok((u64::from_be_bytes(version), value.to_vec()))
    };
    rows.into_iter().map(parse).collect()
}

/// A record and its FHIR JSON (empty once deleted).
pub(crate) fn load_record(tx: &ReadTransaction<'_>, key: &[u8]) -> Result<(RecordRow, Vec<u8>)> {
    let bytes = tx.get(RECORDS, key)?.ok_or(KEPT)?;
    let (row, json) = decode(&bytes)?;
    Ok((row, json.to_vec()))
}

/// Records that are present, by type.
pub(crate) fn count(tx: &ReadTransaction<'_>) -> Result<BTreeMap<RecordType, u64>> {
    let mut counts = BTreeMap::new();
    each(tx, |_, row| {
        if row.state == RecordState::Present {
            *counts.entry(row.type_name.parse().map_err(|_| KEPT)?).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(counts)
}

/// Every record that ever was, with its key, in no order that means anything.
pub(crate) fn each(
    tx: &ReadTransaction<'_>,
    mut visit: impl FnMut(&[u8], &RecordRow) -> Result<()>,
) -> Result<()> {
    let mut range = KeyRange::all();
    loop {
        let page = tx.scan(RECORDS, &range, PAGE_RECORDS)?;
        for (key, bytes) in &page {
            visit(key, &decode(bytes)?.0)?;
        }
        match page.last() {
            Some((key, _)) => range = KeyRange::all().after(key),
            None => return Ok(()),
        }
    }
}

const PAGE_RECORDS: usize = 1_000;

/// `length u32 ‖ row ‖ FHIR JSON`.
fn encode(row: &RecordRow, json: &[u8]) -> Result<Vec<u8>> {
    let head = serde_json::to_vec(row).map_err(|_| KEPT)?;
    let len = u32::try_from(head.len()).map_err(|_| KEPT)?;
    Ok([&len.to_be_bytes()[..], &head, json].concat())
}

fn decode(bytes: &[u8]) -> Result<(RecordRow, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or(KEPT)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| KEPT)?;
    let (head, json) = rest.split_at_checked(len).ok_or(KEPT)?;
    Ok((serde_json::from_slice(head).map_err(|_| KEPT)?, json))
}
