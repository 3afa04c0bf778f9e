//! The committed fixtures, whole: what is imported, what is left out and why, what each record says.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Cursor;

use sealcare_records::{Entry, Progress, RecordId, RecordType, WithProgress, import};
use support::{fixture, read};

#[test]
fn an_apple_export_is_read_whole() {
    let imported = read(&fixture("export.xml")).unwrap();
    assert_eq!(imported.counts(), [("exercise-minutes", 2), ("heart-rate", 5), ("blood-pressure", 2)]);
    let skipped = [
        ("activity-summary", 1),
        ("blood-pressure-child", 4),
        ("blood-pressure-unpaired", 1),
        ("clinical-record", 1),
        ("not-a-shared-type", 2),
        ("unknown-unit", 1),
        ("workout", 1),
    ];
    assert_eq!(imported.skipped(), skipped);
    let person = imported.report.person.as_ref().unwrap();
    assert_eq!((person.name.as_deref(), person.birth_date.as_deref()), (None, Some("1961-03-09")));
    let of = |kind| imported.records.iter().filter(move |record| record.record_type() == kind);
    let pressures: Vec<_> = of(RecordType::BloodPressure).map(|r| (r.summary(), r.entry())).collect();
    assert_eq!(
        pressures,
        [("128/84 mm[Hg]".to_owned(), Entry::Measured), ("125/82 mm[Hg]".to_owned(), Entry::Manual)]
    );
    let rates: Vec<_> = of(RecordType::HeartRate).map(sealcare_records::Record::summary).collect();
    assert_eq!(rates, ["64 /min", "66.50 /min", "71 /min", "70 /min", "70 /min"]);
}

#[test]
fn a_patients_record_is_full_fhir() {
    let imported = read(&fixture("export.xml")).unwrap();
    let json: Vec<_> = imported.json().collect();
    let watch = &json[0];
    assert_eq!(watch["code"]["coding"][0]["code"], "8867-4");
    assert_eq!(watch["category"][0]["coding"][0]["code"], "vital-signs");
    assert_eq!(watch["effectiveDateTime"], "2024-06-30T08:00:00+01:00");
    assert_eq!(watch["contained"][0]["deviceName"][0]["name"], "Apple Watch");
    assert_eq!(watch["contained"][0]["deviceName"][1]["name"], "Rosa’s Watch");
    assert_eq!(watch["identifier"][0]["system"], "urn:sealcare:record");
    assert_eq!(watch["identifier"][0]["value"], imported.records[0].id().as_str());
    let manual = &json[2];
    assert_eq!(manual["identifier"][0]["value"], "urn:uuid:0b1e5a1c-93f7-4c0d-8e0b-2f6a7c1d9e55");
    assert_eq!(manual["method"]["coding"][0]["code"], "manual-entry");
    assert_eq!(manual["effectivePeriod"]["end"], "2024-06-30T09:00:30+01:00");
}

#[test]
fn a_second_export_gives_the_same_ids() {
    let ids = |bytes: &[u8]| -> Vec<RecordId> {
        let mut ids: Vec<_> = read(bytes).unwrap().records.iter().map(|r| r.id().clone()).collect();
        ids.sort();
        ids
    };
    let first = String::from_utf8(fixture("export.xml")).unwrap();
    let second = first.replace("0x281e55540", "0x30177aa40");
    assert_eq!(ids(first.as_bytes()), ids(second.as_bytes()));
    let mut distinct = ids(first.as_bytes());
    distinct.dedup();
    assert_eq!(distinct.len(), 9);
}

#[test]
fn a_bundle_is_read_whole() {
    let imported = read(&fixture("bundle.json")).unwrap();
    let counts = [
        ("exercise-minutes", 1),
        ("heart-rate", 1),
        ("blood-pressure", 1),
        ("lab-result", 1),
        ("immunization", 1),
    ];
    assert_eq!(imported.counts(), counts);
    let skipped =
        [("diagnostic-report", 1), ("entered-in-error", 1), ("no-resource", 1), ("not-a-shared-type", 2)];
    assert_eq!(imported.skipped(), skipped);
    let person = imported.report.person.as_ref().unwrap();
    assert_eq!(person.name.as_deref(), Some("Rosa Exemplar"));
    assert_eq!(imported.report.people, 1);
    let said: Vec<_> = imported.records.iter().map(|r| format!("{}: {}", r.label(), r.summary())).collect();
    let expected = [
        "Glucose: 98.60 mg/dL",
        "Heart rate: 61 /min",
        "Blood pressure: 121.0/80.0 mm[Hg]",
        "Exercise: 30 min",
        "Influenza, seasonal: completed, lot EX-0042",
    ];
    assert_eq!(said, expected);
}

#[test]
fn ndjson_is_read_whole() {
    let imported = read(&fixture("resources.ndjson")).unwrap();
    assert_eq!(imported.counts(), [("heart-rate", 1), ("immunization", 1)]);
    assert_eq!(imported.skipped(), [("unknown-unit", 1)]);
    assert_eq!(imported.records[1].summary(), "not-done");
    assert_ne!(imported.records[0].id(), imported.records[1].id());
}

#[test]
fn the_end_is_reported_with_the_size() {
    let bytes = fixture("export.xml");
    let heard: RefCell<Vec<Progress>> = RefCell::default();
    let sink = |_| Ok::<_, Infallible>(());
    import(Cursor::new(&bytes), &mut WithProgress::new(sink, |progress| heard.borrow_mut().push(progress)))
        .unwrap();
    let size = u64::try_from(bytes.len()).unwrap();
    let last = heard.borrow().last().copied().unwrap();
    assert_eq!(last, Progress { bytes_read: size, bytes_total: Some(size), records: 9 });
}
