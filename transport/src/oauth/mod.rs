//! How an organization proves itself to a relay: OAuth 2.0 client credentials (RFC 6749 §4.4) with a signed
//! assertion (`private_key_jwt`, RFC 7523 §2.2).

mod key;
mod token;

pub use key::OAuthKey;
pub(crate) use token::TokenSource;
