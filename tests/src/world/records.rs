//! Small records: a number makes the id and the time.

use sealcare_client::{Record, RecordChange, RecordId};

/// So many beats per minute, in the minute `number` of 2024.
pub fn heart_rate(number: u32, beats: u32) -> RecordChange {
    upsert(number, &heart_rate_fhir(number, beats))
}

/// The same as a file has it, with the number as id.
pub fn heart_rate_fhir(number: u32, beats: u32) -> String {
    let (day, hour, minute) = (number / 1440 + 1, number / 60 % 24, number % 60);
    format!(
        r#"{{"resourceType":"Observation","id":"{number}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"subject":{{"reference":"Patient/1"}},"effectiveDateTime":"2024-01-{day:02}T{hour:02}:{minute:02}:00Z","valueQuantity":{{"value":{beats},"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}"#
    )
}

/// An influenza vaccine of that lot.
pub fn immunization(number: u32, lot: &str) -> RecordChange {
    upsert(number, &immunization_fhir(number, lot))
}

/// The same as a file has it, with the number as id.
pub fn immunization_fhir(number: u32, lot: &str) -> String {
    format!(
        r#"{{"resourceType":"Immunization","id":"{number}","status":"completed","vaccineCode":{{"coding":[{{"system":"http://hl7.org/fhir/sid/cvx","code":"140"}}]}},"patient":{{"reference":"Patient/1"}},"occurrenceDateTime":"2023-10-01","lotNumber":"{lot}"}}"#
    )
}

/// The source has that record no more.
pub fn gone(number: u32) -> RecordChange {
    RecordChange::Deleted(id(number))
}

fn upsert(number: u32, fhir: &str) -> RecordChange {
    RecordChange::Upsert(Box::new(Record::from_fhir_json(fhir.as_bytes(), id(number)).unwrap()))
}

fn id(number: u32) -> RecordId {
    RecordId::new(format!("00000000-0000-4000-8000-{number:012}")).unwrap()
}
