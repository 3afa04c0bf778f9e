//! How an organization asks a relay to be listed.

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;

use crate::{
    address::RelayOrigin,
    bundle::{KeyBundle, UnverifiedKeyBundle},
    error::{Error, Result},
    ids::OrganizationId,
    keys::GatewayKey,
    time::Timestamp,
    transcript::Label,
};

/// Bytes of a public JWK.
const JWK_BYTES_MAX: usize = 1024;
/// A registration is fresh for a day.
const AGE_MAX: std::time::Duration = std::time::Duration::from_hours(24);

/// A verified registration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The organization's bundle; its authority checks the tickets to come.
    pub bundle: KeyBundle,
    /// Public JWK (RFC 7517) of the OAuth key, not yet parsed, at most 1 KiB.
    pub oauth_jwk: String,
    /// When it was made.
    pub created: Timestamp,
}

impl Registration {
    /// Signs a registration of `bundle`'s organization at `relay`.
    pub fn sign(
        bundle: &KeyBundle,
        relay: &RelayOrigin,
        oauth_jwk: &str,
        key: &GatewayKey,
        now: Timestamp,
    ) -> wire::Signed {
        let payload = wire::Registration {
            organization_id: Bytes::copy_from_slice(bundle.organization().as_bytes()),
            domain: bundle.domain().as_str().to_owned(),
            relay_origin: relay.as_str().to_owned(),
            oauth_jwk: oauth_jwk.to_owned(),
            created_ms: now.as_millis(),
            bundle: Some(bundle.signed().clone()),
        };
        let payload = Bytes::from(payload.encode_to_vec());
        let signature = Bytes::copy_from_slice(&key.sign(Label::Registration, &[&payload]));
        wire::Signed { payload, signature }
    }
}

/// A registration as it came.
#[derive(Clone, Debug)]
pub struct UnverifiedRegistration(wire::Signed);

impl UnverifiedRegistration {
    /// From the wire.
    pub fn new(signed: wire::Signed) -> Self {
        Self(signed)
    }

    /// Checks the bundle, that the registration is of its organization and for `relay`, and the signature.
    ///
    /// # Errors
    /// One of [`Error`]'s names.
    pub fn verify(self, relay: &RelayOrigin, now: Timestamp) -> Result<Registration> {
        let malformed = Error::Malformed("registration");
        let fields = wire::Registration::decode(self.0.payload.clone()).map_err(|_| malformed)?;
        let bundle = UnverifiedKeyBundle::new(fields.bundle.ok_or(malformed)?)?.verify_any(now)?;
        bundle.delegation().gateway_key().verify(
            Label::Registration,
            &[&self.0.payload],
            &self.0.signature,
            "registration",
        )?;
        if OrganizationId::from_slice(&fields.organization_id)? != *bundle.organization()
            || fields.domain != bundle.domain().as_str()
        {
            return Err(Error::WrongOrganization);
        }
        if fields.relay_origin != relay.as_str() {
            return Err(Error::WrongRelay);
        }
        if fields.oauth_jwk.len() > JWK_BYTES_MAX {
            return Err(malformed);
        }
        let created = Timestamp::from_millis(fields.created_ms);
        if now.since(created) > AGE_MAX || created.since(now) > AGE_MAX {
            return Err(Error::Expired("registration"));
        }
        Ok(Registration { bundle, oauth_jwk: fields.oauth_jwk, created })
    }
}
