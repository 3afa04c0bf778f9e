//! Records as FHIR NDJSON.

use std::{fmt::Write as _, io::Cursor};

/// Numbers of lab results' ids begin here.
const LAB_RESULTS: u32 = 1_000_000;

/// Heart rates: number (the minute since the first of January 2024) → beats.
pub(crate) fn heart_rates(values: impl IntoIterator<Item = (u32, u32)>) -> Cursor<Vec<u8>> {
    lines(values, 0, "vital-signs", "8867-4", "/min")
}

/// Glucose: number (the minute since the first of January 2024) → milligrams in a decilitre.
pub(crate) fn lab_results(values: impl IntoIterator<Item = (u32, u32)>) -> Cursor<Vec<u8>> {
    lines(values, LAB_RESULTS, "laboratory", "2345-7", "mg/dL")
}

fn lines(
    values: impl IntoIterator<Item = (u32, u32)>,
    first_id: u32,
    category: &str,
    code: &str,
    unit: &str,
) -> Cursor<Vec<u8>> {
    let mut text = String::new();
    for (number, value) in values {
        let (minute, hour, day) = (number % 60, number / 60 % 24, number / 1440 + 1);
        let id = first_id + number;
        writeln!(
            text,
            r#"{{"resourceType":"Observation","id":"00000000-0000-4000-8000-{id:012}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"{category}"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}"}}]}},"subject":{{"reference":"Patient/1"}},"effectiveDateTime":"2024-01-{day:02}T{hour:02}:{minute:02}:00Z","valueQuantity":{{"value":{value},"unit":"{unit}","system":"http://unitsofmeasure.org","code":"{unit}"}}}}"#
        )
        .unwrap();
    }
    text.push('\n');
    Cursor::new(text.into_bytes())
}
