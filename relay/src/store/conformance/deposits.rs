//! Cases of accepting and depositing.

use std::collections::HashSet;

use futures::future::join_all;

use super::{
    actors::{Clinic, DAY, KEY, NOW},
    envelopes::{DATA_BYTES, data, init, other_data},
};
use crate::store::{
    AcceptOutcome, BATCHES_REMEMBERED, Deposited, EPOCH_GRACE, PageItem, SESSIONS_MAX, Store, StoreError,
};

pub(super) async fn a_ticket_is_spent_once(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let (ana, ben) = (clinic.stranger(1), clinic.stranger(2));
    assert_eq!(ana.accept(store, 9).await, AcceptOutcome::Accepted);
    assert_eq!(ana.accept(store, 9).await, AcceptOutcome::Accepted);
    assert_eq!(ben.accept(store, 9).await, AcceptOutcome::Spent);
    assert_eq!(ben.deposit_at(store, vec![init(1, KEY)], NOW).await, Err(StoreError::NotFound));
    assert_eq!(ben.accept(store, 10).await, AcceptOutcome::Accepted);
}

pub(super) async fn a_key_has_one_grant(store: &dyn Store) {
    let (one, two) = (Clinic::open(store, 1).await, Clinic::open(store, 2).await);
    let ana = one.patient(store, 1).await;
    assert_eq!(ana.accept(store, 2).await, AcceptOutcome::Spent);
    assert_eq!(two.stranger(1).accept(store, 3).await, AcceptOutcome::Spent);
    assert_eq!(store.grant_status(ana.key()).await.unwrap().organization, one.id);
}

pub(super) async fn a_batch_is_stored_once(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    let batch = vec![init(1, KEY), data(1, 0), data(1, 1)];
    assert_eq!(ana.deposit(store, batch.clone()).await, Deposited::Stored);
    assert_eq!(ana.deposit(store, batch.clone()).await, Deposited::Already);
    assert_eq!(ana.deposit(store, batch[..2].to_vec()).await, Deposited::Conflict);
    assert_eq!(ana.deposit(store, vec![data(1, 2)]).await, Deposited::Stored);
    assert_eq!(ana.deposit(store, vec![data(1, 2)]).await, Deposited::Already);
    assert_eq!(ana.deposit(store, vec![other_data(1, 2)]).await, Deposited::Conflict);
    let expected = [batch, vec![data(1, 2)]].concat();
    assert_eq!(clinic.envelopes(store).await, expected);
}

pub(super) async fn the_last_batches_are_known_again(store: &dyn Store) {
    let ana = Clinic::open(store, 1).await.patient(store, 1).await;
    let batches: Vec<_> = [vec![init(1, KEY)]]
        .into_iter()
        .chain((0..BATCHES_REMEMBERED as u64).map(|n| vec![data(1, n)]))
        .collect();
    for batch in &batches {
        assert_eq!(ana.deposit(store, batch.clone()).await, Deposited::Stored);
    }
    for batch in &batches[1..] {
        assert_eq!(ana.deposit(store, batch.clone()).await, Deposited::Already);
    }
    assert_eq!(ana.deposit(store, batches[0].clone()).await, Deposited::Conflict);
    assert_eq!(ana.deposit(store, vec![other_data(1, 1)]).await, Deposited::Conflict);
}

pub(super) async fn order_within_a_session_holds(store: &dyn Store) {
    let ana = Clinic::open(store, 1).await.patient(store, 1).await;
    assert_eq!(ana.deposit(store, vec![data(1, 0)]).await, Deposited::UnknownSession);
    assert_eq!(ana.deposit(store, vec![init(1, KEY)]).await, Deposited::Stored);
    assert_eq!(ana.deposit(store, vec![data(1, 1)]).await, Deposited::OutOfOrder);
    assert_eq!(ana.deposit(store, vec![data(1, 0)]).await, Deposited::Stored);
    assert_eq!(ana.deposit(store, vec![init(1, KEY), data(1, 0)]).await, Deposited::Conflict);
    let report = store.grant_status(ana.key()).await.unwrap();
    assert_eq!((report.sessions[0].next, report.sessions[0].gone_below), (2, 0));
}

pub(super) async fn a_closed_epoch_takes_no_init(store: &dyn Store) {
    let ana = Clinic::open(store, 1).await.patient(store, 1).await;
    let last = NOW.plus(DAY).plus(EPOCH_GRACE);
    let late = last.plus(std::time::Duration::from_millis(1));
    assert_eq!(ana.deposit_at(store, vec![init(1, KEY)], last).await, Ok(Deposited::Stored));
    assert_eq!(ana.deposit_at(store, vec![init(1, KEY)], late).await, Ok(Deposited::Already));
    assert_eq!(ana.deposit_at(store, vec![init(2, KEY)], late).await, Ok(Deposited::EpochClosed));
    assert_eq!(ana.deposit_at(store, vec![init(2, 99)], NOW).await, Ok(Deposited::EpochClosed));
    assert_eq!(ana.deposit_at(store, vec![data(1, 0)], late).await, Ok(Deposited::Stored));
}

pub(super) async fn a_full_grant_takes_no_more(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.stranger(1);
    let room = (init(1, KEY).len() + DATA_BYTES) as u64;
    store.accept_invitation(ana.acceptance(1, room), NOW).await.unwrap();
    assert_eq!(ana.deposit(store, vec![init(1, KEY), data(1, 0)]).await, Deposited::Stored);
    assert_eq!(ana.deposit(store, vec![data(1, 1)]).await, Deposited::GrantFull);
    assert_eq!(store.grant_status(ana.key()).await.unwrap().stored_bytes, room);
    let all = crate::store::SequenceRange { lane: ana.lane(), sequences: 0..=u64::MAX };
    store.acknowledge(clinic.id, vec![all]).await.unwrap();
    assert_eq!(ana.deposit(store, vec![data(1, 1)]).await, Deposited::Stored);
}

pub(super) async fn the_idlest_session_gives_way(store: &dyn Store) {
    let ana = Clinic::open(store, 1).await.patient(store, 1).await;
    let sessions = u8::try_from(SESSIONS_MAX).unwrap();
    for session in 0..sessions {
        let now = NOW.plus(std::time::Duration::from_millis(session.into()));
        assert_eq!(ana.deposit_at(store, vec![init(session, KEY)], now).await, Ok(Deposited::Stored));
    }
    let later = NOW.plus(std::time::Duration::from_secs(1));
    assert_eq!(ana.deposit_at(store, vec![data(0, 0)], later).await, Ok(Deposited::Stored));
    assert_eq!(ana.deposit_at(store, vec![init(sessions, KEY)], later).await, Ok(Deposited::Stored));
    assert_eq!(ana.deposit_at(store, vec![data(1, 0)], later).await, Ok(Deposited::UnknownSession));
    assert_eq!(ana.deposit_at(store, vec![data(0, 1)], later).await, Ok(Deposited::Stored));
    assert_eq!(store.grant_status(ana.key()).await.unwrap().sessions.len(), SESSIONS_MAX);
}

pub(super) async fn concurrent_deposits_get_distinct_places(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    let deposits = (0..40).map(|session| ana.deposit(store, vec![init(session, KEY), data(session, 0)]));
    assert!(join_all(deposits).await.into_iter().all(|outcome| outcome == Deposited::Stored));
    let places: Vec<u64> = clinic.items(store).await.iter().map(sequence).collect();
    assert!(places.is_sorted());
    assert_eq!(places.iter().collect::<HashSet<_>>().len(), 80);
}

fn sequence(item: &PageItem) -> u64 {
    match item {
        PageItem::Envelope { sequence, .. } | PageItem::Revocation { sequence, .. } => *sequence,
    }
}
