//! Who calls: patients by their deposit key's signature on each call, organizations by an access token.
//!
//! Not here: what a caller may do (`api`).

mod assertion;
mod rate;
mod token;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use sealcare_proto::v1::{self as wire, Reason};
use sealcare_protocol::{
    CallError, CallMethod, Clock, KeyBundle, OrganizationId, RelayOrigin, UnverifiedKeyBundle, VerifiedCall,
    verify_call,
};
use serde::Deserialize;
use serde_json::json;
use tonic::{Code, Request, Status};

pub use self::rate::Rates;
pub(crate) use self::{
    assertion::parse_jwk,
    rate::{Peer, network, site},
};
use self::{
    assertion::{AssertionError, Assertions},
    rate::{Door, RateLimits},
    token::Tokens,
};
use crate::{
    api::status::{refuse, refuse_skew, store_refusal},
    error::Result,
    store::Store,
};

/// Path of the token endpoint.
pub(crate) const TOKEN_PATH: &str = "/oauth2/token";
/// Largest token request.
pub(crate) const TOKEN_REQUEST_BYTES_MAX: usize = 16 * 1024;
/// RFC 8414.
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";
/// Organizations whose verified bundle is kept in memory.
const AUTHORITIES_MAX: usize = 4_096;

/// An organization whose token was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(pub(crate) OrganizationId);

/// Proves callers.
pub(crate) struct Auth {
    origin: RelayOrigin,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    tokens: Tokens,
    assertions: Assertions,
    rates: RateLimits,
    authorities: Mutex<HashMap<OrganizationId, Arc<KeyBundle>>>,
}

impl Auth {
    pub(crate) fn new(
        origin: RelayOrigin,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        rates: Rates,
    ) -> Result<Self> {
        Ok(Self {
            tokens: Tokens::new(&origin)?,
            assertions: Assertions::new(format!("{origin}{TOKEN_PATH}"), clock.now()),
            rates: RateLimits::new(rates),
            authorities: Mutex::default(),
            origin,
            clock,
            store,
        })
    }

    /// This relay's origin.
    pub(crate) fn origin(&self) -> &RelayOrigin {
        &self.origin
    }

    /// A patient's call: signed for this relay, this method, now.
    pub(crate) fn patient(
        &self,
        request: Request<wire::SignedCall>,
        method: CallMethod,
    ) -> Result<VerifiedCall, Status> {
        let now = self.clock.now();
        verify_call(request.into_inner(), &self.origin, method, now).map_err(|error| match error {
            CallError::Skew => refuse_skew(now),
            CallError::Malformed => refuse(Reason::Malformed),
            _ => refuse(Reason::Unauthenticated),
        })
    }

    /// The organization of a request's bearer token (RFC 6750, §2.1).
    pub(crate) fn organization<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let header = request.metadata().get(header::AUTHORIZATION.as_str());
        let token =
            header.and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        let caller = token.and_then(|token| self.tokens.check(token, self.clock.now()));
        caller.map(Caller).ok_or_else(|| refuse(Reason::Unauthenticated))
    }

    /// Takes one from the caller's allowance for a door that strangers may knock at.
    pub(crate) fn knock<T>(&self, request: &Request<T>, door: Door) -> Result<(), Status> {
        let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
        if self.rates.allow(door, peer) { Ok(()) } else { Err(refuse(Reason::RateLimited)) }
    }

    /// Charges a call whose proof failed to the allowance of all.
    pub(crate) fn settle<T>(&self, door: Door, answer: &Result<T, Status>) {
        let is_proven = !matches!(
            answer.as_ref().map_err(Status::code),
            Err(Code::Unauthenticated | Code::InvalidArgument | Code::NotFound)
        );
        if !is_proven {
            self.rates.charge(door);
        }
    }

    /// The verified bundle that an organization put here last, also once it has expired: its authority
    /// checks tickets and confirmations.
    pub(crate) async fn bundle(&self, organization: &OrganizationId) -> Result<Arc<KeyBundle>, Status> {
        let (signed, put) = self.store.bundle(*organization).await.map_err(store_refusal)?;
        let mut known = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundle) = known.get(organization).filter(|bundle| *bundle.signed() == signed) {
            return Ok(bundle.clone());
        }
        let verified = UnverifiedKeyBundle::new(signed).and_then(|bundle| bundle.verify(organization, put));
        let bundle = Arc::new(verified.map_err(|_| {
            tracing::error!("a stored bundle does not verify");
            refuse(Reason::Unavailable)
        })?);
        if known.len() >= AUTHORITIES_MAX {
            known.clear();
        }
        known.insert(*organization, bundle.clone());
        Ok(bundle)
    }
}

pub(crate) use self::rate::Door as RateDoor;

/// The token endpoint and its metadata, over plain HTTP on the relay's port.
pub(crate) fn routes(auth: Arc<Auth>) -> Router {
    Router::new().route(TOKEN_PATH, post(token_endpoint)).route(METADATA_PATH, get(metadata)).with_state(auth)
}

/// RFC 8414, §2.
async fn metadata(State(auth): State<Arc<Auth>>) -> Json<serde_json::Value> {
    let origin = auth.origin.as_str();
    Json(json!({
        "issuer": origin,
        "token_endpoint": format!("{origin}{TOKEN_PATH}"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES384"],
        "response_types_supported": [],
    }))
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
    client_id: Option<String>,
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// RFC 6749, §4.4 with RFC 7523, §2.2.
async fn token_endpoint(
    State(auth): State<Arc<Auth>>,
    peer: Option<axum::Extension<Peer>>,
    headers: HeaderMap,
    form: Result<Form<TokenRequest>, axum::extract::rejection::FormRejection>,
) -> Response {
    let peer = peer.map(|axum::Extension(peer)| peer).unwrap_or_default();
    if !auth.rates.allow(Door::Token, peer) {
        return oauth_error(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable");
    }
    let Ok(Form(request)) = form else {
        return oauth_error(StatusCode::BAD_REQUEST, "invalid_request");
    };
    if request.grant_type != "client_credentials" {
        return oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    if headers.contains_key(header::AUTHORIZATION)
        || request.client_assertion_type.as_deref() != Some(JWT_BEARER)
    {
        return oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let assertion = request.client_assertion.unwrap_or_default();
    let now = auth.clock.now();
    match auth.assertions.check(auth.store.as_ref(), &assertion, request.client_id.as_deref(), now).await {
        Ok(organization) => token_response(&auth, &organization, now),
        Err(AssertionError::Invalid) => {
            auth.rates.charge(Door::Token);
            oauth_error(StatusCode::UNAUTHORIZED, "invalid_client")
        }
        Err(AssertionError::Unavailable) => {
            oauth_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
    }
}

fn token_response(auth: &Auth, organization: &OrganizationId, now: sealcare_protocol::Timestamp) -> Response {
    let Some(token) = auth.tokens.issue(organization, now) else {
        return oauth_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
    };
    let body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": token::LIFETIME.as_secs(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// RFC 6749, §5.2.
fn oauth_error(status: StatusCode, error: &'static str) -> Response {
    tracing::debug!(error, "token refused");
    (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "error": error }))).into_response()
}
