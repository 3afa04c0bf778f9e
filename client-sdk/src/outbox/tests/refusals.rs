//! What is refused while another device's statement stands is told again once it may flow; what is refused for
//! itself is not.

use sealcare_protocol::{GrantState, Refusal, RefusalReason, Scope, Terms, UnverifiedTerms};

use super::*;
use crate::{account::Account, fixture::Noise, grant::Flow};

const PAUSED: RefusalReason = RefusalReason::Paused;
const OUT_OF_SCOPE: RefusalReason = RefusalReason::OutOfScope;

/// A grant whose two heart rates are at the relay, in body 0.
async fn deposited() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.patient.read(Noise { records: 0..2, note_bytes: 1 }).await.unwrap();
    fixture.pack().await;
    assert_eq!(fixture.deposit_all(NOW).await, (1, 1));
    fixture
}

impl Fixture {
    /// The organization refuses number 0 and says what another device has stated, so many revisions later.
    async fn refused(&self, reason: RefusalReason, later: u64, state: GrantState, types: &str) {
        let stated = self.stated(later, state, types).await;
        self.hear_reply(NOW, |reply| {
            reply.refusals.push(Refusal { sequence: 0, reason });
            (reply.next_sequence, reply.stored_revision) = (1, reply.stored_revision + later);
            reply.stored = Some(stated);
        })
        .await;
    }

    /// What another device of the account states.
    async fn stated(&self, later: u64, state: GrantState, types: &str) -> UnverifiedTerms {
        let row = self.row().await;
        let types = types.split_whitespace().map(|name| name.parse().unwrap()).collect();
        let terms = Terms { revision: row.revision + later, state, scope: Scope { types, from: None } };
        let state = move |tx: &ReadTransaction<'_>| {
            let account = Account::load(tx)?;
            let statement = row.identity(&account.secret).statement(terms, account.person, None);
            Ok(UnverifiedTerms::of(&statement))
        };
        self.patient.store.read(state).await.unwrap()
    }

    /// The records in bodies that are unconfirmed, after all is packed that may be.
    async fn packed(&self) -> Vec<String> {
        self.pack().await;
        self.bodies().await.into_iter().flat_map(|(_, ids)| ids).collect()
    }
}

#[tokio::test]
async fn what_a_pause_on_another_device_refused_follows_on_resume() {
    let fixture = deposited().await;
    fixture.refused(PAUSED, 1, GrantState::Paused, "heart-rate").await;
    assert_eq!(fixture.row().await.flow, Flow::Paused);
    assert_eq!(fixture.pack().await, Packed::Paused);
    fixture.patient.resume(fixture.grant).await.unwrap();
    assert_eq!(fixture.packed().await, ["r0", "r1"]);
    assert_eq!(fixture.row().await.outbox.records_confirmed, 0);
    // Another session, and not of the same instant.
    let later = NOW.plus(HOUR);
    assert_eq!(fixture.deposit_all(later).await, (1, 1));
    fixture.hear_reply(later, |reply| reply.next_sequence = 2).await;
    assert_eq!(fixture.packed().await, [""; 0], "once");
    let outbox = fixture.row().await.outbox;
    assert_eq!((outbox.records_confirmed, outbox.records_pending), (2, 0));
}

#[tokio::test]
async fn what_was_refused_between_two_choices_that_were_never_heard_follows() {
    for reason in [PAUSED, OUT_OF_SCOPE] {
        let fixture = deposited().await;
        fixture.refused(reason, 2, GrantState::Active, "heart-rate").await;
        assert_eq!(fixture.packed().await, ["r0", "r1"], "{reason:?}");
    }
}

#[tokio::test]
async fn what_a_narrower_scope_refused_follows_when_it_is_widened_again() {
    let fixture = deposited().await;
    fixture.refused(OUT_OF_SCOPE, 1, GrantState::Active, "lab-result").await;
    assert_eq!(fixture.packed().await, [""; 0]);
    assert_eq!(fixture.row().await.types, ["lab-result".parse().unwrap()].into());
    let stated = fixture.stated(1, GrantState::Active, "lab-result heart-rate").await;
    fixture
        .hear_reply(NOW.plus(HOUR), |reply| {
            reply.stored_revision += 1;
            (reply.next_sequence, reply.stored) = (1, Some(stated));
        })
        .await;
    assert_eq!(fixture.packed().await, ["r0", "r1"]);
}

#[tokio::test]
async fn what_is_refused_for_itself_is_not_told_again() {
    for (reason, later) in [(OUT_OF_SCOPE, 0), (PAUSED, 0), (RefusalReason::Malformed, 2)] {
        let fixture = deposited().await;
        fixture.refused(reason, later, GrantState::Active, "heart-rate").await;
        assert_eq!(fixture.packed().await, [""; 0], "{reason:?}");
    }
}

#[tokio::test]
async fn what_is_refused_while_the_newest_statement_does_not_stand_waits_for_it() {
    let fixture = deposited().await;
    let refuse = |reply: &mut Reply| {
        reply.refusals.push(Refusal { sequence: 0, reason: PAUSED });
        (reply.next_sequence, reply.stored_revision) = (1, reply.stored_revision + 1);
    };
    fixture.hear_reply(NOW, refuse).await;
    assert_eq!(fixture.packed().await, [""; 0], "it would be refused again");
    fixture.hear_reply(NOW.plus(HOUR), |reply| reply.next_sequence = 1).await;
    assert_eq!(fixture.packed().await, ["r0", "r1"]);
}
