//! A batch to deposit: some consecutive envelopes of one session, checked once, here.

use bytes::Bytes;
use sealcare_protocol::{EnvelopeHeader, KeyId, SessionId};
use sha2::{Digest as _, Sha256};

/// Envelopes in a batch.
pub const BATCH_ENVELOPES_MAX: usize = 100;
/// Bytes of envelopes in a batch.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Why envelopes make no batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// None, too many, or too long together.
    #[error("the batch is empty or too large")]
    Bounds,
    /// Not an init or data envelope.
    #[error("malformed envelope")]
    Envelope,
    /// Not one session's consecutive numbers.
    #[error("the envelopes are not consecutive")]
    Order,
}

/// Consecutive envelopes of one session. Place 0 is the init, data counter c is place c + 1.
#[derive(Clone, Debug)]
pub struct DepositBatch {
    pub(super) session: SessionId,
    pub(super) first: u64,
    pub(super) init_key: Option<KeyId>,
    pub(super) envelopes: Vec<Bytes>,
    pub(super) bytes: usize,
    pub(super) hash: [u8; 32],
}

impl DepositBatch {
    /// Reads the envelopes' headers.
    ///
    /// # Errors
    /// A [`BatchError`].
    pub fn new(envelopes: Vec<Bytes>) -> Result<Self, BatchError> {
        let bytes = envelopes.iter().map(Bytes::len).sum();
        if envelopes.is_empty() || envelopes.len() > BATCH_ENVELOPES_MAX || bytes > BATCH_BYTES_MAX {
            return Err(BatchError::Bounds);
        }
        let (session, first, init_key) = place(&envelopes[0])?;
        let mut expected = first;
        let mut hash = Sha256::new();
        for envelope in &envelopes {
            let (of, at, _) = place(envelope)?;
            if of != session || at != expected {
                return Err(BatchError::Order);
            }
            expected = at.checked_add(1).ok_or(BatchError::Order)?;
            hash.update((envelope.len() as u64).to_be_bytes());
            hash.update(envelope);
        }
        Ok(Self { session, first, init_key, envelopes, bytes, hash: hash.finalize().into() })
    }

    /// How many envelopes.
    pub fn count(&self) -> usize {
        self.envelopes.len()
    }

    /// Whose envelopes they are.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The counter of the data envelope that would come next.
    pub fn next_counter(&self) -> u64 {
        self.end().saturating_sub(1)
    }

    /// The place after its last.
    pub(super) fn end(&self) -> u64 {
        self.first + self.envelopes.len() as u64
    }
}

fn place(envelope: &[u8]) -> Result<(SessionId, u64, Option<KeyId>), BatchError> {
    match EnvelopeHeader::parse(envelope).ok_or(BatchError::Envelope)? {
        EnvelopeHeader::Init(header) => Ok((header.session, 0, Some(header.key))),
        EnvelopeHeader::Data(header) => {
            let place = header.counter.checked_add(1).ok_or(BatchError::Order)?;
            Ok((header.session, place, None))
        }
        EnvelopeHeader::Reply(_) => Err(BatchError::Envelope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::envelopes::{data, init, reply};

    #[test]
    fn envelopes_of_one_session_in_order_make_a_batch() {
        let batch = DepositBatch::new(vec![init(1, 9), data(1, 0), data(1, 1)]).unwrap();
        assert_eq!((batch.first, batch.end(), batch.init_key.is_some()), (0, 3, true));
        assert_eq!(batch.next_counter(), 2);
        assert_eq!(DepositBatch::new(vec![data(1, 7)]).unwrap().first, 8);
    }

    #[test]
    fn gaps_strangers_replies_and_excess_are_refused() {
        let error = |envelopes| DepositBatch::new(envelopes).unwrap_err();
        assert_eq!(error(vec![]), BatchError::Bounds);
        assert_eq!(error((0..101).map(|n| data(1, n)).collect()), BatchError::Bounds);
        assert_eq!(error(vec![data(1, 0), data(1, 2)]), BatchError::Order);
        assert_eq!(error(vec![data(1, 0), data(2, 1)]), BatchError::Order);
        assert_eq!(error(vec![data(1, 0), init(1, 9)]), BatchError::Order);
        assert_eq!(error(vec![data(1, u64::MAX)]), BatchError::Order);
        assert_eq!(error(vec![reply(1, 1)]), BatchError::Envelope);
        assert_eq!(error(vec![Bytes::from_static(b"junk")]), BatchError::Envelope);
    }
}
