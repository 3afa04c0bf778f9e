//! Stories of long times, by processes that live in later days: a phone that is silent, an organization that nobody
//! attends to.

use sealcare_tests::{cast::Cast, world::heart_rate_fhir};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_month_of_silence_the_copy_is_hidden_until_the_phone_comes_back() {
    let Some(mut cast) = Cast::through_time().await else { return };
    let (rosa, _) = cast.sharing_phone("rosa").await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    rosa.shares_all(1).await;
    cast.sees(&["61"]).await;
    cast.later(31).await;
    cast.sees(&[]).await;
    cast.grant_is("lapsed").await;
    rosa.imports([heart_rate_fhir(2, 62)]).await;
    rosa.shares_all(2).await;
    cast.sees(&["61", "62"]).await;
    cast.grant_is("open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_nobody_attends_to_changes_its_keys_for_years() {
    let Some(mut cast) = Cast::through_time().await else { return };
    let (rosa, _) = cast.sharing_phone("rosa").await;
    for visit in 1..=7 {
        cast.later(60).await;
        rosa.imports([heart_rate_fhir(visit, 60 + visit)]).await;
        rosa.shares_all(u64::from(visit)).await;
    }
    cast.sees(&["61", "62", "63", "64", "65", "66", "67"]).await;
    let bea = cast.phone("bea").await;
    cast.connects(&bea).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_months_of_silence_everything_is_destroyed_and_the_phone_is_told() {
    let Some(mut cast) = Cast::through_time().await else { return };
    let (rosa, _) = cast.sharing_phone("rosa").await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    rosa.shares_all(1).await;
    // An organization that is away itself for long would first have to listen for a while.
    for _ in 0..10 {
        cast.later(10).await;
        cast.stands("it listens", |status| status["link"] == "live").await;
    }
    cast.grant_is("silent").await;
    rosa.imports([heart_rate_fhir(2, 62)]).await;
    rosa.shares_until("it is over", |grant| grant["state"] == "ended").await;
    cast.sees(&[]).await;
    cast.connects(&rosa).await;
    rosa.does(&["share"]).await;
    cast.sees(&["61", "62"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_last_key_ends_the_organization_is_alarmed_until_it_signs_new_ones() {
    let Some(mut cast) = Cast::through_time().await else { return };
    let is_alarmed = |status: &serde_json::Value| status["alarms"].to_string().contains("keys-ending");
    cast.stands("all is well", |status| status["alarms"] == serde_json::json!([])).await;
    cast.later(1_100).await;
    cast.stands("an alarm is raised", is_alarmed).await;
    assert!(cast.staff_is_refused(&["status"]).await.contains("alarm"));
    cast.staff(&["rotate", "--root", &cast.text("root.toml")]).await;
    cast.stands("all is well again", |status| status["alarms"] == serde_json::json!([])).await;
    assert_eq!(cast.staff_tries(&["status"]).await.status, 0);
}
