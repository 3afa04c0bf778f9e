//! Revocations: close a grant in one commit and keep the tombstone for ever. Its ciphertext is deleted in the
//! steps that follow (`deletions.rs`).

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{GrantId, OrganizationId, Revocation, SessionId, Timestamp};

use super::{
    engine::Space,
    gate::Gate,
    lane_of,
    lane_row::{LaneKind, LaneRow},
    layout,
    reads::{Committed, Rows},
    rows::{DeletionRow, GrantRow, HeadRow, TombstoneRow, decode},
    transaction::Transaction,
};
use crate::store::{Progress, Result, SESSION_RETENTION, SESSIONS_MAX, StoreError, Tombstone};

pub(super) fn revoke_grant(
    t: &mut Transaction<'_>,
    gate: &Arc<Gate>,
    revocation: &Revocation,
    now: Timestamp,
) -> Result<Tombstone> {
    let (id, organization) = (*revocation.grant(), *revocation.organization());
    let grant = t.grant(&id)?;
    let mut row = tombstone(t, &organization, &id, &grant)?;
    if row.revocation.is_some() {
        return Ok(row.of(id));
    }
    let sequence = append(t, &organization, revocation, now)?;
    close(t, gate, &id, grant, sequence, now)?;
    row.revocation = Some(revocation.to_wire());
    t.put(Space::Rows, layout::tombstone(&organization, &id), row.encode_to_vec());
    let gate = gate.clone();
    t.after_commit(move || gate.arrived(&organization, lane_of(&id)));
    Ok(row.of(id))
}

/// The tombstone of a closed grant; of an open one, one that says nothing yet.
fn tombstone(
    t: &mut Transaction<'_>,
    organization: &OrganizationId,
    id: &GrantId,
    grant: &GrantRow,
) -> Result<TombstoneRow> {
    match grant.revoked_ms {
        Some(_) => t.row(&layout::tombstone(organization, id))?.ok_or(StoreError::Corrupt("tombstone")),
        None => Ok(TombstoneRow::default()),
    }
}

/// Ends an open grant: nothing more is accepted, its sessions are forgotten, and what lies in its lane below
/// `sequence` is hidden and to be deleted.
fn close(
    t: &mut Transaction<'_>,
    gate: &Arc<Gate>,
    id: &GrantId,
    mut grant: GrantRow,
    sequence: u64,
    now: Timestamp,
) -> Result<()> {
    if grant.revoked_ms.is_some() {
        return Ok(());
    }
    // Of a drained grant nothing lies in the lane: there is nothing to look for.
    let first = if grant.stored_bytes == 0 { sequence } else { grant.lowest_sequence };
    let deletion = DeletionRow::new(&grant.organization()?, first, sequence);
    t.put(Space::Rows, layout::deletion(id), deletion.encode_to_vec());
    grant.revoked_ms = Some(now.as_millis());
    grant.stored_bytes = 0;
    t.put(Space::Rows, layout::grant(id), grant.encode_to_vec());
    let due = layout::expiry(now.plus(SESSION_RETENTION), &layout::replies(id));
    t.put(Space::Rows, due, Bytes::new());
    forget_sessions(t, id)?;
    let (gate, id) = (gate.clone(), *id);
    t.after_commit(move || gate.hide(id));
    Ok(())
}

/// Puts the revocation in the grant's lane; returns its sequence.
pub(super) fn append(
    t: &mut Transaction<'_>,
    organization: &OrganizationId,
    revocation: &Revocation,
    now: Timestamp,
) -> Result<u64> {
    let grant = *revocation.grant();
    let lane = lane_of(&grant);
    let sequence = t.lane_head(organization, lane)?;
    let row = LaneRow {
        kind: LaneKind::Revocation,
        grant,
        session: SessionId::from_bytes([0; SessionId::SIZE]),
        place: 0,
        stored: now,
        bytes: revocation.to_wire().encode_to_vec().into(),
    };
    t.put(Space::Lanes, layout::lane_item(organization, lane, sequence), row.encode());
    let head = HeadRow { next: sequence.checked_add(1).ok_or(StoreError::Unavailable)? };
    t.put(Space::Rows, layout::lane_head(organization, lane), head.encode_to_vec());
    Ok(sequence)
}

fn forget_sessions(t: &mut Transaction<'_>, grant: &GrantId) -> Result<()> {
    let prefix = layout::sessions(grant);
    for (key, _) in t.scan(Space::Rows, &prefix, &layout::end_of(&prefix), SESSIONS_MAX + 1)? {
        t.delete(Space::Rows, key.to_vec());
    }
    Ok(())
}

pub(super) fn confirm_revocation(
    t: &mut Transaction<'_>,
    gate: &Arc<Gate>,
    organization: &OrganizationId,
    id: &GrantId,
    confirmation: wire::Signed,
    now: Timestamp,
) -> Result<()> {
    let grant = t.grant(id)?;
    if grant.organization()? != *organization {
        return Err(StoreError::NotFound);
    }
    let mut row = tombstone(t, organization, id, &grant)?;
    if row.confirmation.as_ref() == Some(&confirmation) {
        return Ok(());
    }
    let head = t.lane_head(organization, lane_of(id))?;
    close(t, gate, id, grant, head, now)?;
    row.confirmation = Some(confirmation);
    t.put(Space::Rows, layout::tombstone(organization, id), row.encode_to_vec());
    Ok(())
}

pub(super) fn list_revoked(
    rows: &mut Committed<'_>,
    organization: &OrganizationId,
    after: Option<GrantId>,
    items_max: usize,
) -> Result<(Vec<Tombstone>, Progress)> {
    let prefix = layout::tombstones(organization);
    let from =
        after.map_or_else(|| prefix.clone(), |after| layout::after(&layout::tombstone(organization, &after)));
    let mut found = rows.scan(Space::Rows, &from, &layout::end_of(&prefix), items_max.saturating_add(1))?;
    let progress = if found.len() > items_max { Progress::More } else { Progress::Done };
    found.truncate(items_max);
    let tombstones = found.into_iter().map(|(key, value)| {
        let grant = layout::grant_of(&key).ok_or(StoreError::Corrupt("tombstone"))?;
        let row: TombstoneRow = decode("tombstone", value)?;
        Ok(row.of(grant))
    });
    Ok((tombstones.collect::<Result<_>>()?, progress))
}
