//! Envelopes with true headers and nothing sealed in them: to a store all are alike.

use bytes::Bytes;
use sealcare_protocol::{INIT_BYTES, REPLY_BYTES};

/// The shortest data envelope.
pub const DATA_BYTES: usize = 42 + 512 + 16;

fn envelope(kind: u8, session: u8, tail: [u8; 8], length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    bytes[..2].copy_from_slice(&[1, kind]);
    bytes[2..18].fill(session);
    bytes[18..26].copy_from_slice(&tail);
    bytes.into()
}

/// An init sealed to epoch key `key`.
pub fn init(session: u8, key: u8) -> Bytes {
    envelope(1, session, [key; 8], INIT_BYTES)
}

/// A data envelope.
pub fn data(session: u8, counter: u64) -> Bytes {
    envelope(2, session, counter.to_be_bytes(), DATA_BYTES)
}

/// Another data envelope of the same number.
pub fn other_data(session: u8, counter: u64) -> Bytes {
    let mut bytes = data(session, counter).to_vec();
    bytes[DATA_BYTES - 1] = 1;
    bytes.into()
}

/// A reply.
pub fn reply(session: u8, counter: u64) -> Bytes {
    envelope(3, session, counter.to_be_bytes(), REPLY_BYTES)
}
