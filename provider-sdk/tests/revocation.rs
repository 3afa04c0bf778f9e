//! The stop, and the keys' end of life: what is destroyed stays closed, through crashes too.

#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod world;

use sealcare_protocol::{EpochKey, GrantId};
use sealcare_provider::{InvitationChannel, Organization, ProviderError, grant_wrapping_key};
use sealcare_vault::{KeyRange, Space, Vault};
use world::{Clinic, DAY, Patient, envelope_item, heart_rate, seal, sharing};

const COPY: Space = Space::new(301, "copy");

fn has_key(clinic: &Clinic, grant: &GrantId) -> bool {
    clinic.org().vault().read(|tx| tx.has_wrapping_key(&grant_wrapping_key(grant))).unwrap()
}

#[test]
fn a_revocation_in_the_middle_of_a_batch_ends_everything() {
    let (mut clinic, patient, mut init) = sharing();
    let data = [1, 2].map(|n| seal(&mut init.session, vec![heart_rate("a", n)]));
    let wrapping = grant_wrapping_key(patient.grant());
    clinic.org().vault().write(|tx| tx.put_wrapped(&wrapping, COPY, b"x", b"72")).unwrap();
    let [before, after] = data.each_ref().map(|e| envelope_item(patient.grant(), e));
    let stop = patient.stop(&clinic);
    clinic.receive_items(vec![before, stop, after]);
    assert!(!has_key(&clinic, patient.grant()));
    assert_eq!(clinic.org().vault().read(|tx| tx.count(COPY, &KeyRange::all())).unwrap(), 0);
    assert_eq!(clinic.told(), ["revoked"]);
    assert_eq!(clinic.refusals("data-revoked"), 1);
    assert!(clinic.org().grants(None, clinic.now).unwrap().is_empty());
    // Neither a new session nor a restart brings it back.
    clinic.restart();
    let again = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &again.envelope);
    assert!(!has_key(&clinic, patient.grant()));
    assert!(clinic.told().is_empty());
}

#[test]
fn only_the_deposit_keys_own_word_revokes() {
    let (mut clinic, patient, _) = sharing();
    let stranger = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    let mut misnamed = stranger.stop(&clinic);
    misnamed.grant = *patient.grant();
    let other_clinic = Clinic::new();
    let mut elsewhere = patient.stop(&other_clinic);
    elsewhere.grant = *patient.grant();
    clinic.receive_items(vec![misnamed, elsewhere]);
    assert_eq!(clinic.refusals("revocation-binding"), 2);
    assert!(has_key(&clinic, patient.grant()));
}

#[test]
fn a_grant_that_was_never_met_is_revoked_too() {
    let mut clinic = Clinic::new();
    let patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    let stop = patient.stop(&clinic);
    clinic.receive_items(vec![stop]);
    let late = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &late.envelope);
    assert!(clinic.org().grants(None, clinic.now).unwrap().is_empty());
    assert!(clinic.told().is_empty());
}

#[test]
fn epochs_are_made_ahead_and_destroyed_on_time() {
    let mut clinic = Clinic::new();
    let first = clinic.org().bundle();
    assert_eq!(first.epochs().len(), 8);
    let patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    let harvested = patient.start(&clinic, 0).envelope;
    let (rng, key) = (&mut rand::rng(), first.epochs()[0].key.id());
    assert!(!clinic.org().rotate(clinic.now, rng).unwrap(), "nothing is due");
    clinic.now = clinic.now.plus(DAY);
    assert!(clinic.org().rotate(clinic.now, rng).unwrap());
    let second = clinic.org().bundle();
    assert!(second.serial() > first.serial());
    assert!(second.epochs().iter().all(|epoch| epoch.key.id() != key));
    for _ in 0..14 {
        clinic.now = clinic.now.plus(DAY);
        clinic.org().rotate(clinic.now, rng).unwrap();
    }
    clinic.receive(patient.grant(), &harvested);
    assert_eq!(clinic.refusals("init-destroyed-key"), 1);
    let wrapping = [b"epoch ".as_slice(), key.as_bytes()].concat();
    assert!(!clinic.org().vault().read(|tx| tx.has_wrapping_key(&wrapping)).unwrap());
}

#[test]
fn a_vault_is_founded_once_and_a_late_gateway_signs_a_fresh_bundle() {
    let mut clinic = Clinic::new();
    let roots = sealcare_provider::Roots::draw("x.example".parse().unwrap(), &mut rand::rng());
    let relay = clinic.org().relay().clone();
    let vault = std::sync::Arc::clone(clinic.org().vault());
    let again = Organization::found(vault, &roots, &relay, clinic.now, &mut rand::rng());
    assert!(matches!(again, Err(ProviderError::AlreadyFounded)));
    let before = (*clinic.org().id(), clinic.org().bundle().serial());
    clinic.now = clinic.now.plus(DAY * 20);
    clinic.restart();
    assert_eq!(*clinic.org().id(), before.0);
    assert!(clinic.org().bundle().serial() > before.1);
    assert!(clinic.org().bundle().expires() > clinic.now);
}

#[test]
fn a_restored_backup_shows_nothing_and_knows_its_grants() {
    let (mut clinic, mut patient, _) = sharing();
    clinic.organization = None;
    // A backup holds the database and the header, never wrapping keys.
    for entry in std::fs::read_dir(clinic.vault_dir().join("wrapping")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    clinic.restart();
    assert!(!clinic.org().may_show().unwrap());
    assert!(clinic.org().grants(None, clinic.now).unwrap().is_empty());
    assert_eq!(clinic.org().bundle().epochs().len(), 8);
    // A patient's clock that is days ahead locks nobody out.
    patient.revision = clinic.now.plus(DAY * 3).as_millis();
    let init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    assert_eq!(clinic.org().grants(None, clinic.now).unwrap().len(), 1, "no link code is needed again");
}

#[test]
fn what_a_damaged_key_wrapped_is_given_up_and_comes_again() {
    let (mut clinic, patient, _) = sharing();
    clinic.organization = None;
    for entry in std::fs::read_dir(clinic.vault_dir().join("wrapping")).unwrap() {
        std::fs::write(entry.unwrap().path(), b"damaged").unwrap();
    }
    clinic.restart();
    assert!(!clinic.org().may_show().unwrap());
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    assert_eq!(clinic.org().grants(None, clinic.now).unwrap().len(), 1);
}

#[test]
fn whoever_opens_a_vault_with_grants_asks_first_what_was_revoked() {
    let (mut clinic, _, _) = sharing();
    assert!(clinic.org().may_show().unwrap(), "there was nothing to show when it was founded");
    clinic.restart();
    assert!(!clinic.org().may_show().unwrap());
    assert!(!clinic.org().is_restored().unwrap(), "nothing says so");
}

#[test]
fn a_stop_is_heard_after_the_last_delegation_is_over() {
    let (mut clinic, patient, _) = sharing();
    clinic.now = clinic.now.plus(DAY * 4 * 365);
    clinic.restart();
    let bundle = clinic.org().bundle();
    assert!(bundle.expires() < clinic.now, "it cannot be signed anew");
    assert!(!clinic.org().rotate(clinic.now, &mut rand::rng()).unwrap());
    let stop = patient.stop(&clinic);
    clinic.receive_items(vec![stop]);
    assert_eq!(clinic.told(), ["revoked"]);
    assert!(!has_key(&clinic, patient.grant()));
}

#[test]
fn nothing_readable_lies_in_the_vault() {
    let (mut clinic, patient, mut init) = sharing();
    let key = EpochKey::random(&mut rand::rng());
    assert!(!format!("{key:?} {:?}", clinic.org()).contains("clinic.example"));
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("secret-record-id", 72)]));
    clinic.organization = None;
    for file in ["vault.db", "vault.db-wal"] {
        let bytes = std::fs::read(clinic.vault_dir().join(file)).unwrap_or_default();
        for needle in ["Ana Lima", "urn:mrn", "8867-4", "secret-record-id", "clinic.example"] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle.as_bytes()), "{needle}");
        }
    }
    drop(Vault::open(&clinic.vault_dir(), &clinic.unlock()).unwrap());
}
