//! The stop: a patient's revocation, and the organization's word that it acted on it.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;

use crate::{
    delegation::{Authority, Delegation},
    error::{Error, Result},
    ids::{GrantId, OrganizationId},
    keys::{DepositKey, DepositPublicKey, GatewayKey},
    time::Timestamp,
    transcript::Label,
};

/// A revocation as it came.
#[derive(Clone)]
pub struct UnverifiedRevocation(wire::Revocation);

impl fmt::Debug for UnverifiedRevocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedRevocation")
    }
}

impl UnverifiedRevocation {
    /// From the wire.
    pub fn new(wire: wire::Revocation) -> Self {
        Self(wire)
    }

    /// Checks that the deposit key makes the grant and signed its end.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::LowOrder`] or [`Error::Signature`].
    pub fn verify(self) -> Result<Revocation> {
        let organization = OrganizationId::from_slice(&self.0.organization_id)?;
        let deposit_key = DepositPublicKey::from_slice(&self.0.deposit_key)?;
        let grant = GrantId::derive(&organization, &deposit_key);
        deposit_key.verify(Label::Revoke, &[grant.as_bytes()], &self.0.signature, "revocation")?;
        Ok(Revocation { grant, organization, deposit_key, wire: self.0 })
    }
}

/// A verified revocation.
#[derive(Clone, PartialEq)]
pub struct Revocation {
    grant: GrantId,
    organization: OrganizationId,
    deposit_key: DepositPublicKey,
    wire: wire::Revocation,
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocation({:?})", self.grant)
    }
}

impl Revocation {
    /// Signs the end of the grant that `key` makes with `organization`.
    pub fn sign(key: &DepositKey, organization: &OrganizationId) -> Self {
        let deposit_key = key.public();
        let grant = GrantId::derive(organization, &deposit_key);
        let signature = key.sign(Label::Revoke, &[grant.as_bytes()]);
        let wire = wire::Revocation {
            organization_id: Bytes::copy_from_slice(organization.as_bytes()),
            deposit_key: Bytes::copy_from_slice(deposit_key.as_bytes()),
            signature: Bytes::copy_from_slice(&signature),
        };
        Self { grant, organization: *organization, deposit_key, wire }
    }

    /// The grant that ends.
    pub fn grant(&self) -> &GrantId {
        &self.grant
    }

    /// Whose grant it was.
    pub fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// The key that signed.
    pub fn deposit_key(&self) -> &DepositPublicKey {
        &self.deposit_key
    }

    /// As it travels.
    pub fn to_wire(&self) -> wire::Revocation {
        self.wire.clone()
    }
}

/// A confirmation as it came.
#[derive(Clone)]
pub struct UnverifiedConfirmation {
    signed: wire::Signed,
    fields: wire::Confirmation,
    grant: GrantId,
}

impl fmt::Debug for UnverifiedConfirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedConfirmation({:?})", self.grant)
    }
}

impl UnverifiedConfirmation {
    /// From the wire.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn new(signed: wire::Signed) -> Result<Self> {
        let fields = wire::Confirmation::decode(signed.payload.clone())
            .map_err(|_| Error::Malformed("confirmation"))?;
        let grant = GrantId::from_slice(&fields.grant_id)?;
        Ok(Self { signed, fields, grant })
    }

    /// The grant that it claims to be about.
    pub fn grant(&self) -> &GrantId {
        &self.grant
    }

    /// Checks the delegation at the confirmation's own time, and the signature.
    ///
    /// # Errors
    /// One of [`Error`]'s names.
    pub fn verify(self, authority: &Authority) -> Result<Confirmation> {
        let time = Timestamp::from_millis(self.fields.time_ms);
        let delegation = authority.delegation_at(self.fields.delegation.as_ref(), time)?;
        delegation.gateway_key().verify(
            Label::Confirm,
            &[&self.signed.payload],
            &self.signed.signature,
            "confirmation",
        )?;
        Ok(Confirmation { grant: self.grant, time, signed: self.signed })
    }
}

/// The organization's signed word that a revoked grant's keys and copy were destroyed. A claim, not proof.
#[derive(Clone, PartialEq)]
pub struct Confirmation {
    grant: GrantId,
    time: Timestamp,
    signed: wire::Signed,
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Confirmation({:?}, {:?})", self.grant, self.time)
    }
}

impl Confirmation {
    /// Signs that `grant` was destroyed.
    pub fn sign(grant: &GrantId, delegation: &Delegation, key: &GatewayKey, now: Timestamp) -> Self {
        let payload = wire::Confirmation {
            grant_id: Bytes::copy_from_slice(grant.as_bytes()),
            time_ms: now.as_millis(),
            delegation: Some(delegation.signed().clone()),
        };
        let payload = Bytes::from(payload.encode_to_vec());
        let signature = Bytes::copy_from_slice(&key.sign(Label::Confirm, &[&payload]));
        Self { grant: *grant, time: now, signed: wire::Signed { payload, signature } }
    }

    /// The grant that ended.
    pub fn grant(&self) -> &GrantId {
        &self.grant
    }

    /// When it was destroyed, by the organization's clock.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// As it travels.
    pub fn signed(&self) -> &wire::Signed {
        &self.signed
    }
}
