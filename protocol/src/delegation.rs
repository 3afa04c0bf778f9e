//! The root's word for a gateway key, and whom an organization's signatures are checked against.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;

use crate::{
    error::{Error, Result},
    fingerprint::RootFingerprint,
    ids::OrganizationId,
    keys::{GatewayPublicKey, RootKey},
    succession::Successions,
    time::Timestamp,
    transcript::Label,
};

/// A delegation lives at most 400 days.
const LIFETIME_MAX: Duration = Duration::from_hours(9600);
/// Whoever checks may have a clock this far behind the root's.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

/// A verified delegation of a gateway key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delegation {
    number: u32,
    lowest_honoured: u32,
    gateway_key: GatewayPublicKey,
    root_index: u32,
    not_before: Timestamp,
    expires: Timestamp,
    signed: wire::Signed,
}

/// What a root signs.
#[derive(Clone, Debug)]
pub struct DelegationDraft {
    /// Whose gateway it is.
    pub organization: OrganizationId,
    /// At least 1, and above every number that the organization has used.
    pub number: u32,
    /// Delegations below are no longer honoured.
    pub lowest_honoured: u32,
    /// The key that signs from now on.
    pub gateway_key: GatewayPublicKey,
    /// From when.
    pub not_before: Timestamp,
    /// Until when: at most 400 days later.
    pub expires: Timestamp,
    /// Which root signs.
    pub root_index: u32,
}

impl DelegationDraft {
    /// Signs with the root.
    ///
    /// # Errors
    /// [`Error::Lifetime`] above 400 days.
    pub fn sign(&self, root: &RootKey) -> Result<wire::Signed> {
        check_lifetime(self.not_before, self.expires)?;
        let payload = wire::Delegation {
            organization_id: Bytes::copy_from_slice(self.organization.as_bytes()),
            number: self.number,
            gateway_key: Bytes::copy_from_slice(self.gateway_key.as_bytes()),
            not_before_ms: self.not_before.as_millis(),
            expires_ms: self.expires.as_millis(),
            lowest_honoured: self.lowest_honoured,
            root_index: self.root_index,
        };
        let payload = Bytes::from(payload.encode_to_vec());
        let signature = Bytes::copy_from_slice(&root.sign(Label::Delegation, &[&payload]));
        Ok(wire::Signed { payload, signature })
    }
}

fn check_lifetime(not_before: Timestamp, expires: Timestamp) -> Result<()> {
    if not_before < expires && expires.since(not_before) <= LIFETIME_MAX {
        Ok(())
    } else {
        Err(Error::Lifetime("delegation"))
    }
}

impl Delegation {
    /// Checks the signature by the chain's root of its index, that it is this organization's, and its form. Not
    /// whether its time has come.
    ///
    /// # Errors
    /// One of [`Error`]'s names.
    pub fn verify(
        signed: &wire::Signed,
        organization: &OrganizationId,
        successions: &Successions,
    ) -> Result<Self> {
        let fields =
            wire::Delegation::decode(signed.payload.clone()).map_err(|_| Error::Malformed("delegation"))?;
        let root = successions.root(fields.root_index).ok_or(Error::Succession)?;
        root.verify(Label::Delegation, &[&signed.payload], &signed.signature, "delegation")?;
        if OrganizationId::from_slice(&fields.organization_id)? != *organization {
            return Err(Error::WrongOrganization);
        }
        let not_before = Timestamp::from_millis(fields.not_before_ms);
        let expires = Timestamp::from_millis(fields.expires_ms);
        check_lifetime(not_before, expires)?;
        if fields.number == 0 || fields.lowest_honoured > fields.number {
            return Err(Error::Malformed("delegation"));
        }
        Ok(Self {
            number: fields.number,
            lowest_honoured: fields.lowest_honoured,
            gateway_key: GatewayPublicKey::from_slice(&fields.gateway_key)?,
            root_index: fields.root_index,
            not_before,
            expires,
            signed: signed.clone(),
        })
    }

    /// Its number; a client never goes back to a smaller one.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Delegations below are no longer honoured.
    pub fn lowest_honoured(&self) -> u32 {
        self.lowest_honoured
    }

    /// Which root of the chain signed it.
    pub fn root_index(&self) -> u32 {
        self.root_index
    }

    /// When it begins.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// When it ends.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The delegated key.
    pub fn gateway_key(&self) -> &GatewayPublicKey {
        &self.gateway_key
    }

    /// As it travels.
    pub fn signed(&self) -> &wire::Signed {
        &self.signed
    }

    pub(crate) fn check_at(&self, at: Timestamp) -> Result<()> {
        let has_begun = self.not_before <= at.plus(CLOCK_SKEW);
        if has_begun && at < self.expires { Ok(()) } else { Err(Error::Delegation) }
    }
}

/// Whom an organization's signatures are checked against: its roots and the lowest delegation honoured.
/// Comes from a verified `KeyBundle` or `Registration` only.
#[derive(Clone, Debug)]
pub struct Authority {
    organization: OrganizationId,
    successions: Successions,
    lowest_honoured: u32,
}

impl Authority {
    /// `current` must come from the newest root: a root that was succeeded, and perhaps stolen, publishes nothing.
    pub(crate) fn new(
        organization: OrganizationId,
        successions: Successions,
        current: &Delegation,
    ) -> Result<Self> {
        if current.root_index != successions.newest() {
            return Err(Error::Delegation);
        }
        Ok(Self { organization, successions, lowest_honoured: current.lowest_honoured })
    }

    pub(crate) fn successions(&self) -> &Successions {
        &self.successions
    }

    /// The organization.
    pub fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// By which people know the first root.
    pub fn root_fingerprint(&self) -> RootFingerprint {
        RootFingerprint::of(self.successions.first())
    }

    /// The delegation behind a ticket or confirmation, as of `at`.
    pub(crate) fn delegation_at(&self, signed: Option<&wire::Signed>, at: Timestamp) -> Result<Delegation> {
        let signed = signed.ok_or(Error::Malformed("delegation"))?;
        let delegation = Delegation::verify(signed, &self.organization, &self.successions)?;
        delegation.check_at(at)?;
        // What a succeeded root delegates since cannot be told from what it had delegated before: it names the number.
        let is_succeeded = delegation.root_index < self.successions.newest();
        if is_succeeded || delegation.number < self.lowest_honoured {
            Err(Error::Delegation)
        } else {
            Ok(delegation)
        }
    }
}
