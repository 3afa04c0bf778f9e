//! Epoch keys: X-Wing pairs that are sealed to for a day, open for fourteen more, and are then destroyed.

use std::{fmt, time::Duration};

use bytes::Bytes;
use hpke_crate::{Deserializable as _, Kem as _, Serializable as _, kem::XWing};
use rand_core::CryptoRng;
use sealcare_proto::v1 as wire;
use x25519_dalek::{PublicKey as X25519PublicKey, StaticSecret};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use crate::{
    error::{Error, Result},
    ids::KeyId,
    time::Timestamp,
    transcript::sha256,
};

use ::hpke as hpke_crate;

/// A bundle carries at most this many epochs: today and a week ahead.
pub const EPOCHS_MAX: usize = 8;
/// Sealing to an epoch.
const ENCRYPT: Duration = Duration::from_hours(24);
/// Opening after sealing has ended.
const DECRYPT_MORE: Duration = Duration::from_hours(336);
const X25519_BYTES: usize = 32;

/// The secret half: a 32-byte X-Wing seed.
#[derive(ZeroizeOnDrop)]
pub struct EpochKey([u8; 32]);

impl EpochKey {
    /// Draws one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let key = Self(seed);
        seed.zeroize();
        key
    }

    /// From where it was kept.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(*seed)
    }

    /// The seed, to be kept under a wrapping key of its own.
    pub fn as_seed(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn public(&self) -> EpochPublicKey {
        let public = XWing::sk_to_pk(&self.private());
        EpochPublicKey { id: EpochPublicKey::id_of(&public.to_bytes()), key: public }
    }

    pub(crate) fn private(&self) -> <XWing as hpke_crate::Kem>::PrivateKey {
        <XWing as hpke_crate::Kem>::PrivateKey::from_bytes(&self.0).expect("any 32 bytes are a seed")
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochKey")
    }
}

/// The public half, 1,216 bytes, of which neither part is of low order.
#[derive(Clone, Eq, PartialEq)]
pub struct EpochPublicKey {
    id: KeyId,
    key: <XWing as hpke_crate::Kem>::PublicKey,
}

impl EpochPublicKey {
    /// From 1,216 bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another size or an invalid ML-KEM key, [`Error::LowOrder`] for a weak X25519 share.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        let key = <XWing as hpke_crate::Kem>::PublicKey::from_bytes(bytes)
            .map_err(|_| Error::Malformed("epoch key"))?;
        check_x25519_half(bytes)?;
        Ok(Self { id: Self::id_of(bytes), key })
    }

    /// SHA-256(public key)[..8].
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// SHA-256 of the public key, as HPKE info binds it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&self.key.to_bytes())
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.key.to_bytes())
    }

    pub(crate) fn hpke(&self) -> &<XWing as hpke_crate::Kem>::PublicKey {
        &self.key
    }

    fn id_of(bytes: &[u8]) -> KeyId {
        let hash = sha256(bytes);
        KeyId::from_slice(&hash[..KeyId::SIZE]).expect("a hash is longer than a key id")
    }
}

impl fmt::Debug for EpochPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochPublicKey({:?})", self.id)
    }
}

/// Refuses a public key or encapsulation whose X25519 share, its last 32 bytes, has low order: such a share
/// makes a secret that anyone knows (RFC 7748 §6.1), and the `hpke` crate accepts it.
pub(crate) fn check_x25519_half(bytes: &[u8]) -> Result<()> {
    let start = bytes.len().checked_sub(X25519_BYTES).ok_or(Error::LowOrder)?;
    let share: [u8; X25519_BYTES] = bytes[start..].try_into().expect("the slice has that length");
    let probe = StaticSecret::from([1; 32]);
    let shared = probe.diffie_hellman(&X25519PublicKey::from(share));
    if shared.was_contributory() { Ok(()) } else { Err(Error::LowOrder) }
}

/// When an epoch is for what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochPeriod {
    /// Sealing from here.
    pub not_before: Timestamp,
    /// Sealing until here.
    pub encrypt_until: Timestamp,
    /// Opening until here; then the key is destroyed.
    pub decrypt_until: Timestamp,
}

impl EpochPeriod {
    fn starting(not_before: Timestamp) -> Self {
        let encrypt_until = not_before.plus(ENCRYPT);
        Self { not_before, encrypt_until, decrypt_until: encrypt_until.plus(DECRYPT_MORE) }
    }

    /// In order and no longer than the protocol allows: what a leaked key opens is bounded by this.
    fn is_in_bounds(&self) -> bool {
        self.not_before < self.encrypt_until
            && self.encrypt_until < self.decrypt_until
            && self.encrypt_until.since(self.not_before) <= ENCRYPT
            && self.decrypt_until.since(self.encrypt_until) <= DECRYPT_MORE
    }
}

/// One epoch of a bundle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EpochEntry {
    /// What is sealed to.
    pub key: EpochPublicKey,
    /// When.
    pub period: EpochPeriod,
}

impl EpochEntry {
    pub(crate) fn from_wire(wire: &wire::Epoch) -> Result<Self> {
        let key = EpochPublicKey::from_slice(&wire.public_key)?;
        let period = EpochPeriod {
            not_before: Timestamp::from_millis(wire.not_before_ms),
            encrypt_until: Timestamp::from_millis(wire.encrypt_until_ms),
            decrypt_until: Timestamp::from_millis(wire.decrypt_until_ms),
        };
        if key.id().as_bytes()[..] != wire.key_id[..] {
            return Err(Error::Malformed("epoch"));
        }
        if period.is_in_bounds() { Ok(Self { key, period }) } else { Err(Error::Lifetime("epoch")) }
    }

    pub(crate) fn to_wire(&self) -> wire::Epoch {
        wire::Epoch {
            key_id: Bytes::copy_from_slice(self.key.id().as_bytes()),
            public_key: self.key.to_bytes(),
            not_before_ms: self.period.not_before.as_millis(),
            encrypt_until_ms: self.period.encrypt_until.as_millis(),
            decrypt_until_ms: self.period.decrypt_until.as_millis(),
        }
    }

    pub(crate) fn seals_at(&self, now: Timestamp) -> bool {
        self.period.not_before <= now && now < self.period.encrypt_until
    }
}

/// The periods, today's and the next seven days', for which `existing` has no key yet. Days begin at
/// 00:00 UTC; so that a bundle of any of them seals for its whole life.
pub fn missing_epochs(existing: &[EpochPeriod], now: Timestamp) -> Vec<EpochPeriod> {
    let day = ENCRYPT.as_secs() * 1000;
    let today = Timestamp::from_millis(now.as_millis() / day * day);
    std::iter::successors(Some(today), |day| Some(day.plus(ENCRYPT)))
        .take(EPOCHS_MAX)
        .map(EpochPeriod::starting)
        .filter(|period| existing.iter().all(|e| e.not_before != period.not_before))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_week_has_one_key() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let periods = missing_epochs(&[], now);
        assert_eq!(periods.len(), EPOCHS_MAX);
        assert!(periods[0].not_before <= now && now < periods[0].encrypt_until);
        assert_eq!(periods[0].encrypt_until, periods[1].not_before);
        assert!(missing_epochs(&periods, now).is_empty());
        assert_eq!(missing_epochs(&periods, now.plus(ENCRYPT)).len(), 1);
    }

    #[test]
    fn a_period_longer_than_the_protocol_allows_is_refused() {
        let key = EpochKey::from_seed(&[5; 32]).public();
        let period = EpochPeriod::starting(Timestamp::from_millis(1));
        let read = |period| EpochEntry::from_wire(&EpochEntry { key: key.clone(), period }.to_wire());
        assert_eq!(read(period).map(|entry| entry.period), Ok(period));
        let more = Duration::from_millis(1);
        for period in [
            EpochPeriod { decrypt_until: period.decrypt_until.plus(more), ..period },
            EpochPeriod { not_before: period.not_before.minus(more), ..period },
            EpochPeriod { encrypt_until: period.not_before, ..period },
            EpochPeriod { decrypt_until: period.encrypt_until, ..period },
        ] {
            assert_eq!(read(period), Err(Error::Lifetime("epoch")));
        }
    }

    #[test]
    fn an_ml_kem_key_out_of_its_field_is_refused() {
        let mut bytes = EpochKey::from_seed(&[5; 32]).public().to_bytes().to_vec();
        bytes[..3].fill(0xff);
        assert_eq!(EpochPublicKey::from_slice(&bytes), Err(Error::Malformed("epoch key")));
        assert_eq!(EpochPublicKey::from_slice(&[]), Err(Error::Malformed("epoch key")));
    }

    #[test]
    fn a_weak_x25519_share_is_refused() {
        let mut bytes = EpochKey::from_seed(&[5; 32]).public().to_bytes().to_vec();
        assert!(EpochPublicKey::from_slice(&bytes).is_ok());
        let start = bytes.len() - 32;
        bytes[start..].fill(0);
        assert_eq!(EpochPublicKey::from_slice(&bytes), Err(Error::LowOrder));
    }
}
