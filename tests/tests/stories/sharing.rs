//! The plain stories: what is shared arrives, changes travel, what nobody agreed to is refused.

use sealcare_client::{GrantState, RecordType};
use sealcare_protocol::RefusalReason;
use sealcare_tests::world::{World, gone, heart_rate, immunization};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_patient_shares_arrives_and_the_patient_is_told() {
    let world = World::new().await;
    let clinic = world.clinic("clinic").await;
    let ana = world.patient("ana").await;
    ana.reads([heart_rate(1, 61), heart_rate(2, 62), immunization(3, "XK-77")]).await;
    ana.accepts(clinic.invites(), &[RecordType::HeartRate]).await;
    ana.shares().await;
    clinic.sees("two heart rates", |view| view.words() == ["61 /min", "62 /min"]).await;
    ana.shares_until("confirmed", |grant| grant.records_confirmed == 2).await;
    let grant = ana.grant().await;
    assert_eq!((grant.records_pending, grant.state), (0, GrantState::Active));
    assert_eq!((clinic.view().changes, clinic.view().doubled), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_deletions_reach_the_organization() {
    let world = World::new().await;
    let clinic = world.clinic("clinic").await;
    let ana = world.patient("ana").await;
    ana.reads([heart_rate(1, 61), heart_rate(2, 62), heart_rate(3, 63)]).await;
    ana.accepts(clinic.invites(), &[]).await;
    ana.shares().await;
    clinic.sees("three records", |view| view.records.len() == 3).await;
    ana.reads([heart_rate(1, 61), heart_rate(2, 99), gone(3)]).await;
    ana.shares().await;
    clinic.sees("the changes", |view| view.words() == ["61 /min", "99 /min"]).await;
    assert_eq!(clinic.view().changes, 5, "the unchanged does not travel again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_scope_is_refused_and_the_sealed_reply_says_so() {
    let world = World::new().await;
    let clinic = world.clinic("clinic").await;
    let mut stranger = world.stranger(&clinic).await;
    let (good, bad) = (heart_rate(1, 61), immunization(2, "XK-77"));
    let envelopes = [
        stranger.init.clone(),
        stranger.seals(&good),
        stranger.seals(&bad),
        stranger.seals(&heart_rate(3, 63)),
    ];
    stranger.deposits(&envelopes).await;
    let reply = stranger.is_answered(3).await;
    assert_eq!(reply.refusals.len(), 1);
    assert_eq!((reply.refusals[0].sequence, reply.refusals[0].reason), (1, RefusalReason::OutOfScope));
    clinic.is_told("data-out-of-scope").await;
    assert_eq!(clinic.view().words(), ["61 /min", "63 /min"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_patients_of_two_organizations_stay_apart() {
    let world = World::new().await;
    let (clinic, lab) = (world.clinic("clinic").await, world.clinic("lab").await);
    let (ana, bea) = (world.patient("ana").await, world.patient("bea").await);
    ana.reads([heart_rate(1, 61)]).await;
    bea.reads([heart_rate(1, 71)]).await;
    let grant = ana.accepts(clinic.invites(), &[]).await;
    bea.accepts(clinic.invites(), &[]).await;
    bea.accepts(lab.invites(), &[]).await;
    ana.shares().await;
    bea.shares().await;
    clinic.sees("both", |view| view.records.len() == 2).await;
    lab.sees("one", |view| view.words() == ["71 /min"]).await;
    ana.sees_the_stop_confirmed(grant).await;
    assert_eq!((clinic.view().words(), lab.view().words()), (vec!["71 /min"], vec!["71 /min"]));
}
