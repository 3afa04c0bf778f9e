//! Sealing bytes under a key, and every label that separates one use of a key from another. Not here: what is
//! sealed (`header`, `wrapping`, `transaction`).
//!
//! Each sealing draws a fresh 24-byte salt and derives key ‖ nonce from it by HKDF-Expand, so that AES-256-GCM's
//! bound of 2^32 random nonces never applies: after 2^64 values of one vault two salts are equal with a
//! probability below 2^-64. The envelopes of HS/1 are built in the same way.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{Result, VaultError};

/// Bytes in a key.
pub(crate) const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// Bytes that sealing adds.
pub(crate) const SEAL_OVERHEAD_BYTES: usize = SALT_BYTES + TAG_BYTES;

/// What a derived key is for; each text is different and NUL-terminated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    Blind,
    Identity,
    Message,
    Rows,
    Unlock,
    WrappedRows,
    WrappingFiles,
}

impl Label {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Blind => b"sealcare vault 1 blind\0",
            Self::Identity => b"sealcare vault 1 identity\0",
            Self::Message => b"sealcare vault 1 message\0",
            Self::Rows => b"sealcare vault 1 rows\0",
            Self::Unlock => b"sealcare vault 1 unlock\0",
            Self::WrappedRows => b"sealcare vault 1 wrapped rows\0",
            Self::WrappingFiles => b"sealcare vault 1 wrapping files\0",
        }
    }
}

/// A 32-byte key that seals, or from which such keys are derived.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct SealingKey([u8; KEY_BYTES]);

impl SealingKey {
    /// A key of 32 uniformly random bytes, which are wiped from `bytes`.
    pub(crate) fn from_uniform(mut bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let key = Self(*bytes);
        bytes.zeroize();
        key
    }

    /// HKDF-Extract (RFC 5869 §2.2): a key from a secret and a salt.
    pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> Self {
        let (mut prk, _) = Hkdf::<Sha256>::extract(Some(salt), secret);
        let key = Self(prk.into());
        prk.as_mut_slice().zeroize();
        key
    }

    /// A key for one use.
    pub(crate) fn derive(&self, label: Label) -> Self {
        let mut derived = Self([0; KEY_BYTES]);
        self.expand(&[label.bytes()], &mut derived.0);
        derived
    }

    /// A key for one use that needs `secret` as well.
    pub(crate) fn derive_with(&self, label: Label, secret: &Self) -> Self {
        Self::extract(&self.derive(label).0, &secret.0)
    }

    /// HMAC-SHA256 of the parts, as a name that tells nothing.
    pub(crate) fn blind(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The key's bytes, to be sealed themselves.
    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Seals `plaintext` bound to `context`: salt ‖ ciphertext ‖ tag.
    pub(crate) fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| VaultError::NoRandomness)?;
        let (cipher, nonce) = self.message_cipher(&salt);
        let mut sealed = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD_BYTES);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(plaintext);
        let tag = cipher
            .encrypt_inout_detached(&nonce, context, (&mut sealed[SALT_BYTES..]).into())
            .expect("values are far below the cipher's 64 GiB");
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what `seal` made under the same key and context; `None` is all that a failure tells.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (salt, body) = sealed.split_first_chunk::<SALT_BYTES>()?;
        let (ciphertext, tag) = body.split_last_chunk::<TAG_BYTES>()?;
        let (cipher, nonce) = self.message_cipher(salt);
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        cipher
            .decrypt_inout_detached(&nonce, context, plaintext.as_mut_slice().into(), &Tag::from(*tag))
            .ok()?;
        Some(plaintext)
    }

    fn message_cipher(&self, salt: &[u8; SALT_BYTES]) -> (Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>) {
        let mut okm = Zeroizing::new([0; KEY_BYTES + NONCE_BYTES]);
        self.expand(&[Label::Message.bytes(), salt], okm.as_mut());
        let (key, nonce) =
            okm.split_first_chunk::<KEY_BYTES>().expect("key and nonce were expanded together");
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().expect("the rest is the nonce");
        (Aes256Gcm::new(key.into()), nonce.into())
    }

    /// HKDF-Expand (RFC 5869 §2.3).
    fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        Hkdf::<Sha256>::from_prk(&self.0)
            .expect("a key is as long as a SHA-256 output")
            .expand_multi_info(info, out)
            .expect("at most 44 bytes are expanded");
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// Fills an array with the operating system's random bytes.
///
/// Salts and wrapping keys come from here and not from a caller's generator: a vault is opened again and again,
/// and a generator that a test or a restored machine seeds alike would repeat salts under one key.
pub(crate) fn random_key() -> Result<SealingKey> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(|_| VaultError::NoRandomness)?;
    Ok(SealingKey::from_uniform(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::from_uniform(Zeroizing::new([byte; KEY_BYTES]))
    }

    #[test]
    fn what_is_sealed_opens_under_the_same_key_and_context_only() {
        let sealed = key(1).seal(b"here", b"72 /min").unwrap();
        assert_eq!(key(1).open(b"here", &sealed).unwrap().as_slice(), b"72 /min");
        assert!(key(1).open(b"there", &sealed).is_none());
        assert!(key(2).open(b"here", &sealed).is_none());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let sealed = key(1).seal(b"", b"72 /min").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(key(1).open(b"", &flipped).is_none(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(key(1).open(b"", &sealed[..len]).is_none(), "{len} bytes");
        }
    }

    #[test]
    fn equal_values_are_sealed_differently() {
        assert_ne!(key(1).seal(b"", b"same").unwrap(), key(1).seal(b"", b"same").unwrap());
    }

    #[test]
    fn labels_all_differ_and_none_begins_another() {
        use Label::*;
        let labels = [Blind, Identity, Message, Rows, Unlock, WrappedRows, WrappingFiles].map(Label::bytes);
        for (i, one) in labels.iter().enumerate() {
            assert_eq!(one.iter().position(|byte| *byte == 0), Some(one.len() - 1));
            assert!(labels.iter().enumerate().all(|(j, other)| i == j || !other.starts_with(one)));
        }
    }

    #[test]
    fn derived_keys_depend_on_label_and_secret() {
        let keys = [
            key(1).derive(Label::Rows),
            key(1).derive(Label::Blind),
            key(1).derive_with(Label::Rows, &key(3)),
            key(1).derive_with(Label::Rows, &key(4)),
        ];
        let sealed = keys[0].seal(b"", b"x").unwrap();
        assert!(keys[1..].iter().all(|key| key.open(b"", &sealed).is_none()));
    }

    #[test]
    fn debug_text_holds_no_key() {
        assert_eq!(format!("{:?}", key(0x41)), "SealingKey(..)");
    }
}
