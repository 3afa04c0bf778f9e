//! An organization: founded once in a vault, opened from it ever after. Not here: its keys' rotation (`epochs`),
//! invitations, grants, and what arrives (`inbox`).

use std::sync::{Arc, PoisonError, RwLock};

use prost::Message as _;
use rand_core::CryptoRng;
use sealcare_protocol::{
    DelegationDraft, Domain, GatewayKey, KeyBundle, OrganizationId, Registration, RelayOrigin, RootPublicKey,
    Timestamp, UnverifiedKeyBundle,
};
use sealcare_transport::OAuthKey;
use sealcare_vault::{KeyRange, ReadTransaction, Vault, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use crate::error::{ProviderError, Result};
use crate::kept::{self, Kept};
use crate::root::{Roots, successions};
use crate::spaces::{IDENTITY, STATEMENTS};

/// A delegation lives 399 days: a year and a month, within the protocol's 400.
const DELEGATION_LIFETIME: std::time::Duration = std::time::Duration::from_hours(399 * 24);

const PROFILE: &[u8] = b"profile";
const GATEWAY_KEY: &[u8] = b"gateway key";
const OAUTH_KEY: &[u8] = b"oauth key";
const BUNDLE: &[u8] = b"bundle";

/// An organization's side of Sealcare, over a vault that the application may share.
///
/// Calls block on the vault: from async code use a blocking task, or the [`crate::Subscriber`].
pub struct Organization {
    pub(crate) vault: Arc<Vault>,
    pub(crate) id: OrganizationId,
    pub(crate) domain: Domain,
    pub(crate) relay: RelayOrigin,
    pub(crate) gateway_key: GatewayKey,
    oauth_key: Arc<OAuthKey>,
    bundle: RwLock<Arc<KeyBundle>>,
    pub(crate) shown: watch::Sender<Shown>,
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
    #[serde(with = "kept::hex")]
    root: [u8; 32],
    #[serde(with = "kept::hex")]
    next_root: [u8; 32],
    /// As the root signed it.
    #[serde(with = "kept::hex")]
    delegation: Vec<u8>,
    pub(crate) serial: u64,
    /// When the bundle was signed, milliseconds since 1970.
    pub(crate) signed_at: u64,
    /// The serial that the relay has.
    pub(crate) published: u64,
    /// A restored backup: the relay's tombstones must be read before anything is shown.
    #[serde(default)]
    pub(crate) needs_tombstones: bool,
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

    pub(crate) fn draft(
        &self,
        epochs: Vec<sealcare_protocol::EpochEntry>,
    ) -> Result<sealcare_protocol::KeyBundleDraft> {
        let damaged = ProviderError::Damaged(Self::NAME);
        let (root, next) =
            (RootPublicKey::from_slice(&self.root)?, RootPublicKey::from_slice(&self.next_root)?);
        let delegation = prost::Message::decode(self.delegation.as_slice()).map_err(|_| damaged)?;
        Ok(sealcare_protocol::KeyBundleDraft {
            domain: self.domain.parse()?,
            successions: successions(&root, &next),
            delegation,
            previous_serial: self.serial,
            epochs,
        })
    }
}

impl Organization {
    /// Founds the organization of `roots` in an empty vault, to be reached through `relay`, and signs its first
    /// bundle. Keep the roots offline afterwards ([`Roots::write`] first: the vault never holds them).
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
        let gateway_key = GatewayKey::random(rng);
        let oauth_key = OAuthKey::generate()?;
        let profile = profile(roots, relay, &gateway_key, now)?;
        vault.write(|tx| {
            if tx.get(IDENTITY, PROFILE)?.is_some() {
                return Err(ProviderError::AlreadyFounded);
            }
            tx.put(IDENTITY, GATEWAY_KEY, gateway_key.to_seed().as_slice())?;
            tx.put(IDENTITY, OAUTH_KEY, &oauth_key.to_pkcs8())?;
            profile.store(tx)
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
        let (profile, gateway_key, oauth_key) = vault.read(|tx| {
            let secret = |name| tx.get(IDENTITY, name)?.ok_or(ProviderError::NotFounded);
            let gateway_key = GatewayKey::from_seed(&*seed(&secret(GATEWAY_KEY)?)?);
            Ok::<_, ProviderError>((Profile::load(tx)?, gateway_key, secret(OAUTH_KEY)?))
        })?;
        let shown = vault.write(|tx| {
            crate::epochs::mark_lost(tx)?;
            first_shown(tx, &profile)
        })?;
        crate::epochs::rotate_keys(&vault, now, rng)?;
        let bundle = crate::epochs::current_bundle(&vault, &gateway_key, now)?;
        let organization = Self {
            id: *bundle.organization(),
            domain: profile.domain.parse()?,
            relay: profile.relay.parse()?,
            gateway_key,
            oauth_key: Arc::new(OAuthKey::from_pkcs8(&oauth_key)?),
            bundle: RwLock::new(Arc::new(bundle)),
            shown: watch::Sender::new(shown),
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

    /// Proves the organization to its relay.
    pub fn oauth_key(&self) -> Arc<OAuthKey> {
        Arc::clone(&self.oauth_key)
    }

    /// The current bundle.
    pub fn bundle(&self) -> Arc<KeyBundle> {
        Arc::clone(&self.bundle.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The current bundle as it is served at the domain, content type `application/octet-stream`.
    pub fn bundle_bytes(&self) -> Vec<u8> {
        self.bundle().signed().encode_to_vec()
    }

    /// Asks the relay's operator to list this organization.
    ///
    /// # Errors
    /// What a call to the directory can meet.
    pub async fn register(
        &self,
        directory: &sealcare_transport::DirectoryChannel,
        now: Timestamp,
    ) -> Result<sealcare_transport::OrganizationState> {
        let jwk = self.oauth_key.public_jwk();
        let registration = Registration::sign(&self.bundle(), &self.relay, &jwk, &self.gateway_key, now);
        Ok(directory.register(&registration).await?)
    }

    pub(crate) fn replace_bundle(&self, bundle: KeyBundle) {
        *self.bundle.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bundle);
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

fn profile(roots: &Roots, relay: &RelayOrigin, gateway_key: &GatewayKey, now: Timestamp) -> Result<Profile> {
    let delegation = DelegationDraft {
        organization: roots.organization(),
        number: 1,
        lowest_honoured: 1,
        gateway_key: gateway_key.public(),
        not_before: now,
        expires: now.plus(DELEGATION_LIFETIME),
        root_index: 0,
    };
    Ok(Profile {
        domain: roots.domain().as_str().to_owned(),
        relay: relay.as_str().to_owned(),
        root: *roots.root().public().as_bytes(),
        next_root: *roots.next().public().as_bytes(),
        delegation: delegation.sign(roots.root())?.encode_to_vec(),
        serial: 0,
        signed_at: 0,
        published: 0,
        needs_tombstones: false,
    })
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
