//! The gateway's program against a real relay, with a patient who uses the client SDK: what staff see and do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use sealcare_client::{RecordType, SharedScope, Timestamp};
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_from_paper_is_held_admitted_followed_and_wiped() {
    let mut world = World::new().await;
    let (ana, grant) = world.accept("Ana Silva").await;
    world.share(&ana, &[("2026-01-01", "72"), ("2026-01-02", "73.50")]).await;
    let code = world.held_code();
    assert_eq!(code, grant.short_code.to_string());
    assert_eq!(world.records(), Vec::<String>::new());

    let mut follower = world.follow();
    follower.wait_for("caught-up");
    world.run(&["admit", &code]).succeeds();
    world.run(&["admit", &code]).ends_with(77);
    assert!(follower.wait_for("record").contains("72"));
    assert!(follower.wait_for("record").contains("73.50"));
    world.share(&ana, &[("2026-01-03", "74")]).await;
    assert!(follower.wait_for("record").contains("74"));

    world.kill_and_start_gateway();
    let records = world.records();
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|line| line.contains("Patient?identifier=https://ehr.example/mrn|17")));

    let mut follower = world.follow();
    follower.wait_for("caught-up");
    ana.revoke(grant.id).await.unwrap();
    assert!(follower.wait_for("ended").contains("revoked"));
    assert_eq!(world.records(), Vec::<String>::new());
    assert!(world.status().contains(r#""state":"revoked""#));
    world.wait_for_confirmation(&ana, &grant).await;
    world.stop_gateway();
    assert!(!world.log().contains("Silva") && !world.log().contains("73.50"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_narrower_scope_are_told_and_what_was_removed_is_wiped() {
    let world = World::new().await;
    let (ana, grant) = world.accept("Ana Silva").await;
    world.share(&ana, &[("2026-01-01", "72"), ("2026-01-02", "73.50")]).await;
    world.run(&["admit", &world.held_code()]).succeeds();
    let mut follower = world.follow();
    follower.wait_for("record");
    follower.wait_for("record");

    ana.pause(grant.id).await.unwrap();
    world.share(&ana, &[("2026-01-03", "74")]).await;
    follower.wait_for("paused");
    assert!(world.status().contains(r#""state":"paused""#));
    assert_eq!(world.records().len(), 2, "what is there stays");
    ana.resume(grant.id).await.unwrap();
    world.share(&ana, &[]).await;
    follower.wait_for("resumed");
    assert!(follower.wait_for("record").contains("74"), "and what came meanwhile follows");

    // From 2026-01-02 on, then without the type.
    let heart_rate = SharedScope::of([RecordType::HeartRate]);
    let later = SharedScope { from: Some(Timestamp::from_millis(1_767_312_000_000)), ..heart_rate };
    ana.change_scope(grant.id, &later).await.unwrap();
    world.share(&ana, &[]).await;
    assert!(follower.wait_for("scope-changed").contains(r#""removed":["blood-pressure","#));
    follower.wait_for("removed");
    assert_eq!(world.records().len(), 2);
    ana.change_scope(grant.id, &SharedScope::of([RecordType::LabResult])).await.unwrap();
    world.share(&ana, &[]).await;
    assert!(follower.wait_for("scope-changed").contains(r#""added":["lab-result"]"#));
    follower.wait_for("removed");
    follower.wait_for("removed");
    assert_eq!(world.records(), Vec::<String>::new());
    let status = world.status();
    assert!(status.contains(r#""types":["lab-result"]"#) && status.contains(r#""records":0"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_than_the_invited_one_is_told_to_staff_who_reject() {
    let world = World::new().await;
    let (ana, _) = world.accept("Eve Silva").await;
    world.share(&ana, &[("2026-01-01", "72")]).await;
    let code = world.held_code();
    assert!(world.run(&["held", "--json"]).succeeds().contains("person-mismatch"));
    world.run(&["reject", &code]).succeeds();
    world.run(&["admit", &code]).ends_with(65);
    assert!(world.run(&["held"]).succeeds().contains("no grant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_words_are_refused_by_status_and_change_nothing() {
    let world = World::new().await;
    let before = world.status();
    let invite = |patient, name, date| {
        world.run(&["invite", "--patient", patient, "--name", name, "--birth-date", date])
    };
    invite("no bar", "Ana Silva", "1990-05-20").ends_with(65);
    invite("s|1", "", "1990-05-20").ends_with(65);
    invite("s|1", "Ana Silva", "20.5.1990").ends_with(65);
    world.run(&["admit", "nonsense"]).ends_with(65);
    world.run(&["admit", "00000000"]).ends_with(65);
    world.run(&["colour"]).ends_with(64);
    world.run(&["serve", "--listen", "127.0.0.1:0"]).ends_with(64);
    assert_eq!(world.status(), before);
}
