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
    assert_eq!(cast.grant_states().await, ["lapsed"]);
    rosa.imports([heart_rate_fhir(2, 62)]).await;
    rosa.shares_all(2).await;
    cast.sees(&["61", "62"]).await;
    assert_eq!(cast.grant_states().await, ["open"]);
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
