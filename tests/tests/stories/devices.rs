//! Stories of phones that come and go, by the commands: a second one, one from a backup, a lost one, a stolen one.

use sealcare_tests::{cast::Cast, world::heart_rate_fhir};

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
