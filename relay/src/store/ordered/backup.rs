//! Which rows a backup holds and what a restored store makes of them.
//!
//! Organizations, bundles, grants, spent tickets and tombstones go into it. Envelopes, sessions and replies do not:
//! senders keep what was not confirmed and start anew. A patient's stop that the organization has not
//! confirmed is put into its lane again.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use sealcare_protocol::{GrantId, Revocation, Timestamp, UnverifiedRevocation};

use super::{
    OrderedStore,
    engine::{EngineError, OrderedKeys, Space},
    layout, organizations,
    reads::Rows as _,
    revocations,
    rows::{BundleRow, GrantRow, OrganizationRow, TicketRow, TombstoneRow, decode},
    transaction::Transaction,
    value::check,
};
use crate::store::{
    Backup, Result, StoreError,
    backup::{BackupReader, BackupWriter},
    error::BackupError,
    types::{BackedUp, OrganizationRecord},
};

/// Rows in one batch of a restore.
const BATCH_ROWS: usize = 1_000;
/// First key after all rows.
const END: &[u8] = b"Z";

impl Backup for OrderedStore {
    fn back_up(&self, file: &Path) -> Result<BackedUp, BackupError> {
        self.failed.check()?;
        let mut writer = BackupWriter::create(file)?;
        let (mut counts, mut failed) = (BackedUp::default(), None);
        let read = self.engine.scan_at_once(Space::Rows, &[], END, &mut |key, stored| match keep(
            &mut writer,
            &mut counts,
            &key,
            &stored,
        ) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        });
        read.map_err(|error| match error {
            EngineError::Damaged => StoreError::Corrupt("row"),
            EngineError::Failed => StoreError::Unavailable,
        })?;
        match failed {
            Some(error) => Err(error),
            None => writer.finish().map(|()| counts),
        }
    }
}

fn keep(
    writer: &mut BackupWriter,
    counts: &mut BackedUp,
    key: &Bytes,
    stored: &Bytes,
) -> Result<(), BackupError> {
    if !is_kept(key) {
        return Ok(());
    }
    read_back(counts, key, stored)?;
    writer.record(key, stored)
}

/// Whether the row under `key` belongs into a backup.
fn is_kept(key: &[u8]) -> bool {
    let length = match key.first() {
        Some(b'B' | b'D' | b'G' | b'O') => 33,
        Some(b'K') => 65,
        Some(b'T') => 49,
        Some(b'N') => return key.len() > 1,
        Some(b'X') => {
            return layout::expiring_row(key).is_some_and(|row| row.starts_with(b"T") && is_kept(row));
        }
        _ => return false,
    };
    key.len() == length
}

/// Checks that a row says what its kind says, and counts it.
fn read_back(counts: &mut BackedUp, key: &Bytes, stored: &Bytes) -> Result<()> {
    let kind = layout::kind_of(key);
    let value = check(key, stored)?;
    let is_id = value.len() == GrantId::SIZE;
    match key.first() {
        Some(b'G') => {
            counts.grants += 1;
            decode::<GrantRow>(kind, value)?.organization().map(drop)
        }
        Some(b'K') => {
            counts.tombstones += 1;
            decode::<TombstoneRow>(kind, value).map(drop)
        }
        Some(b'O') => {
            counts.organizations += 1;
            organization(key, value).map(drop)
        }
        Some(b'T') => decode::<TicketRow>(kind, value).map(drop),
        Some(b'B') => decode::<BundleRow>(kind, value).map(drop),
        Some(b'D' | b'N') if is_id => Ok(()),
        Some(b'X') if value.is_empty() => Ok(()),
        _ => Err(StoreError::Corrupt(kind)),
    }
}

fn organization(key: &[u8], value: Bytes) -> Result<OrganizationRecord> {
    let id = layout::organization_of(key).ok_or(StoreError::Corrupt("organization"))?;
    organizations::record(id, &decode::<OrganizationRow>("organization", value)?)
}

/// Reads the whole backup in `file` and writes nothing; returns what it holds, and its organizations.
///
/// # Errors
/// As [`BackupError`], naming the place of damage.
pub(in crate::store) fn verify(file: &Path) -> Result<(BackedUp, Vec<OrganizationRecord>), BackupError> {
    let mut reader = BackupReader::open(file)?;
    let (mut counts, mut organizations, mut last) = (BackedUp::default(), Vec::new(), Bytes::new());
    loop {
        let place = reader.place();
        let Some((key, stored)) = reader.next_record()? else { return Ok((counts, organizations)) };
        if key <= last {
            return Err(BackupError::Damaged { place, what: "records are not in order" });
        }
        if !is_kept(&key) {
            return Err(BackupError::Damaged { place, what: "a record is of no kind that is backed up" });
        }
        read_back(&mut counts, &key, &stored).map_err(|error| match error {
            StoreError::Corrupt(what) => BackupError::Damaged { place, what },
            other => BackupError::Store(other),
        })?;
        if key.starts_with(layout::ORGANIZATIONS) {
            organizations.push(organization(&key, check(&key, &stored)?)?);
        }
        last = key;
    }
}

/// Writes what a verified backup holds into an empty engine.
///
/// # Errors
/// As [`BackupError`]; the engine is then to be thrown away.
pub(in crate::store) fn restore(file: &Path, engine: &Arc<dyn OrderedKeys>) -> Result<(), BackupError> {
    let mut reader = BackupReader::open(file)?;
    let mut is_done = false;
    while !is_done {
        let mut transaction = Transaction::new(engine.as_ref());
        for _ in 0..BATCH_ROWS {
            let Some((key, stored)) = reader.next_record()? else {
                is_done = true;
                break;
            };
            let value = check(&key, &stored)?;
            put(&mut transaction, &key, value)?;
        }
        let (changes, _, failed) = transaction.finish();
        let committed = match (failed, changes.is_empty()) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(()),
            (None, false) => engine.commit(changes),
        };
        committed.map_err(|_| StoreError::Unavailable)?;
    }
    Ok(())
}

fn put(t: &mut Transaction<'_>, key: &Bytes, value: Bytes) -> Result<()> {
    match key.first() {
        Some(b'G') => {
            let mut row: GrantRow = decode("grant", value)?;
            (row.stored_bytes, row.lowest_sequence) = (0, 0);
            t.put(Space::Rows, key.to_vec(), row.encode_to_vec());
            return Ok(());
        }
        // Tombstones come after their grants.
        Some(b'K') => tell_again(t, key, &decode("tombstone", value.clone())?)?,
        _ => {}
    }
    t.put(Space::Rows, key.to_vec(), value);
    Ok(())
}

/// Puts a stop into its lane that the organization has not confirmed.
fn tell_again(t: &mut Transaction<'_>, key: &[u8], row: &TombstoneRow) -> Result<()> {
    let (Some(revocation), None) = (&row.revocation, &row.confirmation) else { return Ok(()) };
    let damaged = || StoreError::Corrupt("tombstone");
    let revocation: Revocation =
        UnverifiedRevocation::new(revocation.clone()).verify().map_err(|_| damaged())?;
    let grant = layout::grant_of(key).ok_or_else(damaged)?;
    let revoked = t.grant(&grant)?.revoked_ms.ok_or_else(damaged)?;
    revocations::append(t, revocation.organization(), &revocation, Timestamp::from_millis(revoked)).map(drop)
}
