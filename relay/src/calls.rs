//! A bound on calls under way, of all callers and of each network: what is above it is refused at once and costs
//! nothing more. A call is under way until its answer begins; streams have bounds of their own (`api`).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use sealcare_proto::v1::Reason;
use tokio::sync::Semaphore;

use crate::{api::status::refuse, auth::Peer, incoming::Networks};

/// One network's part of all calls: none shuts out the others.
const NETWORK_PART: usize = 4;

/// The places of calls under way.
pub(crate) struct Calls {
    places: Semaphore,
    networks: Networks,
}

impl Calls {
    pub(crate) fn new(calls_max: usize) -> Self {
        let networks = Networks::new((calls_max / NETWORK_PART).max(1));
        Self { places: Semaphore::new(calls_max), networks }
    }
}

/// Lets a call through if there is a place for it.
pub(crate) async fn bound(State(calls): State<Arc<Calls>>, request: Request, next: Next) -> Response {
    let Peer(address) = request.extensions().get().copied().unwrap_or_default();
    let place = calls.places.try_acquire().ok().zip(calls.networks.enter(address));
    if place.is_some() {
        return next.run(request).await;
    }
    let content = request.headers().get(header::CONTENT_TYPE);
    let is_grpc = content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"));
    let refusal = refuse(Reason::RateLimited);
    if is_grpc { refusal.into_http::<Body>() } else { StatusCode::TOO_MANY_REQUESTS.into_response() }
}
