use std::convert::Infallible;

use serde_json::json;

use super::*;
use crate::{FhirVersion, Record};

fn import(json: &str) -> Result<(Vec<Record>, ImportReport), RecordError> {
    let mut records = Vec::new();
    let report = import_bundle(json.as_bytes(), &mut |record| {
        records.push(record);
        Ok::<_, Infallible>(())
    });
    match report {
        Ok(report) => Ok((records, report)),
        Err(ImportError::Record(error)) => Err(error),
        Err(ImportError::Sink(never)) => match never {},
    }
}

fn lab(id: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final",
        "category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],
        "code":{{"coding":[{{"system":"http://loinc.org","code":"2339-0","display":"Glucose"}}]}},
        "effectiveDateTime":"2011-03-01T02:28:07+00:00",
        "valueQuantity":{{"value":98.60,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}}}"#
    )
}

fn bundle(resources: &[&str]) -> String {
    let entries = resources.iter().map(|resource| format!("{{\"resource\":{resource}}}"));
    format!("{{\"resourceType\":\"Bundle\",\"entry\":[{}]}}", entries.collect::<Vec<_>>().join(","))
}

#[test]
fn a_result_passes_untouched() {
    let (records, _) = import(&bundle(&[&lab("a")])).unwrap();
    let json = String::from_utf8(records[0].fhir_json()).unwrap();
    assert!(json.contains("\"value\":98.60"));
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        serde_json::from_str::<Value>(&lab("a")).unwrap()
    );
    assert_eq!((records[0].label(), records[0].summary().as_str()), ("Glucose", "98.60 mg/dL"));
}

#[test]
fn imported_and_skipped_add_up() {
    let wrong = lab("c").replace("final", "entered-in-error").replace("valueQuantity", "gone");
    let resources = [&lab("a"), &lab("a"), &wrong, r#"{"resourceType":"DiagnosticReport"}"#, "7", "{}"];
    let (records, report) = import(&bundle(&resources)).unwrap();
    assert_eq!(records.len(), 1);
    let names: Vec<_> = report.skipped.iter().map(|(reason, count)| (reason.name(), *count)).collect();
    assert_eq!(names, [("diagnostic-report", 1), ("entered-in-error", 1), ("malformed", 2), ("repeated", 1)]);
}

#[test]
fn a_correction_in_the_same_file_travels_under_the_same_id() {
    let (records, _) = import(&bundle(&[&lab("a"), &lab("a").replace("98.60", "98.61")])).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].id(), records[1].id());
}

#[test]
fn the_type_may_come_after_the_entries() {
    let sorted = format!("{{\"entry\":[{{\"resource\":{}}}],\"resourceType\":\"Bundle\"}}", lab("a"));
    assert_eq!(import(&sorted).unwrap().0.len(), 1);
    assert_eq!(import(&lab("a")).unwrap().0.len(), 1);
    let list = r#"{"resourceType":"List","entry":[{"item":{}}]}"#;
    assert_eq!(import(list).unwrap().1.skipped[&SkipReason::NotASharedType], 1);
}

#[test]
fn older_versions_are_refused_with_their_place() {
    let old = json!({"resourceType": "Immunization", "wasNotGiven": false}).to_string();
    let refused = import(&bundle(&[&lab("a"), &old]));
    assert!(matches!(refused, Err(RecordError::Version { version: FhirVersion::Dstu2, entry: 1 })));
}

#[test]
fn what_is_not_fhir_is_refused() {
    assert!(matches!(import("{}"), Err(RecordError::NotFhir)));
    assert!(matches!(import(r#"{"entry":[]}"#), Err(RecordError::NotFhir)));
    assert!(matches!(import("[]"), Err(RecordError::Json { line: 1, .. })));
    assert!(matches!(import("{\n\"a\":"), Err(RecordError::Json { line: 2, .. })));
    assert!(matches!(import(&format!("{} 7", bundle(&[]))), Err(RecordError::Json { .. })));
}

#[test]
fn a_large_resource_is_skipped_and_the_next_is_read() {
    let large = lab("b").replace("Glucose", &"x".repeat(RESOURCE_BYTES_MAX));
    let (records, report) = import(&bundle(&[&large, &lab("a")])).unwrap();
    assert_eq!((records.len(), report.skipped[&SkipReason::TooLarge]), (1, 1));
}

#[test]
fn an_entry_without_end_is_not_held() {
    let start = br#"{"resourceType":"Bundle","entry":[{"a":""#.as_slice();
    let endless = std::io::Read::chain(start, std::io::repeat(b'x'));
    let refused = import_bundle(endless, &mut |_| Ok::<_, Infallible>(()));
    assert!(matches!(refused, Err(ImportError::Record(RecordError::EntryTooLarge { entry: 0 }))));
}

#[test]
fn deep_nesting_does_not_overflow() {
    let deep = format!("{{\"resourceType\":\"Basic\",\"a\":{}", "[".repeat(100_000));
    assert!(matches!(import(&deep), Err(RecordError::Json { .. })));
    let entry = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let inside = format!("{{\"resourceType\":\"Basic\",\"a\":{entry}}}");
    assert_eq!(import(&bundle(&[&inside])).unwrap().1.skipped[&SkipReason::Malformed], 1);
}
