//! The rules of a line of numbers, without a network: the relay's answers and the organization's replies are given.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use sealcare_protocol::{Body, Change, ChangeState, EnvelopeHeader, Reply, ReplyKey, Timestamp};
use sealcare_transport::{DepositOutcome, GrantReport, SessionReport};
use sealcare_vault::{KeyRange, ReadTransaction};

use super::{
    bodies::{self, Packed},
    flight::{self, Flight},
    replies,
    settle::{self, Settled},
    *,
};
use crate::{
    acceptance::SharedScope,
    fixture::{Fixture, NOW},
};

mod refusals;

const HOUR: Duration = Duration::from_hours(1);

impl Fixture {
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut WriteTransaction<'_>, &GrantId) -> Result<T> + Send + 'static,
    ) -> T {
        let grant = self.grant;
        self.patient.store.write(move |tx| work(tx, &grant)).await.unwrap()
    }

    /// Gives `count` more bodies their numbers.
    async fn add_bodies(&self, count: u64) {
        let put = move |tx: &mut WriteTransaction<'_>, id: &GrantId| {
            let mut row = GrantRow::load(tx, id)?;
            for number in row.outbox.next..row.outbox.next + count {
                bodies::put(tx, id, number, 1, &body(number)?)?;
            }
            row.outbox.next += count;
            row.outbox.records_pending += count;
            row.save(tx, id)
        };
        self.write(put).await;
    }

    async fn pack(&self) -> Packed {
        self.write(bodies::pack).await
    }

    async fn next(&self, now: Timestamp) -> Option<Flight> {
        let bundle = self.bundle.clone();
        self.write(move |tx, id| flight::next(tx, id, &bundle, now)).await
    }

    async fn settle(&self, flight: Flight, outcome: DepositOutcome, now: Timestamp) -> Settled {
        self.write(move |tx, id| settle::deposit(tx, id, &[flight], outcome, now)).await
    }

    /// Deposits all that there is; how many data envelopes went, and how many inits.
    async fn deposit_all(&self, now: Timestamp) -> (u64, u64) {
        let (mut data, mut inits) = (0, 0);
        while let Some(flight) = self.next(now).await {
            data += flight.bodies();
            inits += u64::try_from(flight.envelopes.len()).unwrap() - flight.bodies();
            assert_eq!(self.settle(flight, DepositOutcome::Stored, now).await, Settled::Deposited);
        }
        (data, inits)
    }

    /// The organization says on the newest session that it has all below `next`.
    async fn hear(&self, next: u64, now: Timestamp) {
        self.hear_reply(now, |reply| reply.next_sequence = next).await;
    }

    async fn hear_reply(&self, now: Timestamp, say: impl FnOnce(&mut Reply)) {
        let row = self.row().await;
        let mut reply = Reply {
            sender: row.outbox.sender,
            next_sequence: 0,
            refusals: Vec::new(),
            stored_revision: row.revision,
            stored: None,
            resync: false,
            views: Vec::new(),
            held: false,
        };
        say(&mut reply);
        let store = self.patient.store.clone();
        let read = move |tx: &mut WriteTransaction<'_>, id: &GrantId| {
            let kept = tx.scan_descending(REPLY_KEYS, &KeyRange::prefix(id.as_bytes()), 1)?.remove(0).1;
            let (envelope, _) = ReplyKey::from_kept(&kept[8..])?.seal(&reply, 0, now, &mut rand::rng());
            replies::read(tx, &store, id, &[Bytes::from(envelope)], now)
        };
        self.write(read).await;
    }

    /// The relay says that it has let go of the session's init and its data below `gone_below`.
    async fn fetched_below(&self, gone_below: u64, now: Timestamp) {
        let session = self.row().await.session.unwrap().id;
        let report = GrantReport {
            organization: *self.bundle.organization(),
            is_revoked: false,
            sessions: vec![SessionReport {
                session,
                next_counter: gone_below,
                gone_below,
                init_is_gone: true,
            }],
            confirmation: None,
            revocation: None,
            stored_bytes: 0,
        };
        self.write(move |tx, id| settle::report(tx, id, &report, now)).await;
    }

    async fn bodies(&self) -> Vec<(usize, BTreeSet<String>)> {
        let row = self.row().await;
        let grant = self.grant;
        let read = move |tx: &ReadTransaction<'_>| {
            let numbers = row.outbox.confirmed_below..row.outbox.next;
            let kept = numbers.map(|number| {
                let body = bodies::load(tx, &grant, number)?.unwrap();
                let ids = body.decode()?.changes.into_iter().map(|change| change.record_id).collect();
                Ok((body.padded_len(), ids))
            });
            kept.collect::<Result<Vec<_>>>()
        };
        self.patient.store.read(read).await.unwrap()
    }
}

fn body(number: u64) -> Result<sealcare_protocol::EncodedBody> {
    let state = ChangeState::Upsert(Bytes::from_static(b"{}"));
    let change = Change { record_id: format!("r{number}"), type_name: "heart-rate".parse()?, state };
    Ok(Body { changes: vec![change] }.encode()?)
}

fn session(flight: &Flight) -> sealcare_protocol::SessionId {
    *EnvelopeHeader::parse(&flight.envelopes[0]).unwrap().session()
}

#[tokio::test]
async fn a_full_line_is_not_begun_anew_and_goes_on_with_the_first_confirmation() {
    let fixture = Fixture::new().await;
    fixture.add_bodies(UNCONFIRMED_MAX).await;
    assert_eq!(fixture.deposit_all(NOW).await, (UNCONFIRMED_MAX, 1));
    assert_eq!(fixture.pack().await, Packed::Full);
    // Neither the first reply's patience nor the session's age begins a full line anew.
    assert_eq!(fixture.next(NOW.plus(HOUR * 7)).await, None);
    fixture.hear(0, NOW.plus(HOUR)).await;
    assert_eq!(fixture.next(NOW.plus(HOUR * 24 * 8)).await, None);
    fixture.hear(1, NOW.plus(HOUR * 2)).await;
    assert_eq!(fixture.pack().await, Packed::All);
    fixture.add_bodies(1).await;
    assert_eq!(fixture.deposit_all(NOW.plus(HOUR * 2)).await, (1, 0));
    assert_eq!(fixture.pack().await, Packed::Full);
}

#[tokio::test]
async fn a_full_line_that_is_paused_goes_on_with_signs_of_life() {
    let fixture = Fixture::new().await;
    fixture.add_bodies(UNCONFIRMED_MAX).await;
    fixture.deposit_all(NOW).await;
    fixture.patient.pause(fixture.grant).await.unwrap();
    assert_eq!(fixture.deposit_all(NOW).await, (0, 1));
    assert_eq!(fixture.deposit_all(NOW.plus(HOUR * 11)).await, (0, 0));
    assert_eq!(fixture.deposit_all(NOW.plus(HOUR * 12)).await, (0, 1));
}

#[tokio::test]
async fn what_is_fetched_and_not_confirmed_goes_again_after_ever_longer_waits() {
    let fixture = Fixture::new().await;
    fixture.add_bodies(2).await;
    fixture.deposit_all(NOW).await;
    fixture.hear(0, NOW).await;
    let mut now = NOW;
    for patience in [24, 48] {
        fixture.fetched_below(2, now).await;
        now = now.plus(HOUR * (patience - 1));
        fixture.fetched_below(2, now).await;
        assert_eq!(fixture.deposit_all(now).await, (0, 0), "{patience} hours are not over");
        now = now.plus(HOUR);
        fixture.fetched_below(2, now).await;
        assert_eq!(fixture.row().await.bundle_need, crate::grant::BundleNeed::Fresh);
        assert_eq!(fixture.deposit_all(now).await, (2, 1));
    }
    fixture.hear(1, now).await;
    fixture.fetched_below(2, now).await;
    fixture.fetched_below(2, now.plus(HOUR * 24)).await;
    assert_eq!(fixture.deposit_all(now.plus(HOUR * 24)).await, (1, 1), "an answer shortens the wait again");
}

#[tokio::test]
async fn a_choice_that_nobody_confirms_is_stated_again_after_a_day() {
    let fixture = Fixture::new().await;
    fixture.deposit_all(NOW).await;
    fixture.hear(0, NOW).await;
    fixture.patient.pause(fixture.grant).await.unwrap();
    let revision = fixture.row().await.revision;
    assert_eq!(fixture.deposit_all(NOW).await, (0, 1));
    fixture.fetched_below(0, NOW).await;
    assert_eq!(fixture.deposit_all(NOW.plus(HOUR * 23)).await, (0, 0));
    fixture.fetched_below(0, NOW.plus(HOUR * 24)).await;
    assert_eq!(fixture.deposit_all(NOW.plus(HOUR * 24)).await, (0, 1));
    fixture.hear(0, NOW.plus(HOUR * 24)).await;
    fixture.fetched_below(0, NOW.plus(HOUR * 90)).await;
    assert_eq!(fixture.deposit_all(NOW.plus(HOUR * 90)).await, (0, 0));
    assert_eq!(fixture.row().await.revision, revision, "only a choice raises it");
}

#[tokio::test]
async fn a_forgotten_session_is_followed_by_one_from_the_first_unconfirmed_number() {
    for outcome in [DepositOutcome::UnknownSession, DepositOutcome::OutOfOrder, DepositOutcome::EpochClosed] {
        let fixture = Fixture::new().await;
        fixture.add_bodies(3).await;
        fixture.deposit_all(NOW).await;
        fixture.hear(1, NOW).await;
        fixture.add_bodies(1).await;
        let (sender, before) = (fixture.row().await.outbox.sender, fixture.bodies().await);
        let flight = fixture.next(NOW).await.unwrap();
        let first = session(&flight);
        assert_eq!(fixture.settle(flight, outcome, NOW).await, Settled::Again);
        let again = fixture.next(NOW).await.unwrap();
        assert_ne!(session(&again), first);
        assert_eq!((again.bodies(), fixture.row().await.session.unwrap().base), (3, 1));
        assert_eq!((fixture.row().await.outbox.sender, fixture.bodies().await), (sender, before));
    }
}

#[tokio::test]
async fn a_batch_that_an_earlier_build_kept_without_a_number_is_sealed_again() {
    let fixture = Fixture::new().await;
    fixture.add_bodies(2).await;
    let first = fixture.next(NOW).await.unwrap();
    let unnumber = |tx: &mut WriteTransaction<'_>, id: &GrantId| {
        let kept = tx.scan(FLIGHTS, &KeyRange::prefix(id.as_bytes()), 1)?.remove(0).1;
        tx.delete_prefix(FLIGHTS, id.as_bytes())?;
        Ok(tx.put_wrapped(id.as_bytes(), FLIGHTS, id.as_bytes(), &kept)?)
    };
    fixture.write(unnumber).await;
    let again = fixture.next(NOW).await.unwrap();
    assert_ne!(session(&again), session(&first));
    assert_eq!((again.bodies(), fixture.row().await.session.unwrap().base), (2, 0));
    fixture.settle(again, DepositOutcome::Stored, NOW).await;
    assert_eq!(fixture.next(NOW).await, None);
}

#[tokio::test]
async fn a_conflict_a_number_never_sent_or_a_resync_makes_another_sender() {
    let beyond = |reply: &mut Reply| reply.next_sequence = 3;
    let resync = |reply: &mut Reply| reply.resync = true;
    for say in [None, Some(&beyond as &(dyn Fn(&mut Reply) + Sync)), Some(&resync)] {
        let fixture = Fixture::new().await;
        fixture.add_bodies(2).await;
        let sender = fixture.row().await.outbox.sender;
        if let Some(say) = say {
            fixture.deposit_all(NOW).await;
            fixture.hear_reply(NOW, say).await;
        } else {
            let flight = fixture.next(NOW).await.unwrap();
            assert_eq!(fixture.settle(flight, DepositOutcome::Conflict, NOW).await, Settled::Again);
        }
        let row = fixture.row().await;
        assert_ne!(row.outbox.sender, sender);
        assert_eq!((row.outbox.next, row.outbox.scanned, row.session.is_none()), (0, 0, true));
        assert!(fixture.bodies().await.is_empty());
    }
}

#[tokio::test]
async fn a_copy_that_meets_another_sends_nothing_before_it_knows_what_was_chosen() {
    let fixture = Fixture::new().await;
    fixture.add_bodies(2).await;
    let flight = fixture.next(NOW).await.unwrap();
    fixture.settle(flight, DepositOutcome::Conflict, NOW).await;
    assert_eq!(fixture.pack().await, Packed::Paused);
    fixture.add_bodies(1).await;
    assert_eq!(fixture.deposit_all(NOW).await, (0, 1), "a sign of life");
    fixture.hear(0, NOW).await;
    assert!(fixture.row().await.recovery.is_none());
    assert_eq!(fixture.deposit_all(NOW).await, (1, 0), "its own word stands");
}

#[tokio::test]
async fn a_body_that_may_not_leave_any_more_is_empty_at_its_number_and_length() {
    let fixture = Fixture::new().await;
    fixture.add_bodies(2).await;
    fixture.deposit_all(NOW).await;
    let before = fixture.bodies().await;
    assert!(before.iter().all(|(_, ids)| ids.len() == 1));
    fixture.patient.change_scope(fixture.grant, &SharedScope::of([])).await.unwrap();
    let emptied: Vec<_> = before.into_iter().map(|(len, _)| (len, BTreeSet::new())).collect();
    assert_eq!(fixture.bodies().await, emptied);
    assert_eq!(fixture.row().await.outbox.records_pending, 0);
    assert_eq!(fixture.deposit_all(NOW).await, (2, 1), "the numbers are still to be sent");
}
