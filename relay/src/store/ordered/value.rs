//! Values as they lie in the engine: the bytes and a checksum over key and value.
//!
//! Engines checksum their blocks or pages, which finds flipped bits on disk but not a value under a wrong
//! key, a bug in an engine's index, or damage in its cache; and sled and fjall differ in what they cover.
//! Eight bytes of xxh3 bind each value to its key, cost about 50 ns for 1 KiB, and make damage a named
//! error on every engine. It is no protection against malice: envelopes carry their own.

use bytes::{BufMut as _, Bytes, BytesMut};
use xxhash_rust::xxh3::Xxh3;

use super::layout::kind_of;
use crate::store::StoreError;

/// Bytes that the checksum adds.
pub(super) const CHECKSUM_BYTES: usize = 8;

/// `value` with its checksum.
pub(in crate::store) fn checked(key: &[u8], value: &[u8]) -> Bytes {
    let mut sealed = BytesMut::with_capacity(value.len() + CHECKSUM_BYTES);
    sealed.put_slice(value);
    sealed.put_u64(checksum(key, value));
    sealed.freeze()
}

/// The value without its checksum.
///
/// # Errors
/// [`StoreError::Corrupt`], naming the kind of row, where the checksum does not hold.
pub(super) fn check(key: &[u8], stored: &Bytes) -> Result<Bytes, StoreError> {
    let corrupt = || StoreError::Corrupt(kind_of(key));
    let length = stored.len().checked_sub(CHECKSUM_BYTES).ok_or_else(corrupt)?;
    let (value, sum) = stored.split_at(length);
    if sum == checksum(key, value).to_be_bytes() { Ok(stored.slice(..length)) } else { Err(corrupt()) }
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(key);
    hash.update(value);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_or_another_key_is_named() {
        let key = b"G-grant";
        let stored = checked(key, b"value");
        assert_eq!(check(key, &stored).unwrap(), "value");
        for index in 0..stored.len() {
            let mut damaged = stored.to_vec();
            damaged[index] ^= 1;
            assert_eq!(check(key, &damaged.into()), Err(StoreError::Corrupt("grant")));
        }
        assert!(check(b"G-other", &stored).is_err());
        assert!(check(key, &Bytes::from_static(b"short")).is_err());
    }
}
