//! The row of a lane's item: a fixed header before the bytes as they came.

use bytes::{Buf as _, BufMut as _, Bytes};
use sealcare_protocol::{GrantId, SessionId, Timestamp};

use crate::store::{Result, StoreError};

/// What lies in a lane: `kind ‖ grant 32 ‖ session 16 ‖ place u64 ‖ stored ms u64 ‖ bytes`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LaneRow {
    pub(super) kind: LaneKind,
    pub(super) grant: GrantId,
    pub(super) session: SessionId,
    pub(super) place: u64,
    pub(super) stored: Timestamp,
    pub(super) bytes: Bytes,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LaneKind {
    Envelope = 1,
    Revocation = 2,
}

const LANE_HEADER_BYTES: usize = 1 + 32 + 16 + 8 + 8;

impl LaneRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(LANE_HEADER_BYTES + self.bytes.len());
        row.put_u8(self.kind as u8);
        row.put_slice(self.grant.as_bytes());
        row.put_slice(self.session.as_bytes());
        row.put_u64(self.place);
        row.put_u64(self.stored.as_millis());
        row.put_slice(&self.bytes);
        row
    }

    pub(super) fn decode(mut value: Bytes) -> Result<Self> {
        if value.len() < LANE_HEADER_BYTES {
            return Err(StoreError::Corrupt("lane item"));
        }
        let kind = match value.get_u8() {
            1 => LaneKind::Envelope,
            2 => LaneKind::Revocation,
            _ => return Err(StoreError::Corrupt("lane item")),
        };
        let (mut grant, mut session) = ([0; 32], [0; 16]);
        value.copy_to_slice(&mut grant);
        value.copy_to_slice(&mut session);
        let (place, stored) = (value.get_u64(), value.get_u64());
        Ok(Self {
            kind,
            grant: GrantId::from_bytes(grant),
            session: SessionId::from_bytes(session),
            place,
            stored: Timestamp::from_millis(stored),
            bytes: value,
        })
    }

    /// The grant that a header names, of a row that may be damaged.
    pub(super) fn grant_in(stored: &[u8]) -> Option<GrantId> {
        GrantId::from_slice(stored.get(1..33)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_rows_read_back_and_refuse_other_bytes() {
        let row = LaneRow {
            kind: LaneKind::Envelope,
            grant: GrantId::from_bytes([1; 32]),
            session: SessionId::from_bytes([2; 16]),
            place: 3,
            stored: Timestamp::from_millis(4),
            bytes: Bytes::from_static(b"sealed"),
        };
        assert_eq!(LaneRow::decode(row.encode().into()), Ok(row.clone()));
        let mut other = row.encode();
        other[0] = 9;
        assert!(LaneRow::decode(other.into()).is_err());
        assert!(LaneRow::decode(Bytes::from_static(b"short")).is_err());
    }
}
