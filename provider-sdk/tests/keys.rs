//! An organization's keys through the years: gateway keys that follow each other unattended, keys that are replaced
//! by hand, and roots that are succeeded.
#![allow(clippy::unwrap_used, reason = "a test")]

mod world;

use std::sync::Arc;

use sealcare_protocol::{BundlePin, Error, KeyBundle, Timestamp, UnverifiedKeyBundle, UnverifiedTicket};
use sealcare_provider::{InvitationChannel, OldKeys, Organization, ProviderError, Roots};
use sealcare_vault::Vault;

use world::{Clinic, DAY, NOW, Patient};

/// What a client that has seen bundles for a while knows.
struct Client {
    pin: BundlePin,
    newest: KeyBundle,
}

impl Client {
    fn new(clinic: &Clinic) -> Self {
        let newest = KeyBundle::clone(&clinic.org().bundle());
        Self { pin: newest.pin(), newest }
    }

    /// Takes the bundle that is served today.
    fn fetch(&mut self, clinic: &Clinic) -> Result<(), Error> {
        let bundle = UnverifiedKeyBundle::decode(&clinic.org().bundle_bytes()).unwrap();
        let bundle = bundle.verify(clinic.org().id(), clinic.now)?;
        self.pin.check(&bundle)?;
        self.pin = bundle.pin();
        self.newest = bundle;
        Ok(())
    }

    fn takes_ticket(&self, clinic: &Clinic, ticket: &UnverifiedTicket, at: Timestamp) -> Result<(), Error> {
        ticket.clone().verify(self.newest.authority(), clinic.org().relay(), at).map(drop)
    }
}

fn ticket(clinic: &Clinic) -> UnverifiedTicket {
    UnverifiedTicket::new(clinic.invite(InvitationChannel::Paper).ticket).unwrap()
}

fn rotate(clinic: &Clinic) -> Result<bool, ProviderError> {
    clinic.org().rotate(clinic.now, &mut rand::rng())
}

/// What the command does with the root file.
fn renew(clinic: &Clinic, roots: &Roots, old: OldKeys) -> Result<OldKeys, ProviderError> {
    let offer = clinic.org().offer_keys(&mut rand::rng())?;
    clinic.org().renew(&roots.delegate(&offer, old, clinic.now)?, clinic.now)
}

/// The days around each change and around the end of the delegation before, and each fourth week's first: on the
/// others nothing differs.
fn is_told_apart(day: u32) -> bool {
    day.is_multiple_of(28) || matches!(day % 365, 0..=2 | 32..=36 | 362..)
}

#[test]
fn three_years_pass_without_anybody_at_the_keys() {
    let mut clinic = Clinic::new();
    let mut client = Client::new(&clinic);
    let (mut keys, mut tickets) = (vec![client.pin.delegation], vec![(NOW, ticket(&clinic))]);
    for day in (1..3 * 365).filter(|day| is_told_apart(*day)) {
        clinic.now = NOW.plus(DAY * day);
        rotate(&clinic).unwrap();
        client.fetch(&clinic).unwrap_or_else(|error| panic!("day {day}: {error}"));
        if day % 100 == 0 {
            clinic.restart();
            client.fetch(&clinic).unwrap();
        }
        if keys.last() != Some(&client.pin.delegation) {
            keys.push(client.pin.delegation);
            tickets.push((clinic.now, ticket(&clinic)));
        }
    }
    assert_eq!(keys.len(), 3, "a key a year");
    for (at, ticket) in &tickets {
        assert_eq!(client.takes_ticket(&clinic, ticket, *at), Ok(()));
    }
    let last_end = client.newest.delegation().expires();
    clinic.now = last_end;
    rotate(&clinic).unwrap();
    assert_eq!(client.fetch(&clinic), Err(Error::Delegation));
}

#[test]
fn a_ticket_of_the_key_before_is_taken_after_the_change() {
    let mut clinic = Clinic::new();
    let mut client = Client::new(&clinic);
    let first = client.pin.delegation;
    clinic.now = NOW.plus(DAY * 364);
    rotate(&clinic).unwrap();
    let before = ticket(&clinic);
    clinic.now = NOW.plus(DAY * 366);
    rotate(&clinic).unwrap();
    client.fetch(&clinic).unwrap();
    assert_ne!(client.pin.delegation, first);
    assert_eq!(client.takes_ticket(&clinic, &before, clinic.now), Ok(()));
    assert_eq!(client.takes_ticket(&clinic, &ticket(&clinic), clinic.now), Ok(()));
}

#[test]
fn a_clock_that_jumps_ahead_and_back_costs_nothing() {
    let mut clinic = Clinic::new();
    let mut client = Client::new(&clinic);
    for ahead in [DAY * 366, DAY * 5 * 365] {
        clinic.now = NOW.plus(ahead);
        let _ = rotate(&clinic);
        clinic.restart();
    }
    clinic.now = NOW.plus(DAY);
    clinic.restart();
    rotate(&clinic).unwrap();
    client.fetch(&clinic).unwrap();
}

#[test]
fn a_clock_behind_the_change_by_an_hour_keeps_the_new_key() {
    let mut clinic = Clinic::new();
    let mut client = Client::new(&clinic);
    clinic.now = NOW.plus(DAY * 365);
    rotate(&clinic).unwrap();
    client.fetch(&clinic).unwrap();
    let newest = client.pin.delegation;
    clinic.now = NOW.plus(DAY * 365).minus(DAY / 24);
    clinic.restart();
    client.fetch(&clinic).unwrap();
    assert_eq!(client.pin.delegation, newest);
}

#[test]
fn a_root_at_hand_renews_the_keys_and_what_they_signed_holds_on() {
    let (mut clinic, roots) = Clinic::with_roots();
    let (mut client, old) = (Client::new(&clinic), ticket(&clinic));
    clinic.now = NOW.plus(DAY * 2);
    renew(&clinic, &roots, OldKeys::Honoured).unwrap();
    client.fetch(&clinic).unwrap();
    assert!(client.newest.delegation().expires() > NOW.plus(DAY * 400));
    assert_eq!(client.takes_ticket(&clinic, &old, clinic.now), Ok(()));
    clinic.restart();
    client.fetch(&clinic).unwrap();
}

#[test]
fn a_disowned_key_signs_nothing_more_for_who_saw_the_new_bundle() {
    let (mut clinic, roots) = Clinic::with_roots();
    let (mut client, old) = (Client::new(&clinic), ticket(&clinic));
    let stolen = KeyBundle::clone(&clinic.org().bundle());
    clinic.now = NOW.plus(DAY / 24);
    renew(&clinic, &roots, OldKeys::Disowned).unwrap();
    client.fetch(&clinic).unwrap();
    assert_eq!(client.takes_ticket(&clinic, &old, clinic.now), Err(Error::Delegation));
    assert_eq!(client.pin.check(&stolen), Err(Error::Stale));
    assert_eq!(client.takes_ticket(&clinic, &ticket(&clinic), clinic.now), Ok(()));
    // A later renewal does not honour it again.
    clinic.now = NOW.plus(DAY);
    renew(&clinic, &roots, OldKeys::Honoured).unwrap();
    client.fetch(&clinic).unwrap();
    assert_eq!(client.takes_ticket(&clinic, &old, clinic.now), Err(Error::Delegation));
}

#[test]
fn a_succeeded_root_signs_nothing_more_and_patients_go_on() {
    let (mut clinic, roots) = Clinic::with_roots();
    let (mut client, invited) = (Client::new(&clinic), ticket(&clinic));
    let id = *clinic.org().id();
    clinic.now = NOW.plus(DAY);
    let succeeded = roots.succeed(&mut rand::rng()).unwrap();
    assert_eq!(renew(&clinic, &succeeded, OldKeys::Honoured).unwrap(), OldKeys::Disowned);
    client.fetch(&clinic).unwrap();
    assert_eq!((client.pin.root, *clinic.org().id()), (1, id));
    assert_eq!(
        client.newest.delegation().lowest_honoured(),
        client.pin.delegation,
        "the keys before are not"
    );
    assert_eq!(client.takes_ticket(&clinic, &invited, clinic.now), Err(Error::Delegation));
    assert_eq!(client.takes_ticket(&clinic, &ticket(&clinic), clinic.now), Ok(()));
    assert!(matches!(renew(&clinic, &roots, OldKeys::Honoured), Err(ProviderError::RootSucceeded)));
    clinic.restart();
    clinic.now = NOW.plus(DAY * 2);
    rotate(&clinic).unwrap();
    client.fetch(&clinic).unwrap();
    renew(&clinic, &succeeded.succeed(&mut rand::rng()).unwrap(), OldKeys::Honoured).unwrap();
    client.fetch(&clinic).unwrap();
    assert_eq!(client.pin.root, 2);
}

#[test]
fn after_two_successions_a_stolen_root_file_makes_nothing_that_is_taken() {
    let (mut clinic, stolen) = Clinic::with_roots();
    let mut client = Client::new(&clinic);
    let later = NOW.plus(DAY);
    let rng = &mut rand::rng();
    let once = stolen.succeed(rng).unwrap();
    let thieves =
        [stolen.disown(rng).unwrap().succeed(rng).unwrap(), stolen.disown(rng).unwrap(), once, stolen];
    clinic.now = later;
    renew(&clinic, &thieves[3].disown(rng).unwrap(), OldKeys::Honoured).unwrap();
    client.fetch(&clinic).unwrap();
    assert_eq!(client.pin.root, 2);
    for (at, roots) in thieves.iter().enumerate() {
        let name = format!("thief{at}");
        let unlock =
            sealcare_vault::Unlock::SecretFile(clinic.vault_dir().with_file_name(name.clone() + ".key"));
        let vault = Vault::create(&clinic.vault_dir().with_file_name(name), &unlock, rng).unwrap();
        let founded = Organization::found(Arc::new(vault), roots, clinic.org().relay(), later.plus(DAY), rng);
        let founded = founded.unwrap();
        assert_eq!(founded.id(), clinic.org().id());
        assert!(client.pin.check(&founded.bundle()).is_err(), "{at}");
    }
}

#[test]
fn only_what_was_offered_last_and_signed_by_the_own_root_is_taken() {
    let (clinic, roots) = Clinic::with_roots();
    let before = clinic.org().bundle().hash();
    let stranger = Roots::draw("clinic.example".parse().unwrap(), &mut rand::rng());
    assert!(matches!(renew(&clinic, &stranger, OldKeys::Honoured), Err(ProviderError::OtherRoot)));
    let offer = clinic.org().offer_keys(&mut rand::rng()).unwrap();
    let renewal = roots.delegate(&offer, OldKeys::Honoured, clinic.now).unwrap();
    clinic.org().offer_keys(&mut rand::rng()).unwrap();
    assert!(matches!(clinic.org().renew(&renewal, clinic.now), Err(ProviderError::NotOffered)));
    assert_eq!(clinic.org().bundle().hash(), before, "nothing has changed");
    let ahead = roots.delegate(
        &clinic.org().offer_keys(&mut rand::rng()).unwrap(),
        OldKeys::Honoured,
        NOW.plus(DAY * 2),
    );
    assert!(matches!(clinic.org().renew(&ahead.unwrap(), NOW), Err(ProviderError::NotOffered)));
    renew(&clinic, &roots, OldKeys::Honoured).unwrap();
    assert_ne!(clinic.org().bundle().hash(), before);
}

#[test]
fn replaced_epochs_are_sealed_to_no_more_and_still_opened() {
    let mut clinic = Clinic::new();
    let patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    let before = clinic.org().bundle();
    let under_way = patient.start(&clinic, 0);
    clinic.now = NOW.plus(DAY / 2);
    clinic.org().replace_epochs(clinic.now, &mut rand::rng()).unwrap();
    let after = clinic.org().bundle();
    assert_eq!(after.epochs().len(), before.epochs().len());
    let is_new =
        |epoch: &sealcare_protocol::EpochEntry| before.epochs().iter().all(|old| old.key != epoch.key);
    assert!(after.epochs().iter().all(is_new));
    assert!(after.serial() > before.serial());
    clinic.receive(patient.grant(), &under_way.envelope);
    clinic.restart();
    assert_eq!(clinic.org().bundle().hash(), after.hash());
    assert!(clinic.org().grant(patient.grant(), clinic.now).is_ok());
}

#[test]
fn an_organization_that_was_not_founded_has_no_keys_to_renew() {
    let dir = tempfile::tempdir().unwrap();
    let unlock = sealcare_vault::Unlock::SecretFile(dir.path().join("key"));
    let vault = Vault::create(&dir.path().join("vault"), &unlock, &mut rand::rng()).unwrap();
    let opened = Organization::open(Arc::new(vault), NOW, &mut rand::rng());
    assert!(matches!(opened, Err(ProviderError::NotFounded)));
}
