//! What a narrowed scope removes is gone: from what waits, from what staff hold, and from old copies of the vault.

#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod world;

use sealcare_protocol::{GrantId, SealedInit, Timestamp};
use sealcare_provider::{
    EventKind, InvitationChannel, ProviderError, Settlement, covers, grant_wrapping_key,
};
use sealcare_vault::{KeyRange, Space};
use world::{Clinic, Patient, heart_rate, immunization, seal};

const COPY: Space = Space::new(301, "copy");
const QUEUE: Space = Space::new(13, "queue");
const HELD: Space = Space::new(14, "held");

/// A clinic and a patient who shares two types.
fn sharing_two(channel: InvitationChannel) -> (Clinic, Patient, SealedInit) {
    let mut clinic = Clinic::new();
    let mut patient = Patient::new(&clinic, &clinic.invite(channel));
    patient.types = vec!["heart-rate", "immunization"];
    let init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    (clinic, patient, init)
}

fn narrow(clinic: &mut Clinic, patient: &mut Patient, base: u64) -> SealedInit {
    patient.types = vec!["heart-rate"];
    patient.revision += 1;
    let init = patient.start(clinic, base);
    clinic.receive(patient.grant(), &init.envelope);
    init
}

/// Whether a row of the space holds these bytes.
fn holds(clinic: &Clinic, space: Space, needle: &str) -> bool {
    let rows = clinic.org().vault().read(|tx| tx.scan(space, &KeyRange::all(), usize::MAX)).unwrap();
    rows.iter().any(|(_, row)| row.windows(needle.len()).any(|bytes| bytes == needle.as_bytes()))
}

/// The names of the files of wrapping keys.
fn key_files(clinic: &Clinic) -> Vec<String> {
    let files = std::fs::read_dir(clinic.vault_dir().join("wrapping")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_waits_of_a_removed_type_is_stripped_and_never_delivered() {
    let (mut clinic, mut patient, mut init) = sharing_two(InvitationChannel::SignIn);
    let both = vec![heart_rate("a", 1), immunization("b", "immunization")];
    clinic.receive(patient.grant(), &seal(&mut init.session, both));
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![immunization("c", "immunization")]));
    assert!(holds(&clinic, QUEUE, "Immunization"));
    narrow(&mut clinic, &mut patient, 2);
    assert!(!holds(&clinic, QUEUE, "Immunization"));
    assert_eq!(clinic.told(), ["1 /min", "removed immunization"]);
}

#[test]
fn what_staff_hold_of_a_removed_type_is_stripped_and_not_released() {
    let (mut clinic, mut patient, mut init) = sharing_two(InvitationChannel::Paper);
    let both = vec![heart_rate("a", 1), immunization("b", "immunization")];
    clinic.receive(patient.grant(), &seal(&mut init.session, both));
    narrow(&mut clinic, &mut patient, 1);
    assert!(holds(&clinic, HELD, "8867-4") && !holds(&clinic, HELD, "Immunization"));
    clinic.admit(patient.grant());
    assert_eq!(clinic.told(), ["held", "removed immunization", "admitted", "1 /min"]);
}

#[test]
fn the_applications_copy_moves_under_a_new_key_once_it_has_wiped() {
    let (mut clinic, mut patient, _) = sharing_two(InvitationChannel::SignIn);
    let wrapping = grant_wrapping_key(patient.grant());
    let put = |key: &[u8]| clinic.org().vault().write(|tx| tx.put_wrapped(&wrapping, COPY, key, b"72"));
    put(b"stays").and(put(b"goes")).unwrap();
    let mut session = narrow(&mut clinic, &mut patient, 0).session;
    let before = key_files(&clinic);
    // The application cannot yet: nothing is destroyed, and it is asked again.
    assert!(clinic.org().process(|_, _| Err(ProviderError::application("full"))).is_err());
    clinic.restart();
    assert_eq!(key_files(&clinic), before);
    let wipe = clinic.org().process(|tx, event| {
        assert!(matches!(event.kind, EventKind::ScopeChanged { .. }));
        Ok(tx.delete(COPY, b"goes").map(drop)?)
    });
    assert_eq!(wipe.unwrap(), 1);
    let after = key_files(&clinic);
    assert!(after.len() == before.len() && after != before, "one key was replaced");
    assert_eq!(clinic.org().vault().read(|tx| tx.get(COPY, b"stays")).unwrap().unwrap().as_slice(), b"72");
    clinic.receive(patient.grant(), &seal(&mut session, vec![heart_rate("a", 1)]));
    assert_eq!(clinic.told(), ["1 /min"], "the session goes on");
}

#[test]
fn a_later_start_removes_what_lies_before_it_and_an_earlier_one_nothing() {
    let (mut clinic, mut patient, mut init) = sharing_two(InvitationChannel::SignIn);
    // Of October and of December.
    let both = vec![immunization("b", "immunization"), heart_rate("a", 1)];
    clinic.receive(patient.grant(), &seal(&mut init.session, both));
    let scopes = |clinic: &Clinic| {
        let mut covered = Vec::new();
        let process = clinic.org().process(|_, event| {
            match &event.kind {
                EventKind::Records(delivery) => covered.push(delivery.changes.len().to_string()),
                EventKind::ScopeChanged { removed, added, scope } => {
                    assert!(removed.is_empty() && added.is_empty());
                    let oct = sealcare_records_of_october();
                    covered.push(format!("covers october: {}", covers(scope, &oct)));
                }
                other => covered.push(other.name().to_owned()),
            }
            Ok(())
        });
        process.unwrap();
        covered
    };
    let before = key_files(&clinic);
    patient.from = Some(Timestamp::from_millis(1_764_547_200_000)); // 2025-12-01
    patient.revision += 1;
    clinic.receive(patient.grant(), &patient.start(&clinic, 1).envelope);
    assert_eq!(scopes(&clinic), ["1", "covers october: false"]);
    assert_ne!(key_files(&clinic), before);
    let before = key_files(&clinic);
    patient.from = None;
    patient.revision += 1;
    clinic.receive(patient.grant(), &patient.start(&clinic, 1).envelope);
    assert_eq!(scopes(&clinic), ["covers october: true"]);
    assert_eq!(key_files(&clinic), before, "nothing was removed");
}

fn sealcare_records_of_october() -> sealcare_records::Record {
    let fhir = match immunization("b", "immunization").state {
        sealcare_protocol::ChangeState::Upsert(fhir) => fhir,
        sealcare_protocol::ChangeState::Tombstone => unreachable!("it is an upsert"),
    };
    let id = sealcare_records::RecordId::new("b".to_owned()).unwrap();
    sealcare_records::Record::from_fhir_json(&fhir, id).unwrap()
}

#[test]
fn a_grant_that_ends_in_the_middle_of_a_wipe_ends() {
    let (mut clinic, mut patient, _) = sharing_two(InvitationChannel::SignIn);
    narrow(&mut clinic, &mut patient, 0);
    let stop = patient.stop(&clinic);
    clinic.receive_items(vec![stop]);
    assert_eq!(clinic.told(), ["revoked"]);
    let has_key = |grant: &GrantId| {
        clinic.org().vault().read(|tx| tx.has_wrapping_key(&grant_wrapping_key(grant))).unwrap()
    };
    assert!(!has_key(patient.grant()));
}

#[test]
fn a_row_that_cannot_be_stripped_stops_neither_reception_nor_other_wipes() {
    let (mut clinic, mut patient, mut init) = sharing_two(InvitationChannel::SignIn);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    let queue = || clinic.org().vault().read(|tx| tx.scan(QUEUE, &KeyRange::all(), usize::MAX)).unwrap();
    let (key, row) = queue().pop().unwrap();
    let damaged = String::from_utf8(row.to_vec()).unwrap().replace("Observation", "Observatory");
    let write = |row: &[u8]| clinic.org().vault().write(|tx| tx.put(QUEUE, &key, row)).unwrap();
    write(damaged.as_bytes());
    let mut session = narrow(&mut clinic, &mut patient, 1).session;
    let data = seal(&mut session, vec![heart_rate("b", 2)]);
    assert_eq!(clinic.receive(patient.grant(), &data), Settlement::Settled);
    let mut other = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    other.types = vec!["heart-rate", "immunization"];
    let mut init = other.start(&clinic, 0);
    clinic.receive(other.grant(), &init.envelope);
    clinic.receive(other.grant(), &seal(&mut init.session, vec![immunization("c", "immunization")]));
    narrow(&mut clinic, &mut other, 1);
    assert!(!holds(&clinic, QUEUE, "Immunization"));
    clinic.org().process(|_, _| Ok(())).unwrap_err();
    clinic.org().vault().write(|tx| tx.put(QUEUE, &key, &row)).unwrap();
    assert_eq!(clinic.told(), ["1 /min", "removed immunization", "2 /min"]);
}
