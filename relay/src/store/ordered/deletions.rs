//! Deletions: the ciphertext of closed grants leaves their lanes in bounded steps, then the engine's files.

use std::{collections::HashSet, ops::ControlFlow, thread};

use bytes::Bytes;
use prost::Message as _;
use sealcare_protocol::GrantId;
use tokio::sync::oneshot;

use super::{
    OrderedStore,
    engine::{EngineError, OrderedKeys, Space},
    lane_of,
    lane_row::{LaneKind, LaneRow},
    lanes::STEP_ITEMS_MAX,
    layout,
    reads::{Committed, Rows as _},
    room::Room,
    rows::{DeletionRow, decode},
    transaction::Transaction,
    value::check,
};
use crate::store::{Progress, Reclaimed, Result, StoreError};

/// Grants whose deletion is looked at, or forgotten, in one step.
const DELETIONS_MAX: usize = 1_000;
/// What compaction needs beside a copy of the space: the journal that is filled up to retire it, and slack.
const RECLAIM_ROOM_BYTES: u64 = 128 << 20;

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

/// What one step of a deletion does.
#[derive(Default)]
pub(super) struct Step {
    /// Keys of the grant's items.
    items: Vec<Bytes>,
    /// How far the deletion has come with it.
    row: DeletionRow,
}

impl Step {
    /// Whether the deletion ends for now with damage left behind.
    pub(super) fn leaves_damage(&self) -> bool {
        self.row.is_at_end() && !self.row.is_deleted()
    }
}

/// The next step of the first deletion from that of `first` on that is not done and not in `passed_over`, if any;
/// the error is damage that keeps this one from going on.
pub(super) fn next_step(
    rows: &mut Committed<'_>,
    first: Option<&GrantId>,
    passed_over: &HashSet<GrantId>,
) -> Result<Option<(GrantId, Result<Step>)>> {
    let is_next = |(grant, row): &Deletion| {
        !passed_over.contains(grant) && row.as_ref().map_or(true, |row| !row.is_deleted())
    };
    let mut from = first.map_or_else(|| layout::DELETIONS.to_vec(), layout::deletion);
    loop {
        let found = deletions(rows, &from, DELETIONS_MAX)?;
        let Some((last, _)) = found.last() else { return Ok(None) };
        from = layout::after(&layout::deletion(last));
        if let Some((grant, row)) = found.into_iter().find(is_next) {
            let step = row.and_then(|row| find_some(rows, &grant, row));
            return match step {
                Err(StoreError::Unavailable) => Err(StoreError::Unavailable),
                step => Ok(Some((grant, step))),
            };
        }
    }
}

/// Finds some of a closed grant's items. One that is damaged is its own if its header says so; one whose header
/// names nobody may be, so it stays and is looked at again in the next round.
fn find_some(rows: &mut Committed<'_>, grant: &GrantId, mut row: DeletionRow) -> Result<Step> {
    row.begin_again();
    let (organization, lane) = (row.organization()?, lane_of(grant));
    let from = layout::lane_item(&organization, lane, row.next);
    let to = layout::lane_item(&organization, lane, row.end);
    let (mut items, mut strays, mut last, mut count) = (Vec::new(), Vec::new(), None, 0);
    let read = rows.0.scan(Space::Lanes, &from, &to, &mut |key, stored| {
        last = layout::sequence_of(&key);
        count += 1;
        match check(&key, &stored).and_then(LaneRow::decode) {
            Ok(there) if there.grant == *grant && there.kind == LaneKind::Envelope => items.push(key),
            Ok(_) => {}
            Err(_) => match LaneRow::grant_in(&stored) {
                Some(named) if named == *grant => items.push(key),
                named => strays.push((last, named)),
            },
        }
        if count < STEP_ITEMS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    read.map_err(|error| match error {
        EngineError::Damaged => StoreError::Corrupt("lane item"),
        EngineError::Failed => StoreError::Unavailable,
    })?;
    for (sequence, named) in strays {
        // Of a grant that is known here the damage is not this deletion's business.
        if named.is_none_or(|named| rows.grant(&named).is_err()) {
            row.pass_over(sequence.unwrap_or(row.next));
        }
    }
    row.next = match last {
        Some(last) if count == STEP_ITEMS_MAX => last.saturating_add(1),
        _ => row.end,
    };
    row.is_reclaimed &= items.is_empty();
    Ok(Step { items, row })
}

/// Deletes what a step found and remembers how far it came.
pub(super) fn delete_some(t: &mut Transaction<'_>, grant: &GrantId, step: Step) {
    for item in step.items {
        t.delete(Space::Lanes, item.to_vec());
    }
    t.put(Space::Rows, layout::deletion(grant), step.row.encode_to_vec());
}

impl OrderedStore {
    /// Compacts the lanes if something was deleted from them after a revocation, and the disk has room.
    pub(super) async fn reclaim_deleted(&self) -> Result<Reclaimed> {
        let found = self.read(|rows| deletions(rows, layout::DELETIONS, usize::MAX)).await?;
        let waits = |(grant, row): Deletion| Some((grant, row.ok().filter(DeletionRow::awaits_reclaim)?));
        let deleted: Vec<_> = found.into_iter().filter_map(waits).collect();
        metrics::gauge!("relay_reclaim_waiting_grants").set(u32::try_from(deleted.len()).unwrap_or(u32::MAX));
        if deleted.is_empty() {
            return Ok(Reclaimed::Nothing);
        }
        let needed = self.engine.compaction_bytes(Space::Lanes).saturating_add(RECLAIM_ROOM_BYTES);
        if !Room::has(self.engine.folder(), needed) {
            tracing::warn!("the disk has no room to rewrite files: revoked bytes stay until it has");
            return Ok(Reclaimed::NoRoom);
        }
        if self.compact_lanes().await? == Progress::More {
            tracing::warn!(
                "something reads for long, or the disk has no room: revoked bytes stay until then"
            );
            return Ok(Reclaimed::InUse);
        }
        for reclaimed in deleted.chunks(DELETIONS_MAX) {
            self.end_deletions(reclaimed.to_vec()).await?;
        }
        metrics::gauge!("relay_reclaim_waiting_grants").set(0);
        Ok(Reclaimed::Gone)
    }

    /// On a thread of its own that nothing waits for: a compaction takes as long as it takes, and an engine that
    /// cannot write may never answer, which must not hold up a shutdown.
    async fn compact_lanes(&self) -> Result<Progress> {
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
            Ok(Ok(progress)) => Ok(progress),
            Ok(Err(EngineError::Damaged)) => Err(StoreError::Corrupt("lane item")),
            Ok(Err(EngineError::Failed)) | Err(_) => {
                self.failed.fail();
                Err(StoreError::Unavailable)
            }
        }
    }

    /// Forgets deletions that are done. One that left damage behind stays and tries again.
    async fn end_deletions(&self, reclaimed: Vec<(GrantId, DeletionRow)>) -> Result<()> {
        let gate = self.gate.clone();
        self.write(move |t| {
            let mut done = Vec::new();
            for (grant, mut row) in reclaimed {
                let key = layout::deletion(&grant);
                if row.is_deleted() {
                    t.delete(Space::Rows, key);
                    done.push(grant);
                } else {
                    row.is_reclaimed = true;
                    t.put(Space::Rows, key, row.encode_to_vec());
                }
            }
            t.after_commit(move || gate.forget(&done));
            Ok(())
        })
        .await
    }
}
