//! Forgetting: bounded steps over what was revoked, what is due, and what lies in lanes too long.

use std::sync::PoisonError;

use sealcare_protocol::{OrganizationId, Timestamp};

use super::{
    OrderedStore,
    engine::Space,
    lanes::{STEP_ITEMS_MAX, is_past, remove},
    layout,
    reads::Rows,
    rows::{LaneKind, LaneRow, SessionRow},
    transaction::Transaction,
};
use crate::store::{ENVELOPE_RETENTION, LANES, Progress, Result, SESSION_RETENTION, SESSIONS_MAX};

/// Where the round over all lanes stands; kept in memory, a new process begins anew.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    left: Vec<(OrganizationId, u8)>,
    is_running: Running,
    after: u64,
}

#[derive(Debug, Default, PartialEq)]
enum Running {
    #[default]
    No,
    Yes,
}

impl OrderedStore {
    pub(super) async fn purge_step(&self, now: Timestamp) -> Result<Progress> {
        if self.delete_revoked().await? == Progress::More {
            return Ok(Progress::More);
        }
        if self.is_something_due(now).await? {
            self.write(move |t| forget_due(t, now)).await?;
            return Ok(Progress::More);
        }
        self.sweep_step(now).await
    }

    async fn is_something_due(&self, now: Timestamp) -> Result<bool> {
        let end = layout::expiry(now, &[]);
        self.read(move |rows| Ok(!rows.scan(Space::Rows, layout::EXPIRIES, &end, 1)?.is_empty())).await
    }

    /// Deletes the expired beginning of one lane.
    async fn sweep_step(&self, now: Timestamp) -> Result<Progress> {
        if self.is_new_round() {
            let lanes = self.lanes().await?;
            let mut sweep = self.sweep.lock().unwrap_or_else(PoisonError::into_inner);
            (sweep.left, sweep.is_running, sweep.after) = (lanes, Running::Yes, 0);
        }
        let (place, after) = {
            let sweep = self.sweep.lock().unwrap_or_else(PoisonError::into_inner);
            (sweep.left.last().copied(), sweep.after)
        };
        let next = match place {
            Some((organization, lane)) => {
                if self.is_expired(organization, lane, after, now).await? {
                    self.write(move |t| expire(t, &organization, lane, after, now)).await?
                } else {
                    None
                }
            }
            None => None,
        };
        let mut sweep = self.sweep.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none() {
            sweep.left.pop();
        }
        sweep.after = next.unwrap_or(0);
        if sweep.left.is_empty() {
            sweep.is_running = Running::No;
            return Ok(Progress::Done);
        }
        Ok(Progress::More)
    }

    fn is_new_round(&self) -> bool {
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner).is_running == Running::No
    }

    async fn lanes(&self) -> Result<Vec<(OrganizationId, u8)>> {
        self.read(|rows| {
            let end = layout::end_of(layout::ORGANIZATIONS);
            let found = rows.scan(Space::Rows, layout::ORGANIZATIONS, &end, usize::MAX)?;
            let organizations = found.iter().filter_map(|(key, _)| layout::organization_of(key));
            Ok(organizations.flat_map(|id| (0..LANES).map(move |lane| (id, lane))).collect())
        })
        .await
    }

    /// Whether the lane has something to look at after `after` that is past its time: a cheap look before a
    /// write, for most lanes have not.
    async fn is_expired(
        &self,
        organization: OrganizationId,
        lane: u8,
        after: u64,
        now: Timestamp,
    ) -> Result<bool> {
        self.read(move |rows| {
            let from = layout::lane_item(&organization, lane, after.saturating_add(1));
            let to = layout::after(&layout::lane_item(&organization, lane, u64::MAX));
            let first = rows.scan(Space::Lanes, &from, &to, 1)?.pop();
            let row = first.map(|(_, value)| LaneRow::decode(value)).transpose()?;
            Ok(row.is_some_and(|row| is_past(row.stored, ENVELOPE_RETENTION, now)))
        })
        .await
    }
}

/// Deletes expired envelopes after `after`; returns where to go on. Revocations stay until acknowledged.
fn expire(
    t: &mut Transaction<'_>,
    organization: &OrganizationId,
    lane: u8,
    after: u64,
    now: Timestamp,
) -> Result<Option<u64>> {
    let from = layout::lane_item(organization, lane, after.saturating_add(1));
    let to = layout::after(&layout::lane_item(organization, lane, u64::MAX));
    let found = t.scan(Space::Lanes, &from, &to, STEP_ITEMS_MAX)?;
    let is_full = found.len() == STEP_ITEMS_MAX;
    let (mut next, mut expired) = (None, Vec::new());
    for (key, value) in found {
        let row = LaneRow::decode(value)?;
        if !is_past(row.stored, ENVELOPE_RETENTION, now) {
            next = None;
            break;
        }
        next = layout::sequence_of(&key).filter(|_| is_full);
        if row.kind == LaneKind::Envelope {
            expired.push((key, row));
        }
    }
    remove(t, expired)?;
    Ok(next)
}

/// Forgets what is due: spent tickets, sessions with their replies, replies of revoked grants.
fn forget_due(t: &mut Transaction<'_>, now: Timestamp) -> Result<()> {
    let end = layout::expiry(now, &[]);
    for (key, _) in t.scan(Space::Rows, layout::EXPIRIES, &end, STEP_ITEMS_MAX)? {
        let row = layout::expiring_row(&key).unwrap_or_default().to_vec();
        match row.first() {
            Some(b'T') => t.delete(Space::Rows, row),
            Some(b'S') => forget_session(t, row, now)?,
            Some(b'R') => {
                for (slot, _) in t.scan(Space::Rows, &row, &layout::end_of(&row), SESSIONS_MAX + 1)? {
                    t.delete(Space::Rows, slot.to_vec());
                }
            }
            _ => {}
        }
        t.delete(Space::Rows, key.to_vec());
    }
    Ok(())
}

/// Forgets a session that was not used since; one that was has another expiry.
fn forget_session(t: &mut Transaction<'_>, key: Vec<u8>, now: Timestamp) -> Result<()> {
    let row: Option<SessionRow> = t.row(&key)?;
    let is_idle = |row: &SessionRow| is_past(Timestamp::from_millis(row.used_ms), SESSION_RETENTION, now);
    if row.as_ref().is_none_or(is_idle) {
        let mut reply = key.clone();
        reply[0] = b'R';
        // Of a revoked grant the replies have an expiry of their own.
        if row.is_some() {
            t.delete(Space::Rows, reply);
        }
        t.delete(Space::Rows, key);
    }
    Ok(())
}
