//! Grants: accept an invitation, tell what is known.

use bytes::Bytes;
use prost::Message as _;
use sealcare_protocol::{GrantId, Timestamp};

use super::{
    engine::Space,
    layout,
    reads::{Committed, Rows},
    rows::{GrantRow, SessionRow, TicketRow, TombstoneRow, decode},
    transaction::Transaction,
};
use crate::store::{
    AcceptOutcome, Acceptance, GrantReport, Result, SESSIONS_MAX, SessionReport, StoreError,
    types::DepositorKey,
};

pub(super) fn accept_invitation(
    t: &mut Transaction<'_>,
    acceptance: &Acceptance,
    now: Timestamp,
) -> Result<AcceptOutcome> {
    let organization = &acceptance.organization;
    let is_approved = t.is_approved(organization)?;
    match t.grant_of(&acceptance.key) {
        Ok((_, row)) => return Ok(accepted_before(&row, acceptance)),
        Err(StoreError::NotFound) => {}
        Err(error) => return Err(error),
    }
    let ticket = layout::ticket(organization, &acceptance.ticket);
    if t.get(Space::Rows, &ticket)?.is_some() {
        return Ok(AcceptOutcome::Spent);
    }
    if !is_approved {
        return Ok(AcceptOutcome::NotApproved);
    }
    let id = GrantId::derive(organization, &acceptance.key);
    let key = &acceptance.key;
    let grant = GrantRow::new(organization, key, acceptance.ticket.as_bytes(), acceptance.stored_bytes_max);
    let spent = TicketRow { deposit_key: Bytes::copy_from_slice(key.as_bytes()) };
    t.put(Space::Rows, layout::grant(&id), grant.encode_to_vec());
    t.put(Space::Rows, layout::deposit_key(key), id.as_bytes().to_vec());
    t.put(Space::Rows, layout::expiry(acceptance.ticket_expires.max(now), &ticket), Bytes::new());
    t.put(Space::Rows, ticket, spent.encode_to_vec());
    Ok(AcceptOutcome::Accepted)
}

/// The same ticket gets the same answer; another finds the key taken.
fn accepted_before(row: &GrantRow, acceptance: &Acceptance) -> AcceptOutcome {
    let is_same =
        row.organization() == Ok(acceptance.organization) && row.ticket == acceptance.ticket.as_bytes()[..];
    match (is_same, row.revoked_ms) {
        (false, _) => AcceptOutcome::Spent,
        (true, Some(_)) => AcceptOutcome::Revoked,
        (true, None) => AcceptOutcome::Accepted,
    }
}

pub(super) fn grant_status(rows: &mut Committed<'_>, key: &DepositorKey) -> Result<GrantReport> {
    let (id, grant) = rows.grant_of(key)?;
    let organization = grant.organization()?;
    let tombstone: Option<TombstoneRow> = match grant.revoked_ms {
        Some(_) => rows.row(&layout::tombstone(&organization, &id))?,
        None => None,
    };
    let prefix = layout::sessions(&id);
    let found = rows.scan(Space::Rows, &prefix, &layout::end_of(&prefix), SESSIONS_MAX)?;
    let sessions = found.into_iter().map(|(key, value)| {
        let session = layout::session_of(&key).ok_or(StoreError::Corrupt("session"))?;
        let row: SessionRow = decode("session", value)?;
        Ok(SessionReport { session, next: row.next, gone_below: row.gone_below })
    });
    Ok(GrantReport {
        organization,
        stored_bytes: grant.stored_bytes,
        sessions: sessions.collect::<Result<_>>()?,
        tombstone: tombstone.map(|row| row.of(id)),
    })
}
