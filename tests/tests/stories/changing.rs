//! Stories of changed minds, by the commands: what a patient takes back is gone at the organization, what waits follows.

use sealcare_tests::{
    cast::Cast,
    world::{heart_rate_fhir, immunization_fhir},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_taken_back_is_wiped_and_comes_again_when_it_is_given_again() {
    let mut cast = Cast::start().await;
    let (rosa, code) = cast.sharing_phone("rosa").await;
    rosa.imports([heart_rate_fhir(1, 61), immunization_fhir(2, "XK-77")]).await;
    rosa.shares_all(2).await;
    cast.sees(&["61", "XK-77"]).await;
    rosa.does(&["scope", &code, "--types", "heart-rate", "--yes"]).await;
    rosa.imports([heart_rate_fhir(3, 63), immunization_fhir(4, "XK-78")]).await;
    rosa.shares_until("the change arrives", |grant| grant["pending"] == 0).await;
    cast.sees(&["61", "63"]).await;
    cast.kill_gateway().await;
    cast.start_gateway().await;
    cast.sees(&["61", "63"]).await;
    rosa.does(&["scope", &code, "--everything", "--yes"]).await;
    rosa.shares_until("everything follows", |grant| grant["pending"] == 0).await;
    cast.sees(&["61", "63", "XK-77", "XK-78"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_a_later_beginning_is_wiped() {
    let cast = Cast::start().await;
    let (rosa, code) = cast.sharing_phone("rosa").await;
    rosa.imports([heart_rate_fhir(1, 61), heart_rate_fhir(1_441, 62)]).await;
    rosa.shares_all(2).await;
    cast.sees(&["61", "62"]).await;
    rosa.does(&["scope", &code, "--since", "2024-01-02", "--yes"]).await;
    rosa.shares_until("the change arrives", |grant| grant["pending"] == 0).await;
    cast.sees(&["62"]).await;
    rosa.does(&["scope", &code, "--all-dates", "--yes"]).await;
    rosa.shares_until("everything follows", |grant| grant["pending"] == 0).await;
    cast.sees(&["61", "62"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_everything_back_and_a_resumption_lets_it_follow() {
    let cast = Cast::start().await;
    let (rosa, code) = cast.sharing_phone("rosa").await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    rosa.shares_all(1).await;
    cast.sees(&["61"]).await;
    rosa.does(&["pause", &code]).await;
    rosa.imports([heart_rate_fhir(2, 62)]).await;
    rosa.shares_until("the pause arrives", |grant| grant["state"] == "paused").await;
    cast.until(&["status", "--json"], |status| status.contains(r#""state":"paused""#)).await;
    cast.sees(&["61"]).await;
    rosa.does(&["resume", &code]).await;
    rosa.shares_all(2).await;
    cast.sees(&["61", "62"]).await;
}
