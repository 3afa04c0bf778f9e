//! The organization's OAuth key: ECDSA on P-384 (ES384, RFC 7518 §3.4). Not here: where it is kept (the vault).

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Result, TransportError};

/// Bytes of a P-384 coordinate.
const COORDINATE_BYTES: usize = 48;
const UNUSABLE: TransportError = TransportError::Configuration("oauth key");

/// An ES384 key.
pub struct OAuthKey {
    pkcs8: Zeroizing<Vec<u8>>,
    x: String,
    y: String,
}

impl OAuthKey {
    /// Makes one, with the randomness of the TLS provider.
    ///
    /// # Errors
    /// [`TransportError::Configuration`] if the provider fails.
    pub fn generate() -> Result<Self> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| UNUSABLE)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// From PKCS #8 DER (RFC 5958), as kept.
    ///
    /// # Errors
    /// [`TransportError::Configuration`] for anything else than a P-384 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map_err(|_| UNUSABLE)?;
        // Uncompressed point: 4 ‖ x ‖ y (SEC 1 §2.3.3).
        let point = pair.public_key().as_ref().strip_prefix(&[4]).ok_or(UNUSABLE)?;
        if point.len() != 2 * COORDINATE_BYTES {
            return Err(UNUSABLE);
        }
        let (x, y) = point.split_at(COORDINATE_BYTES);
        Ok(Self {
            pkcs8: Zeroizing::new(der.to_vec()),
            x: BASE64URL_NOPAD.encode(x),
            y: BASE64URL_NOPAD.encode(y),
        })
    }

    /// PKCS #8 DER, to be kept under seal.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// The public half as a JWK (RFC 7517), for the registration. Its `kid` is the thumbprint (RFC 7638).
    pub fn public_jwk(&self) -> String {
        let Self { x, y, .. } = self;
        format!(
            r#"{{"alg":"ES384","crv":"P-384","kid":"{}","kty":"EC","use":"sig","x":"{x}","y":"{y}"}}"#,
            self.thumbprint()
        )
    }

    /// Signs `claims` as a JWT.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<Zeroizing<String>> {
        let mut header = Header::new(Algorithm::ES384);
        header.kid = Some(self.thumbprint());
        let key = EncodingKey::from_ec_der(&self.pkcs8);
        encode(&header, claims, &key).map(Zeroizing::new).map_err(|_| UNUSABLE)
    }

    /// RFC 7638 §3.2: SHA-256 over the required members in lexicographic order.
    fn thumbprint(&self) -> String {
        let members = format!(r#"{{"crv":"P-384","kty":"EC","x":"{}","y":"{}"}}"#, self.x, self.y);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, members.as_bytes());
        BASE64URL_NOPAD.encode(digest.as_ref())
    }
}

impl fmt::Debug for OAuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OAuthKey")
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode, jwk::Jwk};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_kept_key_signs_what_its_public_jwk_verifies() {
        let key = OAuthKey::from_pkcs8(&OAuthKey::generate().unwrap().to_pkcs8()).unwrap();
        let jwk: Jwk = serde_json::from_str(&key.public_jwk()).unwrap();
        let mut validation = Validation::new(Algorithm::ES384);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let check = |jwt: &str, key: &Jwk| {
            decode::<Value>(jwt, &DecodingKey::from_jwk(key).unwrap(), &validation).is_ok()
        };
        let jwt = key.sign(&json!({"sub": "x"})).unwrap();
        assert!(check(&jwt, &jwk));
        let other: Jwk = serde_json::from_str(&OAuthKey::generate().unwrap().public_jwk()).unwrap();
        assert!(!check(&jwt, &other));
    }

    #[test]
    fn the_public_jwk_holds_no_private_part() {
        let key = OAuthKey::generate().unwrap();
        let jwk: Value = serde_json::from_str(&key.public_jwk()).unwrap();
        assert!(jwk.get("d").is_none());
        assert!(OAuthKey::from_pkcs8(&key.to_pkcs8()[1..]).is_err());
    }
}
