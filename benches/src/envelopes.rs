//! Envelopes as a relay sees them: true headers around bytes that nothing distinguishes from ciphertext. For
//! stores that hold more grants than sealing real sessions for would be worth. Not here: sealed ones (`patient`).

use bytes::Bytes;
use sealcare_protocol::{INIT_BYTES, KeyId, SessionId};

/// Bytes of an envelope around a body of 1 KiB.
pub(crate) const ENVELOPE_BYTES: usize = 1_024 + 58;

/// Makes envelopes out of one stretch of random bytes, each from another place in it.
pub(crate) struct EnvelopeMill {
    random: Vec<u8>,
    at: usize,
}

impl EnvelopeMill {
    pub(crate) fn new() -> Self {
        let mut random = vec![0; 1 << 20];
        rand::fill(&mut random[..]);
        Self { random, at: 0 }
    }

    /// The first envelope of a session.
    pub(crate) fn init(&mut self, session: &SessionId, key: KeyId) -> Bytes {
        self.envelope(&[&[1, 1], &session.as_bytes()[..], key.as_bytes()].concat(), INIT_BYTES)
    }

    /// Data envelope `counter` of a session, around a body of 1 KiB.
    pub(crate) fn data(&mut self, session: &SessionId, counter: u64) -> Bytes {
        self.envelope(&[&[1, 2], &session.as_bytes()[..], &counter.to_be_bytes()].concat(), ENVELOPE_BYTES)
    }

    fn envelope(&mut self, header: &[u8], size: usize) -> Bytes {
        // A prime, so that no two envelopes of a run begin at the same place.
        self.at = (self.at + 100_003) % (self.random.len() - size);
        let mut envelope = self.random[self.at..self.at + size].to_vec();
        envelope[..header.len()].copy_from_slice(header);
        envelope.into()
    }
}

/// The session that stands for number `index`.
pub(crate) fn session(index: u64) -> SessionId {
    let mut bytes = [0x5e; SessionId::SIZE];
    bytes[..8].copy_from_slice(&index.to_be_bytes());
    SessionId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::EnvelopeHeader;

    use super::*;

    #[test]
    fn headers_are_true_and_bodies_differ() {
        let mut mill = EnvelopeMill::new();
        let (first, second) = (mill.data(&session(7), 3), mill.data(&session(7), 4));
        let Some(EnvelopeHeader::Data(header)) = EnvelopeHeader::parse(&first) else { panic!("not data") };
        assert_eq!((header.session, header.counter), (session(7), 3));
        assert_ne!(first[42..], second[42..]);
        let init = mill.init(&session(1), KeyId::from_bytes([9; 8]));
        assert!(matches!(EnvelopeHeader::parse(&init), Some(EnvelopeHeader::Init(_))));
    }
}
