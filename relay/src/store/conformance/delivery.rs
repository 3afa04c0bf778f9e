//! Cases of fetching, acknowledging, replying and forgetting.

use sealcare_protocol::SessionId;

use super::{
    actors::{ALL, Clinic, DAY, KEY, NOW, purge},
    envelopes::{DATA_BYTES, data, init, reply},
};
use crate::store::{
    Deposited, ENVELOPE_RETENTION, PageLimit, Progress, ReplyOutcome, ReplySlot, SESSION_RETENTION,
    SequenceRange, Store, StoreError,
};

pub(super) async fn pages_are_bounded_and_in_order(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    ana.deposit(store, (0..9).map(|n| data(1, n)).collect()).await;
    let four = PageLimit { items_max: 4, ..ALL };
    let first = clinic.page(store, ana.lane(), 0, four).await;
    assert_eq!((first.items.len(), first.more), (4, Progress::More));
    let second = clinic.page(store, ana.lane(), first.after, ALL).await;
    assert_eq!((second.items.len(), second.more), (6, Progress::Done));
    let two = PageLimit { bytes_max: 2 * DATA_BYTES + 1, ..ALL };
    assert_eq!(clinic.page(store, ana.lane(), first.after, two).await.items.len(), 2);
    let tiny = PageLimit { bytes_max: 1, ..ALL };
    assert_eq!(clinic.page(store, ana.lane(), first.after, tiny).await.items.len(), 1);
    let none = clinic.page(store, ana.lane(), second.after, ALL).await;
    assert_eq!((none.items.len(), none.after), (0, second.after));
}

pub(super) async fn a_cursor_beyond_the_head_starts_anew(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    for beyond in [1_000, u64::MAX] {
        assert_eq!(clinic.page(store, ana.lane(), beyond, ALL).await.items.len(), 1);
    }
}

pub(super) async fn acknowledged_envelopes_are_gone(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY), data(1, 0), data(1, 1), data(1, 2)]).await;
    let acknowledge = |sequences| {
        let range = SequenceRange { lane: ana.lane(), sequences };
        store.acknowledge(clinic.id, vec![range])
    };
    acknowledge(3..=3).await.unwrap();
    let gone = async || store.grant_status(ana.key()).await.unwrap().sessions[0].gone_below;
    assert_eq!(gone().await, 0);
    acknowledge(1..=2).await.unwrap();
    assert_eq!(gone().await, 3);
    assert_eq!(clinic.envelopes(store).await, [data(1, 2)]);
    acknowledge(0..=u64::MAX).await.unwrap();
    acknowledge(0..=u64::MAX).await.unwrap();
    assert_eq!(store.grant_status(ana.key()).await.unwrap().stored_bytes, 0);
    assert_eq!(ana.deposit(store, vec![data(1, 3)]).await, Deposited::Stored);
    assert_eq!(clinic.envelopes(store).await, [data(1, 3)]);
}

pub(super) async fn one_organization_cannot_touch_another(store: &dyn Store) {
    let (one, two) = (Clinic::open(store, 1).await, Clinic::open(store, 2).await);
    let ana = one.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    assert!(two.items(store).await.is_empty());
    let range = SequenceRange { lane: ana.lane(), sequences: 0..=u64::MAX };
    store.acknowledge(two.id, vec![range]).await.unwrap();
    assert_eq!(one.envelopes(store).await.len(), 1);
    let put = store.put_reply(two.id, ana.grant(), slot(1, 1), NOW).await;
    assert_eq!(put, Err(StoreError::NotFound));
}

fn slot(session: u8, counter: u64) -> ReplySlot {
    ReplySlot { session: SessionId::from_bytes([session; 16]), counter, reply: reply(session, counter) }
}

pub(super) async fn the_highest_reply_stays(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    let put = |slot| store.put_reply(clinic.id, ana.grant(), slot, NOW);
    assert_eq!(put(slot(1, 5)).await, Ok(ReplyOutcome::Stored));
    assert_eq!(put(slot(1, 4)).await, Ok(ReplyOutcome::Older));
    assert_eq!(put(slot(1, 6)).await, Ok(ReplyOutcome::Stored));
    assert_eq!(put(slot(2, 1)).await, Err(StoreError::NotFound));
    let session = SessionId::from_bytes([1; 16]);
    assert_eq!(store.fetch_replies(ana.key(), vec![session]).await.unwrap(), [slot(1, 6)]);
    assert_eq!(store.fetch_replies(ana.key(), vec![]).await.unwrap(), [slot(1, 6)]);
    let other = SessionId::from_bytes([3; 16]);
    assert!(store.fetch_replies(ana.key(), vec![other]).await.unwrap().is_empty());
}

pub(super) async fn arrivals_wake_the_right_lane(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    let mut arrivals = store.arrivals(clinic.id);
    let before = *arrivals.borrow_and_update();
    ana.deposit(store, vec![init(1, KEY)]).await;
    assert!(arrivals.has_changed().unwrap());
    let changed: Vec<u8> = arrivals.borrow().changed_since(&before).collect();
    assert_eq!(changed, [ana.lane()]);
}

pub(super) async fn expired_envelopes_and_sessions_go(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(1, KEY)]).await;
    ana.deposit_at(store, vec![data(1, 0)], NOW.plus(DAY)).await.unwrap();
    store.put_reply(clinic.id, ana.grant(), slot(1, 1), NOW.plus(DAY)).await.unwrap();
    purge(store, NOW.plus(ENVELOPE_RETENTION)).await;
    assert_eq!(clinic.envelopes(store).await, [data(1, 0)]);
    let report = store.grant_status(ana.key()).await.unwrap();
    assert_eq!((report.sessions[0].gone_below, report.stored_bytes), (1, DATA_BYTES as u64));
    purge(store, NOW.plus(SESSION_RETENTION)).await;
    assert_eq!(store.grant_status(ana.key()).await.unwrap().sessions.len(), 1);
    purge(store, NOW.plus(SESSION_RETENTION + 3 * DAY)).await;
    assert!(store.grant_status(ana.key()).await.unwrap().sessions.is_empty());
    assert!(store.fetch_replies(ana.key(), vec![]).await.unwrap().is_empty());
    assert!(clinic.envelopes(store).await.is_empty());
}

pub(super) async fn a_closed_sessions_reply_goes(store: &dyn Store) {
    let clinic = Clinic::open(store, 1).await;
    let ana = clinic.patient(store, 1).await;
    ana.deposit(store, vec![init(0, KEY)]).await;
    store.put_reply(clinic.id, ana.grant(), slot(0, 1), NOW).await.unwrap();
    for session in 1..=64 {
        ana.deposit_at(store, vec![init(session, KEY)], NOW.plus(DAY)).await.unwrap();
    }
    let sessions = store.grant_status(ana.key()).await.unwrap().sessions;
    assert!(sessions.iter().all(|report| report.session.as_bytes() != &[0; 16]));
    assert_eq!(store.fetch_replies(ana.key(), vec![]).await.unwrap().len(), 1);
    purge(store, NOW.plus(SESSION_RETENTION + 2 * DAY)).await;
    assert!(store.fetch_replies(ana.key(), vec![]).await.unwrap().is_empty());
}
