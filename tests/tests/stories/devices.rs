//! Stories of phones that come and go, by the commands: a second one, one from a backup, a lost one, a stolen one.

use sealcare_tests::{
    cast::{BIRTH_DATE, Cast, NAME, Phone},
    world::{heart_rate_fhir, immunization_fhir},
};

/// Another phone that begins with `phone`'s recovery sheet.
async fn recovered(cast: &Cast, sheet: &str, home: &str, choice: &str) -> Phone {
    let phone = cast.blank_phone(home);
    phone.does(&["recover", "--sheet", sheet, "--name", NAME, "--birth-date", BIRTH_DATE, choice]).await;
    phone
}

/// The sheet that a person keeps in a drawer.
async fn sheet(cast: &Cast, phone: &Phone) -> String {
    let sheet = cast.text("sheet.txt");
    phone.does(&["sheet", "--out", &sheet]).await;
    sheet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_from_a_backup_goes_on_and_what_came_later_is_neither_lost_nor_doubled() {
    let cast = Cast::start().await;
    let (phone, _) = cast.sharing_phone("phone").await;
    phone.imports([heart_rate_fhir(1, 61)]).await;
    phone.shares_all(1).await;
    let restored = phone.copied("restored");
    phone.imports([heart_rate_fhir(2, 62)]).await;
    phone.shares_all(2).await;
    drop(phone);
    restored.imports([heart_rate_fhir(3, 63)]).await;
    restored.shares_until("everything arrives again", |grant| grant["pending"] == 0).await;
    cast.sees(&["61", "62", "63"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_phones_grants_come_back_from_the_sheet_with_the_scope_that_was_chosen() {
    let cast = Cast::start().await;
    let (phone, code) = cast.sharing_phone("phone").await;
    phone.does(&["scope", &code, "--types", "heart-rate", "--yes"]).await;
    phone.imports([heart_rate_fhir(1, 61)]).await;
    phone.shares_all(1).await;
    let sheet = sheet(&cast, &phone).await;
    std::fs::remove_dir_all(phone.home()).unwrap();
    let phone = recovered(&cast, &sheet, "new", "--keep").await;
    phone.imports([heart_rate_fhir(1, 61), heart_rate_fhir(2, 62), immunization_fhir(3, "XK-77")]).await;
    phone.shares_all(2).await;
    cast.sees(&["61", "62"]).await;
    phone.does(&["revoke", &code]).await;
    phone.shares_until("the stop is confirmed", |grant| grant["state"] == "revoked").await;
    cast.sees(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_phone_shares_no_more_and_everything_of_it_is_stopped() {
    let cast = Cast::start().await;
    let (stolen, _) = cast.sharing_phone("stolen").await;
    stolen.imports([heart_rate_fhir(1, 61)]).await;
    stolen.shares_all(1).await;
    let sheet = sheet(&cast, &stolen).await;
    let phone = recovered(&cast, &sheet, "new", "--stolen").await;
    phone.shares_until("the stop is confirmed", |grant| grant["state"] == "revoked").await;
    cast.sees(&[]).await;
    stolen.imports([heart_rate_fhir(2, 62)]).await;
    stolen.shares_until("it is over", |grant| grant["state"] == "revoked").await;
    cast.sees(&[]).await;
    cast.connects(&phone).await;
    phone.imports([heart_rate_fhir(3, 63)]).await;
    phone.does(&["share"]).await;
    cast.sees(&["63"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_phones_of_one_person_share_side_by_side_and_heed_each_others_word() {
    let cast = Cast::start().await;
    let (phone, code) = cast.sharing_phone("phone").await;
    phone.imports([heart_rate_fhir(1, 61)]).await;
    phone.shares_all(1).await;
    let tablet = recovered(&cast, &sheet(&cast, &phone).await, "tablet", "--keep").await;
    tablet.imports([heart_rate_fhir(2, 62)]).await;
    tablet.shares_all(1).await;
    phone.imports([heart_rate_fhir(3, 63)]).await;
    phone.shares_all(2).await;
    cast.sees(&["61", "62", "63"]).await;
    tablet.does(&["pause", &code]).await;
    cast.until(&["status", "--json"], |status| status.contains(r#""state":"paused""#)).await;
    phone.imports([heart_rate_fhir(4, 64)]).await;
    phone.shares_until("the other's pause is heard", |grant| grant["state"] == "paused").await;
    cast.sees(&["61", "62", "63"]).await;
}
