//! Revocations: close a grant in one commit, delete its ciphertext in the steps that follow, keep the
//! tombstone for ever.

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{GrantId, OrganizationId, Revocation, SessionId, Timestamp};
use std::{collections::HashSet, sync::Arc, thread};
use tokio::sync::oneshot;

use super::{
    OrderedStore,
    engine::{EngineError, OrderedKeys, Space},
    gate::Gate,
    lane_of,
    lanes::STEP_ITEMS_MAX,
    layout,
    reads::{Committed, Rows},
    room::Room,
    rows::{DeletionRow, GrantRow, HeadRow, LaneKind, LaneRow, TombstoneRow, decode},
    transaction::Transaction,
};
use crate::store::{Progress, Reclaimed, Result, SESSION_RETENTION, SESSIONS_MAX, StoreError, Tombstone};

/// Grants whose deletion is looked at, or forgotten, in one step.
const DELETIONS_MAX: usize = 1_000;
/// What compaction needs beside a copy of the space: the journal that is filled up to retire it, and slack.
const RECLAIM_ROOM_BYTES: u64 = 128 << 20;

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
fn append(
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

/// Revoked grants of which something may still lie in a lane or in the engine's files, damaged rows included.
pub(super) fn unfinished(engine: &dyn OrderedKeys) -> Result<Vec<GrantId>> {
    let found = deletions(&Committed(engine), layout::DELETIONS, usize::MAX)?;
    Ok(found.into_iter().map(|(grant, _)| grant).collect())
}

type Deletion = (GrantId, Result<DeletionRow>);

/// Up to `limit` deletions from the key `from` on.
fn deletions(rows: &Committed<'_>, from: &[u8], limit: usize) -> Result<Vec<Deletion>> {
    let end = layout::end_of(layout::DELETIONS);
    let found = rows.scan_each(Space::Rows, from, &end, limit)?;
    let parsed = found.into_iter().map(|(key, value)| {
        let grant = layout::grant_of(&key).ok_or(StoreError::Corrupt("deletion in progress"))?;
        Ok((grant, value.and_then(|value| decode("deletion in progress", value))))
    });
    parsed.collect()
}

/// The first deletion that is not done and not in `passed_over`, if any; the error is its row's damage.
pub(super) fn next_deletion(
    rows: &Committed<'_>,
    passed_over: &HashSet<GrantId>,
) -> Result<Option<(GrantId, Result<()>)>> {
    let is_next = |(grant, row): &Deletion| {
        !passed_over.contains(grant) && row.as_ref().map_or(true, |row| !row.is_deleted())
    };
    let mut from = layout::DELETIONS.to_vec();
    loop {
        let found = deletions(rows, &from, DELETIONS_MAX)?;
        let Some((last, _)) = found.last() else { return Ok(None) };
        from = layout::after(&layout::deletion(last));
        if let Some((grant, row)) = found.into_iter().find(is_next) {
            return Ok(Some((grant, row.map(drop))));
        }
    }
}

/// Deletes some of a revoked grant's envelopes and remembers how far it came.
pub(super) fn delete_some(t: &mut Transaction<'_>, grant: &GrantId) -> Result<()> {
    let key = layout::deletion(grant);
    let Some(mut row) = t.row::<DeletionRow>(&key)? else { return Ok(()) };
    let (organization, lane) = (row.organization()?, lane_of(grant));
    let from = layout::lane_item(&organization, lane, row.next);
    let to = layout::lane_item(&organization, lane, row.end);
    let found = t.scan(Space::Lanes, &from, &to, STEP_ITEMS_MAX)?;
    let last = found.last().and_then(|(key, _)| layout::sequence_of(key));
    row.next = match last {
        Some(last) if found.len() == STEP_ITEMS_MAX => last.saturating_add(1),
        _ => row.end,
    };
    for (item, value) in found {
        let there = LaneRow::decode(value)?;
        if there.grant == *grant && there.kind == LaneKind::Envelope {
            t.delete(Space::Lanes, item.to_vec());
        }
    }
    t.put(Space::Rows, key, row.encode_to_vec());
    Ok(())
}

impl OrderedStore {
    /// Compacts the lanes if something was deleted from them after a revocation, and the disk has room.
    pub(super) async fn reclaim_deleted(&self) -> Result<Reclaimed> {
        let found = self.read(|rows| deletions(rows, layout::DELETIONS, usize::MAX)).await?;
        let is_deleted = |row: &Result<DeletionRow>| row.as_ref().is_ok_and(DeletionRow::is_deleted);
        let deleted: Vec<_> =
            found.into_iter().filter(|(_, row)| is_deleted(row)).map(|(grant, _)| grant).collect();
        metrics::gauge!("relay_reclaim_waiting_grants").set(u32::try_from(deleted.len()).unwrap_or(u32::MAX));
        if deleted.is_empty() {
            return Ok(Reclaimed::Nothing);
        }
        let needed = self.engine.disk_bytes(Space::Lanes).saturating_add(RECLAIM_ROOM_BYTES);
        if !Room::has(self.engine.folder(), needed) {
            tracing::warn!("the disk has no room to rewrite files: revoked bytes stay until it has");
            return Ok(Reclaimed::NoRoom);
        }
        self.compact_lanes().await?;
        for grants in deleted.chunks(DELETIONS_MAX) {
            self.forget_deletions(grants.to_vec()).await?;
        }
        metrics::gauge!("relay_reclaim_waiting_grants").set(0);
        Ok(Reclaimed::Gone)
    }

    /// On a thread of its own that nothing waits for: a compaction takes as long as it takes, and an engine that
    /// cannot write may never answer, which must not hold up a shutdown.
    async fn compact_lanes(&self) -> Result<()> {
        let engine = self.engine.clone();
        let (answer, answered) = oneshot::channel();
        let compact = move || {
            // Whoever asked may have been told to stop.
            let _ = answer.send(engine.compact(Space::Lanes));
        };
        thread::Builder::new()
            .name("compactor".into())
            .spawn(compact)
            .map_err(|_| StoreError::Unavailable)?;
        match answered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(EngineError::Damaged)) => Err(StoreError::Corrupt("lane item")),
            Ok(Err(EngineError::Failed)) | Err(_) => {
                self.failed.fail();
                Err(StoreError::Unavailable)
            }
        }
    }

    async fn forget_deletions(&self, grants: Vec<GrantId>) -> Result<()> {
        let gate = self.gate.clone();
        self.write(move |t| {
            for grant in &grants {
                t.delete(Space::Rows, layout::deletion(grant));
            }
            t.after_commit(move || gate.forget(&grants));
            Ok(())
        })
        .await
    }
}
