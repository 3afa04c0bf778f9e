//! The clear part of what travels: sizes and headers, all that a relay can read.

use crate::ids::{KeyId, SessionId};

/// Length of every session init: header, encapsulation, 2,048 padded bytes and tag.
pub const INIT_BYTES: usize = INIT_HEADER_BYTES + 1120 + INIT_PLAIN_BYTES + 16;
/// Length of every reply: header, salt, 4,096 padded bytes and tag.
pub const REPLY_BYTES: usize = REPLY_HEADER_BYTES + REPLY_PLAIN_BYTES + 16;
/// The longest data envelope: 58 bytes around the Padmé length of a full body.
pub const ENVELOPE_BYTES_MAX: usize = DATA_HEADER_BYTES + 67_584 + 16;

pub(crate) const INIT_HEADER_BYTES: usize = 26;
pub(crate) const INIT_PLAIN_BYTES: usize = 2048;
pub(crate) const DATA_HEADER_BYTES: usize = 42;
pub(crate) const DATA_PLAIN_BYTES_MIN: usize = 512;
pub(crate) const REPLY_HEADER_BYTES: usize = 42;
pub(crate) const REPLY_PLAIN_BYTES: usize = 4096;

const KIND_INIT: u8 = 1;
const KIND_DATA: u8 = 2;
const KIND_REPLY: u8 = 3;
const SALT_BYTES: usize = 16;

/// `version ‖ 1 ‖ session id ‖ key id`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InitHeader {
    /// The session that starts.
    pub session: SessionId,
    /// The epoch key that it is sealed to.
    pub key: KeyId,
}

impl InitHeader {
    pub(crate) fn to_bytes(self) -> [u8; INIT_HEADER_BYTES] {
        let mut bytes = [0; INIT_HEADER_BYTES];
        bytes[..2].copy_from_slice(&[crate::VERSION, KIND_INIT]);
        bytes[2..18].copy_from_slice(self.session.as_bytes());
        bytes[18..].copy_from_slice(self.key.as_bytes());
        bytes
    }
}

/// `version ‖ 2 ‖ session id ‖ counter ‖ salt`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DataHeader {
    /// Its session.
    pub session: SessionId,
    /// From 0 in its session.
    pub counter: u64,
}

/// `version ‖ 3 ‖ session id ‖ counter ‖ salt`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplyHeader {
    /// The session that it answers.
    pub session: SessionId,
    /// Milliseconds since 1970, strictly rising.
    pub counter: u64,
}

pub(crate) fn data_header(header: DataHeader, salt: &[u8; SALT_BYTES]) -> [u8; DATA_HEADER_BYTES] {
    counted_header(KIND_DATA, &header.session, header.counter, salt)
}

pub(crate) fn reply_header(header: ReplyHeader, salt: &[u8; SALT_BYTES]) -> [u8; REPLY_HEADER_BYTES] {
    counted_header(KIND_REPLY, &header.session, header.counter, salt)
}

fn counted_header(kind: u8, session: &SessionId, counter: u64, salt: &[u8; SALT_BYTES]) -> [u8; 42] {
    let mut bytes = [0; 42];
    bytes[..2].copy_from_slice(&[crate::VERSION, kind]);
    bytes[2..18].copy_from_slice(session.as_bytes());
    bytes[18..26].copy_from_slice(&counter.to_be_bytes());
    bytes[26..].copy_from_slice(salt);
    bytes
}

/// What the clear part of an envelope says. Its truth shows only when it opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EnvelopeHeader {
    /// Kind 1.
    Init(InitHeader),
    /// Kind 2.
    Data(DataHeader),
    /// Kind 3.
    Reply(ReplyHeader),
}

impl EnvelopeHeader {
    /// Reads the header of `envelope`; `None` for an unknown version or kind, or a size that its kind cannot have.
    pub fn parse(envelope: &[u8]) -> Option<Self> {
        if envelope.first() != Some(&crate::VERSION) {
            return None;
        }
        let session = SessionId::from_slice(envelope.get(2..18)?).ok()?;
        let tail: [u8; 8] = envelope.get(18..26)?.try_into().ok()?;
        let counter = u64::from_be_bytes(tail);
        match (envelope[1], envelope.len()) {
            (KIND_INIT, INIT_BYTES) => Some(Self::Init(InitHeader { session, key: KeyId::from_bytes(tail) })),
            (KIND_DATA, len) if is_data_size(len) => Some(Self::Data(DataHeader { session, counter })),
            (KIND_REPLY, REPLY_BYTES) => Some(Self::Reply(ReplyHeader { session, counter })),
            _ => None,
        }
    }

    /// The session that the envelope says it belongs to.
    pub fn session(&self) -> &SessionId {
        match self {
            Self::Init(header) => &header.session,
            Self::Data(header) => &header.session,
            Self::Reply(header) => &header.session,
        }
    }
}

pub(crate) fn is_data_size(len: usize) -> bool {
    len <= ENVELOPE_BYTES_MAX
        && len
            .checked_sub(DATA_HEADER_BYTES + 16)
            .is_some_and(|plain| plain >= DATA_PLAIN_BYTES_MIN && padded_len(plain) == plain)
}

/// The length to which `len` bytes of plaintext are padded: 512 at least, else Padmé
/// (Nikitin et al., 2019, §4), which leaks O(log log len) bits and costs at most 12 %.
pub(crate) fn padded_len(len: usize) -> usize {
    let len = len.max(DATA_PLAIN_BYTES_MIN);
    let exponent = len.ilog2();
    let low_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1usize << low_bits) - 1;
    (len + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_idempotent_bounded_and_never_shrinks() {
        for len in 0..70_000 {
            let padded = padded_len(len);
            assert!(padded >= len && padded >= 512);
            assert_eq!(padded_len(padded), padded);
            assert!(len < 512 || (padded - len) * 100 <= len * 12);
        }
        assert_eq!(DATA_HEADER_BYTES + padded_len(4 + 64 * 1024) + 16, ENVELOPE_BYTES_MAX);
    }

    #[test]
    fn headers_parse_only_at_their_sizes() {
        let header = InitHeader { session: SessionId::from_bytes([1; 16]), key: KeyId::from_bytes([2; 8]) };
        let mut envelope = header.to_bytes().to_vec();
        assert_eq!(EnvelopeHeader::parse(&envelope), None);
        envelope.resize(INIT_BYTES, 0);
        assert_eq!(EnvelopeHeader::parse(&envelope), Some(EnvelopeHeader::Init(header)));
        envelope[0] = 2;
        assert_eq!(EnvelopeHeader::parse(&envelope), None);
        assert_eq!(EnvelopeHeader::parse(&[]), None);
        assert_eq!(EnvelopeHeader::parse(&[1, 2]), None);
    }
}
