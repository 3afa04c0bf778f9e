use std::{
    fmt::Write as _,
    io::{Cursor, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{fixture::Fixture, import::Caution};

/// An Apple Health export of heart rates, a minute apart, made on a day of 2024.
fn export(day: u32, minutes: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let mut xml = format!("<HealthData><ExportDate value=\"2024-12-{day:02} 00:00:00 +0000\"/>");
    for minute in minutes {
        let time =
            format!("2024-01-{:02} {:02}:{:02}:00 +0000", minute / 1440 + 1, minute / 60 % 24, minute % 60);
        write!(
            xml,
            "<Record type=\"HKQuantityTypeIdentifierHeartRate\" unit=\"count/min\" value=\"60\" startDate=\"{time}\" endDate=\"{time}\"/>"
        )
        .unwrap();
    }
    (xml + "</HealthData>").into_bytes()
}

async fn take(fixture: &Fixture, file: Vec<u8>, completeness: Completeness) -> Result<Imported> {
    let checked = fixture.patient.check(vec![Cursor::new(file)], |_, _| ()).await?;
    fixture.patient.take(checked, completeness, |_, _| ()).await
}

async fn count(fixture: &Fixture) -> u64 {
    fixture.patient.record_counts().await.unwrap().values().sum()
}

/// A file that other bytes come out of after a number of readings to the end.
struct Changing {
    before: Cursor<Vec<u8>>,
    after: Vec<u8>,
    rewinds: Arc<AtomicUsize>,
    at: usize,
}

impl Read for Changing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.before.read(buffer)
    }
}

impl Seek for Changing {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        if to == SeekFrom::Start(0) && self.rewinds.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            self.before = Cursor::new(self.after.clone());
        }
        self.before.seek(to)
    }
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    let file = export(31, 0..5_000);
    let (whole, cut) = (file.clone(), file[..file.len() * 9 / 10].to_vec());
    // The check passes; the second reading meets the end early, as a process that is killed would.
    let rewinds = Arc::new(AtomicUsize::new(0));
    let probe = Changing {
        before: Cursor::new(whole.clone()),
        after: Vec::new(),
        rewinds: Arc::clone(&rewinds),
        at: 0,
    };
    let checked = fixture.patient.check(vec![probe], |_, _| ()).await.unwrap();
    drop(checked);
    let at = rewinds.swap(0, Ordering::Relaxed) + 1;
    let failing = Changing { before: Cursor::new(whole.clone()), after: cut, rewinds, at };
    let checked = fixture.patient.check(vec![failing], |_, _| ()).await.unwrap();
    let refused = fixture.patient.take(checked, Completeness::Partial, |_, _| ()).await;
    assert!(matches!(refused, Err(ClientError::FileChanged { file: 0 })));
    assert_eq!(count(&fixture).await, 4_000, "whole batches are there");

    let readings = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&readings);
    let checked = fixture
        .patient
        .check(vec![Cursor::new(whole.clone())], move |_, _| {
            heard.fetch_add(1, Ordering::Relaxed);
        })
        .await
        .unwrap();
    assert_eq!(readings.load(Ordering::Relaxed), 0, "it was checked before");
    assert_eq!(checked.taken_before().collect::<Vec<_>>(), [4_000]);
    let imported = fixture.patient.take(checked, Completeness::Complete, |_, _| ()).await.unwrap();
    assert_eq!((imported.changes.added, imported.changes.unchanged), (5_000, 0), "each was written once");
    assert_eq!(imported.absence, None, "what was taken before counts as there");
    assert_eq!(count(&fixture).await, 5_000);
    let again = fixture.patient.import(vec![Cursor::new(whole)], |_, _| ()).await.unwrap();
    assert_eq!((again.changes.added, again.changes.unchanged), (0, 5_000));
}

#[tokio::test]
async fn a_file_that_is_refused_leaves_nothing_of_any() {
    let fixture = Fixture::new().await;
    let (good, whole) = (export(31, 0..3_000), export(31, 3_000..6_000));
    let broken = whole[..whole.len() - 1].to_vec();
    let refused = fixture.patient.import(vec![Cursor::new(good), Cursor::new(broken)], |_, _| ()).await;
    assert!(matches!(refused, Err(ClientError::Import { file: 1, .. })));
    assert_eq!(count(&fixture).await, 0);
}

#[tokio::test]
async fn what_a_complete_export_lacks_is_deleted_once_confirmed() {
    let fixture = Fixture::new().await;
    take(&fixture, export(1, 0..10), Completeness::Complete).await.unwrap();
    let partial = take(&fixture, export(2, 0..8), Completeness::Partial).await.unwrap();
    assert_eq!(partial.absence, None, "a part says nothing about the rest");
    let complete = take(&fixture, export(3, 0..8), Completeness::Complete).await.unwrap();
    let absence = complete.absence.unwrap();
    assert_eq!((absence.count(), absence.present, absence.caution()), (2, 8, None));
    let rates = absence.types[&sealcare_records::RecordType::HeartRate];
    assert_eq!(rates.last_ms.unwrap() - rates.first_ms.unwrap(), 60_000);
    assert_eq!(count(&fixture).await, 10, "nothing is deleted yet");
    assert_eq!(fixture.patient.confirm_absence(absence.clone()).await.unwrap(), 2);
    assert_eq!(count(&fixture).await, 8);
    assert_eq!(fixture.patient.confirm_absence(absence).await.unwrap(), 0, "once is enough");
    let back = take(&fixture, export(4, 0..10), Completeness::Complete).await.unwrap();
    assert_eq!((back.changes.added, back.changes.unchanged), (2, 8));
}

#[tokio::test]
async fn an_older_or_unnamed_file_is_never_complete() {
    let fixture = Fixture::new().await;
    take(&fixture, export(9, 0..10), Completeness::Partial).await.unwrap();
    let older = take(&fixture, export(8, 0..5), Completeness::Complete).await;
    assert!(matches!(older, Err(ClientError::OlderExport { file: 0 })));
    let resource = br#"{"resourceType":"Patient","id":"1"}"#.to_vec();
    let unnamed = take(&fixture, resource, Completeness::Complete).await;
    assert!(matches!(unnamed, Err(ClientError::NoSource { file: 0 })));
    assert_eq!(count(&fixture).await, 10);
}

#[tokio::test]
async fn an_empty_or_much_smaller_export_is_warned_of() {
    let fixture = Fixture::new().await;
    take(&fixture, export(1, 0..10), Completeness::Complete).await.unwrap();
    for (left, caution) in [(0, Some(Caution::NothingLeft)), (4, Some(Caution::MuchSmaller)), (6, None)] {
        let imported = take(&fixture, export(2, 0..left), Completeness::Complete).await.unwrap();
        assert_eq!(imported.absence.unwrap().caution(), caution);
    }
}

#[tokio::test]
async fn what_another_source_has_too_stays() {
    let fixture = Fixture::new().await;
    let uuid = "6d896f17-0ce1-4487-9caf-3c43a7c3dc2b";
    let resource = |id: &str| {
        format!(
            r#"{{"fullUrl":"https://clinic.example/fhir/Observation/{id}","resource":{{"resourceType":"Observation","id":"{id}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"effectiveDateTime":"2024-01-01T00:00:00Z","valueQuantity":{{"value":60,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}}}"#
        )
    };
    let bundle = |entries: &[String]| {
        format!(r#"{{"resourceType":"Bundle","entry":[{}]}}"#, entries.join(",")).into_bytes()
    };
    take(&fixture, export(1, 0..3), Completeness::Complete).await.unwrap();
    let both = bundle(&[resource(uuid), resource("7")]);
    take(&fixture, both, Completeness::Complete).await.unwrap();
    // The clinic's list lost one; nothing of the Health app's is touched by that.
    let one = take(&fixture, bundle(&[resource("7")]), Completeness::Complete).await.unwrap();
    assert_eq!(one.absence.as_ref().map(Absence::count), Some(1));
    let other = bundle(&[resource("7").replace("clinic.example", "other.example")]);
    let elsewhere = take(&fixture, other, Completeness::Complete).await.unwrap();
    assert_eq!(elsewhere.absence, None, "another source's file says nothing about this one");
    assert_eq!(count(&fixture).await, 6);
}
