use std::convert::Infallible;

use super::*;
use crate::{Model, Record, SkipReason};

fn import(xml: &str) -> Result<(Vec<Record>, ImportReport), RecordError> {
    let mut records = Vec::new();
    let report = import_xml(xml.as_bytes(), &mut |record| {
        records.push(record);
        Ok::<_, Infallible>(())
    });
    match report {
        Ok(report) => Ok((records, report)),
        Err(ImportError::Record(error)) => Err(error),
        Err(ImportError::Sink(never)) => match never {},
    }
}

fn export(items: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<HealthData locale=\"en\">{items}</HealthData>")
}

fn record(kind: &str, unit: &str, value: &str) -> String {
    format!(
        "<Record type=\"HKQuantityTypeIdentifier{kind}\" sourceName=\"Watch\" unit=\"{unit}\" value=\"{value}\" \
         startDate=\"2024-06-15 08:00:00 +0000\" endDate=\"2024-06-15 08:01:00 +0000\"/>"
    )
}

#[test]
fn samples_become_records_and_the_rest_is_counted() {
    let items = [
        record("HeartRate", "count/min", "72"),
        record("HeartRate", "count/s", "1.2"),
        record("HeartRate", "count/min", "fast"),
        record("HeartRate", "count/min", ""),
        record("StepCount", "count", "5"),
        record("AppleExerciseTime", "min", "1.0"),
        "<Workout/><ActivitySummary/><ClinicalRecord/><Audiogram/><Me/>".to_owned(),
    ];
    let (records, report) = import(&export(&items.concat())).unwrap();
    assert_eq!(records.iter().map(Record::summary).collect::<Vec<_>>(), ["72 /min", "1.0 min"]);
    let skipped: Vec<_> = report.skipped.iter().map(|(reason, count)| (reason.name(), *count)).collect();
    let expected = [
        ("activity-summary", 1),
        ("clinical-record", 1),
        ("invalid-value", 1),
        ("no-value", 1),
        ("not-a-shared-type", 2),
        ("unknown-unit", 1),
        ("workout", 1),
    ];
    assert_eq!(skipped, expected);
}

#[test]
fn identical_records_are_kept_apart_the_same_way_each_time() {
    let xml = export(&record("HeartRate", "count/min", "72").repeat(3));
    let ids = |xml: &str| import(xml).unwrap().0.iter().map(|record| record.id().clone()).collect::<Vec<_>>();
    let first = ids(&xml);
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    assert_eq!(first, ids(&xml));
}

#[test]
fn an_export_from_another_time_zone_has_the_same_ids() {
    let here = export(&record("HeartRate", "count/min", "72"));
    let there = here.replace("08:00:00 +0000", "10:00:00 +0200").replace("08:01:00 +0000", "10:01:00 +0200");
    assert_eq!(import(&here).unwrap().0[0].id(), import(&there).unwrap().0[0].id());
}

#[test]
fn the_source_uuid_is_the_id_once() {
    const UUID: &str = "6d896f17-0ce1-4487-9caf-3c43a7c3dc2b";
    let metadata = format!("><MetadataEntry key=\"HKExternalUUID\" value=\"{UUID}\"/></Record>");
    let with_uuid = record("HeartRate", "count/min", "72").replace("/>", &metadata);
    let (records, _) = import(&export(&with_uuid.repeat(2))).unwrap();
    assert_eq!(records[0].id().as_str(), UUID);
    assert_ne!(records[1].id().as_str(), UUID);
    let json: serde_json::Value = serde_json::from_slice(&records[0].fhir_json()).unwrap();
    assert_eq!(json["identifier"][0]["value"], format!("urn:uuid:{UUID}"));
}

#[test]
fn a_correlation_is_one_record_wherever_its_twins_are() {
    let (high, low) =
        (record("BloodPressureSystolic", "mmHg", "118"), record("BloodPressureDiastolic", "mmHg", "76"));
    let correlation = format!(
        "<Correlation type=\"HKCorrelationTypeIdentifierBloodPressure\" sourceName=\"Watch\">\
         <MetadataEntry key=\"HKWasUserEntered\" value=\"1\"/>{high}{low}</Correlation>"
    );
    let mut ids = Vec::new();
    for items in [format!("{high}{low}{correlation}"), format!("{correlation}{low}{high}")] {
        let (records, report) = import(&export(&items)).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].summary(), "118/76 mm[Hg]");
        assert_eq!(records[0].entry(), crate::Entry::Manual);
        assert_eq!(report.skipped[&SkipReason::BloodPressureChild], 2);
        ids.push(records[0].id().clone());
    }
    let (records, report) = import(&export(&format!("{high}{low}"))).unwrap();
    assert_eq!((records[0].id(), report.skipped.len()), (&ids[0], 0));
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn halves_without_each_other_are_counted() {
    let high = record("BloodPressureSystolic", "mmHg", "118");
    let correlation =
        format!("<Correlation type=\"HKCorrelationTypeIdentifierBloodPressure\">{high}</Correlation>");
    let (records, report) = import(&export(&format!("{correlation}{high}{high}"))).unwrap();
    assert!(records.is_empty());
    assert_eq!(report.skipped[&SkipReason::BloodPressureChild], 1);
    assert_eq!(report.skipped[&SkipReason::BloodPressureUnpaired], 2);
}

#[test]
fn devices_and_references_are_read() {
    let device = "&lt;&lt;HKDevice: 0x30&gt;, name:Ana&apos;s &#x57;atch, hardware:Watch6,7&gt;";
    let items =
        record("HeartRate", "count/min", "72").replace("unit=", &format!("device=\"{device}\" unit="));
    let (records, report) =
        import(&export(&format!("{items}<Me HKCharacteristicTypeIdentifierDateOfBirth=\"1990-05-20\"/>")))
            .unwrap();
    let provenance = records[0].provenance().unwrap();
    assert_eq!(provenance.device.name.as_deref(), Some("Ana's Watch"));
    assert_eq!(provenance.app.as_deref(), Some("Watch"));
    assert_eq!(report.person.unwrap().birth_date.as_deref(), Some("1990-05-20"));
    assert!(matches!(records[0].model(), Model::HeartRate(_)));
}

#[test]
fn the_sinks_error_ends_the_import() {
    let xml = export(&record("HeartRate", "count/min", "72").repeat(2));
    let mut taken = 0;
    let result = import_xml(xml.as_bytes(), &mut |_| {
        taken += 1;
        Err("full")
    });
    assert!(matches!(result, Err(ImportError::Sink("full"))));
    assert_eq!(taken, 1);
}
