//! What follows for the outbox from another scope: bodies that hold what is no more covered go empty under their
//! numbers, at their lengths; what is still covered of them is told again. Not here: the choice (`choice`), and
//! what was told under which scope (`coverage`).

use sealcare_protocol::{Body, Change, ChangeState, EncodedBody, GrantId, Scope, Timestamp};
use sealcare_records::{Record, RecordId};
use sealcare_vault::WriteTransaction;

use super::{bodies, coverage, repeats};
use crate::{
    error::Result,
    grant::{GrantRow, SessionNeed},
    record_store::{newest_version, start_ms},
    store::{FLIGHTS, Store},
};

/// Gives the grant another scope. The caller keeps `row` in the same transaction.
pub(crate) fn rescope(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    row: &mut GrantRow,
    scope: Scope,
) -> Result<()> {
    let old = row.scope();
    let newest = newest_version(tx)?;
    row.rescope(scope, newest);
    if coverage::is_narrower(&old, &row.scope()) {
        withdraw(tx, store, id, row, old.from)?;
    }
    Ok(())
}

/// Drops the sealed batches and begins another session: for a statement that differs from the session's.
pub(crate) fn succeed_session(tx: &mut WriteTransaction<'_>, id: &GrantId, row: &mut GrantRow) -> Result<()> {
    tx.delete_prefix(FLIGHTS, id.as_bytes())?;
    if let Some(session) = &mut row.session {
        session.succession = SessionNeed::Successor;
    }
    Ok(())
}

fn withdraw(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    row: &mut GrantRow,
    old_from: Option<Timestamp>,
) -> Result<()> {
    let period = if row.from > old_from { Period::Shortened } else { Period::Kept };
    for number in row.outbox.confirmed_below..row.outbox.next {
        let Some(body) = bodies::load(tx, id, number)? else { continue };
        let Body { changes } = body.decode()?;
        let (covered, removed): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| is_covered(row, change, period));
        if removed.is_empty() {
            continue;
        }
        let count = u64::try_from(covered.len() + removed.len()).unwrap_or(u64::MAX);
        row.outbox.records_pending = row.outbox.records_pending.saturating_sub(count);
        empty(tx, id, number, &body)?;
        repeats::note(tx, store, id, &covered)?;
    }
    Ok(())
}

/// Whether the scope's period began earlier before: only then must each record's own time be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Period {
    Kept,
    Shortened,
}

/// Whether the scope covers what a change in a body shows. A deletion shows its type and no time.
fn is_covered(row: &GrantRow, change: &Change, period: Period) -> bool {
    let is_of_type = row.types.contains(&change.type_name);
    match &change.state {
        ChangeState::Upsert(json) if is_of_type && period == Period::Shortened => {
            let record = RecordId::new(change.record_id.clone())
                .ok()
                .and_then(|id| Record::from_fhir_json(json, id).ok());
            record.is_some_and(|record| row.covers(change.type_name.as_str(), start_ms(&record)))
        }
        _ => is_of_type,
    }
}

fn empty(tx: &mut WriteTransaction<'_>, id: &GrantId, number: u64, body: &EncodedBody) -> Result<()> {
    bodies::put(tx, id, number, 0, &body.emptied())
}
