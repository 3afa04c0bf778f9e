//! Gateway keys: drawn by the gateway, signed by its root for years ahead, and taken into use one after the other.
//! Not here: the roots' file (`root`), and the bundle that a key signs (`epochs`).
//!
//! The root is offline. While it is at hand it signs [`KEYS_AHEAD`] delegations, each beginning a year after the one
//! before, so that the gateway changes its key by itself for three years. The root never meets the vault: what
//! travels is a [`KeyOffer`] one way and a [`Renewal`] back, neither of them secret.

use std::time::Duration;

use prost::Message as _;
use rand_core::CryptoRng;
use sealcare_protocol::{
    Delegation, DelegationDraft, GatewayKey, GatewayPublicKey, OrganizationId, Successions, Timestamp,
};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{ProviderError, Result};
use crate::kept::{self, Kept, KeptLink};
use crate::organization::{Organization, Profile, seed};
use crate::root::Roots;
use crate::spaces::{GATEWAY_KEYS, IDENTITY};

/// Gateway keys that a root signs for at a time.
pub(crate) const KEYS_AHEAD: usize = 3;
/// A delegation lives 399 days, within the protocol's 400,
const LIFETIME: Duration = Duration::from_hours(399 * 24);
/// and the next begins after a year: two are valid for 34 days.
const SPACING: Duration = Duration::from_hours(365 * 24);
/// A gateway's clock may be set back by this without an older key coming back, which clients would refuse.
const CLOCK_SKEW: Duration = Duration::from_hours(24);
/// Numbers are minutes since 1970, or one above the last: a gateway that was restored goes on above what it forgot.
const NUMBER_STEP_MILLIS: u64 = 60_000;

const OFFERED: &[u8] = b"offered keys";

/// What becomes of the keys before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OldKeys {
    /// What they signed holds on.
    Honoured,
    /// They may be stolen: whoever has seen the new bundle takes nothing from them any more. Invitations that are
    /// out must be made again; confirmations are signed again by themselves.
    Disowned,
}

/// Keys that a gateway has drawn, for its root to sign. Nothing in it is secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyOffer {
    #[serde(with = "kept::hex")]
    organization: [u8; 32],
    chain: Vec<KeptLink>,
    keys: Vec<Hex>,
    highest_number: u32,
    lowest_honoured: u32,
    /// From a backup that may be older than what was disowned since.
    is_restored: bool,
}

/// What a root has signed for an offer. Nothing in it is secret, and the gateway checks all of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Renewal {
    chain: Vec<KeptLink>,
    delegations: Vec<Hex>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
struct Hex(#[serde(with = "kept::hex")] Vec<u8>);

/// The seeds of keys that were offered.
#[derive(Deserialize, Serialize)]
struct OfferedKeys(Vec<OfferedKey>);

#[derive(Deserialize, Serialize)]
struct OfferedKey(#[serde(with = "kept::hex")] Zeroizing<Vec<u8>>);

impl Kept for OfferedKeys {
    const NAME: &'static str = "offered key";
}

/// A gateway key and its delegation.
#[derive(Deserialize, Serialize)]
struct GatewayKeyRow {
    #[serde(with = "kept::hex")]
    seed: Zeroizing<Vec<u8>>,
    /// As the root signed it.
    #[serde(with = "kept::hex")]
    delegation: Vec<u8>,
    lowest_honoured: u32,
    not_before: u64,
    expires: u64,
}

impl Kept for GatewayKeyRow {
    const NAME: &'static str = "gateway key";
}

impl GatewayKeyRow {
    fn key(&self) -> Result<GatewayKey> {
        Ok(GatewayKey::from_seed(&*seed(&self.seed)?))
    }

    fn has_begun(&self, now: Timestamp) -> bool {
        self.not_before <= now.as_millis()
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.has_begun(now) && now.as_millis() < self.expires
    }
}

impl Roots {
    /// Signs for the keys of a gateway: the first from `now` on, each further one a year later. The keys before are
    /// disowned, whatever `old` says, where an earlier root signed for them, for that root could sign for others under
    /// numbers of theirs; and after a restore, for the gateway does not know what was disowned since its backup.
    ///
    /// # Errors
    /// [`ProviderError::OtherRoot`] for a gateway of another organization, [`ProviderError::RootSucceeded`] for one
    /// that knows newer roots.
    pub fn delegate(&self, offer: &KeyOffer, old: OldKeys, now: Timestamp) -> Result<Renewal> {
        let organization = self.organization();
        if offer.organization != *organization.as_bytes() {
            return Err(ProviderError::OtherRoot);
        }
        let chain = KeptLink::chain(&offer.chain)?;
        if !self.chain().continues(&chain) {
            return Err(ProviderError::RootSucceeded);
        }
        let first = number_at(now, offer.highest_number);
        let is_succession = self.chain().newest() > chain.newest();
        let lowest_honoured = match old {
            OldKeys::Honoured if !is_succession && !offer.is_restored => offer.lowest_honoured.max(1),
            OldKeys::Honoured | OldKeys::Disowned => first,
        };
        let (mut number, mut not_before) = (first, now);
        let mut delegations = Vec::with_capacity(offer.keys.len());
        for key in &offer.keys {
            let draft = DelegationDraft {
                organization,
                number,
                lowest_honoured,
                gateway_key: GatewayPublicKey::from_slice(&key.0)?,
                not_before,
                expires: not_before.plus(LIFETIME),
                root_index: self.chain().newest(),
            };
            delegations.push(Hex(draft.sign(self.root())?.encode_to_vec()));
            (number, not_before) = (number.saturating_add(1), not_before.plus(SPACING));
        }
        Ok(Renewal { chain: KeptLink::all_of(self.chain()), delegations })
    }
}

fn number_at(now: Timestamp, highest: u32) -> u32 {
    let minutes = u32::try_from(now.as_millis() / NUMBER_STEP_MILLIS).unwrap_or(u32::MAX);
    minutes.max(highest.saturating_add(1))
}

impl Organization {
    /// Draws gateway keys and offers them to the root. They are used once [`Self::renew`] brings back what it signed;
    /// an offer before is forgotten.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn offer_keys(&self, rng: &mut impl CryptoRng) -> Result<KeyOffer> {
        self.vault.write(|tx| offer(tx, &self.id, rng))
    }

    /// Takes into use what a root signed for the last offer: at once the first key, the others in their time. The
    /// keys before are destroyed. Returns what becomes of what they signed.
    ///
    /// # Errors
    /// [`ProviderError::RootSucceeded`] for a root that was succeeded, [`ProviderError::OtherRoot`] for one of another
    /// organization, [`ProviderError::NotOffered`] for keys of another offer; those of the vault.
    pub fn renew(&self, renewal: &Renewal, now: Timestamp) -> Result<OldKeys> {
        let old = self.vault.write(|tx| {
            let lowest_before = lowest_honoured(tx)?;
            adopt(tx, &self.id, renewal, now)?;
            // What a disowned key has confirmed counts no more.
            if lowest_honoured(tx)? == lowest_before {
                return Ok(OldKeys::Honoured);
            }
            crate::revocation::confirm_again(tx)?;
            Ok::<_, ProviderError>(OldKeys::Disowned)
        })?;
        self.refresh_signer(now)?;
        self.announce_replies();
        Ok(old)
    }

    /// Until when the gateway has keys that its root has signed for.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn keys_end(&self) -> Result<Timestamp> {
        self.vault.read(|tx| {
            let end = rows(tx)?.iter().map(|(_, row)| row.expires).max();
            Ok(Timestamp::from_millis(end.ok_or(ProviderError::NotFounded)?))
        })
    }
}

/// Draws the keys of an offer.
pub(crate) fn offer(
    tx: &mut WriteTransaction<'_>,
    organization: &OrganizationId,
    rng: &mut impl CryptoRng,
) -> Result<KeyOffer> {
    let keys: Vec<_> = (0..KEYS_AHEAD).map(|_| GatewayKey::random(rng)).collect();
    let seeds = keys.iter().map(|key| OfferedKey(Zeroizing::new(key.to_seed().to_vec())));
    kept::put(tx, IDENTITY, OFFERED, &OfferedKeys(seeds.collect()))?;
    let highest_number = rows(tx)?.pop().map_or(0, |(number, _)| number);
    let profile = Profile::load(tx)?;
    Ok(KeyOffer {
        organization: *organization.as_bytes(),
        chain: KeptLink::all_of(&profile.chain()?),
        keys: keys.iter().map(|key| Hex(key.public().as_bytes().to_vec())).collect(),
        highest_number,
        lowest_honoured: lowest_honoured(tx)?,
        is_restored: profile.may_honour_disowned,
    })
}

/// Puts what a root signed in place of the keys before, all of it or nothing.
pub(crate) fn adopt(
    tx: &mut WriteTransaction<'_>,
    organization: &OrganizationId,
    renewal: &Renewal,
    now: Timestamp,
) -> Result<()> {
    let mut profile = Profile::load(tx)?;
    let chain = checked_chain(&profile, organization, renewal)?;
    let offered: OfferedKeys = kept::get(tx, IDENTITY, OFFERED)?.ok_or(ProviderError::NotOffered)?;
    let mut highest = rows(tx)?.pop().map_or(0, |(number, _)| number);
    let lowest_before = lowest_honoured(tx)?;
    tx.delete_range(GATEWAY_KEYS, &KeyRange::all())?;
    for (at, signed) in renewal.delegations.iter().enumerate() {
        let signed = prost::Message::decode(signed.0.as_slice()).map_err(|_| ProviderError::NotOffered)?;
        let delegation = Delegation::verify(&signed, organization, &chain)?;
        let is_in_order = delegation.number() > highest
            && delegation.root_index() == chain.newest()
            && delegation.lowest_honoured() >= lowest_before
            && (at > 0 || delegation.not_before() <= now.plus(CLOCK_SKEW))
            && now < delegation.expires();
        if !is_in_order {
            return Err(ProviderError::NotOffered);
        }
        highest = delegation.number();
        let row = GatewayKeyRow {
            seed: offered.seed_of(delegation.gateway_key())?,
            delegation: signed.encode_to_vec(),
            lowest_honoured: delegation.lowest_honoured(),
            not_before: delegation.not_before().as_millis(),
            expires: delegation.expires().as_millis(),
        };
        kept::put(tx, GATEWAY_KEYS, &highest.to_be_bytes(), &row)?;
    }
    tx.delete(IDENTITY, OFFERED)?;
    profile.set_chain(&chain);
    profile.may_honour_disowned = false;
    profile.store(tx)
}

fn checked_chain(profile: &Profile, organization: &OrganizationId, renewal: &Renewal) -> Result<Successions> {
    let chain = KeptLink::chain(&renewal.chain)?;
    if chain.organization_id(&profile.domain.parse()?) != *organization || renewal.delegations.is_empty() {
        return Err(ProviderError::OtherRoot);
    }
    if chain.continues(&profile.chain()?) { Ok(chain) } else { Err(ProviderError::RootSucceeded) }
}

impl OfferedKeys {
    fn seed_of(&self, public: &GatewayPublicKey) -> Result<Zeroizing<Vec<u8>>> {
        for OfferedKey(kept) in &self.0 {
            if GatewayKey::from_seed(&*seed(kept)?).public() == *public {
                return Ok(kept.clone());
            }
        }
        Err(ProviderError::NotOffered)
    }
}

/// The key to sign with at `now` and its delegation as the root signed it: the newest that has begun. One that is
/// `used` already stays while the clock is behind its beginning by less than a day.
pub(crate) fn key_at(
    tx: &ReadTransaction<'_>,
    used: Option<u32>,
    now: Timestamp,
) -> Result<(GatewayKey, Vec<u8>)> {
    let rows = rows(tx)?;
    let is_used = |number: u32, row: &GatewayKeyRow| {
        used.is_some_and(|used| number <= used) && row.not_before <= now.plus(CLOCK_SKEW).as_millis()
    };
    let live = rows.iter().rfind(|(number, row)| row.is_live(now) || is_used(*number, row));
    let begun = || rows.iter().rfind(|(_, row)| row.has_begun(now));
    let (_, row) = live.or_else(begun).or(rows.first()).ok_or(ProviderError::NotFounded)?;
    Ok((row.key()?, row.delegation.clone()))
}

fn lowest_honoured(tx: &ReadTransaction<'_>) -> Result<u32> {
    Ok(rows(tx)?.pop().map_or(0, |(_, row)| row.lowest_honoured))
}

/// The key of a delegation's number.
pub(crate) fn kept_key(tx: &ReadTransaction<'_>, number: u32) -> Result<GatewayKey> {
    let row: Option<GatewayKeyRow> = kept::get(tx, GATEWAY_KEYS, &number.to_be_bytes())?;
    row.ok_or(ProviderError::Damaged(GatewayKeyRow::NAME))?.key()
}

/// In the order of their numbers, which is that of their times.
fn rows(tx: &ReadTransaction<'_>) -> Result<Vec<(u32, GatewayKeyRow)>> {
    let rows = tx.scan(GATEWAY_KEYS, &KeyRange::all(), usize::MAX)?;
    let parse = |(key, row): &(Vec<u8>, Zeroizing<Vec<u8>>)| {
        let number = key.as_slice().try_into().map_err(|_| ProviderError::Damaged("gateway key"))?;
        Ok((u32::from_be_bytes(number), GatewayKeyRow::decode(row)?))
    };
    rows.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use sealcare_protocol::{AccountSecret, Revocation, UnverifiedRevocation};
    use sealcare_vault::{Unlock, Vault};

    use super::*;

    #[test]
    fn what_a_disowned_key_has_confirmed_is_confirmed_again() {
        let (dir, rng, now) =
            (tempfile::tempdir().unwrap(), &mut rand::rng(), Timestamp::from_millis(1 << 40));
        let unlock = Unlock::SecretFile(dir.path().join("key"));
        let vault = Arc::new(Vault::create(&dir.path().join("vault"), &unlock, rng).unwrap());
        let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
        let relay = "https://relay.example:7443".parse().unwrap();
        let organization = Organization::found(vault, &roots, &relay, now, rng).unwrap();
        let key = AccountSecret::random(rng).deposit_key(&relay, 0);
        let stop = Revocation::sign(&key, organization.id());
        organization
            .take_tombstones(vec![UnverifiedRevocation::new(stop.to_wire())], Vec::new(), now)
            .unwrap();
        organization.mark_confirmed(stop.grant()).unwrap();
        let due = |organization: &Organization| {
            organization.unconfirmed(None, &HashSet::new(), now).unwrap().0.len()
        };
        for (old, count) in [(OldKeys::Honoured, 0), (OldKeys::Disowned, 1)] {
            let offer = organization.offer_keys(&mut rand::rng()).unwrap();
            organization.renew(&roots.delegate(&offer, old, now).unwrap(), now).unwrap();
            assert_eq!(due(&organization), count, "{old:?}");
        }
    }

    #[test]
    fn numbers_rise_with_time_and_above_what_was_used() {
        let minute = |minute: u64| Timestamp::from_millis(minute * NUMBER_STEP_MILLIS);
        assert_eq!(number_at(minute(7), 0), 7);
        assert_eq!(number_at(minute(7), 7), 8);
        assert_eq!(number_at(minute(0), 0), 1);
        assert_eq!(number_at(minute(u64::from(u32::MAX) + 5), 3), u32::MAX);
    }
}
