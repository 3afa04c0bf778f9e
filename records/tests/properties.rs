//! Properties of the typed model and of identity, over generated values.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use proptest::prelude::*;
use sealcare_records::model::{BloodPressure, HeartRate, LabResult, LabValue};
use sealcare_records::{Coding, Decimal, Effective, Model, Moment, Quantity, Record, RecordId};
use support::read;

/// Any decimal that FHIR can write, without an exponent.
fn decimal() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,11})(\\.[0-9]{1,12})?"
}

fn time() -> impl Strategy<Value = String> {
    let fields = (1900..2100i32, 1..=12u8, 1..=28u8, 0..24u8, 0..60u8, 0..60u8, 0..14u8);
    fields.prop_map(|(year, month, day, hour, minute, second, offset)| {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+{offset:02}:00")
    })
}

fn at(text: &str) -> Effective {
    Effective::At(Moment::from_fhir(text).unwrap())
}

fn reread(model: Model) -> (Record, Record) {
    let id = RecordId::new("a").unwrap();
    let record = Record::from_model(id.clone(), model);
    let again = Record::from_fhir_json(&record.fhir_json(), id).unwrap();
    (record, again)
}

proptest! {
    #[test]
    fn decimals_keep_their_text_through_fhir(value in decimal(), when in time()) {
        let rate: Decimal = value.parse().unwrap();
        let (record, again) = reread(Model::HeartRate(HeartRate { rate, effective: at(&when) }));
        prop_assert_eq!(&record, &again);
        let needle = format!("\"value\":{value}");
        let json = String::from_utf8(again.fhir_json()).unwrap();
        let end = json.find(&needle).map(|start| json.as_bytes()[start + needle.len()]);
        prop_assert!(matches!(end, Some(b',' | b'}')), "the text is there, whole");
        prop_assert_eq!(again.effective().as_str(), when);
    }

    #[test]
    fn pressures_and_results_read_back(high in decimal(), low in decimal(), when in time(), name in "\\PC{1,40}", unit in "[a-zA-Z/\\[\\]{}%0-9*]{0,12}") {
        let pressure = BloodPressure { systolic: high.parse().ok(), diastolic: low.parse().ok(), effective: at(&when) };
        let (record, again) = reread(Model::BloodPressure(pressure));
        prop_assert_eq!(record, again);
        let result = LabResult {
            code: Coding::loinc("1-8", &name),
            value: LabValue::Quantity(Quantity::new(high.parse().unwrap(), unit)),
            range: None,
            interpretation: None,
            effective: at(&when),
        };
        let (record, again) = reread(Model::Lab(Box::new(result)));
        prop_assert_eq!(record, again);
    }

    #[test]
    fn a_resource_passes_an_import_byte_for_byte_in_meaning(value in decimal(), when in time(), note in "\\PC{0,60}") {
        let source = format!(
            r#"{{"resourceType":"Observation","id":"x","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"effectiveDateTime":"{when}","valueQuantity":{{"value":{value},"code":"/min"}},"note":[{{"text":{}}}]}}"#,
            serde_json::Value::from(note)
        );
        let imported = read(source.as_bytes()).unwrap();
        let before: serde_json::Value = serde_json::from_str(&source).unwrap();
        prop_assert_eq!(imported.json().next().unwrap(), before);
    }

    #[test]
    fn samples_that_differ_have_different_ids(left in (0..60u8, 50..99u8), right in (0..60u8, 50..99u8)) {
        let sample = |(second, rate): (u8, u8)| format!(
            r#"<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="W" unit="count/min" startDate="2024-01-01 00:00:{second:02} +0000" endDate="2024-01-01 00:01:00 +0000" value="{rate}"/>"#
        );
        let export = format!("<HealthData>{}{}</HealthData>", sample(left), sample(right));
        let imported = read(export.as_bytes()).unwrap();
        prop_assert_ne!(imported.records[0].id(), imported.records[1].id());
    }
}

/// The same readings at top level, in correlations or both, in any order.
fn pressures(items: &[(u8, bool, bool)]) -> Vec<String> {
    let half = |minute: u8, kind: &str, value: u8| {
        format!(
            r#"<Record type="HKQuantityTypeIdentifierBloodPressure{kind}" sourceName="Cuff" unit="mmHg" startDate="2024-01-01 00:{minute:02}:00 +0000" endDate="2024-01-01 00:{minute:02}:00 +0000" value="{value}"/>"#
        )
    };
    let mut found = Vec::new();
    for &(minute, is_loose, is_correlated) in items {
        let halves = [half(minute, "Systolic", 100 + minute), half(minute, "Diastolic", 60 + minute)];
        if is_correlated || !is_loose {
            found.push(format!(
                r#"<Correlation type="HKCorrelationTypeIdentifierBloodPressure">{}</Correlation>"#,
                halves.concat()
            ));
        }
        if is_loose {
            found.extend(halves);
        }
    }
    found
}

proptest! {
    #[test]
    fn a_blood_pressure_is_one_record_in_any_order_and_form(
        items in prop::collection::btree_map(0..60u8, (any::<bool>(), any::<bool>()), 1..12),
        others in prop::collection::vec((any::<bool>(), any::<bool>()), 12),
        seed in prop::collection::vec(any::<u64>(), 64),
    ) {
        let ids = |items: &[(u8, bool, bool)], order: &[u64]| {
            let mut parts: Vec<_> = pressures(items).into_iter().zip(order.iter().cycle()).collect();
            parts.sort_by_key(|(_, rank)| **rank);
            let parts: String = parts.into_iter().map(|(part, _)| part).collect();
            let imported = read(format!("<HealthData>{parts}</HealthData>").as_bytes()).unwrap();
            let ids: std::collections::BTreeSet<_> = imported.records.iter().map(|r| r.id().clone()).collect();
            (ids, imported.records.len())
        };
        let first: Vec<_> = items.iter().map(|(minute, (a, b))| (*minute, *a, *b)).collect();
        // Another export of the same readings, which writes them in another form.
        let second: Vec<_> = items.keys().zip(others).map(|(minute, (a, b))| (*minute, a, b)).collect();
        let (expected, count) = ids(&first, &[0]);
        prop_assert_eq!(count, items.len());
        prop_assert_eq!(&ids(&first, &seed).0, &expected);
        prop_assert_eq!(ids(&second, &seed), (expected, count));
    }
}
