//! Client assertions (RFC 7523, `private_key_jwt`): ES384 over the token endpoint's address, at most five
//! minutes ahead, each used once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use sealcare_protocol::{OrganizationId, Timestamp};
use serde::Deserialize;

use crate::store::{Store, StoreError};

/// How far ahead `exp` may be, seconds.
const LIFETIME_SECS_MAX: u64 = 5 * 60;
/// Assertions of one client that are remembered; more than these in five minutes are refused. A token is
/// good for ten.
const REMEMBERED_MAX: usize = 64;
const ASSERTION_BYTES_MAX: usize = 4_096;
const JTI_BYTES_MAX: usize = 128;
/// Seconds by which a client's clock may be ahead.
const CLOCK_SKEW_SECS: u64 = 5;

#[derive(Debug, Eq, PartialEq)]
pub(super) enum AssertionError {
    /// Nothing that proves a client; deliberately one cause.
    Invalid,
    /// The store is unavailable, or too many of the client's assertions are remembered.
    Unavailable,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    iat: Option<u64>,
    jti: String,
}

/// Checks assertions and remembers them while they could be used again.
pub(super) struct Assertions {
    validation: Validation,
    started_secs: u64,
    used: Mutex<HashMap<OrganizationId, HashMap<String, u64>>>,
}

/// A public ES384 JWK (RFC 7517) as a key to check with.
pub(crate) fn parse_jwk(jwk: &str) -> Option<DecodingKey> {
    let jwk: Jwk = serde_json::from_str(jwk).ok()?;
    match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            DecodingKey::from_jwk(&jwk).ok()
        }
        _ => None,
    }
}

impl Assertions {
    /// For `token_endpoint`. What was made before `started` is refused: a process does not remember what
    /// the one before it saw.
    pub(super) fn new(token_endpoint: String, started: Timestamp) -> Self {
        let mut validation = Validation::new(Algorithm::ES384);
        // Time is checked here, by the relay's clock.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        validation.set_audience(&[token_endpoint]);
        Self { validation, started_secs: started.as_millis() / 1000, used: Mutex::default() }
    }

    pub(super) async fn check(
        &self,
        store: &dyn Store,
        assertion: &str,
        client_id: Option<&str>,
        now: Timestamp,
    ) -> Result<OrganizationId, AssertionError> {
        let claimed = claimed_subject(assertion).ok_or(AssertionError::Invalid)?;
        let record = store.organization(claimed).await.map_err(|error| match error {
            StoreError::NotFound => AssertionError::Invalid,
            _ => AssertionError::Unavailable,
        })?;
        let key = parse_jwk(&record.oauth_jwk).ok_or(AssertionError::Invalid)?;
        let claims: Claims =
            decode(assertion, &key, &self.validation).map_err(|_| AssertionError::Invalid)?.claims;
        let id = claimed.to_hex();
        let is_named = claims.iss == id && claims.sub == id && client_id.is_none_or(|client| client == id);
        if !is_named || !self.is_timely(&claims, now) || claims.jti.len() > JTI_BYTES_MAX {
            return Err(AssertionError::Invalid);
        }
        self.spend(claimed, claims, now)?;
        Ok(claimed)
    }

    fn is_timely(&self, claims: &Claims, now: Timestamp) -> bool {
        let now = now.as_millis() / 1000;
        let made = claims.iat.unwrap_or_else(|| claims.exp.saturating_sub(LIFETIME_SECS_MAX));
        claims.exp > now
            && claims.exp <= now + LIFETIME_SECS_MAX + CLOCK_SKEW_SECS
            && made <= now + CLOCK_SKEW_SECS
            && claims.iat.is_none_or(|iat| iat >= self.started_secs)
            && (claims.iat.is_some() || now >= self.started_secs + LIFETIME_SECS_MAX)
    }

    fn spend(&self, client: OrganizationId, claims: Claims, now: Timestamp) -> Result<(), AssertionError> {
        let now = now.as_millis() / 1000;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // Only registered clients get here, so there are thousands at most.
        let used = used.entry(client).or_default();
        if used.len() >= REMEMBERED_MAX {
            used.retain(|_, exp| *exp > now);
        }
        if used.contains_key(&claims.jti) {
            return Err(AssertionError::Invalid);
        }
        if used.len() >= REMEMBERED_MAX {
            return Err(AssertionError::Unavailable);
        }
        match used.insert(claims.jti, claims.exp) {
            None => Ok(()),
            Some(_) => Err(AssertionError::Invalid),
        }
    }
}

/// The client that an assertion names, before its signature is checked: to look up the key.
fn claimed_subject(assertion: &str) -> Option<OrganizationId> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    if assertion.len() > ASSERTION_BYTES_MAX || decode_header(assertion).ok()?.alg != Algorithm::ES384 {
        return None;
    }
    let payload = data_encoding::BASE64URL_NOPAD.decode(assertion.split('.').nth(1)?.as_bytes()).ok()?;
    let subject: Subject = serde_json::from_slice(&payload).ok()?;
    OrganizationId::from_hex(&subject.sub).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clients_assertions_are_bounded_and_cost_others_nothing() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let assertions = Assertions::new("https://relay.example:7443/oauth2/token".into(), now);
        let (busy, other) = (OrganizationId::from_bytes([1; 32]), OrganizationId::from_bytes([2; 32]));
        let spend = |client, jti: usize, at: Timestamp| {
            let exp = at.as_millis() / 1000 + LIFETIME_SECS_MAX;
            let claims =
                Claims { iss: String::new(), sub: String::new(), exp, iat: None, jti: jti.to_string() };
            assertions.spend(client, claims, at)
        };
        assert!((0..REMEMBERED_MAX).all(|jti| spend(busy, jti, now).is_ok()));
        assert_eq!(spend(busy, REMEMBERED_MAX, now), Err(AssertionError::Unavailable));
        assert_eq!(spend(busy, 0, now), Err(AssertionError::Invalid));
        assert_eq!(spend(other, 0, now), Ok(()));
        let later = now.plus(std::time::Duration::from_secs(LIFETIME_SECS_MAX));
        assert_eq!(spend(busy, 0, later), Ok(()));
    }
}
