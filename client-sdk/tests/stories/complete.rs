//! Stories of exports that are all of their source: updates travel, and what is gone is taken back at the organization
//! once the person has said so.

use std::{fmt::Write as _, io::Cursor};

use sealcare_client::{Completeness, Imported, Patient, RecordType};

use crate::world::{
    World, accept,
    organization::{Answer, TestOrganization},
    share,
};

/// An Apple Health export of heart rates, made on a day of December 2024: minute → beats.
fn export(day: u32, values: impl IntoIterator<Item = (u32, u32)>) -> Cursor<Vec<u8>> {
    let mut xml = format!("<HealthData><ExportDate value=\"2024-12-{day:02} 00:00:00 +0000\"/>");
    for (minute, beats) in values {
        let time = format!("2024-01-01 {:02}:{:02}:00 +0000", minute / 60, minute % 60);
        write!(
            xml,
            "<Record type=\"HKQuantityTypeIdentifierHeartRate\" unit=\"count/min\" value=\"{beats}\" startDate=\"{time}\" endDate=\"{time}\"/>"
        )
        .unwrap();
    }
    xml.push_str("</HealthData>");
    Cursor::new(xml.into_bytes())
}

/// What the organization sees, in order.
fn beats(clinic: &TestOrganization) -> Vec<String> {
    let mut beats = clinic.beats();
    beats.sort();
    beats
}

async fn take(patient: &Patient, file: Cursor<Vec<u8>>, completeness: Completeness) -> Imported {
    let checked = patient.check(vec![file], |_, _| ()).await.unwrap();
    patient.take(checked, completeness, |_, _| ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_complete_export_lacks_is_lost_at_the_organization_once_confirmed() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    take(&ana, export(1, [(1, 61), (2, 62), (3, 63), (4, 64)]), Completeness::Complete).await;
    accept(&ana, &clinic.invite(&world), &[RecordType::HeartRate]).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(beats(&clinic), ["61", "62", "63", "64"]);

    // A part of it deletes nothing, and neither does a whole one that nobody has confirmed.
    let partial = take(&ana, export(2, [(1, 61)]), Completeness::Partial).await;
    assert_eq!(partial.absence, None);
    let complete = take(&ana, export(3, [(1, 61), (2, 62), (3, 63), (5, 65)]), Completeness::Complete).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(beats(&clinic), ["61", "62", "63", "64", "65"], "what is new travels, nothing is taken back");

    let absence = complete.absence.unwrap();
    assert_eq!((absence.count(), absence.present), (1, 4));
    assert_eq!(ana.confirm_absence(absence).await.unwrap(), 1);
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(beats(&clinic), ["61", "62", "63", "65"]);
}
