//! An organization: its keys, its bundle, its place at a relay, and as much of a receiver as opening needs.

use std::{convert::Infallible, sync::Arc, time::Duration};

use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    AcceptedInit, Clock as _, DelegationDraft, EpochEntry, EpochKey, EpochLookup, GatewayKey, GrantId,
    KeyBundle, KeyBundleDraft, KeyId, KnownGrant, LinkCodeHash, OpenInvitation, OrganizationId,
    ReceiverState, Registration, RelayOrigin, RootKey, SenderId, SessionId, Succession, Successions,
    SystemClock, TicketDraft, TicketLimits, Timestamp, missing_epochs, receive_init,
};
use sealcare_relay::store::Registrant;
use sealcare_transport::OAuthKey;

/// Where the bundle would be served.
pub(crate) const DOMAIN: &str = "clinic.example";
const DELEGATION_LIFETIME: Duration = Duration::from_hours(24 * 365);

/// An organization with all its keys in memory.
pub(crate) struct Clinic {
    pub(crate) bundle: KeyBundle,
    pub(crate) oauth: Arc<OAuthKey>,
    gateway: GatewayKey,
    epochs: Vec<EpochKey>,
}

impl Clinic {
    /// Draws all keys and signs a bundle for now.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (now, rng) = (SystemClock.now(), &mut rand::rng());
        let (root, gateway) = (RootKey::random(rng), GatewayKey::random(rng));
        let first = Succession::first(&root.public(), &RootKey::random(rng).public());
        let successions = Successions::new(vec![first])?;
        let domain = DOMAIN.parse()?;
        let delegation = DelegationDraft {
            organization: successions.organization_id(&domain),
            number: 1,
            lowest_honoured: 1,
            gateway_key: gateway.public(),
            not_before: now.minus(Duration::from_mins(1)),
            expires: now.plus(DELEGATION_LIFETIME),
            root_index: 0,
        };
        let periods = missing_epochs(&[], now);
        let epochs: Vec<_> = periods.iter().map(|_| EpochKey::random(rng)).collect();
        let entries =
            epochs.iter().zip(periods).map(|(key, period)| EpochEntry { key: key.public(), period });
        let draft = KeyBundleDraft {
            domain,
            successions,
            delegation: delegation.sign(&root)?,
            previous_serial: 0,
            epochs: entries.collect(),
        };
        let bundle = draft.sign(&gateway, now)?;
        Ok(Self { bundle, oauth: Arc::new(OAuthKey::generate()?), gateway, epochs })
    }

    /// Its id.
    pub(crate) fn id(&self) -> OrganizationId {
        *self.bundle.organization()
    }

    /// The id of the epoch key that is for sealing now.
    pub(crate) fn epoch(&self) -> anyhow::Result<KeyId> {
        let now = SystemClock.now();
        let is_open =
            |entry: &&EpochEntry| (entry.period.not_before..entry.period.encrypt_until).contains(&now);
        let entry = self.bundle.epochs().iter().find(is_open);
        entry.map(|entry| entry.key.id()).ok_or_else(|| anyhow::anyhow!("the bundle has no epoch for now"))
    }

    /// What it signs to be listed at `relay`.
    pub(crate) fn registration(&self, relay: &RelayOrigin) -> wire::Signed {
        Registration::sign(&self.bundle, relay, &self.oauth.public_jwk(), &self.gateway, SystemClock.now())
    }

    /// The same for a store without a relay around it.
    pub(crate) fn registrant(&self) -> Registrant {
        let epochs = self.bundle.epochs().iter().map(|entry| (entry.key.id(), entry.period.encrypt_until));
        Registrant {
            organization: self.id(),
            domain: self.bundle.domain().clone(),
            oauth_jwk: Some(self.oauth.public_jwk()),
            oauth_created: SystemClock.now(),
            bundle: self.bundle.signed().clone(),
            pin: self.bundle.pin(),
            bundle_expires: self.bundle.expires(),
            epochs: epochs.collect(),
            root_fingerprint: [0; 32],
        }
    }

    /// A ticket for one patient at `relay`.
    pub(crate) fn ticket(&self, relay: &RelayOrigin) -> wire::Signed {
        let draft = TicketDraft { relay, limits: TicketLimits::default() };
        draft.sign(&self.id(), self.bundle.delegation(), &self.gateway, SystemClock.now(), &mut rand::rng())
    }

    /// Opens a session's first envelope.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) fn open_session(&self, grant: &GrantId, init: &[u8]) -> anyhow::Result<AcceptedInit> {
        let Ok(verdict) = receive_init(self, &self.id(), grant, init, SystemClock.now());
        Ok(verdict?)
    }
}

/// Knows its epoch keys, and takes every grant and link code for new.
impl ReceiverState for Clinic {
    type Error = Infallible;

    fn is_session_known(&self, _: &SessionId) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn epoch(&self, id: &KeyId) -> Result<EpochLookup, Infallible> {
        let found = self.epochs.iter().find(|key| key.public().id() == *id);
        Ok(found.map_or(EpochLookup::Unknown, |key| EpochLookup::Known(EpochKey::from_seed(key.as_seed()))))
    }

    fn is_revoked(&self, _: &GrantId) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn grant(&self, _: &GrantId) -> Result<Option<KnownGrant>, Infallible> {
        Ok(None)
    }

    fn invitation(&self, _: &LinkCodeHash) -> Result<Option<OpenInvitation>, Infallible> {
        Ok(Some(OpenInvitation { expires: Timestamp::from_millis(u64::MAX) }))
    }

    fn next_sequence(&self, _: &GrantId, _: &SenderId) -> Result<Option<u64>, Infallible> {
        Ok(None)
    }
}
