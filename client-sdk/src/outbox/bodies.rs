//! From record changes to numbered bodies: what the scope covers, packed until a body is full.

use bytes::Bytes;
use sealcare_protocol::{Body, Change, ChangeState, EncodedBody, GrantId, SealError};
use sealcare_vault::{ReadTransaction, WriteTransaction};

use super::{UNCONFIRMED_MAX, numbered, repeats};
use crate::{
    error::{ClientError, Result},
    grant::GrantRow,
    record_store::{RecordRow, RecordState, changes_after, load_record},
    store::BODIES,
};

/// Bodies that are packed in one transaction.
const BODIES_A_TURN: usize = 16;
/// Changes that are looked up at a time.
pub(super) const PAGE_CHANGES: usize = 512;
/// Changes that are looked at for one body; most may be out of scope.
const CHANGES_MAX: usize = 8_192;
/// Bytes of changes that are tried as one body; the protocol's bound is 1 MiB before compression.
pub(super) const INFLATED_TARGET: usize = 900 * 1024;
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
    /// Records do not flow: nothing is packed.
    Paused,
}

/// Packs the next changes into bodies.
pub(crate) fn pack(tx: &mut WriteTransaction<'_>, id: &GrantId) -> Result<Packed> {
    let mut row = GrantRow::load_active(tx, id)?;
    if !row.is_flowing() {
        return Ok(Packed::Paused);
    }
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
    tx.get(BODIES, &numbered(id, number))?.map(|kept| parse(&kept)).transpose()
}

/// The body in a kept row.
pub(super) fn parse(kept: &[u8]) -> Result<EncodedBody> {
    Ok(EncodedBody::from_kept(split(kept)?.1)?)
}

/// Keeps the body of a number, which holds `records` records.
pub(crate) fn put(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    number: u64,
    records: u32,
    body: &EncodedBody,
) -> Result<()> {
    let value = zeroize::Zeroizing::new([&records.to_be_bytes()[..], &body.to_kept()].concat());
    Ok(tx.put_wrapped(id.as_bytes(), BODIES, &numbered(id, number), &value)?)
}

fn split(kept: &[u8]) -> Result<(u32, &[u8])> {
    let (count, body) = kept.split_first_chunk::<4>().ok_or(ClientError::Kept(BODIES.name()))?;
    Ok((u32::from_be_bytes(*count), body))
}

/// Packs one body and moves past the changes in it; false if no change was left.
fn pack_one(tx: &mut WriteTransaction<'_>, id: &GrantId, row: &mut GrantRow) -> Result<bool> {
    let mut again = if row.is_refused() { Vec::new() } else { repeats::gather(tx, id, row)? };
    if !again.is_empty() {
        add(tx, id, row, &mut again)?;
        repeats::forget(tx, &again)?;
        return Ok(true);
    }
    let Gathered { mut changes, scanned } = gather(tx, row)?;
    let Some(scanned) = scanned else { return Ok(false) };
    let count = changes.len();
    add(tx, id, row, &mut changes)?;
    let last = changes.last().filter(|_| changes.len() < count).map(|(version, _)| *version);
    row.outbox.advance(last.unwrap_or(scanned));
    Ok(true)
}

/// Makes a body of the changes that fit, and leaves in `changes` those that are dealt with: they are in the body,
/// or it is one that fits none.
fn add<P>(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    row: &mut GrantRow,
    changes: &mut Vec<(P, Change)>,
) -> Result<()> {
    while !changes.is_empty() {
        let body = match encode(changes) {
            Ok(body) => body,
            Err(SealError::BodyTooLarge) => {
                changes.truncate(changes.len() / 2);
                continue;
            }
            Err(SealError::RecordTooLarge) => {
                row.outbox.records_too_large += 1;
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let count = u32::try_from(changes.len()).map_err(|_| ClientError::Kept(BODIES.name()))?;
        put(tx, id, row.outbox.next, count, &body)?;
        row.outbox.next += 1;
        row.outbox.records_pending += u64::from(count);
        break;
    }
    Ok(())
}

struct Gathered {
    /// In order, with their versions.
    changes: Vec<(u64, Change)>,
    /// The last version that was looked at, in scope or not.
    scanned: Option<u64>,
}

/// The next changes that the scope covers and that were not told, about as many as a body holds.
fn gather(tx: &ReadTransaction<'_>, row: &GrantRow) -> Result<Gathered> {
    let mut gathered = Gathered { changes: Vec::new(), scanned: None };
    let (mut bytes, mut looked_at) = (0, 0);
    'pages: while looked_at < CHANGES_MAX {
        let page = changes_after(tx, gathered.scanned.unwrap_or(row.outbox.scanned), PAGE_CHANGES)?;
        if page.is_empty() {
            break;
        }
        looked_at += page.len();
        for (version, key) in page {
            let (record, json) = load_record(tx, &key)?;
            let told = |name: &str, start| row.outbox.was_told(version, name, start);
            if let Some(change) = change(row, &record, &json.into(), told)? {
                bytes += size(&change);
                if bytes > INFLATED_TARGET && !gathered.changes.is_empty() {
                    break 'pages;
                }
                gathered.changes.push((version, change));
            }
            gathered.scanned = Some(version);
        }
    }
    Ok(gathered)
}

pub(super) fn size(change: &Change) -> usize {
    let json = match &change.state {
        ChangeState::Upsert(json) => json.len(),
        ChangeState::Tombstone => 0,
    };
    json + change.record_id.len() + CHANGE_OVERHEAD
}

/// What a grant is told of a record, unless it was `told`: how it is; that it is gone, if the grant may have had
/// it; or nothing.
pub(super) fn change(
    row: &GrantRow,
    record: &RecordRow,
    json: &Bytes,
    told: impl Fn(&str, Option<u64>) -> bool,
) -> Result<Option<Change>> {
    let had = |name: &str, start| {
        row.covers(name, start) && row.may_have_had(record.version, name, start) && !told(name, start)
    };
    let is_present = record.state == RecordState::Present && row.covers(&record.type_name, record.start_ms);
    let (type_name, state) = if is_present {
        if told(&record.type_name, record.start_ms) {
            return Ok(None);
        }
        (&record.type_name, ChangeState::Upsert(json.clone()))
    } else if had(&record.type_name, record.start_ms) {
        (&record.type_name, ChangeState::Tombstone)
    } else {
        // An update may have moved it out of the scope, by its type or its time.
        let former = record.former.iter().find(|(name, start)| had(name, **start));
        let Some((name, _)) = former else { return Ok(None) };
        (name, ChangeState::Tombstone)
    };
    Ok(Some(Change { record_id: record.id.clone(), type_name: type_name.parse()?, state }))
}

fn encode<P>(changes: &[(P, Change)]) -> Result<EncodedBody, SealError> {
    Body { changes: changes.iter().map(|(_, change)| change.clone()).collect() }.encode()
}

#[cfg(test)]
mod tests;
