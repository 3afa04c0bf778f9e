//! Cases of the registry.

use futures::future::join_all;
use sealcare_protocol::{KeyId, OrganizationId};

use super::{
    actors::{Clinic, DAY, KEY, NOW, purge},
    envelopes::{data, init},
};
use crate::store::{
    Deposited, FetchOutcome, LanePlace, OrganizationState, PutBundleOutcome, RegisterOutcome, Store,
    StoreError,
};

pub(super) async fn suspended_gets_nothing(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    clinic.decide(store, OrganizationState::Suspended).await;
    assert_eq!(ana.deposit(store, vec![data(1, 0)]).await, Deposited::NotApproved);
    let place = LanePlace { organization: clinic.id, lane: ana.lane(), after: 0 };
    let fetched = store.fetch_after(place, super::actors::ALL).await.unwrap();
    assert!(matches!(fetched, FetchOutcome::NotApproved));
    assert!(store.grant_status(ana.key()).await.is_ok());
    ana.revoke(store).await;
    clinic.decide(store, OrganizationState::Approved).await;
    assert!(clinic.envelopes(store).await.is_empty());
}

pub(super) async fn an_older_bundle_is_stale(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let put = |registrant| store.put_bundle(registrant, NOW);
    assert_eq!(put(clinic.registrant(5)).await, Ok(PutBundleOutcome::Stored));
    assert_eq!(put(clinic.registrant(5)).await, Ok(PutBundleOutcome::Stored));
    assert_eq!(put(clinic.registrant(4)).await, Ok(PutBundleOutcome::Stale));
    let mut contradiction = clinic.registrant(5);
    contradiction.pin.hash = clinic.registrant(6).pin.hash;
    assert_eq!(put(contradiction).await, Ok(PutBundleOutcome::Stale));
    let mut older_delegation = clinic.registrant(7);
    older_delegation.pin.delegation = 0;
    assert_eq!(put(older_delegation).await, Ok(PutBundleOutcome::Stale));
    let mut lower_floor = clinic.registrant(7);
    lower_floor.pin.lowest_honoured = 1;
    assert_eq!(put(lower_floor).await, Ok(PutBundleOutcome::Stale));
    let mut fork = clinic.registrant(7);
    (fork.pin.root, fork.pin.chain) = (2, vec![[0; 32], [8; 32], [9; 32]]);
    assert_eq!(put(fork.clone()).await, Ok(PutBundleOutcome::Stale));
    assert_eq!(store.register(fork, NOW).await, Ok(RegisterOutcome::Stale));
    let mut older_root = clinic.registrant(7);
    (older_root.pin.root, older_root.pin.chain) = (0, vec![[0; 32]]);
    assert_eq!(put(older_root).await, Ok(PutBundleOutcome::Stale));
    assert_eq!(store.bundle(clinic.id).await.unwrap().0, clinic.registrant(5).bundle);
    assert_eq!(put(Clinic::new(9).registrant(1)).await, Err(StoreError::NotFound));
}

pub(super) async fn a_domain_belongs_to_the_first(store: &dyn Store) {
    let clinic = Clinic::new(1);
    let mut impostor = Clinic::new(2).registrant(1);
    impostor.domain = clinic.registrant(1).domain;
    let pending = RegisterOutcome::Listed(OrganizationState::Pending);
    assert_eq!(store.register(clinic.registrant(1), NOW).await, Ok(pending));
    assert_eq!(store.register(impostor.clone(), NOW).await, Ok(RegisterOutcome::DomainTaken));
    clinic.decide(store, OrganizationState::Approved).await;
    let late = NOW.plus(30 * DAY);
    assert_eq!(store.register(impostor, late).await, Ok(RegisterOutcome::DomainTaken));
    assert_eq!(store.organizations().await.unwrap().len(), 1);
    let mut idle = Clinic::new(3).registrant(1);
    store.register(idle.clone(), NOW).await.unwrap();
    idle.organization = Clinic::new(4).id;
    assert_eq!(store.register(idle, late).await, Ok(pending));
    assert_eq!(store.organization(Clinic::new(3).id).await.unwrap_err(), StoreError::NotFound);
}

pub(super) async fn the_never_approved_are_forgotten(store: &dyn Store) {
    let (clinic, idle) = (Clinic::open(store, 1).await, Clinic::new(2));
    store.register(idle.registrant(1), NOW).await.unwrap();
    purge(store, NOW.plus(7 * DAY)).await;
    assert!(store.organization(idle.id).await.is_ok());
    purge(store, NOW.plus(8 * DAY)).await;
    assert_eq!(store.organization(idle.id).await.unwrap_err(), StoreError::NotFound);
    assert_eq!(store.bundle(idle.id).await.unwrap_err(), StoreError::NotFound);
    assert!(store.organization(clinic.id).await.is_ok());
    let mut next = Clinic::new(3).registrant(1);
    next.domain = idle.registrant(1).domain;
    let pending = RegisterOutcome::Listed(OrganizationState::Pending);
    assert_eq!(store.register(next, NOW.plus(8 * DAY)).await, Ok(pending));
}

pub(super) async fn those_who_wait_are_bounded(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let waiting = (0..1_001_u16).map(|number| {
        let mut registrant = Clinic::new(2).registrant(1);
        let mut id = [9; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        registrant.organization = OrganizationId::from_bytes(id);
        registrant.domain = format!("waiting{number}.example").parse().unwrap();
        store.register(registrant, NOW)
    });
    let outcomes = join_all(waiting).await;
    assert!(outcomes[..1_000].iter().all(|outcome| *outcome != Ok(RegisterOutcome::Full)));
    assert_eq!(outcomes[1_000], Ok(RegisterOutcome::Full));
    let renewed = store.register(clinic.registrant(2), NOW).await;
    assert_eq!(renewed, Ok(RegisterOutcome::Listed(OrganizationState::Approved)));
}

pub(super) async fn epochs_are_bounded(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let mut many = clinic.registrant(2);
    many.epochs =
        (100..165).map(|key| (KeyId::from_bytes([key; 8]), NOW.plus(u32::from(key) * DAY))).collect();
    store.put_bundle(many, NOW).await.unwrap();
    let ana = clinic.patient(store, 1).await;
    assert_eq!(ana.deposit(store, vec![init(1, 100)]).await, Deposited::EpochClosed);
    assert_eq!(ana.deposit(store, vec![init(1, 101)]).await, Deposited::Stored);
}

pub(super) async fn a_replaced_key_does_not_come_back(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let mut newer = clinic.registrant(1);
    (newer.oauth_jwk, newer.oauth_created) = (Some("newer".into()), NOW.plus(DAY));
    store.register(newer, NOW.plus(DAY)).await.unwrap();
    store.register(clinic.registrant(1), NOW.plus(DAY)).await.unwrap();
    assert_eq!(store.organization(clinic.id).await.unwrap().oauth_jwk, "newer");
}
