//! Stories of ordinary days, by the commands: what is corrected, what is deleted.

use sealcare_tests::{
    cast::{BIRTH_DATE, Cast},
    world::heart_rate_fhir,
};

/// An Apple Health export of these heart rates, one each day.
fn export(beats: &[(u32, u32)]) -> String {
    let record = |(day, beats): &(u32, u32)| {
        format!(
            r#"<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" unit="count/min" value="{beats}"
            startDate="2024-01-{day:02} 08:00:00 +0000" endDate="2024-01-{day:02} 08:00:00 +0000"/>"#
        )
    };
    let records: String = beats.iter().map(record).collect();
    let me = format!(r#"<Me HKCharacteristicTypeIdentifierDateOfBirth="{BIRTH_DATE}"/>"#);
    format!(r#"<HealthData><ExportDate value="2024-02-01 12:00:00 +0000"/>{me}{records}</HealthData>"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_corrected_replaces_what_was_wrong() {
    let cast = Cast::start().await;
    let (rosa, _) = cast.sharing_phone("rosa").await;
    rosa.imports([heart_rate_fhir(1, 61), heart_rate_fhir(2, 620)]).await;
    rosa.shares_all(2).await;
    cast.sees(&["61", "620"]).await;
    rosa.imports([heart_rate_fhir(1, 61), heart_rate_fhir(2, 62)]).await;
    rosa.shares_until("the correction arrives", |grant| grant["pending"] == 0).await;
    cast.sees(&["61", "62"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_complete_export_lacks_is_deleted_everywhere_once_the_person_says_so() {
    let cast = Cast::start().await;
    let (rosa, _) = cast.sharing_phone("rosa").await;
    rosa.does(&["import", &cast.file("first.xml", export(&[(1, 61), (2, 62), (3, 63), (4, 64)]))]).await;
    rosa.shares_all(4).await;
    let second = cast.file("second.xml", export(&[(1, 61), (3, 63), (4, 64), (5, 65)]));
    rosa.does(&["import", &second]).await;
    let asked = rosa.tries(&["import", "--complete", &second]).await;
    assert!((asked.out + &asked.err).contains("heart-rate"), "it shows what is gone");
    rosa.shares_until("the new one arrives", |grant| grant["pending"] == 0).await;
    cast.sees(&["61", "62", "63", "64", "65"]).await;
    rosa.does(&["import", "--complete", "--confirm-deletions", &second]).await;
    rosa.shares_until("the deletion arrives", |grant| grant["pending"] == 0).await;
    cast.sees(&["61", "63", "64", "65"]).await;
}
