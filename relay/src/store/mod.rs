//! What the relay keeps: mailboxes of sealed envelopes, and the registry of organizations.
//!
//! Lives here: the two traits ([`Mailboxes`], [`Registry`]) in the domain's verbs, their types, the
//! embedded engines (`ordered`) and the conformance list that every engine runs. Each verb is atomic: after
//! success it survives a power cut, after [`StoreError::Unavailable`] it was done or not, never in part.
//!
//! Not here: who may call what (`auth`, `api`), and when sweeps run (`retention`).

mod backup;
pub mod batch;
#[cfg(any(test, feature = "test-util"))]
#[allow(clippy::unwrap_used, reason = "these are tests, also where another crate runs them")]
pub mod conformance;
pub mod embedded;
pub mod error;
pub mod ordered;
pub mod types;

use std::path::Path;

use async_trait::async_trait;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{Domain, GrantId, Incarnation, OrganizationId, Revocation, SessionId, Timestamp};
use tokio::sync::watch;

pub use batch::{BatchError, DepositBatch};
pub use error::{BackupError, Result, StoreError};
pub use types::{
    AcceptOutcome, Acceptance, BackedUp, Deposited, FetchOutcome, GrantReport, LaneArrivals, LanePlace,
    OrganizationRecord, OrganizationState, Page, PageItem, PageLimit, Progress, PutBundleOutcome, Reclaimed,
    RegisterOutcome, Registrant, ReplyOutcome, ReplySlot, SequenceRange, SessionReport, Tombstone,
};

use types::DepositorKey;

/// Lanes of a mailbox. A grant always uses one of them.
pub const LANES: u8 = 16;
/// Sessions of a grant that are open; the longest idle is closed for the next.
pub const SESSIONS_MAX: usize = 64;
/// Last batches of a session that are known again: as many as may go unanswered on a deposit stream.
pub const BATCHES_REMEMBERED: usize = 4;
/// Retention of an envelope from its deposit, acknowledged or not.
pub const ENVELOPE_RETENTION: std::time::Duration = days(13);
/// How long a session is remembered after its last use, and replies after a revocation.
pub const SESSION_RETENTION: std::time::Duration = days(30);
/// How long after its `encrypt_until` an epoch key still takes inits.
pub const EPOCH_GRACE: std::time::Duration = std::time::Duration::from_hours(1);

const fn days(days: u64) -> std::time::Duration {
    std::time::Duration::from_hours(days * 24)
}

/// Mailboxes: grants, their envelopes, replies and revocations.
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// This life of the store. Cursors of another are worth nothing here.
    fn incarnation(&self) -> Incarnation;

    /// Spends a ticket for a deposit key and opens the grant. The same ticket with the same key is
    /// accepted again; nothing changes then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown organization; else `Unavailable`, `Corrupt`.
    async fn accept_invitation(&self, acceptance: Acceptance, now: Timestamp) -> Result<AcceptOutcome>;

    /// Stores a batch whole in its grant's lane, or not at all; decides by the session's state alone
    /// whether it is new. Linearizable with [`Self::revoke_grant`] and suspension.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a key without a grant; else `Unavailable` (nothing is answered as
    /// stored before it is durable), `Corrupt`.
    async fn deposit(&self, key: DepositorKey, batch: DepositBatch, now: Timestamp) -> Result<Deposited>;

    /// The lane's next items in order. A reader sees no sequence before all lower ones are decided, and
    /// nothing of a revoked grant. Damage ends the page, and the call if it comes
    /// first; it is never skipped.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown organization; else `Unavailable`, `Corrupt`.
    async fn fetch_after(&self, place: LanePlace, limit: PageLimit) -> Result<FetchOutcome>;

    /// Whether `page` may be handed to a transport at this instant: no grant has been revoked and no
    /// organization suspended since its read began. Else it is to be read again.
    fn is_current(&self, page: &Page) -> bool;

    /// Deletes what the organization acknowledges and moves its sessions' `gone` marks. Long ranges are
    /// done in steps, each atomic. What is not there is ignored.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`; earlier steps stay done.
    async fn acknowledge(&self, organization: OrganizationId, ranges: Vec<SequenceRange>) -> Result<()>;

    /// Fills a session's reply slot if the counter is higher than the one there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a grant that is not the organization's or a session never seen.
    async fn put_reply(
        &self,
        organization: OrganizationId,
        grant: GrantId,
        reply: ReplySlot,
        now: Timestamp,
    ) -> Result<ReplyOutcome>;

    /// The reply slots of `sessions`, or all of the grant if none is named. They outlive a revocation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a key without a grant; else `Unavailable`, `Corrupt`.
    async fn fetch_replies(&self, key: DepositorKey, sessions: Vec<SessionId>) -> Result<Vec<ReplySlot>>;

    /// What the relay knows of the grant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a key without a grant; else `Unavailable`, `Corrupt`.
    async fn grant_status(&self, key: DepositorKey) -> Result<GrantReport>;

    /// Closes the grant for ever and puts the revocation in its lane. Once it returns nothing of the grant
    /// is accepted, and no page with something of it is current. The ciphertext is deleted in the
    /// following steps of [`Self::purge`], which survive a crash. Repeating it changes nothing. Works
    /// while the organization is suspended, and while deposits are refused for want of room.
    ///
    /// Returns the tombstone, with the organization's confirmation once that is there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a grant that was never accepted here; else `Unavailable`, `Corrupt`.
    async fn revoke_grant(&self, revocation: Revocation, now: Timestamp) -> Result<Tombstone>;

    /// Keeps the organization's verified word beside the tombstone; the newest stays. A grant that is still
    /// open is closed by it as [`Self::revoke_grant`] does: the organization has destroyed what it held.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a grant that is not the organization's; else `Unavailable`, `Corrupt`.
    async fn confirm_revocation(
        &self,
        organization: OrganizationId,
        grant: GrantId,
        confirmation: wire::Signed,
        now: Timestamp,
    ) -> Result<()>;

    /// The organization's tombstones in order of grant id, and whether there are more; also of grants that only
    /// its own word has closed.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn list_revoked(
        &self,
        organization: OrganizationId,
        after: Option<GrantId>,
        items_max: usize,
    ) -> Result<(Vec<Tombstone>, Progress)>;

    /// One bounded step of deleting: first what was revoked, then envelopes, sessions, replies, spent tickets
    /// and organizations never approved, past their time. Call until [`Progress::Done`].
    ///
    /// # Errors
    /// `Unavailable`; earlier steps stay done. `Corrupt` ends a round in which damage was passed over:
    /// everything else was done.
    async fn purge(&self, now: Timestamp) -> Result<Progress>;

    /// Gives the bytes of deleted envelopes back to the disk, if anything was revoked since the last time;
    /// returns when they are gone from the engine's files. Costs a rewrite of what is stored, and is left for
    /// another time while the disk has no room for that, or a reader is slow: neither is a reason to fail.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn reclaim(&self) -> Result<Reclaimed>;

    /// Changes whenever something may have arrived for the organization. A hint, never the truth.
    fn arrivals(&self, organization: OrganizationId) -> watch::Receiver<LaneArrivals>;

    /// Whether the store works.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] once it failed.
    fn check(&self) -> Result<()>;
}

/// Organizations and their bundles.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Lists an organization as pending, or renews its keys if it is known. A domain belongs to the first
    /// organization that asks; one never approved gives way after 7 days or once suspended, and is forgotten
    /// by [`Mailboxes::purge`]. At most 1,000 wait for their first approval.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn register(&self, registrant: Registrant, now: Timestamp) -> Result<RegisterOutcome>;

    /// Puts a newer bundle; its epochs are remembered as long as inits sealed to them may come.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown organization; else `Unavailable`, `Corrupt`.
    async fn put_bundle(&self, registrant: Registrant, now: Timestamp) -> Result<PutBundleOutcome>;

    /// The newest bundle, and when it was put.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown organization; else `Unavailable`, `Corrupt`.
    async fn bundle(&self, organization: OrganizationId) -> Result<(wire::Signed, Timestamp)>;

    /// What is known of an organization.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown organization; else `Unavailable`, `Corrupt`.
    async fn organization(&self, organization: OrganizationId) -> Result<OrganizationRecord>;

    /// All organizations, in order of id. An operator approves each, so there are thousands at most.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn organizations(&self) -> Result<Vec<OrganizationRecord>>;

    /// Approves or suspends the organization of `domain`. Once a suspension returns nothing is accepted
    /// for it and no page of it is current.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a domain that nobody registered; else `Unavailable`, `Corrupt`.
    async fn decide(&self, domain: Domain, state: OrganizationState) -> Result<()>;
}

/// What an operator keeps in case the disk is lost.
pub trait Backup: Send + Sync {
    /// Writes organizations, grants, spent tickets and tombstones with their confirmations to a new `file`, all
    /// as of one commit. Envelopes, sessions and replies are not in it: no ciphertext leaves the store. A file
    /// of that name is never replaced. Blocks; the store goes on meanwhile.
    ///
    /// # Errors
    /// As [`BackupError`]; a damaged row is named and ends it. `Unavailable` also if too much was changed meanwhile.
    fn back_up(&self, file: &Path) -> Result<BackedUp, BackupError>;
}

/// A store keeps both, and lets its operator keep what cannot be sent again.
pub trait Store: Mailboxes + Registry + Backup + 'static {}

impl<T: Mailboxes + Registry + Backup + 'static> Store for T {}
