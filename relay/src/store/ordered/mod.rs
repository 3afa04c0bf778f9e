//! The ordered-key layer: both store traits over any engine that is an ordered map ([`engine::OrderedKeys`]).
//!
//! Lives here: key layout, rows, group commit, the failed latch, and the verbs, one file per noun. Writes
//! go through the committer one after another, so lanes have no gaps that may still fill; reads see what is
//! committed. An engine is a thin adapter and knows nothing of this (`fjall`, `sled`).

mod backup;
mod committer;
mod deletions;
pub mod engine;
mod fjall;
mod gate;
mod grants;
mod lane_row;
mod lanes;
mod layout;
mod organizations;
mod reads;
mod replies;
mod retention;
mod revocations;
mod room;
mod rows;
#[cfg(feature = "sled")]
mod sled;
#[cfg(test)]
mod tests;
mod transaction;
mod value;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{Domain, GrantId, Incarnation, OrganizationId, Revocation, SessionId, Timestamp};
use tokio::{sync::watch, task::spawn_blocking};

pub(super) use self::backup::{restore, verify};
#[cfg(feature = "sled")]
pub use self::sled::SledKeys;
#[cfg(test)]
pub(super) use self::value::checked;
use self::{
    committer::{Committer, FailedLatch},
    engine::{OrderedKeys, Space},
    gate::Gate,
    reads::{Committed, Rows as _},
    room::Room,
    rows::MetaRow,
    transaction::Transaction,
};
pub use self::{fjall::FjallKeys, room::FREE_BYTES_MIN};
use super::{
    AcceptOutcome, Acceptance, DepositBatch, Deposited, FetchOutcome, GrantReport, LANES, LaneArrivals,
    LanePlace, Mailboxes, OrganizationRecord, OrganizationState, Page, PageLimit, Progress, PutBundleOutcome,
    Reclaimed, RegisterOutcome, Registrant, Registry, ReplyOutcome, ReplySlot, Result, SequenceRange,
    StoreError, Tombstone, types::DepositorKey,
};

/// Bytes that a small operation adds to a batch, about.
const SMALL: usize = 512;

/// A store over one engine.
pub struct OrderedStore {
    engine: Arc<dyn OrderedKeys>,
    committer: Committer,
    failed: FailedLatch,
    gate: Arc<Gate>,
    room: Room,
    sweep: Mutex<retention::Sweep>,
    incarnation: Incarnation,
}

impl OrderedStore {
    /// Opens the store in `engine`, or creates it as `incarnation`, a fresh random id. Deposits stop while
    /// less than `free_bytes_min` is free on the engine's disk. Deletions that a crash interrupted go on
    /// with the next [`Mailboxes::purge`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the engine cannot write, [`StoreError::Corrupt`] for damage,
    /// [`StoreError::Conflict`] for a store of another format.
    pub fn open(engine: Arc<dyn OrderedKeys>, incarnation: Incarnation, free_bytes_min: u64) -> Result<Self> {
        let incarnation = claim(engine.as_ref(), incarnation)?;
        let gate = Arc::new(Gate::default());
        for grant in deletions::unfinished(engine.as_ref())? {
            gate.hide(grant);
        }
        let failed = FailedLatch::default();
        Ok(Self {
            committer: Committer::start(engine.clone(), failed.clone())?,
            engine,
            failed,
            gate,
            room: Room::new(free_bytes_min),
            sweep: Mutex::default(),
            incarnation,
        })
    }

    /// Runs `read` on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Committed<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.failed.check()?;
        let engine = self.engine.clone();
        let done = spawn_blocking(move || read(&mut Committed(engine.as_ref()))).await;
        done.unwrap_or(Err(StoreError::Unavailable))
    }

    /// Runs `work` in the next batch.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.committer.submit(SMALL, work).await
    }
}

/// The incarnation of what lies in `engine`, written and synced again: what a failed sync left behind is
/// durable before anything is answered from it.
fn claim(engine: &dyn OrderedKeys, incarnation: Incarnation) -> Result<Incarnation> {
    let unavailable = |_| StoreError::Unavailable;
    let meta: Option<MetaRow> = Committed(engine).row(layout::META)?;
    let meta = meta.unwrap_or_else(|| MetaRow {
        format: layout::FORMAT,
        incarnation: Bytes::copy_from_slice(incarnation.as_bytes()),
    });
    if meta.format != layout::FORMAT {
        return Err(StoreError::Conflict);
    }
    let mut transaction = Transaction::new(engine);
    transaction.put(Space::Rows, layout::META.to_vec(), meta.encode_to_vec());
    let (changes, _, _) = transaction.finish();
    engine.commit(changes).map_err(unavailable)?;
    engine.sync().map_err(unavailable)?;
    Incarnation::from_slice(&meta.incarnation).map_err(|_| StoreError::Corrupt("store header"))
}

/// The lane that a grant always uses. Grant ids are hashes: any byte is as good as another.
fn lane_of(grant: &GrantId) -> u8 {
    grant.as_bytes()[31] % LANES
}

#[async_trait]
impl Mailboxes for OrderedStore {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    async fn accept_invitation(&self, acceptance: Acceptance, now: Timestamp) -> Result<AcceptOutcome> {
        self.room.check(self.engine.folder())?;
        self.write(move |t| grants::accept_invitation(t, &acceptance, now)).await
    }

    async fn deposit(&self, key: DepositorKey, batch: DepositBatch, now: Timestamp) -> Result<Deposited> {
        self.room.check(self.engine.folder())?;
        // A stranger's batch costs a read, and neither room in the queue nor the committer's time.
        let (id, grant) = self.read(move |rows| rows.grant_of(&key)).await?;
        if grant.revoked_ms.is_some() {
            return Ok(Deposited::GrantRevoked);
        }
        let gate = self.gate.clone();
        let bytes = batch.bytes;
        self.committer.submit(bytes, move |t| lanes::deposit(t, &gate, id, batch, now)).await
    }

    async fn fetch_after(&self, place: LanePlace, limit: PageLimit) -> Result<FetchOutcome> {
        let gate = self.gate.clone();
        self.read(move |rows| lanes::fetch_after(rows, &gate, place, limit)).await
    }

    fn is_current(&self, page: &Page) -> bool {
        page.mark == self.gate.mark()
    }

    async fn acknowledge(&self, organization: OrganizationId, ranges: Vec<SequenceRange>) -> Result<()> {
        for range in ranges {
            let mut rest = Some(range);
            while let Some(range) = rest {
                rest = self.write(move |t| lanes::acknowledge(t, &organization, &range)).await?;
            }
        }
        Ok(())
    }

    async fn put_reply(
        &self,
        organization: OrganizationId,
        grant: GrantId,
        reply: ReplySlot,
        now: Timestamp,
    ) -> Result<ReplyOutcome> {
        self.write(move |t| replies::put_reply(t, &organization, &grant, reply, now)).await
    }

    async fn fetch_replies(&self, key: DepositorKey, sessions: Vec<SessionId>) -> Result<Vec<ReplySlot>> {
        self.read(move |rows| replies::fetch_replies(rows, &key, &sessions)).await
    }

    async fn grant_status(&self, key: DepositorKey) -> Result<GrantReport> {
        self.read(move |rows| grants::grant_status(rows, &key)).await
    }

    async fn revoke_grant(&self, revocation: Revocation, now: Timestamp) -> Result<Tombstone> {
        let gate = self.gate.clone();
        self.write(move |t| revocations::revoke_grant(t, &gate, &revocation, now)).await
    }

    async fn confirm_revocation(
        &self,
        organization: OrganizationId,
        grant: GrantId,
        confirmation: wire::Signed,
        now: Timestamp,
    ) -> Result<()> {
        let gate = self.gate.clone();
        let confirm = move |t: &mut Transaction<'_>| {
            revocations::confirm_revocation(t, &gate, &organization, &grant, confirmation, now)
        };
        self.write(confirm).await
    }

    async fn list_revoked(
        &self,
        organization: OrganizationId,
        after: Option<GrantId>,
        items_max: usize,
    ) -> Result<(Vec<Tombstone>, Progress)> {
        self.read(move |rows| revocations::list_revoked(rows, &organization, after, items_max)).await
    }

    async fn purge(&self, now: Timestamp) -> Result<Progress> {
        self.purge_step(now).await
    }

    async fn reclaim(&self) -> Result<Reclaimed> {
        self.reclaim_deleted().await
    }

    fn arrivals(&self, organization: OrganizationId) -> watch::Receiver<LaneArrivals> {
        self.gate.subscribe(organization)
    }

    fn check(&self) -> Result<()> {
        self.failed.check()
    }
}

#[async_trait]
impl Registry for OrderedStore {
    async fn register(&self, registrant: Registrant, now: Timestamp) -> Result<RegisterOutcome> {
        self.room.check(self.engine.folder())?;
        self.write(move |t| organizations::register(t, &registrant, now)).await
    }

    async fn put_bundle(&self, registrant: Registrant, now: Timestamp) -> Result<PutBundleOutcome> {
        self.write(move |t| organizations::put_bundle(t, &registrant, now)).await
    }

    async fn bundle(&self, organization: OrganizationId) -> Result<(wire::Signed, Timestamp)> {
        self.read(move |rows| organizations::bundle(rows, &organization)).await
    }

    async fn organization(&self, organization: OrganizationId) -> Result<OrganizationRecord> {
        self.read(move |rows| {
            let row = rows.organization(&organization)?;
            organizations::record(organization, &row)
        })
        .await
    }

    async fn organizations(&self) -> Result<Vec<OrganizationRecord>> {
        self.read(organizations::list).await
    }

    async fn decide(&self, domain: Domain, state: OrganizationState) -> Result<()> {
        let gate = self.gate.clone();
        self.write(move |t| organizations::decide(t, &gate, &domain, state)).await
    }
}
