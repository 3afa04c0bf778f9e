//! Stories of an organization's years, by the commands: grants from paper, new keys, a new root, a lost disk.

use sealcare_tests::{cast::Cast, world::heart_rate_fhir};

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_from_paper_shows_nothing_until_staff_have_compared_the_code() {
    let cast = Cast::start().await;
    let rosa = cast.phone("rosa").await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    let accepted = rosa.tells(&["accept", "--yes", &cast.invitation().await]).await;
    let code = accepted["code"].as_str().unwrap();
    rosa.shares_until("it is held", |grant| grant["held"] == true).await;
    let held = cast.staff_tells(&["held"]).await;
    assert_eq!(held["grants"][0]["short_code"], code);
    cast.sees(&[]).await;
    cast.staff_is_refused(&["admit", "AAAA-AAAA"]).await;
    cast.staff(&["admit", code]).await;
    cast.sees(&["61"]).await;
    rosa.shares_until("it is held no more", |grant| grant["held"] == false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_gateway_keys_are_followed_and_a_disowned_ones_invitations_are_refused() {
    let cast = Cast::start().await;
    let (rosa, _) = cast.sharing_phone("rosa").await;
    let root = cast.text("root.toml");
    let (early, honoured) = (cast.invitation().await, cast.phone("early").await);
    cast.staff(&["rotate"]).await;
    cast.staff(&["rotate", "--root", &root]).await;
    honoured.does(&["accept", "--yes", &early]).await;
    let (late, refused) = (cast.invitation().await, cast.phone("late").await);
    cast.staff(&["rotate", "--root", &root, "--disown"]).await;
    refused.is_refused(&["accept", "--yes", &late]).await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    rosa.shares_all(1).await;
    cast.sees(&["61"]).await;
    cast.connects(&refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_root_takes_over_and_nobody_has_to_begin_again() {
    let mut cast = Cast::start().await;
    let (rosa, _) = cast.sharing_phone("rosa").await;
    let (old, new) = (cast.text("root.toml"), cast.text("next-root.toml"));
    cast.staff(&["succeed", "--root", &old, "--out", &new]).await;
    cast.kill_gateway().await;
    cast.start_gateway().await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    rosa.shares_all(1).await;
    cast.sees(&["61"]).await;
    cast.staff_is_refused(&["rotate", "--root", &old]).await;
    cast.staff(&["rotate", "--root", &new]).await;
    let bea = cast.phone("bea").await;
    cast.connects(&bea).await;
    rosa.imports([heart_rate_fhir(2, 62)]).await;
    rosa.shares_all(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_from_a_backup_shows_nothing_revoked_and_has_everything_sent_again() {
    let Some(mut cast) = Cast::through_time().await else { return };
    let ((rosa, _), (bea, code)) = (cast.sharing_phone("rosa").await, cast.sharing_phone("bea").await);
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    bea.imports([heart_rate_fhir(2, 62)]).await;
    rosa.shares_all(1).await;
    bea.shares_all(1).await;
    cast.sees(&["61", "62"]).await;
    cast.staff(&["backup", &cast.text("backup")]).await;
    bea.does(&["revoke", &code]).await;
    bea.shares_until("the stop is confirmed", |grant| grant["state"] == "revoked").await;
    cast.restore_gateway("backup").await;
    cast.sees(&[]).await;
    rosa.imports([heart_rate_fhir(3, 63)]).await;
    for _ in 0..2 {
        rosa.does(&["share"]).await;
        cast.later(2).await;
    }
    cast.sees_from(&rosa, &["61", "63"]).await;
    bea.imports([heart_rate_fhir(4, 64)]).await;
    bea.does(&["share"]).await;
    cast.sees(&["61", "63"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_is_told_of_everything_that_happens_to_a_grant() {
    let cast = Cast::start().await;
    let mut staff = cast.follow();
    staff.is_told("caught-up").await;
    let (rosa, code) = cast.sharing_phone("rosa").await;
    staff.is_told("held").await;
    staff.is_told("admitted").await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    rosa.shares_all(1).await;
    assert_eq!(staff.is_told("record").await["resource"]["valueQuantity"]["value"], 61);
    rosa.does(&["pause", &code]).await;
    staff.is_told("paused").await;
    rosa.does(&["resume", &code]).await;
    staff.is_told("resumed").await;
    rosa.does(&["scope", &code, "--types", "lab-result", "--yes"]).await;
    let changed = staff.is_told("scope-changed").await;
    assert!(changed.to_string().contains("heart-rate"), "{changed}");
    rosa.does(&["revoke", &code]).await;
    assert_eq!(staff.is_told("ended").await["cause"], "revoked");
}
