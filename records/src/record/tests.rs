use super::*;
use crate::SkipReason;

const UUID: &str = "6d896f17-0ce1-4487-9caf-3c43a7c3dc2b";

fn id() -> RecordId {
    RecordId::new(UUID).unwrap()
}

fn heart_rate(extra: &str) -> Vec<u8> {
    format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},
        "effectiveDateTime":"2024-01-01T08:00:00Z","valueQuantity":{{"value":72.00,"code":"/min"}}{extra}}}"#
    )
    .into_bytes()
}

fn json(record: &Record) -> Value {
    serde_json::from_slice(&record.fhir_json()).unwrap()
}

#[test]
fn the_content_decides_the_type() {
    let record = Record::from_fhir_json(&heart_rate(""), id()).unwrap();
    assert_eq!(record.record_type(), RecordType::HeartRate);
    assert_eq!((record.label(), record.summary().as_str()), ("Heart rate", "72.00 /min"));
    assert_eq!(record.effective().as_str(), "2024-01-01T08:00:00Z");
    assert_eq!(Record::from_fhir_json(&record.fhir_json(), id()).unwrap(), record);
}

#[test]
fn what_cannot_be_shared_is_refused_by_reason() {
    let refused = |json: &[u8]| Record::from_fhir_json(json, id()).unwrap_err();
    assert!(matches!(
        refused(br#"{"resourceType":"Patient"}"#),
        RecordError::NotShared(SkipReason::NotASharedType)
    ));
    assert!(matches!(refused(b"{"), RecordError::Json { line: 1, .. }));
    assert!(matches!(refused(b"[]"), RecordError::Json { .. }));
    assert!(matches!(refused(&vec![b' '; RESOURCE_BYTES_MAX + 1]), RecordError::TooLarge));
    let celsius = String::from_utf8(heart_rate("")).unwrap().replace("/min", "Cel");
    assert!(matches!(refused(celsius.as_bytes()), RecordError::NotShared(SkipReason::UnknownUnit)));
}

#[test]
fn the_subject_replaces_the_source_patient_everywhere_it_is_named() {
    let extra = r#","subject":{"reference":"urn:uuid:1"},"performer":[{"reference":"urn:uuid:1"},{"reference":"urn:uuid:2"}]"#;
    let record = Record::from_fhir_json(&heart_rate(extra), id()).unwrap().with_subject("Patient/17");
    let json = json(&record);
    assert_eq!(json["subject"]["reference"], "Patient/17");
    assert_eq!(json["performer"][0]["reference"], "Patient/17");
    assert_eq!(json["performer"][1]["reference"], "urn:uuid:2");
}

#[test]
fn an_immunization_names_its_patient() {
    let immunization = br#"{"resourceType":"Immunization","status":"not-done","vaccineCode":{"text":"Flu"},"occurrenceDateTime":"2024"}"#;
    let record = Record::from_fhir_json(immunization, id()).unwrap().with_subject("Patient/17");
    assert_eq!(json(&record)["patient"]["reference"], "Patient/17");
    assert!(json(&record).get("subject").is_none());
}

#[test]
fn a_withdrawn_record_says_so() {
    let withdrawn = String::from_utf8(heart_rate("")).unwrap().replace("final", "entered-in-error");
    assert!(Record::from_fhir_json(withdrawn.as_bytes(), id()).unwrap().is_entered_in_error());
    assert!(!Record::from_fhir_json(&heart_rate(""), id()).unwrap().is_entered_in_error());
}

#[test]
fn a_patients_own_record_names_identifier_device_and_performer() {
    let model = Record::from_fhir_json(&heart_rate(""), id()).unwrap().model().clone();
    let provenance = Provenance {
        app: Some("Health".to_owned()),
        app_version: None,
        device: crate::SourceDevice::default(),
        entry: Entry::Manual,
    };
    let record = Record::from_model(id(), model).with_provenance(&provenance).with_subject("Patient/17");
    let json = json(&record);
    assert_eq!(json["identifier"][0]["system"], "urn:ietf:rfc:3986");
    assert_eq!(json["performer"][0]["reference"], "Patient/17");
    assert_eq!(json["device"]["reference"], "#device");
    assert_eq!(json["contained"][0]["resourceType"], "Device");
    assert_eq!(record.entry(), Entry::Manual);
    assert_eq!(json["valueQuantity"]["code"], "/min");
}

#[test]
fn debug_text_shows_neither_id_nor_value() {
    let printed = format!("{:?}", Record::from_fhir_json(&heart_rate(""), id()).unwrap());
    assert!(!printed.contains("72") && !printed.contains(UUID));
}
