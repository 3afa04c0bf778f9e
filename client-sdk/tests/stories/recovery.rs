//! Lost, second and stolen devices: from the recovery sheet back to every grant, or to its end.

use std::time::Duration;

use sealcare_client::{
    ClientError, GrantState, GrantStatus, Invitation, Patient, Person, RecordType, Recovery, RecoverySheet,
    RecoveryState, SharedScope, SheetState, TransportError,
};
use sealcare_protocol::{GrantState as Flow, Scope, UnverifiedTerms};

use crate::{
    crash::Crash,
    world::{
        World, accept, import,
        organization::{Answer, TestOrganization},
        share,
    },
};

const HEART: &[RecordType] = &[RecordType::HeartRate];

/// The sheet, as somebody types it from paper.
async fn sheet_of(patient: &Patient) -> RecoverySheet {
    let sheet = patient.recovery_sheet().await.unwrap();
    RecoverySheet::from_text(&sheet.to_text().to_lowercase()).unwrap()
}

async fn recover(world: &World, name: &str, sheet: &RecoverySheet, how: Recovery) -> Patient {
    let builder = Patient::builder(world.vault(name)).trust(world.trust.clone()).clock(world.clock.clone());
    let person = Person::new("Ana Lima", "1980-02-29").unwrap();
    builder.deadline(Duration::from_secs(5)).recover(person, sheet, how).await.unwrap()
}

/// A phone that shares one heart rate with a clinic, which has confirmed it.
async fn sharing_phone(world: &World) -> (TestOrganization, Patient) {
    let mut clinic = world.organization().await;
    let phone = world.patient("phone").await;
    import(&phone, [(1, 61)]).await;
    accept(&phone, &clinic.invite(world), HEART).await;
    exchange(world, &mut clinic, &phone).await;
    world.clock.advance(Duration::from_secs(1));
    (clinic, phone)
}

async fn exchange(world: &World, clinic: &mut TestOrganization, patient: &Patient) {
    share(patient).await;
    clinic.receive(world, Answer::Sealed).await;
    share(patient).await;
}

async fn only_grant(patient: &Patient) -> GrantStatus {
    let mut grants = patient.status().await.unwrap();
    assert_eq!(grants.len(), 1);
    grants.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_device_goes_on_as_the_patient_chose() {
    let world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let (sheet, before) = (sheet_of(&phone).await, only_grant(&phone).await);
    drop(phone);
    let ana = recover(&world, "new", &sheet, Recovery::Keep).await;
    let asked = std::sync::atomic::AtomicU32::new(0);
    let report = ana.search(&|p| asked.store(p.asked, std::sync::atomic::Ordering::Relaxed)).await.unwrap();
    assert_eq!((report.found, report.failures.len()), (vec![before.grant], 0));
    assert_eq!(asked.into_inner(), 20, "the grant's own key, and twenty unknown ones");
    let found = only_grant(&ana).await;
    assert_eq!((found.recovery, found.state), (Some(RecoveryState::Unanswered), GrantState::Paused));
    assert_eq!((found.domain, found.short_code), (before.domain, before.short_code));
    import(&ana, [(1, 61), (2, 62)]).await;
    exchange(&world, &mut clinic, &ana).await;
    let after = only_grant(&ana).await;
    assert_eq!((after.recovery, after.state, after.types), (None, GrantState::Active, before.types));
    exchange(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.beats(), clinic.trespasses), (vec!["61".to_owned(), "62".to_owned()], 0));
    assert_eq!(clinic.stored(&before.grant), (false, vec!["heart-rate"]));
    assert_eq!(ana.sheet_state().await.unwrap(), SheetState::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shared_before_the_patient_has_decided() {
    let world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let sheet = sheet_of(&phone).await;
    let ana = recover(&world, "new", &sheet, Recovery::Ask).await;
    import(&ana, [(1, 61), (2, 62)]).await;
    for _ in 0..2 {
        exchange(&world, &mut clinic, &ana).await;
    }
    let grant = only_grant(&ana).await;
    let Some(RecoveryState::Offered(offered)) = &grant.recovery else { panic!("{:?}", grant.recovery) };
    assert_eq!((offered.types.len(), offered.is_paused, clinic.deliveries), (1, false, 1));
    ana.keep_offered(grant.grant).await.unwrap();
    assert!(matches!(ana.keep_offered(grant.grant).await, Err(ClientError::NothingOffered)));
    exchange(&world, &mut clinic, &ana).await;
    assert_eq!(clinic.beats(), ["61", "62"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_an_offered_grant_leaves_what_was_chosen() {
    let world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let ana = recover(&world, "new", &sheet_of(&phone).await, Recovery::Ask).await;
    for _ in 0..2 {
        exchange(&world, &mut clinic, &ana).await;
    }
    let grant = only_grant(&ana).await;
    assert_eq!(grant.types, ["heart-rate".to_owned()].into());
    ana.pause(grant.grant).await.unwrap();
    exchange(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.stored(&grant.grant), clinic.beats().len()), ((true, vec!["heart-rate"]), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_organization_claims_without_the_mark_is_not_taken() {
    let world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let sheet = sheet_of(&phone).await;
    let ana = recover(&world, "new", &sheet, Recovery::Keep).await;
    import(&ana, [(1, 61), (2, 62)]).await;
    let everything = Scope { types: ["heart-rate".parse().unwrap()].into(), from: None };
    let claim = UnverifiedTerms { state: Flow::Active, scope: everything, mark: None };
    clinic.claims = Some((world.now().as_millis(), claim));
    exchange(&world, &mut clinic, &ana).await;
    exchange(&world, &mut clinic, &ana).await;
    let grant = only_grant(&ana).await;
    assert_eq!((grant.recovery, grant.types.len()), (Some(RecoveryState::Unproven), 0));
    assert_eq!(clinic.deliveries, 1);
    clinic.claims = None;
    ana.change_scope(grant.grant, &SharedScope::of(HEART.iter().copied())).await.unwrap();
    ana.resume(grant.grant).await.unwrap();
    exchange(&world, &mut clinic, &ana).await;
    exchange(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.beats().len(), clinic.trespasses), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_was_cut_off_is_gone_on_with() {
    let mut world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let sheet = sheet_of(&phone).await;
    world.stop_relay().await;
    let ana = recover(&world, "new", &sheet, Recovery::Keep).await;
    assert_eq!(ana.search(&|_| ()).await.unwrap().failures.len(), 1);
    drop(ana);
    world.start_relay().await;
    let ana = world.reopen("new").await;
    exchange(&world, &mut clinic, &ana).await;
    assert_eq!(only_grant(&ana).await.state, GrantState::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_grants_are_found_as_such() {
    let world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let sheet = sheet_of(&phone).await;
    phone.revoke(only_grant(&phone).await.grant).await.unwrap();
    clinic.receive(&world, Answer::Sealed).await;
    let ana = recover(&world, "new", &sheet, Recovery::Keep).await;
    share(&ana).await;
    assert!(matches!(only_grant(&ana).await.state, GrantState::Revoked { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_share_and_find_what_the_other_has_accepted() {
    let world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let sheet = sheet_of(&phone).await;
    let tablet = recover(&world, "tablet", &sheet, Recovery::Keep).await;
    exchange(&world, &mut clinic, &tablet).await;
    let mut second = world.organization().await;
    accept(&tablet, &second.invite(&world), HEART).await;
    exchange(&world, &mut second, &tablet).await;
    assert_eq!(phone.status().await.unwrap().len(), 1);
    world.clock.advance(Duration::from_hours(25));
    exchange(&world, &mut second, &phone).await;
    exchange(&world, &mut second, &phone).await;
    assert_eq!(phone.status().await.unwrap().len(), 2);
    assert_eq!(second.beats(), ["61"], "the phone's record, by what was chosen on the tablet");
    let mut third = world.organization().await;
    accept(&phone, &third.invite(&world), HEART).await;
    exchange(&world, &mut third, &phone).await;
    assert_eq!(third.beats(), ["61"], "under a key of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_other_device_took_meanwhile_is_passed_over() {
    let world = World::new().await;
    let (_clinic, phone) = sharing_phone(&world).await;
    let sheet = sheet_of(&phone).await;
    let tablet = recover(&world, "tablet", &sheet, Recovery::Keep).await;
    share(&tablet).await;
    let (mut second, mut third) = (world.organization().await, world.organization().await);
    let invitations =
        [second.invite(&world), third.invite(&world)].map(|i| Invitation::from_text(&i).unwrap());
    let [first, last] = invitations;
    let (one, other) = (phone.consider(first).await.unwrap(), tablet.consider(last).await.unwrap());
    let scope = scope();
    let (one, other) = tokio::join!(one.accept(&scope), other.accept(&scope));
    assert_ne!(one.unwrap().id, other.unwrap().id);
}

fn scope() -> SharedScope {
    SharedScope::of(HEART.iter().copied())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_phone_is_shut_out_of_everything() {
    let mut world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let sheet = sheet_of(&phone).await;
    let grant = only_grant(&phone).await.grant;
    world.stop_relay().await;
    let ana = recover(&world, "new", &sheet, Recovery::Stolen).await;
    assert_eq!(ana.search(&|_| ()).await.unwrap().failures.len(), 1);
    assert_eq!(ana.sheet_state().await.unwrap(), SheetState::NeverMade);
    drop(ana);
    world.start_relay().await;
    let ana = world.reopen("new").await;
    share(&ana).await;
    assert_eq!(only_grant(&ana).await.state, GrantState::RevocationPending);
    import(&phone, [(2, 62)]).await;
    assert!(!phone.share(&|_| ()).await.unwrap().is_empty());
    assert_eq!(
        only_grant(&phone).await.state,
        GrantState::RevocationPending,
        "the thief's phone has learned it"
    );
    clinic.receive(&world, Answer::Sealed).await;
    assert!(clinic.records.is_empty());
    share(&ana).await;
    let stopped = only_grant(&ana).await;
    assert!(matches!(stopped.state, GrantState::Revoked { .. }) && stopped.grant == grant);
    // The former secret is gone, and the present one is another.
    share(&ana).await;
    let present = ana.recovery_sheet().await.unwrap();
    assert_ne!(present.code(), sheet.code());
    let mut fresh = world.organization().await;
    import(&ana, [(1, 61)]).await;
    accept(&ana, &fresh.invite(&world), HEART).await;
    exchange(&world, &mut fresh, &ana).await;
    assert_eq!(fresh.beats(), ["61"]);
    assert_eq!(ana.status().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_phone_cannot_use_an_invitation_again() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let phone = world.patient("phone").await;
    let invitation = clinic.invite(&world);
    accept(&phone, &invitation, HEART).await;
    exchange(&world, &mut clinic, &phone).await;
    let ana = recover(&world, "new", &sheet_of(&phone).await, Recovery::Stolen).await;
    share(&ana).await;
    let again = phone.consider(Invitation::from_text(&invitation).unwrap()).await.unwrap();
    let refused = again.accept(&scope()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Transport(TransportError::GrantRevoked)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_at_hand_shuts_the_stolen_one_out_of_what_that_accepted_alone_too() {
    let world = World::new().await;
    let (mut clinic, phone) = sharing_phone(&world).await;
    let tablet = recover(&world, "tablet", &sheet_of(&phone).await, Recovery::Keep).await;
    exchange(&world, &mut clinic, &tablet).await;
    let mut second = world.organization().await;
    accept(&tablet, &second.invite(&world), HEART).await;
    exchange(&world, &mut second, &tablet).await;
    let sheet = sheet_of(&phone).await;
    phone.shut_out_stolen(&sheet).await.unwrap();
    assert!(matches!(phone.shut_out_stolen(&sheet).await, Err(ClientError::TheftPending)));
    drop(phone);
    let phone = world.reopen("phone").await;
    share(&phone).await;
    for clinic in [&mut clinic, &mut second] {
        clinic.receive(&world, Answer::Sealed).await;
    }
    share(&phone).await;
    let stopped = phone.status().await.unwrap();
    let is_revoked = |grant: &GrantStatus| matches!(grant.state, GrantState::Revoked { .. });
    assert!(stopped.len() == 2 && stopped.iter().all(is_revoked), "{stopped:?}");
    phone.shut_out_stolen(&sheet_of(&phone).await).await.unwrap();
}

/// A recovery that is cut off after 1, 2, 3 … polls, again and again, until it has come to its end.
async fn recovered_in_pieces(world: &World, sheet: &RecoverySheet, how: Recovery) -> Patient {
    let mut ana = recover(world, "pieces", sheet, how).await;
    for polls in 1..40 {
        let searching = Box::pin(ana.search(&|_| ()));
        Crash { future: searching, polls_left: polls }.await;
        drop(ana);
        ana = world.reopen_when_closed("pieces").await;
    }
    assert!(ana.search(&|_| ()).await.unwrap().failures.is_empty());
    ana
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_cut_anywhere_finds_everything_once() {
    for how in [Recovery::Keep, Recovery::Stolen] {
        let world = World::new().await;
        let (mut clinic, phone) = sharing_phone(&world).await;
        let mut second = world.organization().await;
        accept(&phone, &second.invite(&world), HEART).await;
        exchange(&world, &mut second, &phone).await;
        let ana = recovered_in_pieces(&world, &sheet_of(&phone).await, how).await;
        for _ in 0..2 {
            share(&ana).await;
            clinic.receive(&world, Answer::Sealed).await;
            second.receive(&world, Answer::Sealed).await;
        }
        share(&ana).await;
        let grants = ana.status().await.unwrap();
        let is_as_wished = |grant: &GrantStatus| match how {
            Recovery::Stolen => matches!(grant.state, GrantState::Revoked { .. }),
            Recovery::Keep | Recovery::Ask => grant.state == GrantState::Active && grant.recovery.is_none(),
        };
        assert!(grants.len() == 2 && grants.iter().all(is_as_wished), "{how:?}: {grants:?}");
    }
}
