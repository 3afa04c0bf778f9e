//! An organization: founded once in a vault, opened from it ever after. Not here: its keys' rotation (`epochs`,
//! `delegation`), its backup (`backup`), invitations, grants, and what arrives (`inbox`).

use std::sync::{Arc, PoisonError, RwLock};

use prost::Message as _;
use rand_core::CryptoRng;
use sealcare_protocol::{
    Domain, EpochEntry, KeyBundle, KeyBundleDraft, OrganizationId, RelayOrigin, Successions, Timestamp,
    UnverifiedKeyBundle,
};
use sealcare_transport::OAuthKey;
use sealcare_vault::{KeyRange, ReadTransaction, Vault, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use crate::delegation::{self, OldKeys};
use crate::error::{ProviderError, Result};
use crate::kept::{self, Kept, KeptLink};
use crate::link::Link;
use crate::root::Roots;
use crate::signer::Signer;
use crate::spaces::{IDENTITY, STATEMENTS};

const PROFILE: &[u8] = b"profile";
pub(crate) const OAUTH_KEY: &[u8] = b"oauth key";
const BUNDLE: &[u8] = b"bundle";

/// An organization's side of Sealcare, over a vault that the application may share.
///
/// Calls block on the vault: from async code use a blocking task, or the [`crate::Subscriber`].
pub struct Organization {
    pub(crate) vault: Arc<Vault>,
    pub(crate) id: OrganizationId,
    pub(crate) domain: Domain,
    pub(crate) relay: RelayOrigin,
    pub(crate) oauth_key: RwLock<Arc<OAuthKey>>,
    signer: RwLock<Arc<Signer>>,
    pub(crate) shown: watch::Sender<Shown>,
    pub(crate) link: Link,
    events: Notify,
    replies: Notify,
}

/// Whether anything may be shown: any start may be one from a backup, in which what was revoked since is back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shown {
    /// Once the relay told what was revoked.
    Later,
    /// It told, or there was nothing to show.
    Now,
}

/// What is known of the organization besides its keys.
#[derive(Deserialize, Serialize)]
pub(crate) struct Profile {
    pub(crate) domain: String,
    pub(crate) relay: String,
    chain: Vec<KeptLink>,
    pub(crate) serial: u64,
    /// When the bundle was signed, milliseconds since 1970.
    pub(crate) signed_at: u64,
    /// The serial that the relay has.
    pub(crate) published: u64,
    /// A restored backup: the relay's tombstones must be read before anything is shown.
    #[serde(default)]
    pub(crate) needs_tombstones: bool,
    /// A restored backup whose root was not at hand since: keys may have been disowned that it does not know of.
    #[serde(default)]
    pub(crate) may_honour_disowned: bool,
    /// When the OAuth key was drawn, milliseconds since 1970; 0 if another is due.
    pub(crate) oauth_key_drawn: u64,
    /// When the relay was last reached, milliseconds since 1970.
    pub(crate) reached: Option<u64>,
    /// When the relay last took a bundle, milliseconds since 1970; before the first, when the organization began.
    pub(crate) published_at: u64,
}

impl Kept for Profile {
    const NAME: &'static str = "profile";
}

impl Profile {
    pub(crate) fn load(tx: &ReadTransaction<'_>) -> Result<Self> {
        kept::get(tx, IDENTITY, PROFILE)?.ok_or(ProviderError::NotFounded)
    }

    pub(crate) fn store(&self, tx: &mut WriteTransaction<'_>) -> Result<()> {
        kept::put(tx, IDENTITY, PROFILE, self)
    }

    /// From a backup: the relay is told the bundle again, another OAuth key, for it may know a newer one than the backup,
    /// and asked for what was revoked since. The root is to disown what the backup may wrongly honour.
    pub(crate) fn mark_restored(&mut self) {
        (self.published, self.oauth_key_drawn) = (0, 0);
        (self.needs_tombstones, self.may_honour_disowned) = (true, true);
    }

    pub(crate) fn chain(&self) -> Result<Successions> {
        KeptLink::chain(&self.chain)
    }

    pub(crate) fn set_chain(&mut self, chain: &Successions) {
        self.chain = KeptLink::all_of(chain);
    }

    /// What is published, under a delegation as the root signed it.
    pub(crate) fn draft(&self, delegation: &[u8], epochs: Vec<EpochEntry>) -> Result<KeyBundleDraft> {
        Ok(KeyBundleDraft {
            domain: self.domain.parse()?,
            successions: self.chain()?,
            delegation: prost::Message::decode(delegation)
                .map_err(|_| ProviderError::Damaged("delegation"))?,
            previous_serial: self.serial,
            epochs,
        })
    }
}

impl Organization {
    /// Founds the organization of `roots` in an empty vault, to be reached through `relay`: the roots sign for its
    /// gateway keys of three years. Keep them offline afterwards ([`Roots::write`] first: the vault never holds them).
    ///
    /// # Errors
    /// [`ProviderError::AlreadyFounded`], and those of the vault.
    pub fn found(
        vault: Arc<Vault>,
        roots: &Roots,
        relay: &RelayOrigin,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self> {
        let oauth_key = OAuthKey::generate()?;
        vault.write(|tx| {
            if tx.get(IDENTITY, PROFILE)?.is_some() {
                return Err(ProviderError::AlreadyFounded);
            }
            tx.put(IDENTITY, OAUTH_KEY, &oauth_key.to_pkcs8())?;
            profile(roots, relay, now).store(tx)?;
            let organization = roots.organization();
            let offer = delegation::offer(tx, &organization, rng)?;
            delegation::adopt(tx, &organization, &roots.delegate(&offer, OldKeys::Honoured, now)?, now)
        })?;
        Self::open(vault, now, rng)
    }

    /// Whether an organization was founded in this vault.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn is_founded(vault: &Vault) -> Result<bool> {
        vault.read(|tx| Ok(tx.get(IDENTITY, PROFILE)?.is_some()))
    }

    /// Opens the organization of a vault: finishes what a crash interrupted and rotates what is due.
    ///
    /// # Errors
    /// [`ProviderError::NotFounded`], damage by name, and those of the vault.
    pub fn open(vault: Arc<Vault>, now: Timestamp, rng: &mut impl CryptoRng) -> Result<Self> {
        give_up_unopenable(&vault)?;
        let (profile, oauth_key) = vault.read(|tx| {
            let oauth_key = tx.get(IDENTITY, OAUTH_KEY)?.ok_or(ProviderError::NotFounded)?;
            Ok::<_, ProviderError>((Profile::load(tx)?, oauth_key))
        })?;
        let shown = vault.write(|tx| {
            crate::epochs::mark_lost(tx)?;
            first_shown(tx, &profile)
        })?;
        crate::epochs::rotate_keys(&vault, now, rng)?;
        let signer = crate::epochs::current_signer(&vault, now)?;
        let organization = Self {
            id: *signer.bundle().organization(),
            domain: profile.domain.parse()?,
            relay: profile.relay.parse()?,
            oauth_key: RwLock::new(Arc::new(OAuthKey::from_pkcs8(&oauth_key)?)),
            signer: RwLock::new(Arc::new(signer)),
            shown: watch::Sender::new(shown),
            link: Link::default(),
            events: Notify::new(),
            replies: Notify::new(),
            vault,
        };
        organization.finish_destructions()?;
        Ok(organization)
    }

    /// Its id, for ever.
    pub fn id(&self) -> &OrganizationId {
        &self.id
    }

    /// Where its bundle is served.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Where patients deposit for it.
    pub fn relay(&self) -> &RelayOrigin {
        &self.relay
    }

    /// The vault, for the application's own state beside this crate's.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The current bundle.
    pub fn bundle(&self) -> Arc<KeyBundle> {
        Arc::clone(self.signer().bundle())
    }

    /// The current bundle as it is served at the domain, content type `application/octet-stream`.
    pub fn bundle_bytes(&self) -> Vec<u8> {
        self.signer().bundle().signed().encode_to_vec()
    }

    pub(crate) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.signer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs a bundle anew if one is due, and says whether it is another now.
    pub(crate) fn refresh_signer(&self, now: Timestamp) -> Result<bool> {
        let signer = crate::epochs::current_signer(&self.vault, now)?;
        let has_changed = signer.bundle().hash() != self.signer().bundle().hash();
        if has_changed {
            *self.signer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(signer);
        }
        Ok(has_changed)
    }

    /// Wakes who waits for events.
    pub(crate) fn announce_events(&self) {
        self.events.notify_one();
    }

    /// Returns when there may be events to [process](Self::process). For one waiting task.
    pub async fn events_arrived(&self) {
        self.events.notified().await;
    }

    /// Wakes who sends replies and confirmations.
    pub(crate) fn announce_replies(&self) {
        self.replies.notify_one();
    }

    pub(crate) async fn replies_due(&self) {
        self.replies.notified().await;
    }
}

fn profile(roots: &Roots, relay: &RelayOrigin, now: Timestamp) -> Profile {
    Profile {
        domain: roots.domain().as_str().to_owned(),
        relay: relay.as_str().to_owned(),
        chain: KeptLink::all_of(roots.chain()),
        serial: 0,
        signed_at: 0,
        published: 0,
        needs_tombstones: false,
        may_honour_disowned: false,
        oauth_key_drawn: now.as_millis(),
        reached: None,
        published_at: now.as_millis(),
    }
}

/// After a restore, or where a disk has damaged keys: what they wrapped is gone, and patients' apps send it again.
/// That the vault was restored is written down first, so that a crash in between does not hide it.
fn give_up_unopenable(vault: &Vault) -> Result<()> {
    let unopenable = vault.unopenable_keys()?;
    if unopenable.count() == 0 {
        return Ok(());
    }
    let (missing, damaged) = (unopenable.missing, unopenable.damaged);
    tracing::error!(missing, damaged, "wrapping keys are missing or damaged: what they wrapped is given up");
    vault.write(|tx| {
        let mut profile = Profile::load(tx)?;
        profile.needs_tombstones = true;
        profile.store(tx)
    })?;
    vault.delete_unopenable().map(drop).map_err(ProviderError::from)
}

fn first_shown(tx: &ReadTransaction<'_>, profile: &Profile) -> Result<Shown> {
    let is_empty = tx.count(STATEMENTS, &KeyRange::all())? == 0;
    Ok(if is_empty && !profile.needs_tombstones { Shown::Now } else { Shown::Later })
}

pub(crate) fn seed(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    bytes.try_into().map(Zeroizing::new).map_err(|_| ProviderError::Damaged("key"))
}

pub(crate) fn load_bundle(tx: &ReadTransaction<'_>) -> Result<Option<UnverifiedKeyBundle>> {
    tx.get(IDENTITY, BUNDLE)?.map(|bytes| Ok(UnverifiedKeyBundle::decode(&bytes)?)).transpose()
}

pub(crate) fn store_bundle(tx: &mut WriteTransaction<'_>, bundle: &KeyBundle) -> Result<()> {
    Ok(tx.put(IDENTITY, BUNDLE, &bundle.signed().encode_to_vec())?)
}

impl std::fmt::Debug for Organization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Organization({:?})", self.id)
    }
}
