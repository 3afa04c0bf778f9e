//! A backup, and the organization that is restored from it.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use sealcare_protocol::Person;
use sealcare_provider::{OldKeys, Organization, ProviderError, Settlement};
use sealcare_vault::{KeyRange, ReadTransaction, Space, Unlock, Vault, VaultError};

use world::{Clinic, DAY, NOW, heart_rate, seal, sharing};

/// More than this crate and the gateway use.
const SPACES: std::ops::Range<u16> = 1..400;
/// In every heart rate as it is kept, and nowhere else.
const PULSE_CODE: &[u8] = b"8867-4";

fn holds(tx: &ReadTransaction<'_>, needle: &[u8]) -> bool {
    SPACES.map(|number| Space::new(number, "any")).any(|space| {
        let rows = tx.scan(space, &KeyRange::all(), usize::MAX).unwrap();
        rows.iter().any(|(_, row)| row.windows(needle.len()).any(|part| part == needle))
    })
}

impl Clinic {
    /// Its folder is lost, and comes back from the backup.
    fn come_back(&mut self, backup: &std::path::Path) {
        self.organization = None;
        std::fs::remove_dir_all(self.vault_dir()).unwrap();
        let restored =
            Organization::restore(&self.vault_dir(), backup, &self.unlock(), self.now, &mut rand::rng());
        self.organization = Some(restored.unwrap());
    }
}

#[test]
fn nothing_that_a_patient_shared_opens_from_a_backup_and_the_vaults_key() {
    let (mut clinic, patient, init) = sharing();
    let backup = clinic.vault_dir().with_file_name("backup");
    let mut session = init.session;
    clinic.receive(patient.grant(), &seal(&mut session, vec![heart_rate("r1", 72)]));
    let holds_pulse = |vault: &Vault| vault.read(|tx| Ok::<_, VaultError>(holds(tx, PULSE_CODE))).unwrap();
    assert!(holds_pulse(clinic.org().vault()), "the search finds what is there");
    clinic.org().back_up(&backup).unwrap();
    let copy = clinic.vault_dir().with_file_name("copy");
    let opened = Vault::restore(&copy, &backup, &clinic.unlock(), |_| Ok::<_, VaultError>(())).unwrap();
    assert!(!holds_pulse(&opened));
    let statements = Space::new(6, "statements");
    assert_eq!(opened.read(|tx| tx.count(statements, &KeyRange::all())).unwrap(), 0);
    // What was sealed before and comes again does not open either: its epoch's key is in no backup.
    clinic.come_back(&backup);
    clinic.receive(patient.grant(), &init.envelope);
    assert!(clinic.org().grant(patient.grant(), clinic.now).is_err());
}

#[test]
fn a_restored_organization_hides_every_grant_until_its_next_session_and_asks_for_everything() {
    let (mut clinic, patient, init) = sharing();
    let backup = clinic.vault_dir().with_file_name("backup");
    let before = clinic.org().bundle();
    clinic.org().back_up(&backup).unwrap();
    clinic.now = NOW.plus(DAY);
    clinic.come_back(&backup);
    assert!(clinic.org().is_restored().unwrap() && !clinic.org().may_show().unwrap());
    assert!(matches!(clinic.org().grant(patient.grant(), clinic.now), Err(ProviderError::UnknownGrant)));
    let after = clinic.org().bundle();
    assert_eq!(before.pin().check(&after), Ok(()));
    assert!(after.epochs().iter().all(|new| before.epochs().iter().all(|old| old.key != new.key)));
    let mut session = init.session;
    clinic.receive(patient.grant(), &seal(&mut session, vec![heart_rate("r1", 72)]));
    assert_eq!(clinic.told(), ["data-unknown-session"]);
    // The app goes on at the number that it has not had confirmed, and is told to send everything.
    let next = patient.start(&clinic, 5);
    clinic.receive(patient.grant(), &next.envelope);
    assert_eq!(clinic.told(), ["unknown-sender", "resync"]);
    let grant = clinic.org().grant(patient.grant(), clinic.now).unwrap();
    assert_eq!(grant.person, Person::new("Ana Lima", "1980-02-29").unwrap());
    let body = world::seal(&mut { next.session }, vec![heart_rate("r2", 80)]);
    clinic.receive(patient.grant(), &body);
    assert_eq!(clinic.told().len(), 1);
    clinic.restart();
    assert!(clinic.org().is_restored().unwrap(), "until the relay told what was revoked");
}

#[test]
fn what_waited_for_the_application_is_forgotten_but_for_the_ends() {
    let (mut clinic, patient, init) = sharing();
    clinic.told();
    let other = world::Patient::new(&clinic, &clinic.invite(sealcare_provider::InvitationChannel::Paper));
    let held = other.start(&clinic, 0);
    clinic.receive(other.grant(), &held.envelope);
    clinic.receive(patient.grant(), &seal(&mut { init.session }, vec![heart_rate("r1", 72)]));
    clinic.receive_items(vec![patient.stop(&clinic)]);
    let backup = clinic.vault_dir().with_file_name("backup");
    clinic.org().back_up(&backup).unwrap();
    clinic.come_back(&backup);
    assert_eq!(clinic.told(), ["revoked"]);
    // One that staff had not admitted is held again.
    clinic.receive(other.grant(), &other.start(&clinic, 0).envelope);
    assert_eq!(clinic.told(), ["held"]);
}

#[test]
fn a_backup_of_another_organization_or_without_one_is_refused_by_name() {
    let (clinic, other) = (Clinic::new(), Clinic::new());
    let backup = clinic.vault_dir().with_file_name("backup");
    clinic.org().back_up(&backup).unwrap();
    let restore = |unlock: &Unlock, name: &str| {
        let dir = clinic.vault_dir().with_file_name(name);
        Organization::restore(&dir, &backup, unlock, NOW, &mut rand::rng()).err()
    };
    let foreign = restore(&other.unlock(), "foreign");
    assert!(matches!(foreign, Some(ProviderError::Vault(VaultError::WrongKey))));
    assert!(restore(&clinic.unlock(), "own").is_none());
    assert!(matches!(restore(&clinic.unlock(), "own"), Some(ProviderError::Vault(VaultError::AlreadyThere))));
}

#[test]
fn a_restored_organization_goes_on_above_the_numbers_that_it_forgot() {
    let (mut clinic, roots) = Clinic::with_roots();
    let backup = clinic.vault_dir().with_file_name("backup");
    clinic.org().back_up(&backup).unwrap();
    let renew = |clinic: &Clinic, old: OldKeys| {
        let offer = clinic.org().offer_keys(&mut rand::rng()).unwrap();
        let renewal = roots.delegate(&offer, old, clinic.now).unwrap();
        clinic.org().renew(&renewal, clinic.now).unwrap()
    };
    clinic.now = NOW.plus(DAY);
    // Twice: counting up from what the backup has would not be enough.
    renew(&clinic, OldKeys::Honoured);
    renew(&clinic, OldKeys::Disowned);
    let seen = clinic.org().bundle().pin();
    clinic.now = clinic.now.plus(DAY);
    clinic.come_back(&backup);
    assert!(seen.check(&clinic.org().bundle()).is_err(), "its keys are from before");
    // The backup does not know that keys were disowned since: the root disowns whatever was before.
    assert_eq!(renew(&clinic, OldKeys::Honoured), OldKeys::Disowned);
    assert_eq!(seen.check(&clinic.org().bundle()), Ok(()));
    assert_eq!(renew(&clinic, OldKeys::Honoured), OldKeys::Honoured, "once");
}

#[test]
fn a_recovered_device_at_a_restored_organization_says_nothing_and_then_chooses() {
    let (mut clinic, mut patient, _) = sharing();
    let backup = clinic.vault_dir().with_file_name("backup");
    clinic.org().back_up(&backup).unwrap();
    clinic.come_back(&backup);
    let chosen = patient.revision + 1;
    (patient.revision, patient.sender) = (0, sealcare_protocol::SenderId::random(&mut rand::rng()));
    let mut silent = patient.start(&clinic, 0);
    assert_eq!(clinic.receive(patient.grant(), &silent.envelope), Settlement::Settled);
    assert_eq!(
        (clinic.org().grants(None, clinic.now).unwrap().len(), clinic.org().awaited().unwrap()),
        (0, 1)
    );
    // Whatever it would send already is nobody's choice.
    clinic.receive(patient.grant(), &seal(&mut silent.session, vec![heart_rate("r1", 72)]));
    assert_eq!(clinic.told(), ["data-out-of-scope"]);
    patient.revision = chosen;
    let mut next = patient.start(&clinic, 1);
    clinic.receive(patient.grant(), &next.envelope);
    clinic.receive(patient.grant(), &seal(&mut next.session, vec![heart_rate("r1", 72)]));
    assert_eq!(clinic.told(), ["72 /min"]);
    assert!(clinic.org().grant(patient.grant(), clinic.now).unwrap().status.is_shown());
}

#[test]
fn a_restoration_ends_no_grant_by_what_the_backup_knew_of_its_silence() {
    let (mut clinic, patient, _) = sharing();
    let first = clinic.vault_dir().with_file_name("first");
    clinic.org().back_up(&first).unwrap();
    clinic.come_back(&first);
    // It waits for the grant from here on; the next backup holds that.
    clinic.org().sweep(clinic.now).unwrap();
    let second = clinic.vault_dir().with_file_name("second");
    clinic.org().back_up(&second).unwrap();
    // Meanwhile it is heard, and shares for months.
    clinic.now = NOW.plus(DAY * 181);
    clinic.come_back(&second);
    for day in 181..190 {
        clinic.now = NOW.plus(DAY * day);
        assert_eq!(clinic.org().sweep(clinic.now).unwrap().ended, 0, "day {day}");
    }
    clinic.org().rotate(clinic.now, &mut rand::rng()).unwrap();
    assert_eq!(clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope), Settlement::Settled);
    assert_eq!(clinic.told(), Vec::<String>::new());
}
