//! What a relay hands to an organization: batches of items in the order of their lane. Bytes and unverified
//! objects only.

use bytes::Bytes;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{GrantId, Incarnation, UnverifiedConfirmation, UnverifiedRevocation};

use crate::error::{Result, TransportError};

/// A place in a lane, given back by the relay: everything up to it was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    /// Which lane.
    pub lane: u32,
    /// The last sequence that was read.
    pub sequence: u64,
    /// Of the relay's store; a cursor of another life starts at the beginning.
    pub incarnation: Incarnation,
}

/// Sequences of a lane, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LaneRange {
    /// Which lane.
    pub lane: u32,
    /// The first sequence.
    pub first: u64,
    /// The last sequence.
    pub last: u64,
}

/// Items of one lane.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which lane.
    pub lane: u32,
    /// In rising order of sequence.
    pub items: Vec<Item>,
    /// After the last item, if the relay gave one.
    pub cursor: Option<Cursor>,
}

/// One thing in a lane.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its number in the lane.
    pub sequence: u64,
    /// The grant, as the relay names it.
    pub grant: GrantId,
    /// What it is.
    pub content: Content,
}

/// What an item is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A session init or data envelope, as it was deposited.
    Envelope(Bytes),
    /// The patient's stop.
    Revocation(UnverifiedRevocation),
}

/// One page of one lane.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its items.
    pub batch: Batch,
    /// Lanes that the mailbox has.
    pub lanes: u32,
}

/// One page of tombstones.
#[derive(Clone, Debug)]
pub struct RevokedPage {
    /// In the order of grant ids.
    pub revocations: Vec<UnverifiedRevocation>,
    /// The organization's own words, for grants that nobody else has closed.
    pub confirmations: Vec<UnverifiedConfirmation>,
    /// After which grant the next page begins; none after the last page.
    pub next: Option<GrantId>,
}

impl Cursor {
    pub(crate) fn to_wire(self) -> wire::Cursor {
        let incarnation = Bytes::copy_from_slice(self.incarnation.as_bytes());
        wire::Cursor { lane: self.lane, sequence: self.sequence, incarnation }
    }

    fn from_wire(wire: &wire::Cursor) -> Option<Self> {
        let incarnation = Incarnation::from_slice(&wire.incarnation).ok()?;
        Some(Self { lane: wire.lane, sequence: wire.sequence, incarnation })
    }
}

impl LaneRange {
    pub(crate) fn to_wire(self) -> wire::AcknowledgedRange {
        wire::AcknowledgedRange { lane: self.lane, first: self.first, last: self.last }
    }
}

impl RevokedPage {
    pub(crate) fn from_wire(wire: wire::ListRevokedResponse) -> Result<Self> {
        let malformed = TransportError::Response("list of revocations");
        let next = wire.more.then(|| GrantId::from_slice(&wire.last)).transpose();
        let confirmations = wire.confirmations.into_iter().map(UnverifiedConfirmation::new);
        Ok(Self {
            revocations: wire.revocations.into_iter().map(UnverifiedRevocation::new).collect(),
            confirmations: confirmations.collect::<Result<_, _>>().map_err(|_| malformed)?,
            next: next.map_err(|_| malformed)?,
        })
    }
}

impl Batch {
    pub(crate) fn from_wire(wire: wire::Batch) -> Result<Self> {
        let malformed = TransportError::Response("batch");
        let cursor = match &wire.cursor {
            Some(cursor) => Some(Cursor::from_wire(cursor).ok_or(malformed)?),
            None => None,
        };
        let items =
            wire.items.into_iter().map(Item::from_wire).collect::<Option<Vec<_>>>().ok_or(malformed)?;
        let rises = items.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
        let is_of_lane = cursor.is_none_or(|cursor| cursor.lane == wire.lane);
        if rises && is_of_lane { Ok(Self { lane: wire.lane, items, cursor }) } else { Err(malformed) }
    }
}

impl Item {
    fn from_wire(wire: wire::Item) -> Option<Self> {
        let content = match wire.content? {
            wire::item::Content::Envelope(envelope) => Content::Envelope(envelope),
            wire::item::Content::Revocation(stop) => Content::Revocation(UnverifiedRevocation::new(stop)),
        };
        Some(Self { sequence: wire.sequence, grant: GrantId::from_slice(&wire.grant_id).ok()?, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sequence: u64) -> wire::Item {
        let content = Some(wire::item::Content::Envelope(Bytes::from_static(b"x")));
        wire::Item { sequence, grant_id: Bytes::from_static(&[1; 32]), content }
    }

    #[test]
    fn batches_that_are_not_in_order_are_refused() {
        let batch = |items, cursor| Batch::from_wire(wire::Batch { lane: 3, items, cursor });
        assert!(batch(vec![item(1), item(4)], None).is_ok());
        assert!(batch(vec![item(4), item(4)], None).is_err());
        let cursor =
            |lane| Some(wire::Cursor { lane, sequence: 4, incarnation: Bytes::from_static(&[2; 16]) });
        assert!(batch(vec![item(4)], cursor(3)).is_ok());
        assert!(batch(vec![item(4)], cursor(2)).is_err());
        assert!(batch(vec![wire::Item { content: None, ..item(1) }], None).is_err());
    }
}
