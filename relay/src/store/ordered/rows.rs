//! Rows as they lie in the engine: small protobuf messages. Those of lanes are in `lane_row.rs`.
//! Ids inside them were checked when they were written; a row that does not read back is damage.

use bytes::Bytes;
use prost::Message;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{BundleHash, BundlePin, DepositPublicKey, GrantId, OrganizationId};

use crate::store::{BATCHES_REMEMBERED, DepositBatch, OrganizationState, Result, StoreError, Tombstone};

/// Reads a row; `kind` names it if it is damaged.
pub(super) fn decode<T: Message + Default>(kind: &'static str, value: Bytes) -> Result<T> {
    T::decode(value).map_err(|_| StoreError::Corrupt(kind))
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetaRow {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) incarnation: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HeadRow {
    #[prost(uint64, tag = "1")]
    pub(super) next: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GrantRow {
    #[prost(bytes = "bytes", tag = "1")]
    organization: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    deposit_key: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) stored_bytes_max: u64,
    #[prost(uint64, tag = "4")]
    pub(super) stored_bytes: u64,
    /// No envelope of the grant lies in its lane below this.
    #[prost(uint64, tag = "5")]
    pub(super) lowest_sequence: u64,
    #[prost(uint64, optional, tag = "6")]
    pub(super) revoked_ms: Option<u64>,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) ticket: Bytes,
}

impl GrantRow {
    pub(super) fn new(
        organization: &OrganizationId,
        key: &DepositPublicKey,
        ticket: &[u8],
        stored_bytes_max: u64,
    ) -> Self {
        Self {
            organization: Bytes::copy_from_slice(organization.as_bytes()),
            deposit_key: Bytes::copy_from_slice(key.as_bytes()),
            ticket: Bytes::copy_from_slice(ticket),
            stored_bytes_max,
            ..Self::default()
        }
    }

    pub(super) fn organization(&self) -> Result<OrganizationId> {
        OrganizationId::from_slice(&self.organization).map_err(|_| StoreError::Corrupt("grant"))
    }
}

/// Places that are gone although a lower one is not.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GoneRange {
    #[prost(uint64, tag = "1")]
    pub(super) first: u64,
    #[prost(uint64, tag = "2")]
    pub(super) end: u64,
}

/// A batch that was stored.
#[derive(Clone, PartialEq, Message)]
struct BatchMark {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(bytes = "bytes", tag = "2")]
    hash: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionRow {
    /// The next place.
    #[prost(uint64, tag = "1")]
    pub(super) next: u64,
    /// Of the last batch.
    #[prost(uint64, tag = "2")]
    batch_first: u64,
    /// Of the last batch.
    #[prost(bytes = "bytes", tag = "3")]
    batch_hash: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) key_id: Bytes,
    #[prost(uint64, tag = "5")]
    pub(super) used_ms: u64,
    #[prost(uint64, tag = "6")]
    pub(super) gone_below: u64,
    #[prost(message, repeated, tag = "7")]
    gone_above: Vec<GoneRange>,
    /// Batches before the last, newest first.
    #[prost(message, repeated, tag = "8")]
    earlier: Vec<BatchMark>,
}

/// Ranges of a session that are remembered out of order; beyond them `gone_below` lags, which only delays
/// a resend.
const GONE_RANGES_MAX: usize = 16;

impl SessionRow {
    /// Records that `batch` was stored.
    pub(super) fn remember(&mut self, batch: &DepositBatch) {
        if !self.batch_hash.is_empty() {
            self.earlier.insert(0, BatchMark { first: self.batch_first, hash: self.batch_hash.clone() });
            self.earlier.truncate(BATCHES_REMEMBERED - 1);
        }
        self.next = batch.end();
        self.batch_first = batch.first;
        self.batch_hash = Bytes::copy_from_slice(&batch.hash);
    }

    /// Whether this very batch is among the last [`BATCHES_REMEMBERED`].
    pub(super) fn remembers(&self, batch: &DepositBatch) -> bool {
        let last = (self.batch_first, &self.batch_hash);
        let earlier = self.earlier.iter().map(|mark| (mark.first, &mark.hash));
        earlier.chain([last]).any(|(first, hash)| first == batch.first && *hash == batch.hash[..])
    }

    /// Records that `place` was acknowledged or expired.
    pub(super) fn mark_gone(&mut self, place: u64) {
        if place < self.gone_below {
            return;
        }
        let end = place.saturating_add(1);
        let is_full = self.gone_above.len() >= GONE_RANGES_MAX && place != self.gone_below;
        match self.gone_above.iter_mut().find(|range| range.first <= place && place <= range.end) {
            Some(range) => range.end = range.end.max(end),
            None if is_full => return,
            None => {
                self.gone_above.push(GoneRange { first: place, end });
                self.gone_above.sort_by_key(|range| range.first);
            }
        }
        while let Some(range) = self.gone_above.first().filter(|range| range.first <= self.gone_below) {
            self.gone_below = self.gone_below.max(range.end);
            self.gone_above.remove(0);
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReplyRow {
    #[prost(uint64, tag = "1")]
    pub(super) counter: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) reply: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TicketRow {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) deposit_key: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TombstoneRow {
    #[prost(message, optional, tag = "1")]
    pub(super) revocation: Option<wire::Revocation>,
    #[prost(message, optional, tag = "2")]
    pub(super) confirmation: Option<wire::Signed>,
}

impl TombstoneRow {
    pub(super) fn of(self, grant: GrantId) -> Tombstone {
        Tombstone { grant, revocation: self.revocation, confirmation: self.confirmation }
    }
}

/// The lane in which a revoked grant's envelopes are still to be deleted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeletionRow {
    #[prost(bytes = "bytes", tag = "1")]
    organization: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) next: u64,
    #[prost(uint64, tag = "4")]
    pub(super) end: u64,
    /// The lowest sequence at which something damaged was left that may be the grant's.
    #[prost(uint64, optional, tag = "5")]
    damaged: Option<u64>,
    /// The engine's files hold nothing any more of what was deleted.
    #[prost(bool, tag = "6")]
    pub(super) is_reclaimed: bool,
}

impl DeletionRow {
    pub(super) fn new(organization: &OrganizationId, next: u64, end: u64) -> Self {
        Self { organization: Bytes::copy_from_slice(organization.as_bytes()), next, end, ..Self::default() }
    }

    pub(super) fn organization(&self) -> Result<OrganizationId> {
        OrganizationId::from_slice(&self.organization)
            .map_err(|_| StoreError::Corrupt("deletion in progress"))
    }

    /// Nothing is left in the lane; the engine's files may still hold the bytes.
    pub(super) fn is_deleted(&self) -> bool {
        self.is_at_end() && self.damaged.is_none()
    }

    /// All of the lane was looked through.
    pub(super) fn is_at_end(&self) -> bool {
        self.next >= self.end
    }

    /// Whether the engine's files have to be rewritten for it.
    pub(super) fn awaits_reclaim(&self) -> bool {
        self.is_at_end() && !self.is_reclaimed
    }

    /// Leaves what lies at `sequence` for the next round.
    pub(super) fn pass_over(&mut self, sequence: u64) {
        self.damaged.get_or_insert(sequence);
    }

    /// After the end, goes back to what was left.
    pub(super) fn begin_again(&mut self) {
        if self.is_at_end() {
            self.next = self.damaged.take().unwrap_or(self.next);
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EpochRow {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key_id: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) encrypt_until_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OrganizationRow {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(enumeration = "wire::OrganizationState", tag = "2")]
    decision: i32,
    #[prost(string, tag = "3")]
    pub(super) oauth_jwk: String,
    #[prost(uint64, tag = "4")]
    pub(super) registered_ms: u64,
    #[prost(uint64, tag = "5")]
    pub(super) bundle_expires_ms: u64,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) root_fingerprint: Bytes,
    #[prost(uint32, tag = "7")]
    delegation: u32,
    #[prost(uint64, tag = "8")]
    serial: u64,
    #[prost(bytes = "bytes", tag = "9")]
    bundle_hash: Bytes,
    #[prost(message, repeated, tag = "10")]
    pub(super) epochs: Vec<EpochRow>,
    /// First approval, if ever.
    #[prost(uint64, optional, tag = "11")]
    pub(super) approved_ms: Option<u64>,
    /// Newest root of the chain.
    #[prost(uint32, tag = "12")]
    root: u32,
    /// When the OAuth key was signed.
    #[prost(uint64, tag = "13")]
    pub(super) oauth_created_ms: u64,
    /// SHA-256 of each record of the chain; empty in a row from before they were kept.
    #[prost(bytes = "bytes", repeated, tag = "14")]
    chain: Vec<Bytes>,
    /// Lowest delegation honoured.
    #[prost(uint32, tag = "15")]
    lowest_honoured: u32,
}

impl OrganizationRow {
    /// The newest bundle that was seen.
    pub(super) fn pin(&self) -> Result<BundlePin> {
        let corrupt = StoreError::Corrupt("organization");
        let chain = self.chain.iter().map(|hash| <[u8; 32]>::try_from(&hash[..]).map_err(|_| corrupt));
        Ok(BundlePin {
            root: self.root,
            chain: chain.collect::<Result<_>>()?,
            delegation: self.delegation,
            lowest_honoured: self.lowest_honoured,
            serial: self.serial,
            hash: BundleHash::from_slice(&self.bundle_hash).map_err(|_| corrupt)?,
        })
    }

    /// Keeps what was seen.
    pub(super) fn set_pin(&mut self, pin: &BundlePin) {
        self.root = pin.root;
        self.chain = pin.chain.iter().map(|hash| Bytes::copy_from_slice(hash)).collect();
        (self.delegation, self.lowest_honoured) = (pin.delegation, pin.lowest_honoured);
        self.serial = pin.serial;
        self.bundle_hash = Bytes::copy_from_slice(pin.hash.as_bytes());
    }

    pub(super) fn state(&self) -> Result<OrganizationState> {
        match wire::OrganizationState::try_from(self.decision) {
            Ok(wire::OrganizationState::Pending) => Ok(OrganizationState::Pending),
            Ok(wire::OrganizationState::Approved) => Ok(OrganizationState::Approved),
            Ok(wire::OrganizationState::Suspended) => Ok(OrganizationState::Suspended),
            _ => Err(StoreError::Corrupt("organization")),
        }
    }

    pub(super) fn decide(&mut self, state: OrganizationState) {
        let state = match state {
            OrganizationState::Pending => wire::OrganizationState::Pending,
            OrganizationState::Approved => wire::OrganizationState::Approved,
            OrganizationState::Suspended => wire::OrganizationState::Suspended,
        };
        self.decision = state.into();
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleRow {
    #[prost(message, required, tag = "1")]
    pub(super) bundle: wire::Signed,
    #[prost(uint64, tag = "2")]
    pub(super) put_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_gone_out_of_order_are_joined() {
        let mut session = SessionRow::default();
        for place in [2, 1, 4] {
            session.mark_gone(place);
        }
        assert_eq!(session.gone_below, 0);
        session.mark_gone(0);
        assert_eq!(session.gone_below, 3);
        session.mark_gone(3);
        assert_eq!((session.gone_below, session.gone_above.len()), (5, 0));
    }

    #[test]
    fn ranges_out_of_order_are_bounded() {
        let mut session = SessionRow::default();
        (1..1_000).for_each(|n| session.mark_gone(n * 2));
        assert!(session.gone_above.len() <= GONE_RANGES_MAX);
        session.mark_gone(0);
        session.mark_gone(1);
        assert_eq!(session.gone_below, 3);
    }
}
