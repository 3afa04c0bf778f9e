//! Every label of HS/1 in one place, and the two things that take one: signatures and key derivation.
//! A label ends in NUL, so that none is a prefix of another's input.

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Domain separation: what a signature, hash or derived key is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Label {
    // Signatures.
    Bundle,
    Call,
    Confirm,
    Delegation,
    Init,
    Registration,
    Revoke,
    Succession,
    Ticket,
    // HPKE info and exports.
    Auth,
    Chain,
    Info,
    ReplyKey,
    // Derivations from the account secret.
    Deposit,
    Grant,
    Statement,
    // Envelope keys.
    Message,
    Next,
    Reply,
    // Hashes.
    GrantId,
    LinkCode,
    SheetCode,
    ShortCode,
}

impl Label {
    #[cfg(test)]
    const ALL: [Self; 23] = [
        Self::Bundle,
        Self::Call,
        Self::Confirm,
        Self::Delegation,
        Self::Init,
        Self::Registration,
        Self::Revoke,
        Self::Succession,
        Self::Ticket,
        Self::Auth,
        Self::Chain,
        Self::Info,
        Self::ReplyKey,
        Self::Deposit,
        Self::Grant,
        Self::Statement,
        Self::Message,
        Self::Next,
        Self::Reply,
        Self::GrantId,
        Self::LinkCode,
        Self::SheetCode,
        Self::ShortCode,
    ];

    /// The label's bytes, NUL included.
    pub(crate) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Bundle => b"hs/1 bundle\0",
            Self::Call => b"hs/1 call\0",
            Self::Confirm => b"hs/1 confirm\0",
            Self::Delegation => b"hs/1 delegation\0",
            Self::Init => b"hs/1 init\0",
            Self::Registration => b"hs/1 registration\0",
            Self::Revoke => b"hs/1 revoke\0",
            Self::Succession => b"hs/1 succession\0",
            Self::Ticket => b"hs/1 ticket\0",
            Self::Auth => b"hs/1 auth\0",
            Self::Chain => b"hs/1 chain\0",
            Self::Info => b"hs/1\0",
            Self::ReplyKey => b"hs/1 reply-key\0",
            Self::Deposit => b"hs/1 deposit\0",
            Self::Grant => b"hs/1 grant-key\0",
            Self::Statement => b"hs/1 statement\0",
            Self::Message => b"hs/1 msg\0",
            Self::Next => b"hs/1 next\0",
            Self::Reply => b"hs/1 reply\0",
            Self::GrantId => b"hs/1 grant\0",
            Self::LinkCode => b"hs/1 link-code\0",
            Self::SheetCode => b"hs/1 sheet\0",
            Self::ShortCode => b"hs/1 short-code\0",
        }
    }
}

/// `label ‖ parts`, as it is signed.
pub(crate) fn signed_bytes(label: Label, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = label.bytes().to_vec();
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// SHA-256 over `label ‖ parts`. Parts must be of fixed length, or the last one only may vary.
pub(crate) fn labeled_hash(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(label.bytes());
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HKDF-Expand (RFC 5869 §2.3) of `N` ≤ 8,160 bytes from a uniformly random 32-byte key.
pub(crate) fn expand<const N: usize>(key: &[u8; 32], label: Label, context: &[u8]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::from_prk(key)
        .expect("a key of the hash's length is long enough")
        .expand_multi_info(&[label.bytes(), context], out.as_mut())
        .expect("N is far below 255 hash lengths");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_a_prefix_of_another() {
        for (i, a) in Label::ALL.iter().enumerate() {
            assert_eq!(a.bytes().iter().position(|b| *b == 0), Some(a.bytes().len() - 1));
            for b in &Label::ALL[i + 1..] {
                assert!(!a.bytes().starts_with(b.bytes()) && !b.bytes().starts_with(a.bytes()));
            }
        }
    }
}
