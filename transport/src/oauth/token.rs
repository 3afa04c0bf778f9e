//! Access tokens: found by metadata (RFC 8414), asked for with an assertion, kept until shortly before their end.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use oauth2::{
    AuthType, ClientId, HttpRequest, HttpResponse, RequestTokenError, TokenResponse as _, TokenUrl,
    basic::{BasicClient, BasicErrorResponseType},
};
use sealcare_protocol::{Clock, OrganizationId, RelayOrigin, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::{
    error::{Result, TransportError, is_tls},
    oauth::OAuthKey,
    trust::Trust,
};

/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion is used at once.
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);
/// A token is renewed this long before its end.
const RENEWAL: Duration = Duration::from_mins(1);
/// For issuers that do not say.
const LIFETIME_DEFAULT: Duration = Duration::from_mins(5);
/// Bytes of metadata or of a token answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The tokens of one organization at one relay.
pub(crate) struct TokenSource {
    http: reqwest::Client,
    relay: RelayOrigin,
    organization: OrganizationId,
    key: RwLock<Arc<OAuthKey>>,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Token>>,
}

struct Token {
    secret: Arc<Zeroizing<String>>,
    renew_at: Timestamp,
}

/// RFC 8414 §2.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
}

/// RFC 7523 §3.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct HttpError(#[from] TransportError);

impl TokenSource {
    pub(crate) fn new(
        relay: &RelayOrigin,
        organization: OrganizationId,
        key: Arc<OAuthKey>,
        trust: &Trust,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (http, relay) = (trust.http()?, relay.clone());
        let (key, current) = (RwLock::new(key), Mutex::new(None));
        Ok(Self { http, relay, organization, key, clock, current })
    }

    /// Proves the organization with `key` from the next token on.
    pub(crate) fn replace_key(&self, key: Arc<OAuthKey>) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// A token that is good for a while. One request at a time, however many callers wait.
    pub(crate) async fn token(&self) -> Result<Arc<Zeroizing<String>>> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some(token) = current.as_ref().filter(|token| now < token.renew_at) {
            return Ok(Arc::clone(&token.secret));
        }
        let token = self.request(now).await?;
        let secret = Arc::clone(&token.secret);
        *current = Some(token);
        Ok(secret)
    }

    /// Forgets `refused`, so that the next call asks anew; a relay that restarted knows no older token.
    pub(crate) async fn forget(&self, refused: &Arc<Zeroizing<String>>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|token| Arc::ptr_eq(&token.secret, refused)) {
            *current = None;
        }
    }

    async fn request(&self, now: Timestamp) -> Result<Token> {
        let endpoint = self.token_endpoint().await?;
        let id = self.organization.to_hex();
        let key = Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner));
        let assertion = key.sign(&claims(&id, &endpoint, now))?;
        let url = TokenUrl::new(endpoint).map_err(|_| TransportError::Response("token endpoint"))?;
        let client =
            BasicClient::new(ClientId::new(id)).set_token_uri(url).set_auth_type(AuthType::RequestBody);
        let http = self.http.clone();
        let http = move |request: HttpRequest| {
            let http = http.clone();
            async move { send(http, request).await.map_err(HttpError) }
        };
        let answer = client
            .exchange_client_credentials()
            .add_extra_param("client_assertion_type", ASSERTION_TYPE)
            .add_extra_param("client_assertion", assertion.as_str())
            .request_async(&http)
            .await
            .map_err(|error| refusal(&error))?;
        let lifetime = answer.expires_in().unwrap_or(LIFETIME_DEFAULT);
        let renew_at = now.plus(lifetime.saturating_sub(RENEWAL).max(lifetime / 2));
        Ok(Token { secret: Arc::new(Zeroizing::new(answer.access_token().secret().clone())), renew_at })
    }

    async fn token_endpoint(&self) -> Result<String> {
        let url = format!("{}/.well-known/oauth-authorization-server", self.relay);
        let answer = self.http.get(url).send().await.map_err(|error| http_error(&error))?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(of_http_status(answer.status()));
        }
        let malformed = TransportError::Response("oauth metadata");
        let metadata: Metadata = serde_json::from_slice(&bounded(answer).await?).map_err(|_| malformed)?;
        // RFC 8414 §3.3: the issuer must be the one that was asked.
        let is_asked = metadata.issuer.trim_end_matches('/') == self.relay.as_str();
        if is_asked && is_at(&metadata.token_endpoint, &self.relay) {
            Ok(metadata.token_endpoint)
        } else {
            Err(malformed)
        }
    }
}

/// Whether `endpoint` is the relay's own: an assertion goes nowhere else.
fn is_at(endpoint: &str, relay: &RelayOrigin) -> bool {
    let origin = |text: &str| reqwest::Url::parse(text).map(|url| url.origin()).ok();
    origin(endpoint).is_some_and(|found| Some(found) == origin(relay.as_str()))
}

/// reqwest 0.13 for the `oauth2` crate, which knows 0.12.
async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse> {
    let (parts, body) = request.into_parts();
    let request = http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let answer = request.send().await.map_err(|error| http_error(&error))?;
    let status = answer.status();
    if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
        return Err(of_http_status(status));
    }
    let mut response = http::Response::builder().status(status);
    if let Some(kind) = answer.headers().get(http::header::CONTENT_TYPE) {
        response = response.header(http::header::CONTENT_TYPE, kind);
    }
    response.body(bounded(answer).await?).map_err(|_| TransportError::Response("token"))
}

fn claims<'a>(id: &'a str, audience: &'a str, now: Timestamp) -> Claims<'a> {
    let exp = now.plus(ASSERTION_LIFETIME).as_millis() / 1000;
    let jti = uuid::Uuid::new_v4().to_string();
    Claims { iss: id, sub: id, aud: audience, iat: now.as_millis() / 1000, exp, jti }
}

/// The body, or an error above [`ANSWER_BYTES_MAX`].
async fn bounded(mut answer: reqwest::Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| http_error(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(TransportError::Response("oauth answer"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn http_error(error: &reqwest::Error) -> TransportError {
    if is_tls(error) {
        TransportError::Tls
    } else if error.is_timeout() {
        TransportError::Deadline
    } else {
        TransportError::Unreachable
    }
}

fn of_http_status(status: reqwest::StatusCode) -> TransportError {
    match status.as_u16() {
        429 => TransportError::RateLimited,
        500.. => TransportError::Unavailable,
        _ => TransportError::Response("oauth answer"),
    }
}

type TokenError = RequestTokenError<HttpError, oauth2::StandardErrorResponse<BasicErrorResponseType>>;

fn refusal(error: &TokenError) -> TransportError {
    match error {
        RequestTokenError::Request(HttpError(error)) => *error,
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            BasicErrorResponseType::UnauthorizedClient => TransportError::OrganizationNotApproved,
            BasicErrorResponseType::InvalidClient => TransportError::Unauthenticated,
            _ => TransportError::Response("token"),
        },
        _ => TransportError::Response("token"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_endpoint_elsewhere_is_not_the_relays() {
        let relay: RelayOrigin = "https://relay.example:443".parse().unwrap();
        for own in ["https://relay.example/oauth/token", "https://relay.example:443/token"] {
            assert!(is_at(own, &relay), "{own}");
        }
        for other in [
            "https://relay.example.evil.example/token",
            "https://relay.example@evil.example/token",
            "https://relay.example:8443/token",
            "http://relay.example:443/token",
            "/token",
        ] {
            assert!(!is_at(other, &relay), "{other}");
        }
    }
}
