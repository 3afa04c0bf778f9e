//! A bound on calls under way, of all callers and of each network: what is above it is refused at once and costs
//! nothing more. A call is under way until its answer begins; streams have bounds of their own (`api`). What a
//! caller sends once must come soon, so that nobody keeps a place by sending nothing. And there are places that
//! only stops and access tokens get, for when all others are taken.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use sealcare_proto::v1::Reason;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use crate::{
    api::status::refuse,
    auth::{Peer, TOKEN_PATH},
    incoming::{NetworkPlace, Networks},
};

/// One network's part of all calls: it takes many to shut out the others.
const NETWORK_PART: usize = 16;
/// Places for [`RESERVED`], beside all calls, as a part of those.
const RESERVED_PART: usize = 8;
/// Calls that have places of their own: a stop is heard whatever else goes on.
const RESERVED: [&str; 2] = ["/sealcare.v1.MailboxService/RevokeGrant", TOKEN_PATH];
/// Calls whose caller goes on sending; all others are read whole before anything is done.
const STREAMS: [&str; 3] = [
    "/sealcare.v1.MailboxService/DepositStream",
    "/sealcare.v1.DeliveryService/Subscribe",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];
/// How long a request may take to come, beside a second for each [`BODY_BYTES_PER_SEC`] that have.
const BODY_WITHIN: Duration = Duration::from_secs(5);
const BODY_BYTES_PER_SEC: u32 = 8 << 10;

/// The places of calls under way.
pub(crate) struct Calls {
    all: Places,
    reserved: Places,
    body_bytes_max: usize,
    body_within: Duration,
}

struct Places {
    places: Semaphore,
    networks: Networks,
}

impl Places {
    fn new(places_max: usize) -> Self {
        let networks = Networks::new((places_max / NETWORK_PART).max(1));
        Self { places: Semaphore::new(places_max), networks }
    }

    fn enter(&self, Peer(address): Peer) -> Option<(SemaphorePermit<'_>, NetworkPlace)> {
        self.places.try_acquire().ok().zip(self.networks.enter(address))
    }
}

impl Calls {
    /// `calls_max` at a time, of which one request has `body_bytes_max` bytes at most; what is longer is cut off.
    pub(crate) fn new(calls_max: usize, body_bytes_max: usize) -> Self {
        let reserved = Places::new((calls_max / RESERVED_PART).max(1));
        Self { all: Places::new(calls_max), reserved, body_bytes_max, body_within: BODY_WITHIN }
    }

    fn enter(&self, peer: Peer, path: &str) -> Option<(SemaphorePermit<'_>, NetworkPlace)> {
        let reserved = || RESERVED.contains(&path).then(|| self.reserved.enter(peer)).flatten();
        self.all.enter(peer).or_else(reserved)
    }

    /// The whole request, or none if it does not come in time.
    async fn arrived(&self, mut body: BodyDataStream) -> Option<Bytes> {
        let (began, mut bytes) = (Instant::now(), BytesMut::new());
        loop {
            let extra = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let extra = Duration::from_secs(1) * extra / BODY_BYTES_PER_SEC;
            match timeout_at(began + self.body_within + extra, body.next()).await {
                Ok(None) => return Some(bytes.freeze()),
                Ok(Some(Ok(some))) => bytes.extend_from_slice(&some),
                Ok(Some(Err(_))) | Err(_) => return None,
            }
            if bytes.len() > self.body_bytes_max {
                return Some(bytes.freeze());
            }
        }
    }
}

/// Lets a call through if there is a place for it and it comes in time.
pub(crate) async fn bound(State(calls): State<Arc<Calls>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get().copied().unwrap_or_default();
    let content = request.headers().get(header::CONTENT_TYPE);
    let is_grpc = content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"));
    let refused = |reason, status: StatusCode| {
        let refusal = refuse(reason);
        if is_grpc { refusal.into_http::<Body>() } else { status.into_response() }
    };
    let Some(_place) = calls.enter(peer, request.uri().path()) else {
        return refused(Reason::RateLimited, StatusCode::TOO_MANY_REQUESTS);
    };
    if STREAMS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    match calls.arrived(body.into_data_stream()).await {
        Some(body) => next.run(Request::from_parts(head, body.into())).await,
        None => refused(Reason::Unavailable, StatusCode::REQUEST_TIMEOUT),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn_with_state, routing::any};
    use futures::stream;
    use tower::ServiceExt as _;

    use super::*;

    const REVOKE: &str = RESERVED[0];

    /// Calls that answer with what was sent, and never when asked to `hang`.
    fn relay(calls_max: usize, body_within: Duration) -> Router {
        let calls = Calls { body_within, ..Calls::new(calls_max, 1 << 10) };
        Router::new()
            .route("/hang", any(|| async { std::future::pending::<()>().await }))
            .fallback(any(|body: Bytes| async { body }))
            .layer(from_fn_with_state(Arc::new(calls), bound))
    }

    fn call(path: &str, from: &str, body: impl Into<Body>) -> Request {
        let mut request = Request::post(path).body(body.into()).unwrap();
        request.extensions_mut().insert(Peer(from.parse().unwrap()));
        request
    }

    async fn status(relay: &Router, path: &str, from: &str) -> StatusCode {
        relay.clone().oneshot(call(path, from, "sent")).await.unwrap().status()
    }

    /// Calls under way: as many as `from` tells, one each.
    async fn hang(relay: &Router, from: &[&str]) -> Vec<impl Future + use<>> {
        let mut calls = Vec::new();
        for address in from {
            let mut call = Box::pin(relay.clone().oneshot(call("/hang", address, "")));
            assert!(futures::poll!(&mut call).is_pending());
            calls.push(call);
        }
        calls
    }

    const LONG: Duration = Duration::from_mins(10);
    const REFUSED: StatusCode = StatusCode::TOO_MANY_REQUESTS;

    #[tokio::test]
    async fn a_network_has_a_small_part_of_all_calls_and_leaves_the_rest_to_others() {
        let relay = relay(32, LONG);
        let under_way = hang(&relay, &["192.0.2.1"; 2]).await;
        assert_eq!(status(&relay, "/", "192.0.2.1").await, REFUSED);
        assert_eq!(status(&relay, "/", "192.0.2.2").await, StatusCode::OK);
        drop(under_way);
        assert_eq!(status(&relay, "/", "192.0.2.1").await, StatusCode::OK);
        // One site: a /48 has as much as two networks.
        let _under_way = hang(&relay, &["2001:db8:1:1::1", "2001:db8:1:2::1"].repeat(2)).await;
        assert_eq!(status(&relay, "/", "2001:db8:1:3::1").await, REFUSED);
        assert_eq!(status(&relay, "/", "2001:db8:2:3::1").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_stop_and_a_token_are_heard_when_all_places_are_taken() {
        let relay = relay(2, LONG);
        let _under_way = hang(&relay, &["192.0.2.1", "192.0.2.2"]).await;
        assert_eq!(status(&relay, "/", "192.0.2.3").await, REFUSED);
        for reserved in [REVOKE, TOKEN_PATH] {
            assert_eq!(status(&relay, reserved, "192.0.2.1").await, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn a_request_that_does_not_come_gives_its_place_back() {
        let relay = relay(16, Duration::from_millis(20));
        let silent = || Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>());
        let answer = relay.clone().oneshot(call("/", "192.0.2.1", silent())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(status(&relay, "/", "192.0.2.1").await, StatusCode::OK);
        // A stream is not read here.
        let mut streams = Box::pin(relay.clone().oneshot(call(STREAMS[0], "192.0.2.1", silent())));
        tokio::time::timeout(Duration::from_millis(60), &mut streams).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_request_in_pieces_comes_whole_and_one_without_end_is_cut_off() {
        let relay = relay(1, LONG);
        let pieces =
            |count| Body::from_stream(stream::iter((0..count).map(|_| Ok::<_, axum::Error>("12345678"))));
        for (sent, read) in [(3, 24), (128, 1024), (1_000_000, 1032)] {
            let answer = relay.clone().oneshot(call("/", "192.0.2.1", pieces(sent))).await.unwrap();
            assert_eq!(axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap().len(), read);
        }
    }
}
