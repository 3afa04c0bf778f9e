//! Grants of which nothing is heard: stale, lapsed, returned, ended; and what the organization's own outage changes.

#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod world;

use sealcare_provider::{GrantStatus, InvitationChannel, ProviderError, Silence, grant_wrapping_key};
use world::{Clinic, DAY, Patient, heart_rate, seal, sharing};

/// Sweeps every day until so many days have gone by since the beginning.
fn days(clinic: &mut Clinic, until: u32) -> Silence {
    let mut found = Silence::default();
    while clinic.now < world::NOW.plus(DAY * until) {
        clinic.now = clinic.now.plus(DAY);
        let today = clinic.org().sweep(clinic.now).unwrap();
        found.stale += today.stale;
        found.lapsed += today.lapsed;
        found.ended += today.ended;
    }
    clinic.org().rotate(clinic.now, &mut rand::rng()).unwrap();
    found
}

fn status(clinic: &Clinic, patient: &Patient) -> GrantStatus {
    clinic.org().grant(patient.grant(), clinic.now).unwrap().status
}

#[test]
fn silence_is_told_once_at_each_step_and_ends_after_90_days() {
    let (mut clinic, patient, _) = sharing();
    assert_eq!(days(&mut clinic, 7), Silence::default());
    assert_eq!(days(&mut clinic, 29), Silence { stale: 1, ..Silence::default() });
    assert_eq!(clinic.told(), ["stale"]);
    assert_eq!(days(&mut clinic, 30).lapsed, 1);
    assert_eq!(clinic.told(), ["lapsed"]);
    assert_eq!(status(&clinic, &patient), GrantStatus::Lapsed);
    clinic.restart();
    // The relay may withhold what was said meanwhile, but not for ever.
    assert_eq!(days(&mut clinic, 179), Silence::default());
    assert_eq!(days(&mut clinic, 180).ended, 1);
    assert_eq!(clinic.told(), ["ended"]);
    assert!(matches!(clinic.org().grant(patient.grant(), clinic.now), Err(ProviderError::UnknownGrant)));
    let wrapping = grant_wrapping_key(patient.grant());
    assert!(!clinic.org().vault().read(|tx| tx.has_wrapping_key(&wrapping)).unwrap());
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    assert_eq!(clinic.refusals("init-revoked"), 1, "for ever");
}

#[test]
fn a_session_after_the_lease_brings_the_grant_back() {
    let (mut clinic, patient, _) = sharing();
    days(&mut clinic, 40);
    assert_eq!(clinic.told(), ["stale", "lapsed"]);
    let mut init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    clinic.receive(patient.grant(), &seal(&mut init.session, vec![heart_rate("a", 1)]));
    assert_eq!(clinic.told(), ["returned", "1 /min"]);
    assert_eq!(status(&clinic, &patient), GrantStatus::Active);
    // The time begins anew.
    assert_eq!(days(&mut clinic, 219).ended, 0);
    assert_eq!(days(&mut clinic, 220).ended, 1);
}

#[test]
fn a_live_app_is_never_told_of() {
    let (mut clinic, patient, _) = sharing();
    for week in 1..20 {
        days(&mut clinic, week * 7);
        clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    }
    assert!(clinic.told().is_empty());
}

#[test]
fn an_outage_of_its_own_lets_the_organization_listen_before_it_ends_anything() {
    let (mut clinic, patient, _) = sharing();
    days(&mut clinic, 1);
    clinic.now = world::NOW.plus(DAY * 200);
    assert_eq!(clinic.org().sweep(clinic.now).unwrap(), Silence { lapsed: 1, ..Silence::default() });
    assert_eq!(days(&mut clinic, 207).ended, 0);
    clinic.receive(patient.grant(), &patient.start(&clinic, 0).envelope);
    let other = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    clinic.receive(other.grant(), &other.start(&clinic, 0).envelope);
    assert_eq!(days(&mut clinic, 220).ended, 0, "it was heard of in time");
}
