//! Stories of sharing between a patient and an organization, through a real relay.

use std::{sync::Arc, time::Duration};

use sealcare_client::{
    GrantState, Invitation, PassOutcome, Patient, Person, RecordType, RevocationState, SharedScope,
};
use sealcare_protocol::ManualClock;

use crate::world::{World, accept, import, organization::Answer, share};

const HEART: &[RecordType] = &[RecordType::HeartRate];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_arrives_and_is_confirmed() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    assert_eq!(import(&ana, (0..500).map(|n| (n, 60 + n % 40))).await, 500);
    let grant = accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!((clinic.records.len(), clinic.deliveries), (500, 500));
    let before = ana.status().await.unwrap().remove(0);
    assert_eq!((before.records_pending, before.state), (500, GrantState::Unanswered));
    share(&ana).await;
    let after = ana.status().await.unwrap().remove(0);
    assert_eq!((after.records_pending, after.records_confirmed), (0, 500));
    assert_eq!((after.state, after.grant, after.views.len()), (GrantState::Active, grant.id, 1));
    assert_eq!(after.short_code, grant.short_code);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_deletions_travel_and_the_unchanged_does_not() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61), (2, 62), (3, 63)]).await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(import(&ana, [(1, 61), (2, 99), (3, 63)]).await, 1);
    ana.read(crate::world::Deletions(vec![3])).await.unwrap();
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!((clinic.beats(), clinic.deliveries), (vec!["61".to_owned(), "99".to_owned()], 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_outside_the_scope_is_never_sealed() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61)]).await;
    accept(&ana, &clinic.invite(&world), &[RecordType::LabResult]).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!((clinic.deliveries, clinic.refusals.len()), (0, 0));
    assert_eq!(ana.status().await.unwrap()[0].records_pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_before_the_period_stay_here() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(0, 60), (1440, 70)]).await; // the first and the second of January 2024
    let pending = ana.consider(Invitation::from_text(&clinic.invite(&world)).unwrap()).await.unwrap();
    let from = sealcare_client::Timestamp::from_millis(1_704_153_600_000);
    pending.accept(&SharedScope { from: Some(from), ..SharedScope::everything() }).await.unwrap();
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(clinic.beats(), ["70"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_pending_until_the_organization_has_signed() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61)]).await;
    let grant = accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(ana.revoke(grant.id).await.unwrap(), RevocationState::Pending);
    import(&ana, [(2, 62)]).await;
    let outcome =
        |shared: Vec<sealcare_client::SharedGrant>| shared.into_iter().next().unwrap().outcome.unwrap();
    assert_eq!(outcome(ana.share(&|_| ()).await.unwrap()), PassOutcome::RevocationPending);
    clinic.receive(&world, Answer::Sealed).await;
    assert!(clinic.records.is_empty());
    assert_eq!(outcome(ana.share(&|_| ()).await.unwrap()), PassOutcome::Revoked);
    assert!(matches!(ana.status().await.unwrap()[0].state, GrantState::Revoked { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_network_is_kept_and_repeated() {
    let mut world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    let grant = accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    world.stop_relay().await;
    assert!(ana.revoke(grant.id).await.is_err());
    assert_eq!(ana.status().await.unwrap()[0].state, GrantState::RevocationPending);
    drop(ana);
    world.start_relay().await;
    let ana = world.reopen("ana").await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    assert!(matches!(ana.status().await.unwrap()[0].state, GrantState::Revoked { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_named_and_not_sent_again() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61)]).await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    clinic.refuse_bodies = true;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    let status = ana.status().await.unwrap().remove(0);
    assert_eq!((status.refusals["out-of-scope"], status.records_pending), (1, 0));
    clinic.refuse_bodies = false;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(clinic.deliveries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_offline_seals_to_the_keys_of_the_day() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    import(&ana, [(1, 61)]).await;
    world.clock.advance(Duration::from_hours(24 * 31));
    clinic.rotate(&world, Answer::Sealed).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!((clinic.beats(), clinic.refusals.len()), (vec!["61".to_owned()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_mirror_is_stale_the_domain_is_asked() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    world.clock.advance(Duration::from_mins(7 * 24 * 60 - 5));
    clinic.rotate(&world, Answer::Silence).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(clinic.last_bundle, Some(clinic.bundle.hash()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_app_is_heard_of_every_week() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    for (days, inits) in [(0, 1), (6, 1), (1, 2), (3, 2)] {
        world.clock.advance(Duration::from_hours(24 * days));
        clinic.rotate(&world, Answer::Sealed).await;
        share(&ana).await;
        clinic.receive(&world, Answer::Sealed).await;
        share(&ana).await;
        assert_eq!(clinic.inits, inits, "after {days} days more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_init_without_a_reply_is_repeated_after_six_hours() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    for (hours, inits) in [(0, 1), (5, 1), (1, 2), (6, 2), (6, 3)] {
        world.clock.advance(Duration::from_hours(hours));
        share(&ana).await;
        clinic.receive(&world, Answer::Silence).await;
        assert_eq!(clinic.inits, inits, "after {hours} hours more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_does_not_keep_a_patient_from_sharing() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let late = Arc::new(ManualClock::new(world.now().minus(Duration::from_mins(20))));
    let person = Person::new("Ana Lima", "1980-02-29").unwrap();
    let ana = Patient::builder(world.vault("ana")).trust(world.trust.clone()).clock(late);
    let ana = ana.create(person).await.unwrap();
    import(&ana, [(1, 61)]).await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(clinic.beats(), ["61"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_organization_lost_is_sent_again_after_a_day_of_silence() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    import(&ana, [(1, 61), (2, 62)]).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Silence).await;
    clinic.lose_sessions();
    share(&ana).await; // sees that it was fetched
    world.clock.advance(Duration::from_hours(25));
    clinic.rotate(&world, Answer::Sealed).await;
    share(&ana).await; // sends again
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    assert_eq!(clinic.beats(), ["61", "62"]);
    assert_eq!(ana.status().await.unwrap()[0].records_pending, 0);
}
