//! Two installations of one account: what is chosen on one holds on the other. And organizations that claim what
//! nobody chose.

use std::time::Duration;

use sealcare_client::{GrantId, GrantState, Patient, RecordType, SharedScope, StatementState};
use sealcare_protocol::{GrantState as Flow, Scope, UnverifiedTerms};

use crate::world::{World, accept, import, organization::Answer, organization::TestOrganization, share};

const HEART: RecordType = RecordType::HeartRate;
const LAB: RecordType = RecordType::LabResult;

/// An account whose installation was copied after its first session, without the keys that no backup holds.
async fn two_devices(world: &World) -> (TestOrganization, Patient, Patient, GrantId) {
    let mut clinic = world.organization().await;
    let phone = world.patient("phone").await;
    let grant = accept(&phone, &clinic.invite(world), &[HEART]).await.id;
    share(&phone).await;
    clinic.receive(world, Answer::Sealed).await;
    share(&phone).await;
    drop(phone);
    world.copy_vault("phone", "tablet");
    crate::crash::empty(&world.vault_dir("tablet").join("wrapping"));
    let tablet = world.reopen("tablet").await;
    share(&tablet).await; // asks what was chosen last
    clinic.receive(world, Answer::Sealed).await;
    share(&tablet).await;
    (clinic, world.reopen("phone").await, tablet, grant)
}

async fn all_share(world: &World, clinic: &mut TestOrganization, devices: [&Patient; 2]) {
    for _ in 0..3 {
        for device in devices {
            share(device).await;
            clinic.receive(world, Answer::Sealed).await;
        }
    }
    for device in devices {
        share(device).await;
    }
}

async fn state(patient: &Patient) -> (GrantState, StatementState, usize) {
    let status = patient.status().await.unwrap().remove(0);
    (status.state, status.statement, status.types.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_on_one_device_holds_on_the_other() {
    let world = World::new().await;
    let (mut clinic, phone, tablet, grant) = two_devices(&world).await;
    import(&phone, [(1, 61)]).await;
    import(&tablet, [(1, 61), (2, 62)]).await;
    world.clock.advance(Duration::from_secs(1));
    phone.change_scope(grant, &SharedScope::of([HEART, LAB])).await.unwrap();
    all_share(&world, &mut clinic, [&phone, &tablet]).await;
    for device in [&phone, &tablet] {
        assert_eq!(state(device).await, (GrantState::Active, StatementState::Confirmed, 2));
    }
    world.clock.advance(Duration::from_secs(1));
    tablet.pause(grant).await.unwrap();
    all_share(&world, &mut clinic, [&phone, &tablet]).await;
    assert_eq!(state(&phone).await, (GrantState::Paused, StatementState::Confirmed, 2));
    import(&phone, [(3, 63)]).await;
    all_share(&world, &mut clinic, [&phone, &tablet]).await;
    assert_eq!((clinic.beats(), clinic.trespasses), (vec!["61".to_owned(), "62".to_owned()], 0));
    assert_eq!(clinic.stored(&grant), (true, vec!["heart-rate", "lab-result"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_only_live_leave_the_statement_alone() {
    let world = World::new().await;
    let (mut clinic, phone, tablet, grant) = two_devices(&world).await;
    world.clock.advance(Duration::from_secs(1));
    tablet.pause(grant).await.unwrap();
    share(&tablet).await;
    clinic.receive(&world, Answer::Sealed).await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_hours(24 * 7));
        clinic.rotate(&world, Answer::Sealed).await;
        all_share(&world, &mut clinic, [&phone, &tablet]).await;
        assert!(clinic.stored(&grant).0, "a heartbeat of the phone is no choice");
    }
    assert_eq!(state(&phone).await.0, GrantState::Paused);
}

/// What the tablet chooses, and how it takes it back.
#[derive(Clone, Copy, Debug)]
enum Change {
    Pause,
    Scope,
}

impl Change {
    async fn make(self, world: &World, patient: &Patient, grant: GrantId) {
        world.clock.advance(Duration::from_secs(1));
        match self {
            Self::Pause => patient.pause(grant).await.unwrap(),
            Self::Scope => patient.change_scope(grant, &SharedScope::of([LAB])).await.unwrap(),
        }
    }

    async fn undo(self, world: &World, patient: &Patient, grant: GrantId) {
        world.clock.advance(Duration::from_secs(1));
        match self {
            Self::Pause => patient.resume(grant).await.unwrap(),
            Self::Scope => patient.change_scope(grant, &SharedScope::of([HEART, LAB])).await.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_sealed_before_it_heard_of_the_others_choice_follows_once_it_may() {
    for change in [Change::Pause, Change::Scope] {
        let world = World::new().await;
        let (mut clinic, phone, tablet, grant) = two_devices(&world).await;
        change.make(&world, &tablet, grant).await;
        share(&tablet).await;
        import(&phone, [(1, 61)]).await;
        share(&phone).await;
        clinic.receive(&world, Answer::Sealed).await;
        assert_eq!((clinic.deliveries, clinic.trespasses), (0, 1), "{change:?}: refused");
        all_share(&world, &mut clinic, [&phone, &tablet]).await;
        assert_eq!((clinic.deliveries, clinic.trespasses), (0, 1), "{change:?}: the phone knows");
        change.undo(&world, &tablet, grant).await;
        all_share(&world, &mut clinic, [&phone, &tablet]).await;
        assert_eq!((clinic.beats(), clinic.deliveries), (vec!["61".to_owned()], 1), "{change:?}");
        assert_eq!(phone.status().await.unwrap()[0].records_confirmed, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_during_a_choice_that_a_device_never_heard_of_follows() {
    for change in [Change::Pause, Change::Scope] {
        let world = World::new().await;
        let (mut clinic, phone, tablet, grant) = two_devices(&world).await;
        change.make(&world, &tablet, grant).await;
        share(&tablet).await;
        import(&phone, [(1, 61), (2, 62)]).await;
        share(&phone).await;
        clinic.receive(&world, Answer::Silence).await;
        change.undo(&world, &tablet, grant).await;
        all_share(&world, &mut clinic, [&tablet, &phone]).await;
        assert_eq!(clinic.beats(), ["61", "62"], "{change:?}");
        assert_eq!((clinic.deliveries, clinic.trespasses), (2, 1));
    }
}

async fn after_a_claim(scope: &[&str], flow: Flow) -> (GrantState, StatementState, usize) {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    let grant = accept(&ana, &clinic.invite(&world), &[HEART]).await.id;
    share(&ana).await;
    let types = scope.iter().map(|name| name.parse().unwrap()).collect();
    let terms = UnverifiedTerms { state: flow, scope: Scope { types, from: None }, mark: None };
    clinic.claims = Some((world.now().as_millis() + 1, terms));
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    let claimed = state(&ana).await;
    clinic.claims = None;
    world.clock.advance(Duration::from_secs(1));
    ana.resume(grant).await.unwrap();
    ana.change_scope(grant, &SharedScope::of([HEART])).await.unwrap();
    for _ in 0..2 {
        share(&ana).await;
        clinic.receive(&world, Answer::Sealed).await;
    }
    share(&ana).await;
    assert_eq!(
        state(&ana).await,
        (GrantState::Active, StatementState::Confirmed, 1),
        "the person's word wins"
    );
    claimed
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizations_own_word_widens_nothing() {
    let claimed = after_a_claim(&["heart-rate", "lab-result"], Flow::Active).await;
    assert_eq!(claimed, (GrantState::Active, StatementState::Overruled, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizations_own_word_may_narrow_and_pause() {
    let claimed = after_a_claim(&["lab-result"], Flow::Paused).await;
    assert_eq!(claimed, (GrantState::Paused, StatementState::Overruled, 0));
}
