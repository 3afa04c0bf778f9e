//! Deposit streams over TLS sockets: what is proven, stored, told, refused and cut.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actors;

use std::time::Duration;

use actors::{Organization, Patient, Running, data, depositor::Depositor, reason, subscriber::Subscriber};
use bytes::Bytes;
use sealcare_proto::v1::{
    self as wire, DepositOutcome, Reason, deposit_stream_request::Kind as Up, item::Content,
};
use sealcare_protocol::{CallMethod, Clock as _, SystemClock, sign_call};
use sealcare_relay::Config;

const DOMAIN: &str = "clinic.example";

async fn opened(change: impl FnOnce(&mut Config)) -> (Running, Organization, Patient) {
    let relay = Running::start_with(change).await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let ana = Patient::of(&relay, &clinic).await;
    (relay, clinic, ana)
}

/// Envelopes of session 1 with these counters.
fn batch(counters: std::ops::Range<u64>) -> Vec<Bytes> {
    counters.map(|counter| data(1, counter)).collect()
}

async fn delivered(relay: &Running, clinic: &Organization) -> Vec<Bytes> {
    let items = Subscriber::begin(relay, clinic, 10_000).await.until_caught_up().await;
    let envelopes = items.into_iter().map(|(_, item)| match item.content {
        Some(Content::Envelope(envelope)) => envelope,
        other => panic!("no envelope: {other:?}"),
    });
    envelopes.collect()
}

async fn refusal(stream: &mut Depositor) -> Reason {
    reason(&stream.progress().await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_goes_in_on_one_proof() {
    let (relay, clinic, mut ana) = opened(|_| {}).await;
    let mut stream = ana.stream().await.unwrap();
    stream.deposit(vec![clinic.init(1)]).await;
    stream.until(0).await;
    for window in 0..5 {
        for first in (window * 400..(window + 1) * 400).step_by(100) {
            stream.deposit(batch(first..first + 100)).await;
        }
        stream.until((window + 1) * 400).await;
    }
    let all = [vec![clinic.init(1)], batch(0..2_000)].concat();
    assert_eq!(delivered(&relay, &clinic).await, all);
    assert_eq!(ana.status().await.unwrap().sessions[0].next_counter, 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_opens_the_stream_of_its_challenge_only() {
    let (_relay, _clinic, mut ana) = opened(|_| {}).await;
    let (mut first, challenge) = ana.begin_stream().await.unwrap();
    let call = ana.opening(challenge.clone());
    first.open(call.clone()).await.unwrap();
    drop(first);
    let (mut replayed, other) = ana.begin_stream().await.unwrap();
    assert_ne!(challenge, other);
    assert_eq!(reason(&replayed.open(call).await.unwrap_err()), Reason::Unauthenticated);
    let (mut stream, challenge) = ana.begin_stream().await.unwrap();
    let opening = wire::DepositStreamOpening { challenge };
    let unary = ana.call(CallMethod::Deposit, &opening);
    assert_eq!(reason(&stream.open(unary).await.unwrap_err()), Reason::Unauthenticated);
    let (mut stream, challenge) = ana.begin_stream().await.unwrap();
    let bytes = prost::Message::encode_to_vec(&wire::DepositStreamOpening { challenge });
    let early = SystemClock.now().minus(Duration::from_secs(301));
    let late = sign_call(&ana.key, &actors::origin(), CallMethod::DepositStream, bytes.into(), early);
    assert_eq!(reason(&stream.open(late).await.unwrap_err()), Reason::ClockSkew);
    let (mut stream, _) = ana.begin_stream().await.unwrap();
    stream.deposit(vec![data(1, 0)]).await;
    assert_eq!(refusal(&mut stream).await, Reason::Malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_stream_loses_and_doubles_nothing() {
    let (relay, clinic, mut ana) = opened(|_| {}).await;
    ana.deposit(vec![clinic.init(1)]).await.unwrap();
    let mut answered = 0;
    for round in 0..20 {
        let mut stream = ana.next_stream().await;
        let batches: Vec<_> = (0..4).map(|n| answered + n * 10..answered + (n + 1) * 10).collect();
        for counters in &batches {
            stream.deposit(batch(counters.clone())).await;
        }
        // Torn after another number of answers each time, and often before any.
        for _ in 0..round % 3 {
            answered = stream.progress().await.unwrap().unwrap().0;
            if answered == batches[3].end {
                break;
            }
        }
        drop(stream);
    }
    let mut stream = ana.next_stream().await;
    for first in (answered..answered + 40).step_by(10) {
        stream.deposit(batch(first..first + 10)).await;
    }
    stream.until(answered + 40).await;
    let all = [vec![clinic.init(1)], batch(0..answered + 40)].concat();
    assert_eq!(delivered(&relay, &clinic).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_is_named_after_those_before_it_and_ends_the_stream() {
    let (relay, clinic, mut ana) = opened(|_| {}).await;
    let altered = |counter| {
        let mut envelope = data(1, counter).to_vec();
        envelope[60] ^= 1;
        Bytes::from(envelope)
    };
    ana.deposit([vec![clinic.init(1)], batch(0..10)].concat()).await.unwrap();
    for (refused, outcome) in [
        (vec![altered(9)], DepositOutcome::Conflict),
        (batch(90..91), DepositOutcome::OutOfOrder),
        (vec![data(2, 0)], DepositOutcome::UnknownSession),
    ] {
        let mut stream = ana.next_stream().await;
        let next = ana.status().await.unwrap().sessions[0].next_counter;
        stream.deposit(batch(next..next + 1)).await;
        stream.deposit(refused).await;
        assert_eq!(stream.progress().await.unwrap(), Some((next + 1, DepositOutcome::Stored)));
        assert_eq!(stream.progress().await.unwrap().unwrap().1, outcome);
        assert_eq!(stream.progress().await.unwrap(), None);
    }
    assert_eq!(delivered(&relay, &clinic).await.len(), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_and_a_suspension_cut_streams() {
    let (relay, clinic, mut ana) = opened(|_| {}).await;
    let mut stream = ana.stream().await.unwrap();
    stream.deposit(vec![clinic.init(1)]).await;
    stream.until(0).await;
    relay.suspend(DOMAIN).await;
    assert_eq!(refusal(&mut stream).await, Reason::OrganizationNotApproved);
    assert_eq!(reason(&ana.stream().await.err().unwrap()), Reason::OrganizationNotApproved);
    relay.approve(DOMAIN).await;
    let mut stream = ana.next_stream().await;
    stream.deposit(batch(0..1)).await;
    stream.until(1).await;
    ana.revoke(&clinic).await.unwrap();
    assert_eq!(refusal(&mut stream).await, Reason::GrantRevoked);
    assert_eq!(reason(&ana.stream().await.err().unwrap()), Reason::GrantRevoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_single_calls_go_on() {
    let (relay, clinic, mut ana) = opened(|config| config.deposit_streams.streams_max = 1).await;
    let mut ben = Patient::of(&relay, &clinic).await;
    let mut stranger = Patient::new(&relay).await;
    assert_eq!(reason(&stranger.stream().await.err().unwrap()), Reason::NotFound);
    let stream = ana.stream().await.unwrap();
    assert_eq!(reason(&ana.stream().await.err().unwrap()), Reason::RateLimited);
    assert_eq!(reason(&ben.stream().await.err().unwrap()), Reason::RateLimited);
    assert_eq!(ben.deposit(vec![clinic.init(2)]).await.unwrap(), [DepositOutcome::Stored]);
    assert_eq!(ana.deposit(vec![clinic.init(1)]).await.unwrap(), [DepositOutcome::Stored]);
    drop(stream);
    ben.next_stream().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_after_what_was_not() {
    let (_relay, clinic, mut ana) = opened(|config| config.grant_bytes_max = 100_000).await;
    let mut stream = ana.stream().await.unwrap();
    stream.deposit([vec![clinic.init(1)], batch(0..99)].concat()).await;
    stream.deposit(batch(99..199)).await;
    assert_eq!(stream.progress().await.unwrap(), Some((99, DepositOutcome::Stored)));
    assert_eq!(refusal(&mut stream).await, Reason::GrantFull);
    for excess in [batch(99..200), vec![], vec![Bytes::from_static(b"junk")]] {
        let mut stream = ana.next_stream().await;
        stream.deposit(excess).await;
        assert_eq!(refusal(&mut stream).await, Reason::Malformed);
    }
    let mut stream = ana.next_stream().await;
    stream.send(Up::Call(ana.opening(Bytes::new()))).await;
    assert_eq!(refusal(&mut stream).await, Reason::Malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slow_and_the_old_give_their_places_back() {
    let short = Duration::from_millis(200);
    let (_relay, clinic, mut ana) = opened(|config| {
        config.deposit_streams.opening_within = short;
        config.deposit_streams.batch_within = short;
    })
    .await;
    let (mut silent, _) = ana.begin_stream().await.unwrap();
    assert_eq!(refusal(&mut silent).await, Reason::Malformed);
    let mut idle = ana.stream().await.unwrap();
    idle.deposit(vec![clinic.init(1)]).await;
    idle.until(0).await;
    assert_eq!(idle.progress().await.unwrap(), None);
    ana.next_stream().await;
    let (_relay, _clinic, mut ben) = opened(|config| config.deposit_streams.lifetime = short).await;
    let mut old = ben.stream().await.unwrap();
    assert_eq!(old.progress().await.unwrap(), None);
}

/// As many as may owe their proof at a time.
const OPENINGS_MAX: usize = 256;

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_gives_the_place_back() {
    let short = Duration::from_millis(50);
    let (relay, _clinic, mut ana) = opened(|config| config.deposit_streams.opening_within = short).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        // No byte of an answer may be sent on this connection.
        let mut deaf = Patient::deaf(&relay).await;
        for _ in 0..OPENINGS_MAX / 4 {
            held.push(deaf.silent_stream().await);
        }
    }
    let opened = tokio::time::timeout(Duration::from_secs(20), ana.next_stream()).await;
    assert!(opened.is_ok() && held.len() == OPENINGS_MAX);
}
