//! What a relay's long life brings: another store under it, an organization suspended and back, a grant that its
//! organization ends.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actors;

use actors::{Organization, Patient, Running, bearing, data, reason, subscriber::Subscriber};
use bytes::Bytes;
use sealcare_proto::v1::{self as wire, DepositOutcome, Reason, item::Content};
use sealcare_protocol::{Clock as _, Confirmation, SystemClock};

const DOMAIN: &str = "clinic.example";

fn is_envelope((_, item): &(u32, wire::Item)) -> bool {
    matches!(item.content, Some(Content::Envelope(_)))
}

async fn confirm(relay: &Running, clinic: &Organization, signed: wire::Signed) -> Result<(), tonic::Status> {
    let (mut delivery, token) = clinic.delivery(relay).await;
    let request = wire::ConfirmRevocationRequest { confirmation: Some(signed) };
    delivery.confirm_revocation(bearing(&token, request)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_store_goes_on_and_a_replaced_one_starts_anew() {
    let mut relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1), data(1, 0)]).await.unwrap();
    let mut subscriber = Subscriber::begin(&relay, &clinic, 100).await;
    let cursor = subscriber.next_batch().await.cursor.unwrap();
    let (_, life) = subscriber.until_mark().await;
    assert_eq!((life.len(), &life), (16, &cursor.incarnation));

    relay = relay.restarted().await;
    let cursors = vec![cursor.clone()];
    let (items, same) = Subscriber::resume(&relay, &clinic, 100, cursors).await.until_mark().await;
    assert_eq!((items.len(), &same), (0, &life));
    let beyond = wire::Cursor { sequence: cursor.sequence + 1, ..cursor.clone() };
    let (items, _) = Subscriber::resume(&relay, &clinic, 100, vec![beyond]).await.until_mark().await;
    assert_eq!(items.len(), 2);

    relay = relay.replaced().await;
    clinic.register(&relay).await.unwrap();
    relay.approve(DOMAIN).await;
    let (items, other) =
        Subscriber::resume(&relay, &clinic, 100, vec![cursor.clone()]).await.until_mark().await;
    assert_eq!(items.len(), 0);
    assert_ne!(other, life);
    ana = ana.reconnected(&relay).await;
    ana.accept(clinic.ticket()).await.unwrap();
    assert_eq!(ana.deposit(vec![data(1, 1)]).await.unwrap(), [DepositOutcome::UnknownSession]);
    ana.deposit(vec![clinic.init(2), data(2, 0)]).await.unwrap();
    let (items, _) = Subscriber::resume(&relay, &clinic, 100, vec![cursor]).await.until_mark().await;
    assert_eq!(items.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifted_suspension_has_lost_nothing() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let (mut ana, mut ben) = (Patient::of(&relay, &clinic).await, Patient::of(&relay, &clinic).await);
    ana.deposit(vec![clinic.init(1), data(1, 0)]).await.unwrap();
    ben.deposit(vec![clinic.init(2)]).await.unwrap();
    let mut subscriber = Subscriber::begin(&relay, &clinic, 100).await;
    relay.suspend(DOMAIN).await;
    while let Ok(sent) = subscriber.down.message().await {
        assert!(sent.is_some(), "a suspension is named");
    }
    let refused = ana.deposit(vec![data(1, 1)]).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::OrganizationNotApproved);
    let (mut delivery, token) = clinic.delivery(&relay).await;
    let request = wire::FetchRequest { lane: 0, cursor: None, items_max: 10 };
    let refused = delivery.fetch(bearing(&token, request)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::OrganizationNotApproved);
    ben.revoke(&clinic).await.unwrap();
    relay.approve(DOMAIN).await;
    assert_eq!(ana.deposit(vec![data(1, 1)]).await.unwrap(), [DepositOutcome::Stored]);
    let items = Subscriber::begin(&relay, &clinic, 100).await.until_caught_up().await;
    assert_eq!(items.iter().filter(|item| is_envelope(item)).count(), 3);
    assert_eq!(items.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_ends_a_grant_by_its_own_word() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, DOMAIN).await;
    let mut ana = Patient::of(&relay, &clinic).await;
    ana.deposit(vec![clinic.init(1), data(1, 0)]).await.unwrap();
    let mut stream = ana.stream().await.unwrap();
    let grant = ana.grant(&clinic);
    let now = SystemClock.now();
    let impostor = Organization::new(DOMAIN);
    let forged = Confirmation::sign(&grant, impostor.bundle.delegation(), &impostor.gateway, now);
    let refused = confirm(&relay, &clinic, forged.signed().clone()).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Unauthenticated);
    let other = Organization::open(&relay, "other.example").await;
    let foreign = Confirmation::sign(&grant, other.bundle.delegation(), &other.gateway, now);
    let refused = confirm(&relay, &other, foreign.signed().clone()).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::NotFound);
    assert!(!ana.status().await.unwrap().revoked);

    let word = Confirmation::sign(&grant, clinic.bundle.delegation(), &clinic.gateway, now);
    confirm(&relay, &clinic, word.signed().clone()).await.unwrap();
    assert_eq!(reason(&stream.progress().await.unwrap_err()), Reason::GrantRevoked);
    let status = ana.status().await.unwrap();
    assert!(status.revoked && status.revocation.is_none());
    assert_eq!(status.confirmation.as_ref(), Some(word.signed()));
    let refused = ana.deposit(vec![data(1, 1)]).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::GrantRevoked);
    assert!(Subscriber::begin(&relay, &clinic, 100).await.until_caught_up().await.is_empty());
    let (mut delivery, token) = clinic.delivery(&relay).await;
    let request = wire::ListRevokedRequest { after: Bytes::new(), items_max: 1 };
    let listed = delivery.list_revoked(bearing(&token, request)).await.unwrap().into_inner();
    assert_eq!((listed.revocations.len(), &listed.confirmations[..]), (0, &[word.signed().clone()][..]));
    assert_eq!((&listed.last[..], listed.more), (&grant.as_bytes()[..], false));
}
