//! Who signs: roots, gateways, deposit and grant keys (all Ed25519, RFC 8032), and the account secret
//! from which a patient's keys come. Not here: the epoch keys that are sealed to (`epoch`).

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::{
    address::RelayOrigin,
    error::{Error, Result},
    ids::GrantId,
    terms::MarkKey,
    transcript::{Label, signed_bytes},
};

macro_rules! signing_key {
    ($(#[$doc:meta])* $secret:ident, $public:ident, $what:literal) => {
        $(#[$doc])*
        pub struct $secret(SigningKey);

        impl $secret {
            /// From the 32-byte seed of RFC 8032 §5.1.5.
            pub fn from_seed(seed: &[u8; 32]) -> Self {
                Self(SigningKey::from_bytes(seed))
            }

            /// Draws one.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut seed = Zeroizing::new([0; 32]);
                rng.fill_bytes(seed.as_mut());
                Self::from_seed(&seed)
            }

            /// The seed, to be kept under seal.
            pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
                Zeroizing::new(self.0.to_bytes())
            }

            /// The public half.
            pub fn public(&self) -> $public {
                $public(self.0.verifying_key().to_bytes())
            }

            #[allow(dead_code, reason = "not every key signs the same way")]
            pub(crate) fn sign(&self, label: Label, parts: &[&[u8]]) -> [u8; 64] {
                self.0.sign(&signed_bytes(label, parts)).to_bytes()
            }
        }

        impl fmt::Debug for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($secret))
            }
        }

        #[doc = concat!("The public half of a [`", stringify!($secret), "`].")]
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $public([u8; 32]);

        impl $public {
            /// From 32 bytes.
            ///
            /// # Errors
            /// [`Error::Malformed`] unless they are a point of the curve, [`Error::LowOrder`] for a weak one.
            pub fn from_slice(bytes: &[u8]) -> Result<Self> {
                let bytes = bytes.try_into().map_err(|_| Error::Malformed($what))?;
                let key = VerifyingKey::from_bytes(&bytes).map_err(|_| Error::Malformed($what))?;
                if key.is_weak() { Err(Error::LowOrder) } else { Ok(Self(bytes)) }
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            #[allow(dead_code, reason = "not every key signs the same way")]
            pub(crate) fn verify(
                &self,
                label: Label,
                parts: &[&[u8]],
                signature: &[u8],
                what: &'static str,
            ) -> Result<()> {
                let signature = Signature::from_slice(signature).map_err(|_| Error::Signature(what))?;
                VerifyingKey::from_bytes(&self.0)
                    .and_then(|key| key.verify_strict(&signed_bytes(label, parts), &signature))
                    .map_err(|_| Error::Signature(what))
            }
        }

        impl fmt::Debug for $public {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let tag = crate::transcript::sha256(&self.0);
                write!(f, concat!(stringify!($public), "#{:02x}{:02x}{:02x}"), tag[0], tag[1], tag[2])
            }
        }
    };
}

signing_key!(
    /// An organization's root, kept offline.
    RootKey, RootPublicKey, "root key"
);
signing_key!(
    /// Signs bundles, tickets and confirmations; delegated by the root for at most 400 days.
    GatewayKey, GatewayPublicKey, "gateway key"
);
signing_key!(
    /// Signs a grant's calls to the relay and its revocation; all that the relay knows of a patient.
    DepositKey, DepositPublicKey, "deposit key"
);
signing_key!(
    /// Signs a grant's session inits; its public half is seen by the organization only.
    GrantKey, GrantPublicKey, "grant key"
);

/// The patient's one secret; every deposit and grant key comes from it.
#[derive(ZeroizeOnDrop)]
pub struct AccountSecret([u8; 32]);

impl AccountSecret {
    /// Draws one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let secret = Self(bytes);
        bytes.zeroize();
        secret
    }

    /// From where it was kept.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The bytes, to be kept under seal.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The `number`th deposit key at a relay.
    pub fn deposit_key(&self, relay: &RelayOrigin, number: u32) -> DepositKey {
        let seed = self.derive(Label::Deposit, &[relay.as_str().as_bytes(), &number.to_be_bytes()]);
        DepositKey::from_seed(&seed)
    }

    /// The grant key of a grant.
    pub fn grant_key(&self, grant: &GrantId) -> GrantKey {
        GrantKey::from_seed(&self.derive(Label::Grant, &[grant.as_bytes()]))
    }

    /// The key that marks a grant's statements.
    pub(crate) fn mark_key(&self, grant: &GrantId) -> MarkKey {
        MarkKey::new(&self.derive(Label::Statement, &[grant.as_bytes()]))
    }

    /// HKDF (RFC 5869), no salt.
    fn derive(&self, label: Label, context: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut info = vec![label.bytes()];
        info.extend_from_slice(context);
        let mut out = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand_multi_info(&info, out.as_mut())
            .expect("32 bytes are one hash length");
        out
    }
}

impl PartialEq for AccountSecret {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for AccountSecret {}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_label_only() {
        let key = RootKey::from_seed(&[1; 32]);
        let signature = key.sign(Label::Delegation, &[b"x"]);
        assert!(key.public().verify(Label::Delegation, &[b"x"], &signature, "x").is_ok());
        assert!(key.public().verify(Label::Ticket, &[b"x"], &signature, "x").is_err());
        assert!(key.public().verify(Label::Delegation, &[b"y"], &signature, "x").is_err());
    }

    #[test]
    fn weak_public_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(DepositPublicKey::from_slice(&identity), Err(Error::LowOrder));
    }

    #[test]
    fn deposit_keys_differ_by_relay_and_number() {
        let account = AccountSecret::from_bytes(&[3; 32]);
        let a = "https://a.example:443".parse().unwrap();
        let b = "https://b.example:443".parse().unwrap();
        let keys = [account.deposit_key(&a, 0), account.deposit_key(&a, 1), account.deposit_key(&b, 0)];
        assert_ne!(keys[0].public(), keys[1].public());
        assert_ne!(keys[0].public(), keys[2].public());
    }
}
