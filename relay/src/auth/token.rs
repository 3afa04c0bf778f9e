//! Access tokens: JWTs under a key that lives and dies with the process. After a restart organizations
//! ask anew, which they must be able to anyway.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use sealcare_protocol::{OrganizationId, RelayOrigin, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How long a token is good for.
pub(super) const LIFETIME: Duration = Duration::from_mins(10);

#[derive(Deserialize, Serialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: u64,
}

/// Issues and checks access tokens.
pub(super) struct Tokens {
    issuer: String,
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

impl Tokens {
    /// With a new key.
    ///
    /// # Errors
    /// [`Error::TokenKey`] if the system has no randomness.
    pub(super) fn new(origin: &RelayOrigin) -> Result<Self> {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| Error::TokenKey)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref())
            .map_err(|_| Error::TokenKey)?;
        let mut validation = Validation::new(Algorithm::ES256);
        // Time is checked here, by the relay's clock.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.set_audience(&[origin.as_str()]);
        validation.set_issuer(&[origin.as_str()]);
        Ok(Self {
            issuer: origin.as_str().to_owned(),
            signing: EncodingKey::from_ec_der(key.as_ref()),
            checking: DecodingKey::from_ec_der(pair.public_key().as_ref()),
            validation,
        })
    }

    /// A token for `organization`.
    pub(super) fn issue(&self, organization: &OrganizationId, now: Timestamp) -> Option<String> {
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            sub: organization.to_hex(),
            exp: now.plus(LIFETIME).as_millis() / 1000,
        };
        encode(&Header::new(Algorithm::ES256), &claims, &self.signing).ok()
    }

    /// Whose token it is, if it is one of ours and has not expired.
    pub(super) fn check(&self, token: &str, now: Timestamp) -> Option<OrganizationId> {
        let claims: Claims = decode(token, &self.checking, &self.validation).ok()?.claims;
        let is_fresh = claims.exp > now.as_millis() / 1000;
        OrganizationId::from_hex(&claims.sub).ok().filter(|_| is_fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_good_here_for_ten_minutes() {
        let origin = "https://relay.example:7443".parse().unwrap();
        let (ours, other) = (Tokens::new(&origin).unwrap(), Tokens::new(&origin).unwrap());
        let organization = OrganizationId::from_bytes([1; 32]);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let token = ours.issue(&organization, now).unwrap();
        assert_eq!(ours.check(&token, now), Some(organization));
        assert_eq!(ours.check(&token, now.plus(LIFETIME)), None);
        assert_eq!(other.check(&token, now), None);
        assert_eq!(ours.check("e30.e30.", now), None);
        assert_eq!(ours.check("", now), None);
    }
}
