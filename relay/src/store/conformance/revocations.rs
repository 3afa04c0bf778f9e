//! Cases of the patient's stop.

use bytes::Bytes;
use sealcare_proto::v1 as wire;

use super::{
    actors::{ALL, Clinic, KEY, NOW, purge},
    envelopes::{data, init},
};
use crate::store::{
    AcceptOutcome, Deposited, OrganizationState, PageItem, Progress, Reclaimed, Store, StoreError,
};

pub(super) async fn takes_and_gives_nothing(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY), data(1, 0)]).await;
    ana.revoke(store).await;
    assert_eq!(ana.deposit(store, vec![data(1, 1)]).await, Deposited::GrantRevoked);
    assert_eq!(ana.deposit(store, vec![init(2, KEY)]).await, Deposited::GrantRevoked);
    assert_eq!(ana.accept(store, 1).await, AcceptOutcome::Revoked);
    let items = clinic.items(store).await;
    assert!(matches!(&items[..], [PageItem::Revocation { grant, .. }] if *grant == ana.grant()));
    purge(store, NOW).await;
    store.reclaim().await.unwrap();
    assert_eq!(clinic.items(store).await, items);
    let report = store.grant_status(ana.key()).await.unwrap();
    assert!(report.tombstone.is_some() && report.stored_bytes == 0);
}

pub(super) async fn stale_pages(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    let page = clinic.page(store, ana.lane(), 0, ALL).await;
    assert!(store.is_current(&page));
    ana.revoke(store).await;
    assert!(!store.is_current(&page));
    let page = clinic.page(store, ana.lane(), 0, ALL).await;
    assert!(store.is_current(&page));
    clinic.decide(store, OrganizationState::Suspended).await;
    assert!(!store.is_current(&page));
}

pub(super) async fn repeats_and_is_confirmed(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    let word = wire::Signed { payload: Bytes::from_static(b"destroyed"), signature: Bytes::new() };
    let confirm = |clinic: Clinic| store.confirm_revocation(clinic.id, ana.grant(), word.clone(), NOW);
    let tombstone = ana.revoke(store).await;
    assert_eq!(ana.revoke(store).await, tombstone);
    assert_eq!(clinic.items(store).await.len(), 1);
    assert_eq!(confirm(Clinic::open(store, 2).await).await, Err(StoreError::NotFound));
    confirm(clinic).await.unwrap();
    assert_eq!(ana.revoke(store).await.confirmation, Some(word.clone()));
    let report = store.grant_status(ana.key()).await.unwrap();
    assert_eq!(report.tombstone.unwrap().confirmation, Some(word));
}

/// A lapsed grant ends by the organization's word alone; the patient's own may follow.
pub(super) async fn a_confirmation_closes_an_open_grant(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let (ana, ben) = (clinic.patient(store, 1).await, clinic.patient(store, 2).await);
    ana.deposit(store, vec![init(1, KEY), data(1, 0)]).await;
    ben.deposit(store, vec![init(2, KEY)]).await;
    let word = wire::Signed { payload: Bytes::from_static(b"destroyed"), signature: Bytes::new() };
    let confirm = |clinic: Clinic, grant| store.confirm_revocation(clinic.id, grant, word.clone(), NOW);
    assert_eq!(confirm(clinic, clinic.stranger(3).grant()).await, Err(StoreError::NotFound));
    assert_eq!(confirm(Clinic::open(store, 2).await, ana.grant()).await, Err(StoreError::NotFound));
    let page = clinic.page(store, ana.lane(), 0, ALL).await;
    confirm(clinic, ana.grant()).await.unwrap();
    assert!(!store.is_current(&page));
    assert_eq!(ana.deposit(store, vec![data(1, 1)]).await, Deposited::GrantRevoked);
    assert_eq!(ana.accept(store, 1).await, AcceptOutcome::Revoked);
    assert_eq!(clinic.envelopes(store).await, [init(2, KEY)]);
    purge(store, NOW).await;
    assert_eq!(store.reclaim().await, Ok(Reclaimed::Gone));
    let report = store.grant_status(ana.key()).await.unwrap();
    let tombstone = report.tombstone.unwrap();
    assert_eq!((report.stored_bytes, tombstone.confirmation.clone()), (0, Some(word.clone())));
    assert_eq!(tombstone.revocation, None);
    assert_eq!(store.list_revoked(clinic.id, None, 9).await.unwrap().0, [tombstone]);
    let revoked = ana.revoke(store).await;
    assert!(revoked.revocation.is_some() && revoked.confirmation == Some(word));
    let items = clinic.page(store, ana.lane(), 0, ALL).await.items;
    let is_stop =
        |item: &PageItem| matches!(item, PageItem::Revocation { grant, .. } if *grant == ana.grant());
    assert_eq!(items.iter().filter(|item| is_stop(item)).count(), 1);
    assert_eq!(store.list_revoked(clinic.id, None, 9).await.unwrap().0, [revoked]);
}

pub(super) async fn tombstones_stay_and_page(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let mut grants = Vec::new();
    for number in 1..=5 {
        let patient = clinic.patient(store, number).await;
        patient.revoke(store).await;
        grants.push(patient.grant());
    }
    grants.sort();
    let (first, progress) = store.list_revoked(clinic.id, None, 3).await.unwrap();
    assert_eq!((first.len(), progress), (3, Progress::More));
    let (rest, progress) = store.list_revoked(clinic.id, Some(first[2].grant), 3).await.unwrap();
    assert_eq!(progress, Progress::Done);
    let listed: Vec<_> = first.iter().chain(&rest).map(|tombstone| tombstone.grant).collect();
    assert_eq!(listed, grants);
}

pub(super) async fn deletion_leaves_others_alone(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    let mut others = 2..=u8::MAX;
    let ben = others.find(|n| clinic.stranger(*n).lane() == ana.lane()).unwrap();
    let ben = clinic.patient(store, ben).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    ben.deposit(store, vec![init(2, KEY)]).await;
    for batch in 0..5 {
        ana.deposit(store, (batch * 100..batch * 100 + 100).map(|n| data(1, n)).collect()).await;
        ben.deposit(store, vec![data(2, batch)]).await;
    }
    ana.revoke(store).await;
    purge(store, NOW).await;
    let expected = [vec![init(2, KEY)], (0..5).map(|n| data(2, n)).collect()].concat();
    assert_eq!(clinic.envelopes(store).await, expected);
    store.reclaim().await.unwrap();
    assert_eq!(clinic.envelopes(store).await, expected);
    assert_eq!(ben.deposit(store, vec![data(2, 5)]).await, Deposited::Stored);
}
