//! Stories of later choices: another scope, a pause, its end. What is taken back never leaves, what is added
//! follows, and nothing comes twice.

use std::{collections::BTreeSet, pin::pin};

use sealcare_client::{
    GrantId, GrantState, PassOutcome, Patient, RecordType, SharedScope, StatementState, Timestamp,
};

use crate::{
    crash::Crash,
    world::{
        World, accept, import, lab_results, organization::Answer, organization::TestOrganization, share,
    },
};

const HEART: RecordType = RecordType::HeartRate;
const LAB: RecordType = RecordType::LabResult;

async fn import_labs(patient: &Patient, values: impl IntoIterator<Item = (u32, u32)>) {
    patient.import(vec![lab_results(values)], |_, _| ()).await.unwrap();
}

/// A grant of both types with two records of each, all of it delivered and confirmed.
async fn shared(world: &World) -> (TestOrganization, Patient, GrantId) {
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61), (2, 62)]).await;
    import_labs(&ana, [(1, 91), (2, 92)]).await;
    let grant = accept(&ana, &clinic.invite(world), &[HEART, LAB]).await.id;
    settle(world, &mut clinic, &ana).await;
    assert_eq!((clinic.beats().len(), clinic.deliveries), (4, 4));
    (clinic, ana, grant)
}

/// Shares until the organization has all of it and has said so.
async fn settle(world: &World, clinic: &mut TestOrganization, patient: &Patient) {
    for _ in 0..2 {
        share(patient).await;
        clinic.receive(world, Answer::Sealed).await;
    }
    share(patient).await;
}

async fn state(patient: &Patient) -> (GrantState, StatementState, u64) {
    let status = patient.status().await.unwrap().remove(0);
    (status.state, status.statement, status.records_pending)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_taken_out_is_wiped_and_comes_no_more() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    ana.change_scope(grant, &SharedScope::of([HEART])).await.unwrap();
    assert_eq!(state(&ana).await.1, StatementState::Pending);
    import_labs(&ana, [(3, 93)]).await;
    import(&ana, [(3, 63)]).await;
    settle(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.beats(), clinic.trespasses), (vec!["61".into(), "62".into(), "63".into()], 0));
    assert_eq!(state(&ana).await, (GrantState::Active, StatementState::Confirmed, 0));
    assert_eq!(clinic.stored(&grant), (false, vec!["heart-rate"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_and_not_confirmed_goes_empty_and_the_rest_of_it_again() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    import_labs(&ana, [(3, 93)]).await;
    import(&ana, [(3, 63)]).await;
    share(&ana).await; // one body with both, at the relay
    ana.change_scope(grant, &SharedScope::of([HEART])).await.unwrap();
    clinic.lose_open_sessions();
    settle(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.empty_bodies, clinic.trespasses), (1, 0));
    assert_eq!((clinic.beats(), clinic.deliveries), (vec!["61".into(), "62".into(), "63".into()], 5));
    assert_eq!(state(&ana).await.2, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_follows_and_nothing_else_comes_twice() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61), (2, 62)]).await;
    import_labs(&ana, [(1, 91), (2, 92)]).await;
    let grant = accept(&ana, &clinic.invite(&world), &[HEART]).await.id;
    settle(&world, &mut clinic, &ana).await;
    ana.change_scope(grant, &SharedScope::of([HEART, LAB])).await.unwrap();
    settle(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.beats().len(), clinic.deliveries, clinic.trespasses), (4, 4, 0));
    import_labs(&ana, [(2, 99)]).await;
    settle(&world, &mut clinic, &ana).await;
    assert_eq!(clinic.deliveries, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_while_its_type_was_out_is_not_resurrected() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    ana.change_scope(grant, &SharedScope::of([LAB])).await.unwrap();
    ana.read(crate::world::Deletions(vec![1])).await.unwrap();
    ana.change_scope(grant, &SharedScope::of([HEART, LAB])).await.unwrap();
    settle(&world, &mut clinic, &ana).await;
    assert_eq!(clinic.beats(), ["62", "91", "92"], "the organization never heard of the scope in between");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_period_is_not_sent_and_an_earlier_one_follows() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    let second_of_january = Timestamp::from_millis(1_704_153_600_000);
    let since = SharedScope { from: Some(second_of_january), ..SharedScope::of([HEART, LAB]) };
    ana.change_scope(grant, &since).await.unwrap();
    import(&ana, [(1, 81), (1440, 70)]).await;
    settle(&world, &mut clinic, &ana).await;
    assert!(clinic.beats().contains(&"70".to_owned()) && !clinic.beats().contains(&"81".to_owned()));
    ana.change_scope(grant, &SharedScope::of([HEART, LAB])).await.unwrap();
    let before = clinic.deliveries;
    settle(&world, &mut clinic, &ana).await;
    assert!(clinic.beats().contains(&"81".to_owned()));
    assert_eq!(clinic.deliveries - before, 4, "all but the one that is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_grant_sends_signs_of_life_and_nothing_else() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    import(&ana, [(3, 63)]).await;
    ana.pause(grant).await.unwrap();
    for _ in 0..3 {
        let outcome = ana.share(&|_| ()).await.unwrap().remove(0).outcome.unwrap();
        assert_eq!(outcome, PassOutcome::Paused);
        clinic.receive(&world, Answer::Sealed).await;
        world.clock.advance(std::time::Duration::from_hours(24 * 4));
        clinic.rotate(&world, Answer::Sealed).await;
    }
    share(&ana).await;
    assert_eq!((clinic.inits, clinic.deliveries, clinic.trespasses), (3, 4, 0));
    assert!(clinic.stored(&grant).0);
    assert_eq!(state(&ana).await.0, GrantState::Paused);
    assert_eq!(state(&ana).await.1, StatementState::Confirmed);
    ana.resume(grant).await.unwrap();
    settle(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.beats().len(), clinic.deliveries, clinic.trespasses), (5, 5, 0));
    assert_eq!(state(&ana).await, (GrantState::Active, StatementState::Confirmed, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_choice_again_changes_nothing() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    ana.resume(grant).await.unwrap();
    ana.change_scope(grant, &SharedScope::of([LAB, HEART])).await.unwrap();
    settle(&world, &mut clinic, &ana).await;
    assert_eq!((clinic.inits, state(&ana).await.1), (1, StatementState::Confirmed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_grant_takes_no_choice() {
    let world = World::new().await;
    let (_clinic, ana, grant) = shared(&world).await;
    ana.begin_revocation(grant).await.unwrap();
    for refused in [ana.pause(grant).await, ana.change_scope(grant, &SharedScope::everything()).await] {
        assert!(matches!(refused, Err(sealcare_client::ClientError::Revoked)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_from_before_a_type_was_taken_out_sends_none_of_it() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    drop(ana);
    world.copy_vault("ana", "before");
    let ana = world.reopen("ana").await;
    ana.change_scope(grant, &SharedScope::of([HEART])).await.unwrap();
    import(&ana, [(3, 63)]).await;
    settle(&world, &mut clinic, &ana).await;
    drop(ana);
    world.copy_vault("before", "ana");
    crate::crash::empty(&world.vault_dir("ana").join("wrapping"));
    let ana = world.reopen("ana").await;
    import(&ana, [(4, 64)]).await;
    import_labs(&ana, [(4, 94)]).await;
    for _ in 0..3 {
        settle(&world, &mut clinic, &ana).await;
    }
    assert_eq!(
        (clinic.beats(), clinic.trespasses),
        (["61", "62", "63", "64"].map(str::to_owned).to_vec(), 0)
    );
    let restored = ana.status().await.unwrap().remove(0);
    assert_eq!((restored.types, restored.recovery), (["heart-rate".to_owned()].into(), None));
    assert_eq!(clinic.stored(&grant), (false, vec!["heart-rate"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_a_choice_that_was_never_told_states_it_again() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    world.clock.advance(std::time::Duration::from_secs(1));
    ana.change_scope(grant, &SharedScope::of([HEART])).await.unwrap();
    drop(ana);
    crate::crash::empty(&world.vault_dir("ana").join("wrapping"));
    let ana = world.reopen("ana").await;
    for _ in 0..2 {
        settle(&world, &mut clinic, &ana).await;
    }
    assert_eq!(
        (clinic.stored(&grant), state(&ana).await.1),
        ((false, vec!["heart-rate"]), StatementState::Confirmed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_was_made_by_a_clock_ahead_is_taken_once_the_clock_is_right() {
    let world = World::new().await;
    let (mut clinic, ana, grant) = shared(&world).await;
    drop(ana);
    let ahead = world.reopen_ahead("ana", std::time::Duration::from_hours(24 * 365)).await;
    ahead.change_scope(grant, &SharedScope::of([HEART])).await.unwrap();
    drop(ahead);
    let ana = world.reopen("ana").await;
    for _ in 0..2 {
        settle(&world, &mut clinic, &ana).await;
    }
    assert_eq!(
        (clinic.stored(&grant), state(&ana).await.1),
        ((false, vec!["heart-rate"]), StatementState::Confirmed)
    );
}

/// Makes each choice while passes are cut after ever more polls: whatever a crash leaves, what was taken back does
/// not come, and what is covered comes once.
#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_a_crash_follows_holds() {
    let world = World::new().await;
    let (mut clinic, mut ana, grant) = shared(&world).await;
    let mut expected: BTreeSet<u32> = [61, 62, 91, 92].into();
    for polls in 1..30 {
        import(&ana, [(100 + polls, 1_000 + polls)]).await;
        import_labs(&ana, [(100 + polls, 2_000 + polls)]).await;
        expected.extend([1_000 + polls, 2_000 + polls]);
        cut(&ana, polls).await;
        match polls % 4 {
            0 => ana.change_scope(grant, &SharedScope::of([HEART])).await.unwrap(),
            1 => ana.pause(grant).await.unwrap(),
            2 => ana.resume(grant).await.unwrap(),
            _ => ana.change_scope(grant, &SharedScope::of([HEART, LAB])).await.unwrap(),
        }
        cut(&ana, 40 - polls).await;
        drop(ana);
        ana = world.reopen_when_closed("ana").await;
        if polls % 3 == 0 {
            clinic.receive(&world, Answer::Sealed).await;
        }
    }
    ana.resume(grant).await.unwrap();
    ana.change_scope(grant, &SharedScope::of([HEART, LAB])).await.unwrap();
    settle(&world, &mut clinic, &ana).await;
    let there: BTreeSet<u32> = clinic.beats().iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(there, expected);
    assert_eq!((clinic.trespasses, state(&ana).await.2), (0, 0));
}

async fn cut(patient: &Patient, polls: u32) {
    let pass = pin!(patient.share(&|_| ()));
    Crash { future: pass, polls_left: polls }.await;
}
