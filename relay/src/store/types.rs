//! What goes into a store and what it answers. Plain data; the rules are at the traits' verbs.

use std::ops::RangeInclusive;

use bytes::Bytes;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    BundlePin, DepositPublicKey, Domain, GrantId, KeyId, OrganizationId, SessionId, TicketId, Timestamp,
};

/// The key by which a patient's grant is found; one key has exactly one grant.
pub type DepositorKey = DepositPublicKey;

/// A verified ticket in the hand of a deposit key.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Whose ticket it is.
    pub organization: OrganizationId,
    /// Spent with this.
    pub ticket: TicketId,
    /// Until when the spent id is kept.
    pub ticket_expires: Timestamp,
    /// What the grant may hold, bytes.
    pub stored_bytes_max: u64,
    /// Who spends it.
    pub key: DepositorKey,
}

/// What became of a ticket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AcceptOutcome {
    /// The grant is open, now or since before.
    Accepted,
    /// Another key spent it, or this key's grant came from another ticket.
    Spent,
    /// The grant of this key was revoked.
    Revoked,
    /// The organization is not approved.
    NotApproved,
}

/// What became of a batch; always the same for all of its envelopes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deposited {
    /// Stored now.
    Stored,
    /// This very batch was stored before, and at most three after it.
    Already,
    /// Other bytes were stored under these numbers, or it was too long ago to tell.
    Conflict,
    /// Above the session's next number.
    OutOfOrder,
    /// Not an init, and the session is not known.
    UnknownSession,
    /// The init is sealed to an epoch key that no longer takes inits, or that was never put here.
    EpochClosed,
    /// The grant is revoked.
    GrantRevoked,
    /// The grant holds all that its ticket allows.
    GrantFull,
    /// The organization is not approved.
    NotApproved,
}

/// A place in a lane: everything up to and including `after` was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LanePlace {
    /// Whose mailbox.
    pub organization: OrganizationId,
    /// Below [`super::LANES`].
    pub lane: u8,
    /// 0 is the beginning; a place beyond the head is the beginning too.
    pub after: u64,
}

/// Where a page ends. At least one item is read, if there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageLimit {
    /// Items.
    pub items_max: usize,
    /// Bytes of envelopes.
    pub bytes_max: usize,
}

/// What lies in a lane.
#[derive(Clone, Debug, PartialEq)]
pub enum PageItem {
    /// A sealed envelope.
    Envelope {
        /// Its place.
        sequence: u64,
        /// The grant that it was deposited for.
        grant: GrantId,
        /// As it came.
        envelope: Bytes,
    },
    /// The patient's stop.
    Revocation {
        /// Its place.
        sequence: u64,
        /// The grant that ended.
        grant: GrantId,
        /// As it came.
        revocation: wire::Revocation,
    },
}

/// Some of a lane's items, as of one instant.
#[derive(Clone, Debug)]
pub struct Page {
    /// In order.
    pub items: Vec<PageItem>,
    /// The place after the last item, or where the read ended if all were hidden.
    pub after: u64,
    /// Whether the lane had more at that instant.
    pub more: Progress,
    /// When the read began, on the store's own scale.
    pub(crate) mark: u64,
}

/// What a fetch finds.
#[derive(Clone, Debug)]
pub enum FetchOutcome {
    /// Items, maybe none.
    Page(Page),
    /// The organization is not approved.
    NotApproved,
}

/// Whether there is more to do or read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Nothing left.
    Done,
    /// More.
    More,
}

/// What became of deleted bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reclaimed {
    /// Nothing was deleted since the last time.
    Nothing,
    /// They are gone from the engine's files.
    Gone,
    /// Too little of the disk is free for the rewriting: they are deleted, and leave the disk another time.
    NoRoom,
    /// Something that reads for long keeps them there, or the rewriting ran out of room and was given up: they are
    /// deleted, and leave the disk another time.
    InUse,
}

/// Sequences of one lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SequenceRange {
    /// Below [`super::LANES`].
    pub lane: u8,
    /// Both ends.
    pub sequences: RangeInclusive<u64>,
}

/// A session's sealed reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplySlot {
    /// Which session it answers.
    pub session: SessionId,
    /// The highest wins.
    pub counter: u64,
    /// Kind 3 envelope.
    pub reply: Bytes,
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplyOutcome {
    /// It is in the slot.
    Stored,
    /// A reply with this counter or a higher one is there.
    Older,
}

/// What the relay knows of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionReport {
    /// Which.
    pub session: SessionId,
    /// Place of the next envelope: 0 is the init, counter c is place c + 1.
    pub next: u64,
    /// All places below were acknowledged or expired.
    pub gone_below: u64,
}

/// What the relay knows of a grant.
#[derive(Clone, Debug)]
pub struct GrantReport {
    /// Whose mailbox it feeds.
    pub organization: OrganizationId,
    /// Bytes that lie undelivered.
    pub stored_bytes: u64,
    /// Those that are remembered.
    pub sessions: Vec<SessionReport>,
    /// Once revoked.
    pub tombstone: Option<Tombstone>,
}

/// What stays of a closed grant, for ever: at least one of the two words.
#[derive(Clone, Debug, PartialEq)]
pub struct Tombstone {
    /// Which grant.
    pub grant: GrantId,
    /// The patient's signed stop; none if the organization ended a lapsed grant by its own word.
    pub revocation: Option<wire::Revocation>,
    /// The organization's signed word, once there.
    pub confirmation: Option<wire::Signed>,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BackedUp {
    /// Organizations, with their bundles.
    pub organizations: u64,
    /// Grants, closed ones too.
    pub grants: u64,
    /// Closed grants.
    pub tombstones: u64,
}

/// An organization's verified keys, as registered or put.
#[derive(Clone, Debug)]
pub struct Registrant {
    /// Which.
    pub organization: OrganizationId,
    /// Where it serves its bundle.
    pub domain: Domain,
    /// Public JWK of its OAuth key; none leaves the one that is there.
    pub oauth_jwk: Option<String>,
    /// When it was signed as the key of its organization; an older one does not replace a newer.
    pub oauth_created: Timestamp,
    /// The bundle's bytes.
    pub bundle: wire::Signed,
    /// Its number, serial and hash.
    pub pin: BundlePin,
    /// When it expires.
    pub bundle_expires: Timestamp,
    /// Epoch keys and the end of their sealing.
    pub epochs: Vec<(KeyId, Timestamp)>,
    /// SHA-256 of the first root, for people to compare.
    pub root_fingerprint: [u8; 32],
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegisterOutcome {
    /// Listed, in this state.
    Listed(OrganizationState),
    /// Another organization has the domain.
    DomainTaken,
    /// An older bundle than the one that is there, or a contradiction of it.
    Stale,
    /// As many organizations wait for their first approval as may.
    Full,
}

/// What became of a bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PutBundleOutcome {
    /// It is the newest, now or since before.
    Stored,
    /// An older one than is there, or a contradiction of it.
    Stale,
}

/// The operator's word on an organization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OrganizationState {
    /// None yet.
    Pending,
    /// Deposits and delivery.
    Approved,
    /// Neither; revocations and status go on.
    Suspended,
}

/// What is known of an organization.
#[derive(Clone, Debug)]
pub struct OrganizationRecord {
    /// Which.
    pub organization: OrganizationId,
    /// Where it serves its bundle.
    pub domain: Domain,
    /// The operator's word.
    pub state: OrganizationState,
    /// Public JWK of its OAuth key.
    pub oauth_jwk: String,
    /// First seen.
    pub registered: Timestamp,
    /// When its newest bundle expires.
    pub bundle_expires: Timestamp,
    /// SHA-256 of the first root.
    pub root_fingerprint: [u8; 32],
}

/// Counts, for each lane, of the times that something may have arrived. Only whether one changed matters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LaneArrivals([u64; super::LANES as usize]);

impl LaneArrivals {
    /// Something may have arrived in `lane`.
    pub fn count(&mut self, lane: u8) {
        let lane = &mut self.0[usize::from(lane % super::LANES)];
        *lane = lane.wrapping_add(1);
    }

    /// The lanes whose count differs from `before`.
    pub fn changed_since(&self, before: &Self) -> impl Iterator<Item = u8> {
        let changed = self.0.into_iter().zip(before.0).map(|(now, then)| now != then);
        (0..super::LANES).zip(changed).filter_map(|(lane, changed)| changed.then_some(lane))
    }
}
