//! Forgetting: bounded steps over what was revoked, what is due, and what lies in lanes too long.

use std::{
    collections::HashSet,
    mem,
    sync::{MutexGuard, PoisonError},
};

use sealcare_protocol::{GrantId, OrganizationId, Timestamp};

use super::{
    OrderedStore,
    deletions::{Step, delete_some, next_step},
    engine::Space,
    lane_row::{LaneKind, LaneRow},
    lanes::{STEP_ITEMS_MAX, is_past, remove},
    layout, organizations,
    reads::{Committed, Rows},
    rows::{OrganizationRow, SessionRow, decode},
    transaction::Transaction,
};
use crate::store::{
    ENVELOPE_RETENTION, LANES, Progress, Result, SESSION_RETENTION, SESSIONS_MAX, StoreError,
};

/// Where the round over all lanes stands; kept in memory, a new process begins anew.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    left: Vec<(OrganizationId, u8)>,
    is_running: Running,
    after: u64,
    passed_over: PassedOver,
    /// Of whose envelopes some were deleted last; the deletions before are done.
    deleting: Option<GrantId>,
}

#[derive(Debug, Default, PartialEq)]
enum Running {
    #[default]
    No,
    Yes,
}

/// What a round leaves alone because of damage, which it names at its end. The next round tries again.
#[derive(Debug, Default)]
struct PassedOver {
    grants: HashSet<GrantId>,
    /// Key of the last expiry that cannot be done.
    due: Vec<u8>,
    damage: Option<StoreError>,
}

/// What a round begins with.
#[derive(Default)]
struct Round {
    lanes: Vec<(OrganizationId, u8)>,
    /// Organizations that waited too long for an approval.
    stale: Vec<OrganizationId>,
    damage: Option<StoreError>,
}

impl OrderedStore {
    /// One step. Damage ends no round: it is told at the end, when everything else was done.
    pub(super) async fn purge_step(&self, now: Timestamp) -> Result<Progress> {
        if self.delete_revoked().await? == Progress::More || self.forget_some(now).await? == Progress::More {
            return Ok(Progress::More);
        }
        self.sweep_step(now).await
    }

    fn sweep(&self) -> MutexGuard<'_, Sweep> {
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers damage as `note` says; other errors stay errors.
    fn pass_over<T: Default>(&self, done: Result<T>, note: impl FnOnce(&mut PassedOver)) -> Result<T> {
        let Err(damage @ StoreError::Corrupt(_)) = done else { return done };
        let passed_over = &mut self.sweep().passed_over;
        passed_over.damage.get_or_insert(damage);
        note(passed_over);
        Ok(T::default())
    }

    /// One step for the first grant whose deletion is not done.
    async fn delete_revoked(&self) -> Result<Progress> {
        let (first, passed_over) = {
            let sweep = self.sweep();
            (sweep.deleting, sweep.passed_over.grants.clone())
        };
        let found = self.read(move |rows| next_step(rows, first.as_ref(), &passed_over)).await;
        let found = self.pass_over(found, |_| {})?;
        // The next step need not look again at what is done. A stop that lies before it is found once the rest is.
        self.sweep().deleting = found.as_ref().map(|(grant, _)| *grant);
        let Some((grant, step)) = found else {
            return Ok(if first.is_some() { Progress::More } else { Progress::Done });
        };
        let done = match step {
            Ok(step) => self.delete_step(grant, step).await,
            Err(error) => Err(error),
        };
        self.pass_over(done, |passed_over| {
            passed_over.grants.insert(grant);
        })?;
        Ok(Progress::More)
    }

    async fn delete_step(&self, grant: GrantId, step: Step) -> Result<()> {
        let leaves_damage = step.leaves_damage();
        let delete = move |t: &mut Transaction<'_>| {
            delete_some(t, &grant, step);
            Ok(())
        };
        self.write(delete).await?;
        if leaves_damage { Err(StoreError::Corrupt("lane item")) } else { Ok(()) }
    }

    /// One step of what is due: many at once, or one by one where one of them is damaged.
    async fn forget_some(&self, now: Timestamp) -> Result<Progress> {
        let last = self.sweep().passed_over.due.clone();
        let from = if last.is_empty() { layout::EXPIRIES.to_vec() } else { layout::after(&last) };
        let (start, end) = (from.clone(), layout::expiry(now, &[]));
        let found = self.read(move |rows| rows.scan_each(Space::Rows, &start, &end, 1)).await;
        let found = self.pass_over(found, |_| {})?;
        let Some((first, _)) = found.into_iter().next() else { return Ok(Progress::Done) };
        let again = from.clone();
        let mut done = self.write(move |t| forget_due(t, &from, now, STEP_ITEMS_MAX)).await;
        if matches!(done, Err(StoreError::Corrupt(_))) {
            done = self.write(move |t| forget_due(t, &again, now, 1)).await;
        }
        self.pass_over(done, |passed_over| passed_over.due = first.to_vec())?;
        Ok(Progress::More)
    }

    /// Deletes the expired beginning of one lane.
    async fn sweep_step(&self, now: Timestamp) -> Result<Progress> {
        if self.sweep().is_running == Running::No {
            self.begin_round(now).await?;
        }
        let (place, after) = {
            let sweep = self.sweep();
            (sweep.left.last().copied(), sweep.after)
        };
        let next = match place {
            Some((organization, lane)) => {
                let expired = self.expire_some(organization, lane, after, now).await;
                self.pass_over(expired, |_| {})?
            }
            None => None,
        };
        let mut sweep = self.sweep();
        if next.is_none() {
            sweep.left.pop();
        }
        sweep.after = next.unwrap_or(0);
        if !sweep.left.is_empty() {
            return Ok(Progress::More);
        }
        sweep.is_running = Running::No;
        mem::take(&mut sweep.passed_over).damage.map_or(Ok(Progress::Done), Err)
    }

    async fn begin_round(&self, now: Timestamp) -> Result<()> {
        let round = self.read(move |rows| begin_round(rows, now)).await;
        let round = self.pass_over(round, |_| {})?;
        for stale in round.stale.chunks(STEP_ITEMS_MAX) {
            let stale = stale.to_vec();
            let done = self.write(move |t| organizations::forget_stale(t, &stale, now)).await;
            self.pass_over(done, |_| {})?;
        }
        self.pass_over(round.damage.map_or(Ok(()), Err), |_| {})?;
        let mut sweep = self.sweep();
        (sweep.left, sweep.is_running, sweep.after) = (round.lanes, Running::Yes, 0);
        Ok(())
    }

    /// Deletes some of what expired in a lane after `after`; returns where to go on.
    async fn expire_some(
        &self,
        organization: OrganizationId,
        lane: u8,
        after: u64,
        now: Timestamp,
    ) -> Result<Option<u64>> {
        if self.is_expired(organization, lane, after, now).await? {
            self.write(move |t| expire(t, &organization, lane, after, now)).await
        } else {
            Ok(None)
        }
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

fn begin_round(rows: &Committed<'_>, now: Timestamp) -> Result<Round> {
    let end = layout::end_of(layout::ORGANIZATIONS);
    let mut round = Round::default();
    for (key, value) in rows.scan_each(Space::Rows, layout::ORGANIZATIONS, &end, usize::MAX)? {
        let Some(id) = layout::organization_of(&key) else { continue };
        match value.and_then(|value| decode::<OrganizationRow>("organization", value)) {
            Ok(row) if organizations::is_stale(&row, now) => {
                round.stale.push(id);
                continue;
            }
            Ok(_) => {}
            Err(damage) => round.damage = Some(damage),
        }
        round.lanes.extend((0..LANES).map(|lane| (id, lane)));
    }
    Ok(round)
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
fn forget_due(t: &mut Transaction<'_>, from: &[u8], now: Timestamp, limit: usize) -> Result<()> {
    let end = layout::expiry(now, &[]);
    for (key, _) in t.scan(Space::Rows, from, &end, limit)? {
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

/// Forgets a session that was not used since, and its reply; one that was used has another expiry. A session
/// that gave way to another left its reply behind, which goes now.
fn forget_session(t: &mut Transaction<'_>, key: Vec<u8>, now: Timestamp) -> Result<()> {
    let row: Option<SessionRow> = t.row(&key)?;
    let is_idle = |row: &SessionRow| is_past(Timestamp::from_millis(row.used_ms), SESSION_RETENTION, now);
    if !row.as_ref().is_none_or(is_idle) {
        return Ok(());
    }
    let (grant, session) = layout::session_parts(&key).ok_or(StoreError::Corrupt("expiry"))?;
    match t.grant(&grant) {
        // Of a revoked grant the replies have an expiry of their own.
        Ok(row) if row.revoked_ms.is_some() => {}
        Ok(_) | Err(StoreError::NotFound) => t.delete(Space::Rows, layout::reply(&grant, &session)),
        Err(error) => return Err(error),
    }
    t.delete(Space::Rows, key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealcare_protocol::Incarnation;

    use super::*;
    use crate::store::{
        Mailboxes as _,
        conformance::{
            Clinic, NOW,
            envelopes::{data, init},
        },
        ordered::{FjallKeys, deletions},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_deletion_does_not_look_again_at_those_before_and_forgets_none() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(FjallKeys::open(folder.path()).unwrap());
        let store = OrderedStore::open(engine, Incarnation::from_bytes([1; 16]), 0).unwrap();
        let clinic = Clinic::open(&store, 1).await;
        let mut patients = Vec::new();
        for number in 1..=3 {
            let patient = clinic.patient(&store, number).await;
            patient.deposit(&store, vec![init(number, 7), data(number, 0)]).await;
            patients.push(patient);
        }
        patients.sort_by_key(crate::store::conformance::Patient::grant);
        for late in [1, 2] {
            patients[late].revoke(&store).await;
        }
        assert_eq!(store.delete_revoked().await, Ok(Progress::More));
        assert_eq!(store.sweep().deleting, Some(patients[1].grant()));
        assert_eq!(store.delete_revoked().await, Ok(Progress::More));
        assert_eq!(store.sweep().deleting, Some(patients[2].grant()));
        // It lies before where the deleting is.
        patients[0].revoke(&store).await;
        while store.purge(NOW).await.unwrap() == Progress::More {}
        let found =
            store.read(|rows| next_step(rows, None, &HashSet::new()).map(|found| found.is_none())).await;
        assert_eq!(found, Ok(true));
        assert_eq!(deletions::unfinished(store.engine.as_ref()).unwrap().len(), 3);
    }
}
