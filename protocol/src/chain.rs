//! The symmetric chain of a session: one key for one envelope, then it is gone.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::transcript::{Label, expand};

/// ckᵢ.
#[derive(ZeroizeOnDrop)]
pub(crate) struct ChainKey([u8; 32]);

impl ChainKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// ckᵢ₊₁ = HKDF-Expand(ckᵢ, `hs/1 next`).
    pub(crate) fn next(&self) -> Self {
        Self(*expand(&self.0, Label::Next, &[]))
    }

    /// The envelope key and nonce: HKDF-Expand(ckᵢ, `hs/1 msg` ‖ salt).
    pub(crate) fn message(&self, salt: &[u8; 16]) -> OneTimeKey {
        OneTimeKey::derive(&self.0, Label::Message, salt)
    }
}

/// An AES-256-GCM key and its one nonce.
pub(crate) struct OneTimeKey(Zeroizing<[u8; 44]>);

impl OneTimeKey {
    pub(crate) fn derive(secret: &[u8; 32], label: Label, salt: &[u8; 16]) -> Self {
        Self(expand(secret, label, salt))
    }

    fn cipher(&self) -> (Aes256Gcm, [u8; 12]) {
        let cipher = Aes256Gcm::new_from_slice(&self.0[..32]).expect("32 bytes are an AES-256 key");
        (cipher, self.0[32..].try_into().expect("44 - 32 bytes are a nonce"))
    }

    /// Ciphertext ‖ tag.
    pub(crate) fn seal(self, plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
        let (cipher, nonce) = self.cipher();
        cipher
            .encrypt(&nonce.into(), Payload { msg: plaintext, aad })
            .expect("AES-GCM takes any plaintext below 64 GiB")
    }

    pub(crate) fn open(self, ciphertext: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (cipher, nonce) = self.cipher();
        cipher.decrypt(&nonce.into(), Payload { msg: ciphertext, aad }).ok().map(Zeroizing::new)
    }
}
