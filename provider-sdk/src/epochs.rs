//! Epoch keys and the bundle that publishes them: made ahead, destroyed on time, signed anew every day. Not here:
//! the gateway keys that sign it (`delegation`).

use std::time::Duration;

use rand_core::CryptoRng;
use sealcare_protocol::{
    EPOCHS_MAX, EpochEntry, EpochKey, EpochPeriod, KeyBundle, KeyId, OrganizationId, Timestamp,
    missing_epochs,
};
use sealcare_vault::{KeyRange, ReadTransaction, Space, Vault, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::delegation::key_at;
use crate::error::{ProviderError, Result};
use crate::invitation::InvitationRow;
use crate::kept::{self, Kept};
use crate::organization::{Organization, Profile, load_bundle, seed, store_bundle};
use crate::signer::Signer;
use crate::spaces::{BUNDLES, EPOCH_SEEDS, EPOCHS, INVITATIONS, SEEN_SESSIONS, epoch_wrapping_key};

/// A bundle is signed anew after a day, so that it always has six days to live.
const BUNDLE_AGE_MAX: Duration = Duration::from_hours(24);
/// A destroyed epoch's period is remembered for this long, to name late envelopes rightly.
const DESTROYED_REMEMBERED: Duration = Duration::from_hours(90 * 24);
/// The relay keeps an envelope at most this long.
pub(crate) const RETENTION: Duration = Duration::from_hours(13 * 24);
/// Rows that are looked at together for what has expired.
const PURGED_MAX: usize = 10_000;

/// An epoch key's period, and whether the key is gone.
#[derive(Deserialize, Serialize)]
pub(crate) struct EpochRow {
    not_before: u64,
    encrypt_until: u64,
    pub(crate) decrypt_until: u64,
    pub(crate) is_destroyed: bool,
    /// Not to be sealed to any more before its time; what was is opened still.
    #[serde(default)]
    is_withdrawn: bool,
}

impl Kept for EpochRow {
    const NAME: &'static str = "epoch";
}

impl EpochRow {
    fn new(period: EpochPeriod) -> Self {
        Self {
            not_before: period.not_before.as_millis(),
            encrypt_until: period.encrypt_until.as_millis(),
            decrypt_until: period.decrypt_until.as_millis(),
            is_destroyed: false,
            is_withdrawn: false,
        }
    }

    fn is_published(&self, now: Timestamp) -> bool {
        !self.is_destroyed && !self.is_withdrawn && now < self.period().encrypt_until
    }

    fn period(&self) -> EpochPeriod {
        EpochPeriod {
            not_before: Timestamp::from_millis(self.not_before),
            encrypt_until: Timestamp::from_millis(self.encrypt_until),
            decrypt_until: Timestamp::from_millis(self.decrypt_until),
        }
    }
}

impl Organization {
    /// Makes the epoch keys of the days to come, destroys those whose time is over, moves to the next gateway key in
    /// its time, signs the bundle anew if it is a day old or its keys changed, and forgets what has expired. Call it
    /// every hour. Says whether the bundle changed.
    ///
    /// # Errors
    /// Those of the vault. Once the last delegation is over the bundle stays as it is, expired.
    pub fn rotate(&self, now: Timestamp, rng: &mut impl CryptoRng) -> Result<bool> {
        rotate_keys(&self.vault, now, rng)?;
        let has_changed = self.refresh_signer(now)?;
        self.vault.write(|tx| purge(tx, now))?;
        Ok(has_changed)
    }

    /// Publishes new epoch keys at once in place of all that were published: whoever seals from the next bundle on
    /// seals to these. What was sealed to the ones before is still opened until their time is over.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn replace_epochs(&self, now: Timestamp, rng: &mut impl CryptoRng) -> Result<()> {
        self.vault.write(|tx| withdraw(tx, now))?;
        self.rotate(now, rng)?;
        self.announce_replies();
        Ok(())
    }

    /// Whether the relay's mirror has the current bundle.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn is_published(&self) -> Result<bool> {
        Ok(self.unpublished_bundle()?.is_none())
    }

    /// The bundle that the relay's mirror does not have yet.
    pub(crate) fn unpublished_bundle(&self) -> Result<Option<KeyBundle>> {
        let published = self.vault.read(|tx| Ok::<_, ProviderError>(Profile::load(tx)?.published))?;
        let signer = self.signer();
        Ok((signer.bundle().serial() > published).then(|| KeyBundle::clone(signer.bundle())))
    }

    pub(crate) fn mark_published(&self, serial: u64, now: Timestamp) -> Result<()> {
        self.vault.write(|tx| {
            let mut profile = Profile::load(tx)?;
            profile.published = profile.published.max(serial);
            profile.published_at = now.as_millis();
            profile.store(tx)
        })
    }
}

/// Destroys what is due and draws what is missing.
pub(crate) fn rotate_keys(vault: &Vault, now: Timestamp, rng: &mut impl CryptoRng) -> Result<()> {
    let epochs = vault.read(all)?;
    for (key, row) in &epochs {
        if !row.is_destroyed && now >= row.period().decrypt_until {
            destroy(vault, *key)?;
        }
    }
    let live = epochs.iter().filter(|(_, row)| !row.is_destroyed && !row.is_withdrawn);
    let periods: Vec<_> = live.map(|(_, row)| row.period()).collect();
    for period in missing_epochs(&periods, now) {
        draw(vault, period, rng)?;
    }
    Ok(())
}

/// The key first, for it is irreversible; the row says it afterwards.
fn destroy(vault: &Vault, key: KeyId) -> Result<()> {
    vault.destroy_wrapping_key(&epoch_wrapping_key(key))?;
    vault.write(|tx| {
        let Some(mut row) = kept::get::<EpochRow>(tx, EPOCHS, key.as_bytes())? else { return Ok(()) };
        row.is_destroyed = true;
        kept::put(tx, EPOCHS, key.as_bytes(), &row)
    })
}

/// Takes what is published back, today's key and those of the days to come.
fn withdraw(tx: &mut WriteTransaction<'_>, now: Timestamp) -> Result<()> {
    for (key, mut row) in all(tx)? {
        if row.is_published(now) {
            row.is_withdrawn = true;
            kept::put(tx, EPOCHS, key.as_bytes(), &row)?;
        }
    }
    Ok(())
}

/// After a restore: keys are never in a backup, so what has none counts as destroyed.
pub(crate) fn mark_lost(tx: &mut WriteTransaction<'_>) -> Result<()> {
    for (key, mut row) in all(tx)? {
        if tx.get(EPOCH_SEEDS, key.as_bytes())?.is_none() {
            row.is_destroyed = true;
            kept::put(tx, EPOCHS, key.as_bytes(), &row)?;
        }
    }
    Ok(())
}

fn draw(vault: &Vault, period: EpochPeriod, rng: &mut impl CryptoRng) -> Result<()> {
    let key = EpochKey::random(rng);
    let id = key.public().id();
    let wrapping = epoch_wrapping_key(id);
    vault.create_wrapping_key(&wrapping)?;
    vault.write(|tx| {
        tx.put_wrapped(&wrapping, EPOCH_SEEDS, id.as_bytes(), key.as_seed())?;
        kept::put(tx, EPOCHS, id.as_bytes(), &EpochRow::new(period))
    })
}

/// The current bundle with its key.
pub(crate) fn current_signer(vault: &Vault, now: Timestamp) -> Result<Signer> {
    vault.write(|tx| {
        let bundle = current_bundle(tx, now)?;
        Signer::of(tx, bundle)
    })
}

/// The stored bundle, or a new one if that is a day old, does not verify any more, or has other keys.
fn current_bundle(tx: &mut WriteTransaction<'_>, now: Timestamp) -> Result<KeyBundle> {
    let mut profile = Profile::load(tx)?;
    let organization = profile.chain()?.organization_id(&profile.domain.parse()?);
    let last = last_bundle(tx, &organization, &profile)?;
    let used = last.as_ref().map(|bundle| bundle.delegation().number());
    let (key, delegation) = key_at(tx, used, now)?;
    let draft = profile.draft(&delegation, publishable(tx, now)?)?;
    if let Some(bundle) = &last {
        let is_young = now.since(Timestamp::from_millis(profile.signed_at)) < BUNDLE_AGE_MAX
            && profile.signed_at <= now.as_millis()
            && now < bundle.expires();
        let has_same_keys =
            *bundle.delegation().signed() == draft.delegation && bundle.epochs() == draft.epochs;
        if is_young && has_same_keys {
            return Ok(bundle.clone());
        }
    }
    let bundle = match draft.sign(&key, now) {
        // The last delegation's time is over: nobody seals to this organization any more, but patients who stop
        // are still heard.
        Err(error @ sealcare_protocol::Error::Delegation) => return last.ok_or(error.into()),
        signed => signed?,
    };
    profile.serial = bundle.serial();
    profile.signed_at = now.as_millis();
    profile.store(tx)?;
    let forget = bundle.expires().plus(RETENTION).as_millis();
    tx.put(BUNDLES, bundle.hash().as_bytes(), &forget.to_be_bytes())?;
    store_bundle(tx, &bundle)?;
    Ok(bundle)
}

/// The bundle that was signed last, as of then.
fn last_bundle(
    tx: &ReadTransaction<'_>,
    organization: &OrganizationId,
    profile: &Profile,
) -> Result<Option<KeyBundle>> {
    let signed_at = Timestamp::from_millis(profile.signed_at);
    Ok(load_bundle(tx)?.and_then(|bundle| bundle.verify(organization, signed_at).ok()))
}

/// The epochs to seal to from now on, in order, at most 8.
fn publishable(tx: &ReadTransaction<'_>, now: Timestamp) -> Result<Vec<EpochEntry>> {
    let mut entries = Vec::new();
    for (key, row) in all(tx)? {
        if !row.is_published(now) {
            continue;
        }
        let kept = tx.get(EPOCH_SEEDS, key.as_bytes())?.ok_or(ProviderError::Damaged("epoch key"))?;
        let public = EpochKey::from_seed(&*seed(&kept)?).public();
        entries.push(EpochEntry { key: public, period: row.period() });
    }
    entries.sort_by_key(|entry| entry.period.not_before);
    entries.truncate(EPOCHS_MAX);
    Ok(entries)
}

fn all(tx: &ReadTransaction<'_>) -> Result<Vec<(KeyId, EpochRow)>> {
    let rows = tx.scan(EPOCHS, &KeyRange::all(), usize::MAX)?;
    rows.iter().map(|(key, row)| Ok((KeyId::from_slice(key)?, EpochRow::decode(row)?))).collect()
}

fn purge(tx: &mut WriteTransaction<'_>, now: Timestamp) -> Result<()> {
    for space in [SEEN_SESSIONS, BUNDLES] {
        purge_numbered(tx, space, now)?;
    }
    purge_invitations(tx, now)?;
    for (key, row) in all(tx)? {
        if row.is_destroyed && now >= row.period().decrypt_until.plus(DESTROYED_REMEMBERED) {
            tx.delete(EPOCHS, key.as_bytes())?;
        }
    }
    Ok(())
}

fn purge_invitations(tx: &mut WriteTransaction<'_>, now: Timestamp) -> Result<()> {
    let mut rest = KeyRange::all();
    loop {
        let rows = tx.scan(INVITATIONS, &rest, PURGED_MAX)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        rest = KeyRange::all().after(last);
        for (key, row) in &rows {
            if InvitationRow::decode(row)?.expires <= now.as_millis() {
                tx.delete(INVITATIONS, key)?;
            }
        }
    }
}

/// Deletes the rows whose value, milliseconds since 1970, is past.
fn purge_numbered(tx: &mut WriteTransaction<'_>, space: Space, now: Timestamp) -> Result<()> {
    let mut rest = KeyRange::all();
    loop {
        let rows = tx.scan(space, &rest, PURGED_MAX)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        rest = KeyRange::all().after(last);
        for (key, value) in &rows {
            if kept::number(value)? <= now.as_millis() {
                tx.delete(space, key)?;
            }
        }
    }
}
