//! What an organization does with what a relay delivers, good and bad, without a network.

#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod world;

use sealcare_protocol::{Change, ChangeState, GrantState, SenderId};
use sealcare_provider::{
    EventKind, GrantStatus, HoldReason, InvitationChannel, ProviderError, Settlement, grant_wrapping_key,
};
use sealcare_vault::Space;
use world::{Clinic, DAY, Patient, envelope_item, heart_rate, immunization, seal, sharing};

const SEEN: Space = Space::new(300, "seen");

#[test]
fn records_arrive_once_and_in_order() {
    let (mut clinic, patient, mut init) = sharing();
    let first = seal(&mut init.session, vec![heart_rate("a", 72), heart_rate("b", 73)]);
    let gone = Change { state: ChangeState::Tombstone, ..heart_rate("a", 0) };
    let second = seal(&mut init.session, vec![gone]);
    let items = [&init.envelope, &first, &second, &first].map(|e| envelope_item(patient.grant(), e));
    assert!(clinic.receive_items(items.into()).iter().all(|s| *s == Settlement::Settled));
    assert_eq!(clinic.told(), ["72 /min", "73 /min", "gone a"]);
    assert!(clinic.told().is_empty());
    clinic.receive(patient.grant(), &second);
    assert!(clinic.told().is_empty(), "what is delivered again is a silent duplicate");
}

#[test]
fn what_is_not_acknowledged_comes_again_and_counts_once() {
    let (mut clinic, patient, mut init) = sharing();
    let data = seal(&mut init.session, vec![heart_rate("a", 72)]);
    for _ in 0..3 {
        // Stored, then a crash before the relay heard of it.
        clinic.receive(patient.grant(), &data);
        clinic.restart();
    }
    assert_eq!(clinic.told(), ["72 /min"]);
}

#[test]
fn an_effect_and_its_event_commit_together() {
    let (mut clinic, patient, mut init) = sharing();
    for value in [70, 71, 72] {
        clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", value)]));
    }
    let count =
        |clinic: &Clinic| clinic.org().vault().read(|tx| tx.count(SEEN, &sealcare_vault::KeyRange::all()));
    let mut calls: u64 = 0;
    let failed = clinic.org().process(|tx, event| {
        calls += 1;
        tx.put(SEEN, &calls.to_be_bytes(), b"")?;
        let EventKind::Records(delivery) = &event.kind else { return Ok(()) };
        if delivery.key.sequence == 1 { Err(ProviderError::application("full")) } else { Ok(()) }
    });
    assert!(matches!(failed, Err(ProviderError::Application(_))));
    assert_eq!(count(&clinic).unwrap(), 1, "the failed event's effect is undone, later ones wait");
    clinic.restart();
    assert_eq!(clinic.told(), ["71 /min", "72 /min"]);
}

#[test]
fn a_stuck_grant_does_not_hold_up_others() {
    let (mut clinic, patient, mut init) = sharing();
    let other = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    let mut other_init = other.start(&clinic, 0);
    clinic.receive(other.grant(), &other_init.envelope);
    // More than are taken up at a time.
    for value in 0..50 {
        clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", value)]));
    }
    clinic.receive(other.grant(), &seal(&mut other_init.session, vec![heart_rate("a", 99)]));
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 50)]));
    let mut told = Vec::new();
    let outcome = clinic.org().process(|_, event| {
        if event.grant == *patient.grant() {
            return Err(ProviderError::application("down"));
        }
        told.push(event.kind.name());
        Ok(())
    });
    assert!(outcome.is_err());
    assert_eq!(told, ["records"]);
    let expected: Vec<_> = (0..=50).map(|value| format!("{value} /min")).collect();
    assert_eq!(clinic.told(), expected);
}

#[test]
fn forged_misrouted_and_damaged_envelopes_change_nothing() {
    let (mut clinic, patient, mut init) = sharing();
    let data = seal(&mut init.session, vec![heart_rate("a", 72)]);
    let mut flipped = data.clone();
    flipped[100] ^= 1;
    clinic.receive(patient.grant(), &flipped);
    clinic.receive(patient.grant(), &data[..data.len() - 1]);
    clinic.receive(patient.grant(), b"");
    let stranger = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    clinic.receive(stranger.grant(), &data);
    clinic.receive(stranger.grant(), &init.envelope);
    let mut forged = stranger.start(&clinic, 0).envelope;
    forged[40] ^= 1;
    clinic.receive(stranger.grant(), &forged);
    for name in ["data-open", "data-unknown-session", "init-open"] {
        assert_eq!(clinic.refusals(name), 1, "{name}");
    }
    assert!(
        !clinic.org().vault().read(|tx| tx.has_wrapping_key(&grant_wrapping_key(stranger.grant()))).unwrap()
    );
    clinic.receive(patient.grant(), &data);
    assert_eq!(clinic.told().last().map(String::as_str), Some("72 /min"));
}

#[test]
fn a_link_code_counts_once_and_for_its_bearer_only() {
    let mut clinic = Clinic::new();
    let invitation = clinic.invite(InvitationChannel::SignIn);
    let (first, second) = (Patient::new(&clinic, &invitation), Patient::new(&clinic, &invitation));
    let inits = [&first, &second].map(|p| envelope_item(p.grant(), &p.start(&clinic, 0).envelope));
    clinic.receive_items(inits.into());
    assert_eq!(clinic.refusals("init-link-code"), 1);
    assert_eq!(clinic.org().grants(None, clinic.now).unwrap().len(), 1);
    clinic.now = clinic.now.plus(DAY * 28);
    let late = Patient::new(&clinic, &invitation);
    clinic.org().rotate(clinic.now, &mut rand::rng()).unwrap();
    clinic.receive(late.grant(), &late.start(&clinic, 0).envelope);
    assert_eq!(clinic.refusals("init-link-code"), 2);
}

#[test]
fn a_missing_envelope_is_a_gap_and_the_next_session_mends_it() {
    let (mut clinic, patient, mut init) = sharing();
    let lost = seal(&mut init.session, vec![heart_rate("a", 1)]);
    let next = seal(&mut init.session, vec![heart_rate("b", 2)]);
    clinic.receive(patient.grant(), &next);
    clinic.receive(patient.grant(), &lost);
    assert_eq!(clinic.told(), ["gap", "data-gap", "resync", "data-unknown-session"]);
    let mut again = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &again.envelope);
    for change in [heart_rate("a", 1), heart_rate("b", 2)] {
        clinic.receive(patient.grant(), &seal(&mut again.session, vec![change]));
    }
    assert_eq!(clinic.told(), ["1 /min", "2 /min"]);
}

#[test]
fn numbers_that_come_again_in_a_new_session_are_not_delivered_again() {
    let (mut clinic, patient, mut init) = sharing();
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    let mut again = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &again.envelope);
    for change in [heart_rate("a", 1), heart_rate("b", 2)] {
        clinic.receive(patient.grant(), &seal(&mut again.session, vec![change]));
    }
    assert_eq!(clinic.told(), ["1 /min", "2 /min"]);
    let mut unknown = patient;
    unknown.sender = SenderId::from_bytes([9; 16]);
    clinic.receive(unknown.grant(), &unknown.start(&clinic, 7).envelope);
    assert_eq!(clinic.told(), ["unknown-sender", "resync"]);
}

#[test]
fn one_record_out_of_scope_refuses_its_whole_body_by_what_it_is() {
    let (mut clinic, patient, mut init) = sharing();
    let lie = immunization("b", "heart-rate");
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1), lie]));
    let broken = world::upsert("c", "heart-rate", "{".to_owned());
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![broken]));
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("d", 4)]));
    assert_eq!(clinic.told(), ["data-out-of-scope", "data-malformed", "4 /min"]);
}

#[test]
fn a_narrowed_scope_and_a_pause_are_told_and_kept_to() {
    let mut clinic = Clinic::new();
    let mut patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    patient.types = vec!["heart-rate", "immunization"];
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    patient.types = vec!["heart-rate"];
    patient.state = GrantState::Paused;
    patient.revision += 1;
    let mut init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    assert_eq!(clinic.told(), ["paused", "removed immunization", "data-paused"]);
    assert_eq!(clinic.org().grant(patient.grant(), clinic.now).unwrap().status, GrantStatus::Paused);
    patient.state = GrantState::Active;
    patient.revision += 1;
    clinic.receive(patient.grant(), &patient.start(&clinic, 1).envelope);
    assert_eq!(clinic.told(), ["resumed"]);
}

#[test]
fn a_grant_from_paper_is_kept_back_until_admitted() {
    let mut clinic = Clinic::new();
    let patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::Paper));
    let mut init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    assert_eq!(clinic.told(), ["held"]);
    clinic.restart();
    let held = clinic.org().grant(patient.grant(), clinic.now).unwrap();
    assert_eq!(held.status, GrantStatus::Held);
    assert_eq!(held.patient.to_string(), "urn:mrn|17");
    assert!(clinic.org().admit(&held, clinic.now).unwrap().is_empty());
    assert!(matches!(clinic.org().admit(&held, clinic.now), Err(ProviderError::NotHeld)));
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("b", 2)]));
    assert_eq!(clinic.told(), ["admitted", "1 /min", "2 /min"]);
}

#[test]
fn only_the_reasons_that_staff_saw_are_cleared() {
    let mut clinic = Clinic::new();
    let mut patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::Paper));
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    let seen = clinic.org().grant(patient.grant(), clinic.now).unwrap();
    patient.name = "Eva Lima";
    patient.revision += 1;
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    let left = clinic.org().admit(&seen, clinic.now).unwrap();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [HoldReason::PersonMismatch]);
    let seen = clinic.org().grant(patient.grant(), clinic.now).unwrap();
    // Another person again, while staff look.
    patient.name = "Ada Lima";
    patient.revision += 1;
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    assert_eq!(clinic.org().admit(&seen, clinic.now).unwrap().len(), 1);
    assert_eq!(clinic.told(), ["held", "held"]);
    clinic.admit(patient.grant());
    assert_eq!(clinic.told(), ["admitted"]);
}

#[test]
fn what_is_lost_is_asked_for_at_once_but_not_more_than_once_a_day() {
    let (mut clinic, mut patient, init) = sharing();
    let mut session = init.session;
    for (hours, told) in
        [(0, &["data-open", "resync"][..]), (23, &["data-open"]), (1, &["data-open", "resync"])]
    {
        clinic.now = clinic.now.plus(std::time::Duration::from_hours(hours));
        let mut flipped = seal(&mut session, vec![heart_rate("a", 72)]);
        *flipped.last_mut().unwrap() ^= 1;
        clinic.receive(patient.grant(), &flipped);
        assert_eq!(clinic.told(), told);
        // The app draws another sender, as it was asked to.
        patient.sender = SenderId::random(&mut rand::rng());
        let init = patient.start(&clinic, 0);
        clinic.receive(patient.grant(), &init.envelope);
        session = init.session;
    }
}

#[test]
fn a_type_removed_while_held_does_not_come_back_when_admitted() {
    let mut clinic = Clinic::new();
    let mut patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::Paper));
    patient.types = vec!["heart-rate", "immunization"];
    let mut init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![immunization("b", "immunization")]));
    patient.types = vec!["heart-rate"];
    patient.revision += 1;
    clinic.receive(patient.grant(), &patient.start(&clinic, 2).envelope);
    assert_eq!(clinic.told(), ["held", "removed immunization"]);
    clinic.admit(patient.grant());
    assert_eq!(clinic.told(), ["admitted", "1 /min"]);
}

#[test]
fn more_than_may_be_kept_back_is_asked_for_again_when_admitted() {
    let mut clinic = Clinic::new();
    let patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::Paper));
    let mut init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    let mut large = heart_rate("a", 1);
    if let sealcare_protocol::ChangeState::Upsert(fhir) = &mut large.state {
        let text = String::from_utf8(fhir.to_vec()).unwrap();
        let note = format!(r#""note":[{{"text":"{}"}}],"status""#, " ".repeat(1_000_000));
        *fhir = text.replacen(r#""status""#, &note, 1).into_bytes().into();
    }
    let held = Space::new(14, "held");
    let rows = |clinic: &Clinic| {
        clinic.org().vault().read(|tx| tx.count(held, &sealcare_vault::KeyRange::all())).unwrap()
    };
    for _ in 0..67 {
        clinic.receive(patient.grant(), &seal(&mut init.session, vec![large.clone()]));
    }
    assert_eq!(rows(&clinic), 67);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![large.clone()]));
    assert_eq!(rows(&clinic), 0);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("b", 2)]));
    clinic.admit(patient.grant());
    assert_eq!(clinic.told(), ["held", "resync", "admitted"]);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("c", 3)]));
    assert_eq!(clinic.told(), ["3 /min"]);
}

#[test]
fn the_senders_beyond_the_most_are_forgotten_with_their_sessions() {
    let (mut clinic, mut patient, mut first) = sharing();
    clinic.now = clinic.now.plus(std::time::Duration::from_secs(1));
    for other in 0..64 {
        patient.sender = SenderId::from_bytes([other; 16]);
        clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    }
    let late = seal(&mut first.session, vec![heart_rate("a", 1)]);
    assert_eq!(clinic.receive(patient.grant(), &late), Settlement::Settled);
    assert_eq!(clinic.told(), ["data-unknown-session"]);
}

#[test]
fn another_persons_name_holds_and_rejection_destroys() {
    let mut clinic = Clinic::new();
    let mut patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    patient.name = "Eva Lima";
    let mut init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    clinic.org().reject(patient.grant(), clinic.now).unwrap();
    assert_eq!(clinic.told(), ["rejected"], "what was overtaken is not told any more");
    assert!(matches!(clinic.org().grant(patient.grant(), clinic.now), Err(ProviderError::UnknownGrant)));
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("b", 2)]));
    assert_eq!(clinic.refusals("data-revoked"), 1);
}

#[test]
fn a_lapsed_grant_is_hidden_until_it_is_heard_again() {
    let (mut clinic, patient, mut init) = sharing();
    clinic.now = clinic.now.plus(DAY * 30);
    clinic.org().rotate(clinic.now, &mut rand::rng()).unwrap();
    let status = |clinic: &Clinic| clinic.org().grant(patient.grant(), clinic.now).unwrap().status;
    assert_eq!(status(&clinic), GrantStatus::Lapsed);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    assert_eq!(clinic.told(), ["data-lease"]);
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    assert_eq!(status(&clinic), GrantStatus::Active);
}

#[test]
fn what_cannot_be_stored_halts_its_grant_and_no_other() {
    let (mut clinic, patient, mut init) = sharing();
    let other = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    let mut other_init = other.start(&clinic, 0);
    clinic.receive(other.grant(), &other_init.envelope);
    let sessions = Space::new(7, "sessions");
    let row = [&patient.grant().as_bytes()[..], init.session.id().as_bytes()].concat();
    let swap = |clinic: &Clinic, bytes: &[u8]| {
        let wrapping = grant_wrapping_key(patient.grant());
        let vault = clinic.org().vault();
        let kept = vault.read(|tx| tx.get(sessions, &row)).unwrap().unwrap();
        vault.write(|tx| tx.put_wrapped(&wrapping, sessions, &row, bytes)).unwrap();
        kept
    };
    let kept = swap(&clinic, b"damaged");
    let [first, second] = [1, 2].map(|n| seal(&mut init.session, vec![heart_rate("a", n)]));
    let third = seal(&mut other_init.session, vec![heart_rate("a", 3)]);
    let batch = || {
        let mine = [&first, &second].map(|e| envelope_item(patient.grant(), e));
        mine.into_iter().chain([envelope_item(other.grant(), &third)]).collect()
    };
    let (no, yes) = (Settlement::Unsettled, Settlement::Settled);
    assert_eq!(clinic.receive_items(batch()), [no, no, yes]);
    swap(&clinic, &kept);
    assert_eq!(clinic.receive_items(batch()), [no, no, yes], "its order holds until a new start");
    clinic.restart();
    assert_eq!(clinic.receive_items(batch()), [yes, yes, yes]);
    assert_eq!(clinic.told(), ["3 /min", "1 /min", "2 /min"]);
}
