//! From record changes to numbered bodies: what the scope covers, packed until a body is full.

use bytes::Bytes;
use sealcare_protocol::{Body, Change, ChangeState, EncodedBody, GrantId, SealError};
use sealcare_vault::{ReadTransaction, WriteTransaction};

use super::{UNCONFIRMED_MAX, numbered};
use crate::{
    error::{ClientError, Result},
    grant::GrantRow,
    record_store::{RecordRow, RecordState, changes_after, load_record},
    store::BODIES,
};

/// Bodies that are packed in one transaction.
const BODIES_A_TURN: usize = 16;
/// Changes that are looked up at a time.
const PAGE_CHANGES: usize = 512;
/// Changes that are looked at for one body; most may be out of scope.
const CHANGES_MAX: usize = 8_192;
/// Bytes of changes that are tried as one body; the protocol's bound is 1 MiB before compression.
const INFLATED_TARGET: usize = 900 * 1024;
/// What a change costs beside its JSON and id.
const CHANGE_OVERHEAD: usize = 128;

/// Whether there is more to pack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Packed {
    /// Every change is in a body.
    All,
    /// There are more changes.
    Some,
    /// As many numbers are unconfirmed as may be.
    Full,
}

/// Packs the next changes into bodies.
pub(crate) fn pack(tx: &mut WriteTransaction<'_>, id: &GrantId) -> Result<Packed> {
    let mut row = GrantRow::load_active(tx, id)?;
    let mut packed = Packed::Some;
    for _ in 0..BODIES_A_TURN {
        if row.outbox.next - row.outbox.confirmed_below >= UNCONFIRMED_MAX {
            packed = Packed::Full;
            break;
        }
        if !pack_one(tx, id, &mut row)? {
            packed = Packed::All;
            break;
        }
    }
    row.save(tx, id)?;
    Ok(packed)
}

/// The number of records in a kept body.
pub(crate) fn record_count(kept: &[u8]) -> Result<u64> {
    split(kept).map(|(count, _)| u64::from(count))
}

/// A kept body.
pub(crate) fn load(tx: &ReadTransaction<'_>, id: &GrantId, number: u64) -> Result<Option<EncodedBody>> {
    let Some(kept) = tx.get(BODIES, &numbered(id, number))? else { return Ok(None) };
    Ok(Some(EncodedBody::from_kept(split(&kept)?.1)?))
}

fn split(kept: &[u8]) -> Result<(u32, &[u8])> {
    let (count, body) = kept.split_first_chunk::<4>().ok_or(ClientError::Kept(BODIES.name()))?;
    Ok((u32::from_be_bytes(*count), body))
}

/// Packs one body and moves past the changes in it; false if no change was left.
fn pack_one(tx: &mut WriteTransaction<'_>, id: &GrantId, row: &mut GrantRow) -> Result<bool> {
    let found = gather(tx, row)?;
    let Some(scanned) = found.scanned else { return Ok(false) };
    let mut changes = found.changes;
    loop {
        if changes.is_empty() {
            row.outbox.scanned = scanned;
            return Ok(true);
        }
        let last = changes.last().map_or(scanned, |(version, _)| *version);
        let (kept, is_whole) = match encode(&changes) {
            Ok(body) => (body, changes.len() == found.count),
            Err(SealError::BodyTooLarge) => {
                changes.truncate(changes.len() / 2);
                continue;
            }
            Err(SealError::RecordTooLarge) => {
                row.outbox.records_too_large += 1;
                row.outbox.scanned = last;
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        let count = u32::try_from(changes.len()).map_err(|_| ClientError::Kept(BODIES.name()))?;
        let value = zeroize::Zeroizing::new([&count.to_be_bytes()[..], &kept.to_kept()].concat());
        tx.put_wrapped(id.as_bytes(), BODIES, &numbered(id, row.outbox.next), &value)?;
        row.outbox.next += 1;
        row.outbox.records_pending += u64::from(count);
        row.outbox.scanned = if is_whole { scanned } else { last };
        return Ok(true);
    }
}

struct Gathered {
    /// In order, with their versions.
    changes: Vec<(u64, Change)>,
    count: usize,
    /// The last version that was looked at, in scope or not.
    scanned: Option<u64>,
}

/// The next changes that the scope covers, about as many as a body holds.
fn gather(tx: &ReadTransaction<'_>, row: &GrantRow) -> Result<Gathered> {
    let mut gathered = Gathered { changes: Vec::new(), count: 0, scanned: None };
    let (mut bytes, mut looked_at) = (0, 0);
    'pages: while looked_at < CHANGES_MAX {
        let page = changes_after(tx, gathered.scanned.unwrap_or(row.outbox.scanned), PAGE_CHANGES)?;
        if page.is_empty() {
            break;
        }
        looked_at += page.len();
        for (version, key) in page {
            let (record, json) = load_record(tx, &key)?;
            if let Some(change) = change(row, record, json)? {
                bytes += size(&change);
                if bytes > INFLATED_TARGET && !gathered.changes.is_empty() {
                    break 'pages;
                }
                gathered.changes.push((version, change));
            }
            gathered.scanned = Some(version);
        }
    }
    gathered.count = gathered.changes.len();
    Ok(gathered)
}

fn size(change: &Change) -> usize {
    let json = match &change.state {
        ChangeState::Upsert(json) => json.len(),
        ChangeState::Tombstone => 0,
    };
    json + change.record_id.len() + CHANGE_OVERHEAD
}

fn covers(row: &GrantRow, type_name: &str, start_ms: Option<u64>) -> bool {
    let from = row.from.map_or(0, sealcare_protocol::Timestamp::as_millis);
    let is_since = from == 0 || start_ms.is_some_and(|start| start >= from);
    is_since && row.types.iter().any(|name| name.as_str() == type_name)
}

/// What a grant is told of a record: how it is; that it is gone, if the grant may have had it; or nothing.
fn change(row: &GrantRow, record: RecordRow, json: Vec<u8>) -> Result<Option<Change>> {
    let is_covered = covers(row, &record.type_name, record.start_ms);
    let (type_name, state) = if is_covered && record.state == RecordState::Present {
        (record.type_name, ChangeState::Upsert(Bytes::from(json)))
    } else if record.version <= row.accepted_version {
        return Ok(None);
    } else if is_covered {
        (record.type_name, ChangeState::Tombstone)
    } else {
        // An update has moved it out of the scope, by its type or its time.
        let former = record.former.into_iter().find(|(name, start)| covers(row, name, *start));
        let Some((name, _)) = former else { return Ok(None) };
        (name, ChangeState::Tombstone)
    };
    Ok(Some(Change { record_id: record.id, type_name: type_name.parse()?, state }))
}

fn encode(changes: &[(u64, Change)]) -> Result<EncodedBody, SealError> {
    Body { changes: changes.iter().map(|(_, change)| change.clone()).collect() }.encode()
}

#[cfg(test)]
mod tests;
