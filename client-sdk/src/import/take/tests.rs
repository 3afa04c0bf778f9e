use std::{
    fmt::Write as _,
    io::{Cursor, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering as Counting},
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

/// The readings of a file to its end: two of the check (its hash, its records), then two of the taking (its records,
/// its hash). What is read is looked for at its rewinding.
struct Changing {
    now: Cursor<Vec<u8>>,
    /// From which rewinding on, what is read.
    later: Vec<(usize, Vec<u8>)>,
    rewinds: Arc<AtomicUsize>,
}

impl Read for Changing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.now.read(buffer)
    }
}

impl Seek for Changing {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        if to == SeekFrom::Start(0) {
            let rewinds = self.rewinds.fetch_add(1, Counting::Relaxed) + 1;
            if let Some((_, bytes)) = self.later.iter().find(|(at, _)| *at == rewinds) {
                self.now = Cursor::new(bytes.clone());
            }
        }
        self.now.seek(to)
    }
}

/// Checks `file` and takes what stands in its place when its records are read, and then when it is hashed.
async fn take_changed(fixture: &Fixture, file: &[u8], read: Vec<u8>, hashed: Vec<u8>) -> Result<Imported> {
    let rewinds = Arc::new(AtomicUsize::new(0));
    let changing = |later| Changing { now: Cursor::new(file.to_vec()), later, rewinds: Arc::clone(&rewinds) };
    drop(fixture.patient.check(vec![changing(Vec::new())], |_, _| ()).await?);
    let of_check = rewinds.swap(0, Counting::Relaxed);
    // Recognizing a file takes two more before its records are read.
    let later = vec![(of_check + 1, read), (of_check + 3, hashed)];
    let checked = fixture.patient.check(vec![changing(later)], |_, _| ()).await?;
    fixture.patient.take(checked, Completeness::Partial, |_, _| ()).await
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    let whole = export(31, 0..5_000);
    let cut = whole[..whole.len() * 9 / 10].to_vec();
    // The check passes; the second reading meets the end early, as a process that is killed would.
    let refused = take_changed(&fixture, &whole, cut, whole.clone()).await;
    assert!(matches!(refused, Err(ClientError::Import { file: 0, .. })));
    assert_eq!(count(&fixture).await, 4_000, "whole batches are there");

    let readings = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&readings);
    let checked = fixture
        .patient
        .check(vec![Cursor::new(whole.clone())], move |_, _| {
            heard.fetch_add(1, Counting::Relaxed);
        })
        .await
        .unwrap();
    assert_eq!(readings.load(Counting::Relaxed), 0, "it was checked before");
    assert_eq!(checked.taken_before().collect::<Vec<_>>(), [4_000]);
    let imported = fixture.patient.take(checked, Completeness::Complete, |_, _| ()).await.unwrap();
    assert_eq!((imported.changes.added, imported.changes.unchanged), (5_000, 0), "each was written once");
    assert_eq!(imported.absence, None, "what was taken before counts as there");
    assert_eq!(count(&fixture).await, 5_000);
    let again = fixture.patient.import(vec![Cursor::new(whole)], |_, _| ()).await.unwrap();
    assert_eq!((again.changes.added, again.changes.unchanged), (0, 5_000));
}

#[tokio::test]
async fn a_file_in_anothers_place_loses_none_of_its_records() {
    let whole = export(31, 0..2_500);
    let other = export(31, (0..2_500).rev());
    let cut = other[..other.len() * 9 / 10].to_vec();
    // It is seen in the end; or the process ends while the other file is in place, and the first one is back then.
    for (read, hashed) in [(other.clone(), other.clone()), (cut.clone(), other), (cut, whole.clone())] {
        let fixture = Fixture::new().await;
        let is_seen = hashed != whole;
        let refused = take_changed(&fixture, &whole, read, hashed).await;
        assert_eq!(matches!(refused, Err(ClientError::FileChanged { file: 0 })), is_seen);
        assert!(refused.is_err() && count(&fixture).await >= 2_000, "batches of the other file are there");
        let imported = take(&fixture, whole.clone(), Completeness::Complete).await.unwrap();
        assert_eq!((count(&fixture).await, imported.absence), (2_500, None));
    }
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

/// An Apple Health archive of an export and clinical records, by their names.
fn archive(export: Vec<u8>, clinical: &[(&str, String)]) -> Vec<u8> {
    use std::io::Write as _;
    let elements: Vec<_> = clinical
        .iter()
        .map(|(name, _)| {
            format!(
                "<ClinicalRecord fhirVersion=\"4.0.1\" resourceFilePath=\"/clinical-records/{name}.json\"/>"
            )
        })
        .collect();
    let export =
        String::from_utf8(export).unwrap().replace("</HealthData>", &(elements.concat() + "</HealthData>"));
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |path: String, content: &str| {
        writer.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    };
    put("apple_health_export/export.xml".into(), &export);
    for (name, json) in clinical.iter().filter(|(_, json)| !json.is_empty()) {
        put(format!("apple_health_export/clinical-records/{name}.json"), json);
    }
    writer.finish().unwrap().into_inner()
}

fn immunization(id: &str, status: &str) -> String {
    format!(
        r#"{{"resourceType":"Immunization","id":"{id}","status":"{status}","vaccineCode":{{"text":"a"}},"occurrenceDateTime":"2024-01-01"}}"#
    )
}

#[tokio::test]
async fn an_export_without_its_archive_says_nothing_about_clinical_records() {
    let fixture = Fixture::new().await;
    let both = [("a", immunization("a", "completed")), ("b", immunization("b", "completed"))];
    let first = take(&fixture, archive(export(1, 0..3), &both), Completeness::Complete).await.unwrap();
    assert_eq!((first.changes.added, first.absence), (5, None));
    let bare = take(&fixture, export(2, 0..3), Completeness::Complete).await.unwrap();
    assert_eq!(bare.absence, None);
    let fewer = take(&fixture, archive(export(3, 0..3), &both[..1]), Completeness::Complete).await.unwrap();
    let absence = fewer.absence.unwrap();
    assert_eq!((absence.count(), absence.left_alone.len()), (1, 0), "an archive does");
    assert_eq!(fixture.patient.confirm_absence(absence).await.unwrap(), 1);
    assert_eq!(count(&fixture).await, 4);
}

#[tokio::test]
async fn what_may_only_have_been_left_out_is_left_alone() {
    use sealcare_records::RecordType::{HeartRate, Immunization};
    let fixture = Fixture::new().await;
    let both = [("a", immunization("a", "completed")), ("b", immunization("b", "completed"))];
    take(&fixture, archive(export(1, 0..3), &both), Completeness::Complete).await.unwrap();
    let missing = [both[0].clone(), ("b", String::new())];
    let unread = [both[0].clone(), ("b", "{".to_owned())];
    for (day, clinical) in [(2, missing), (3, unread)] {
        let file = archive(export(day, 0..2), &clinical);
        let absence = take(&fixture, file, Completeness::Complete).await.unwrap().absence.unwrap();
        assert_eq!(absence.types.keys().collect::<Vec<_>>(), [&HeartRate], "of the export all was read");
        assert_eq!(absence.left_alone, [(Immunization, 1)].into());
    }
    let broken = String::from_utf8(export(4, 0..3)).unwrap().replacen("count/min", "furlongs", 1);
    let absence = take(&fixture, broken.into_bytes(), Completeness::Complete).await.unwrap().absence.unwrap();
    assert_eq!((absence.count(), absence.caution(), absence.left_alone), (0, None, [(HeartRate, 1)].into()));
    // What its institution calls a mistake is gone all the same.
    let withdrawn = [both[0].clone(), ("b", immunization("b", "entered-in-error"))];
    let file = archive(export(5, 0..3), &withdrawn);
    let absence = take(&fixture, file, Completeness::Complete).await.unwrap().absence.unwrap();
    assert_eq!((absence.count(), absence.left_alone.len()), (1, 0));
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
