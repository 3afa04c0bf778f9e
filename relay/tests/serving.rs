//! The relay over TLS sockets: what patients, organizations and the operator see of it.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actors;

use std::{path::Path, time::Duration};

use actors::{
    ORIGIN, Organization, Patient, Running, bearing, config, data, mirrored, reason, request_token,
    subscriber::Subscriber,
};
use bytes::Bytes;
use sealcare_proto::v1::{self as wire, DepositOutcome, Reason, subscribe_request};
use sealcare_protocol::{CallMethod, Clock as _, Confirmation, SystemClock, UnverifiedRevocation, sign_call};
use sealcare_relay::{Error, Relay, operator::OrganizationCommand};
use tonic::Code;

const DOMAIN: &str = "clinic.example";

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_go_from_patient_to_organization_and_replies_back() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    let batch = vec![clinic.init(1), data(1, 0), data(1, 1)];
    assert_eq!(ana.deposit(batch.clone()).await.unwrap(), [DepositOutcome::Stored; 3]);
    assert_eq!(ana.deposit(batch.clone()).await.unwrap(), [DepositOutcome::Already; 3]);
    let mut subscription = Subscriber::begin(&relay, &clinic, 100).await;
    let items = subscription.until_caught_up().await;
    assert_eq!(items.iter().map(envelope).collect::<Vec<_>>(), batch);
    subscription.acknowledge(items[0].0, 1, 3).await;
    ana.deposit(vec![data(1, 2)]).await.unwrap();
    assert_eq!(subscription.until_caught_up().await.iter().map(envelope).collect::<Vec<_>>(), [data(1, 2)]);
    // The acknowledgement went up another connection than the status: ask until it has come.
    let session = loop {
        let session = ana.status().await.unwrap().sessions.remove(0);
        if session.init_gone {
            break session;
        }
    };
    assert_eq!((session.next_counter, session.gone_below, session.init_gone), (3, 2, true));
    let mut reply = vec![0; sealcare_protocol::REPLY_BYTES];
    reply[..2].copy_from_slice(&[1, 3]);
    reply[2..18].fill(1);
    let request = wire::PutReplyRequest {
        grant_id: Bytes::copy_from_slice(ana.grant(&clinic).as_bytes()),
        reply: reply.clone().into(),
    };
    let (mut delivery, token) = clinic.delivery(&relay).await;
    delivery.put_reply(bearing(&token, request)).await.unwrap();
    assert_eq!(ana.replies().await.unwrap(), [Bytes::from(reply)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_final_and_confirmed() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1), data(1, 0)]).await.unwrap();
    assert_eq!(ana.revoke(&clinic).await.unwrap(), None);
    let refused = ana.deposit(vec![data(1, 1)]).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::GrantRevoked);
    let mut subscription = Subscriber::begin(&relay, &clinic, 100).await;
    let items = subscription.until_caught_up().await;
    assert!(matches!(
        &items[..],
        [(_, wire::Item { content: Some(wire::item::Content::Revocation(_)), .. })]
    ));
    let (mut delivery, token) = clinic.delivery(&relay).await;
    let delegation = clinic.bundle.delegation();
    let grant = ana.grant(&clinic);
    let confirmation = Confirmation::sign(&grant, delegation, &clinic.gateway, SystemClock.now());
    let request = wire::ConfirmRevocationRequest { confirmation: Some(confirmation.signed().clone()) };
    delivery.confirm_revocation(bearing(&token, request)).await.unwrap();
    assert_eq!(ana.revoke(&clinic).await.unwrap(), Some(confirmation.signed().clone()));
    let status = ana.status().await.unwrap();
    let shown = UnverifiedRevocation::new(status.revocation.unwrap()).verify().unwrap();
    assert!(status.revoked && *shown.grant() == grant && *shown.deposit_key() == ana.key.public());
    let request = wire::ListRevokedRequest { after: Bytes::new(), items_max: 10 };
    let listed = delivery.list_revoked(bearing(&token, request)).await.unwrap().into_inner();
    assert_eq!((listed.revocations.len(), listed.more), (1, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_bounds_what_is_sent() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1), data(1, 0), data(1, 1), data(1, 2)]).await.unwrap();
    let mut subscription = Subscriber::begin(&relay, &clinic, 3).await;
    assert_eq!(subscription.next_batch().await.items.len(), 3);
    subscription.send(subscribe_request::Kind::Credit(wire::Credit { envelopes: 5 })).await;
    assert_eq!(subscription.next_batch().await.items.len(), 1);
    assert_eq!(subscription.until_caught_up().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_finds_the_same_and_acknowledging_deletes() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1), data(1, 0)]).await.unwrap();
    let (mut delivery, token) = clinic.delivery(&relay).await;
    let mut found = Vec::new();
    for lane in 0..16 {
        let request = wire::FetchRequest { lane, cursor: None, items_max: 10 };
        let batch = delivery.fetch(bearing(&token, request)).await.unwrap().into_inner().batch.unwrap();
        found.extend(batch.items.into_iter().map(|item| (lane, item)));
    }
    assert_eq!(found.len(), 2);
    let range = wire::AcknowledgedRange { lane: found[0].0, first: 1, last: 2 };
    let request = wire::AcknowledgeRequest { ranges: vec![range] };
    delivery.acknowledge(bearing(&token, request)).await.unwrap();
    assert_eq!(ana.status().await.unwrap().stored_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_forgers_and_the_late_are_refused_by_name() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut stranger = Patient::new(&relay).await;
    assert_eq!(reason(&stranger.status().await.unwrap_err()), Reason::NotFound);
    let mut ana = Patient::of(&relay, &clinic).await;
    let ticket = clinic.ticket();
    assert!(stranger.accept(ticket.clone()).await.is_ok());
    assert_eq!(reason(&Patient::new(&relay).await.accept(ticket).await.unwrap_err()), Reason::TicketSpent);
    let impostor = Organization::new(DOMAIN);
    assert_eq!(
        reason(&Patient::new(&relay).await.accept(impostor.ticket()).await.unwrap_err()),
        Reason::NotFound
    );
    let request = wire::DepositRequest { envelopes: vec![clinic.init(1)] };
    let mut forged = ana.call(CallMethod::Deposit, &request);
    forged.deposit_key = Bytes::copy_from_slice(stranger.key.public().as_bytes());
    assert_eq!(reason(&ana.send_deposit(forged).await.unwrap_err()), Reason::Unauthenticated);
    let other = ana.call(CallMethod::GrantStatus, &request);
    assert_eq!(reason(&ana.send_deposit(other).await.unwrap_err()), Reason::Unauthenticated);
    let early = SystemClock.now().minus(Duration::from_secs(301));
    let bytes = prost::Message::encode_to_vec(&request).into();
    let late = sign_call(&ana.key, &actors::origin(), CallMethod::Deposit, bytes, early);
    assert_eq!(reason(&ana.send_deposit(late).await.unwrap_err()), Reason::ClockSkew);
    for malformed in [vec![], vec![Bytes::from_static(b"junk")], vec![data(1, 0), data(1, 2)]] {
        assert_eq!(reason(&ana.deposit(malformed).await.unwrap_err()), Reason::Malformed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_approved_organization_receives() {
    let relay = Running::start().await;
    let clinic = Organization::new(DOMAIN);
    assert_eq!(clinic.register(&relay).await.unwrap(), wire::OrganizationState::Pending);
    assert_eq!(reason(&mirrored(&relay, &clinic).await.unwrap_err()), Reason::NotFound);
    let mut ana = Patient::new(&relay).await;
    let refused = ana.accept(clinic.ticket()).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::OrganizationNotApproved);
    let listed = relay.operator(OrganizationCommand::List).await.unwrap();
    assert!(listed.contains(DOMAIN) && listed.contains("pending"));
    relay.approve(DOMAIN).await;
    assert!(mirrored(&relay, &clinic).await.unwrap().verify(&clinic.id(), SystemClock.now()).is_ok());
    ana.accept(clinic.ticket()).await.unwrap();
    ana.deposit(vec![clinic.init(1)]).await.unwrap();
    let mut subscription = Subscriber::begin(&relay, &clinic, 100).await;
    assert_eq!(subscription.until_caught_up().await.len(), 1);
    relay.suspend(DOMAIN).await;
    let ended = subscription.down.message().await.unwrap_err();
    assert_eq!(reason(&ended), Reason::OrganizationNotApproved);
    let refused = ana.deposit(vec![data(1, 0)]).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::OrganizationNotApproved);
    assert!(ana.status().await.is_ok());
    assert!(ana.revoke(&clinic).await.is_ok());
    assert!(relay.operator(OrganizationCommand::Approve { domain: "nobody.example".into() }).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_buys_one_token() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let audience = format!("{ORIGIN}/oauth2/token");
    let assertion = clinic.assertion("once", &audience);
    assert_eq!(request_token(&relay, &assertion).await.0, 200);
    assert_eq!(request_token(&relay, &assertion).await.0, 401);
    let elsewhere = clinic.assertion("other", "https://elsewhere.example/oauth2/token");
    assert_eq!(request_token(&relay, &elsewhere).await.0, 401);
    let impostor = Organization::new(DOMAIN).assertion("third", &audience);
    assert_eq!(request_token(&relay, &impostor).await.0, 401);
    assert_eq!(request_token(&relay, "junk").await.0, 401);
    let metadata =
        relay.http().get(relay.url("/.well-known/oauth-authorization-server")).send().await.unwrap();
    assert!(metadata.text().await.unwrap().contains(&audience));
    let (mut delivery, _) = clinic.delivery(&relay).await;
    let request = wire::FetchRequest { lane: 0, cursor: None, items_max: 1 };
    let refused = delivery.fetch(bearing("forged", request)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_subscriptions_and_the_store_opens_again() {
    let mut relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut subscription = Subscriber::begin(&relay, &clinic, 1).await;
    subscription.until_caught_up().await;
    relay.stop().await.unwrap();
    assert_eq!(subscription.down.message().await.unwrap_err().code(), Code::Unavailable);
    let (config, _) = config(relay.folder.path());
    assert!(Relay::bind(config).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_one_relay() {
    let relay = Running::start().await;
    let (config, _) = config(relay.folder.path());
    assert!(matches!(Relay::bind(config).await.err(), Some(Error::Storage(_))));
    assert!(relay.operator(OrganizationCommand::List).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn knocking_too_often_is_refused() {
    let relay = Running::start_with(|config| config.rates.register_per_minute = 2).await;
    let clinic = Organization::new(DOMAIN);
    for _ in 0..2 {
        clinic.register(&relay).await.unwrap();
    }
    assert_eq!(reason(&clinic.register(&relay).await.unwrap_err()), Reason::RateLimited);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_above_the_bound_are_refused_at_once() {
    let relay = Running::start_with(|config| config.calls_max = 1).await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    let (mut delivery, token) = clinic.delivery(&relay).await;
    // A subscription that never starts is a call under way.
    let (starts, requests) = tokio::sync::mpsc::channel::<wire::SubscribeRequest>(1);
    let mut under_way = tokio::task::JoinSet::new();
    under_way.spawn(async move {
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        delivery.subscribe(bearing(&token, requests)).await.map(drop)
    });
    let refused = loop {
        if let Err(refused) = ana.status().await {
            break refused;
        }
    };
    assert_eq!(reason(&refused), Reason::RateLimited);
    drop(starts);
    assert_eq!(reason(&under_way.join_next().await.unwrap().unwrap().unwrap_err()), Reason::Malformed);
    assert!(ana.status().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_wakes_the_sweep() {
    let hour = Duration::from_hours(1);
    let relay = Running::start_with(|config| (config.sweep_every, config.reclaim_every) = (hour, hour)).await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    let mut sealed = data(1, 0).to_vec();
    let marker: [u8; 32] = rand::random();
    sealed[100..132].copy_from_slice(&marker);
    ana.deposit(vec![clinic.init(1), sealed.into()]).await.unwrap();
    let store = relay.folder.path().join("data/store");
    assert!(holds(&store, &marker));
    ana.revoke(&clinic).await.unwrap();
    let swept = async {
        while holds(&store, &marker) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), swept).await.unwrap();
}

/// Whether a file below `folder` has these bytes; files that go away meanwhile have not.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        path.is_dir() && holds(&path, bytes)
            || std::fs::read(&path).is_ok_and(|file| file.windows(bytes.len()).any(|window| window == bytes))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_grant_is_handed_over_once_its_stop_was_answered() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let (mut delivery, token) = clinic.delivery(&relay).await;
    for round in 0..10 {
        let mut ana = Patient::of(&relay, &clinic).await;
        ana.deposit(vec![clinic.init(round), data(round, 0)]).await.unwrap();
        ana.revoke(&clinic).await.unwrap();
        let mut found = Subscriber::begin(&relay, &clinic, 10_000).await.until_caught_up().await;
        for lane in 0..16 {
            let request = wire::FetchRequest { lane, cursor: None, items_max: 1_000 };
            let batch = delivery.fetch(bearing(&token, request)).await.unwrap().into_inner().batch.unwrap();
            found.extend(batch.items.into_iter().map(|item| (lane, item)));
        }
        let is_sealed = |item: &wire::Item| matches!(item.content, Some(wire::item::Content::Envelope(_)));
        assert!(!found.iter().any(|(_, item)| is_sealed(item)));
        assert_eq!(found.len(), 2 * (usize::from(round) + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_costs_others_nothing() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1)]).await.unwrap();
    let _sleeper = Subscriber::begin(&relay, &clinic, 10_000).await;
    // More than all windows and buffers of the sleeper's connection hold.
    for first in (0..8_000).step_by(100) {
        ana.deposit((first..first + 100).map(|n| data(1, n)).collect()).await.unwrap();
    }
    let mut reader = Subscriber::begin(&relay, &clinic, 10_000).await;
    assert_eq!(reader.until_caught_up().await.len(), 8_001);
    assert_eq!(ana.deposit(vec![data(1, 8_000)]).await.unwrap(), [DepositOutcome::Stored]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_on_where_it_was_and_another_stores_starts_anew() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1), data(1, 0)]).await.unwrap();
    let batch = Subscriber::begin(&relay, &clinic, 1).await.next_batch().await;
    let mut cursor = batch.cursor.unwrap();
    let (mut delivery, token) = clinic.delivery(&relay).await;
    let mut fetch = async |cursor: &wire::Cursor| {
        let request = wire::FetchRequest { lane: batch.lane, cursor: Some(cursor.clone()), items_max: 10 };
        delivery.fetch(bearing(&token, request)).await.unwrap().into_inner().batch.unwrap().items.len()
    };
    assert_eq!(fetch(&cursor).await, 1);
    cursor.incarnation = Bytes::from_static(&[9; 16]);
    assert_eq!(fetch(&cursor).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_reflection_and_metrics_answer() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let relay = Running::start_with(|config| config.ops_listen = Some(([127, 0, 0, 1], port).into())).await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1)]).await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(relay.channel().await);
    let service = "sealcare.v1.MailboxService".to_owned();
    let answer = health.check(tonic_health::pb::HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    let page = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap().text().await.unwrap();
    assert!(page.contains("relay_deposited_envelopes_total"), "{page}");
    let grant = ana.grant(&clinic).to_hex();
    assert!(!page.contains(DOMAIN) && !page.contains(&grant) && !page.contains(&clinic.id().to_hex()));
}

fn envelope((_, item): &(u32, wire::Item)) -> Bytes {
    match &item.content {
        Some(wire::item::Content::Envelope(envelope)) => envelope.clone(),
        _ => panic!("not an envelope"),
    }
}
