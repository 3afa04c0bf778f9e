//! Records that are to be told again though their change was: what lay in bodies that had to go empty and the scope
//! still covers, or in bodies that were refused. Each is told as it is then, under a new number. Not here: which
//! bodies go empty (`withdrawal`), and which of the refused are owed (`refusals`).

use sealcare_protocol::{Change, GrantId};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};

use super::bodies;
use crate::{
    error::Result,
    grant::GrantRow,
    record_store::load_record,
    store::{RECORDS, REPEATS, Store},
};

/// Notes that the records of `changes` are to be told again.
pub(super) fn note(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    changes: &[Change],
) -> Result<()> {
    for change in changes {
        let record = store.blind(RECORDS, change.record_id.as_bytes());
        tx.put_wrapped(id.as_bytes(), REPEATS, &place(id, &record), &[])?;
    }
    Ok(())
}

/// The next of them, about as many as a body holds, each with its row. Those that are told by their change
/// anyway, or that the scope covers no more, are dropped.
pub(super) fn gather(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    row: &GrantRow,
) -> Result<Vec<(Vec<u8>, Change)>> {
    let (mut changes, mut bytes) = (Vec::new(), 0);
    loop {
        let page = next(tx, id, changes.last())?;
        if page.is_empty() {
            return Ok(changes);
        }
        for place in page {
            let Some(change) = change(tx, row, &place[id.as_bytes().len()..])? else {
                tx.delete(REPEATS, &place)?;
                continue;
            };
            bytes += bodies::size(&change);
            if bytes > bodies::INFLATED_TARGET && !changes.is_empty() {
                return Ok(changes);
            }
            changes.push((place, change));
        }
    }
}

/// Forgets those that are in a body now.
pub(super) fn forget(tx: &mut WriteTransaction<'_>, told: &[(Vec<u8>, Change)]) -> Result<()> {
    for (place, _) in told {
        tx.delete(REPEATS, place)?;
    }
    Ok(())
}

fn next(tx: &ReadTransaction<'_>, id: &GrantId, after: Option<&(Vec<u8>, Change)>) -> Result<Vec<Vec<u8>>> {
    let range = KeyRange::prefix(id.as_bytes());
    let range = match after {
        Some((place, _)) => range.after(place),
        None => range,
    };
    Ok(tx.scan(REPEATS, &range, bodies::PAGE_CHANGES)?.into_iter().map(|(place, _)| place).collect())
}

fn change(tx: &ReadTransaction<'_>, row: &GrantRow, record: &[u8]) -> Result<Option<Change>> {
    let (record, json) = load_record(tx, record)?;
    let json = json.into();
    let told = |name: &str, start| row.outbox.was_told(record.version, name, start);
    if record.version > row.outbox.scanned && bodies::change(row, &record, &json, told)?.is_some() {
        return Ok(None);
    }
    bodies::change(row, &record, &json, |_, _| false)
}

fn place(id: &GrantId, record: &[u8; 32]) -> Vec<u8> {
    [&id.as_bytes()[..], record].concat()
}
