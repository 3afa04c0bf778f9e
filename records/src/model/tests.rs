use serde_json::json;

use super::*;
use crate::json::into_object;
use crate::{Coding, Decimal, Moment, unit::Quantity};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn at(text: &str) -> Effective {
    Effective::At(Moment::from_fhir(text).unwrap())
}

fn every_model() -> Vec<Model> {
    let (start, end) = (Moment::from_fhir("2024-01-01T08:00:00Z"), Moment::from_fhir("2024-01-01T09:00:00Z"));
    let bound = |text| Some(Quantity::new(decimal(text), "mg/dL"));
    vec![
        Model::HeartRate(HeartRate { rate: decimal("72.0"), effective: at("2024-01-01T08:00:00+02:00") }),
        Model::BloodPressure(BloodPressure {
            systolic: Some(decimal("120")),
            diastolic: Some(decimal("80")),
            effective: at("2024-01-01"),
        }),
        Model::Exercise(ExerciseMinutes {
            minutes: decimal("30"),
            effective: Effective::From(start.unwrap(), Some(end.unwrap())),
        }),
        Model::Lab(Box::new(LabResult {
            code: Coding::loinc("2339-0", "Glucose"),
            value: LabValue::Quantity(Quantity::new(decimal("98.60"), "mg/dL")),
            range: Some(ReferenceRange { low: bound("70"), high: bound("99"), text: None }),
            interpretation: Some("N".to_owned()),
            effective: at("2024-01-01T08:00:00Z"),
        })),
        Model::Immunization(Immunization {
            vaccine: Coding::cvx("140", "Influenza"),
            status: ImmunizationStatus::Completed,
            lot: Some("LOT-1".to_owned()),
            occurrence: at("2024-01-01"),
        }),
    ]
}

#[test]
fn every_model_reads_back_from_its_own_fhir() {
    for model in every_model() {
        assert_eq!(Model::from_fhir(&model.to_fhir()).unwrap(), model);
    }
}

#[test]
fn summaries_read_well() {
    let summaries: Vec<String> = every_model().iter().map(Model::summary).collect();
    assert_eq!(summaries, ["72.0 /min", "120/80 mm[Hg]", "30 min", "98.60 mg/dL", "completed, lot LOT-1"]);
}

#[test]
fn what_the_model_needs_is_asked_for() {
    let heart_rate = every_model()[0].to_fhir();
    let without = |member: &str| {
        let mut resource = heart_rate.clone();
        resource.remove(member);
        Model::from_fhir(&resource).unwrap_err()
    };
    assert_eq!(without("valueQuantity"), SkipReason::NoValue);
    assert_eq!(without("effectiveDateTime"), SkipReason::NoEffectiveTime);
    assert_eq!(without("code"), SkipReason::NotASharedType);
    assert_eq!(without("resourceType"), SkipReason::Malformed);
}

#[test]
fn the_older_blood_pressure_panel_and_a_missing_half_are_read() {
    let mut resource = every_model()[1].to_fhir();
    resource["code"]["coding"][0]["code"] = json!("55284-4");
    resource["component"][1].as_object_mut().unwrap().remove("valueQuantity");
    assert_eq!(Model::from_fhir(&resource).unwrap().summary(), "120/– mm[Hg]");
    resource.remove("component");
    assert_eq!(Model::from_fhir(&resource).unwrap_err(), SkipReason::NoValue);
}

#[test]
fn a_vaccination_long_past_keeps_its_words() {
    let mut resource = every_model()[4].to_fhir();
    resource.remove("occurrenceDateTime");
    resource.insert("occurrenceString".to_owned(), json!("in childhood"));
    let model = Model::from_fhir(&resource).unwrap();
    assert_eq!(model.effective().as_str(), "in childhood");
    assert!(!model.effective().is_since(1));
    assert_eq!(model.to_fhir(), resource);
}

#[test]
fn exercise_is_always_written_as_a_period() {
    let exercise = ExerciseMinutes { minutes: decimal("1"), effective: at("2024-01-01T08:00:00Z") };
    assert!(exercise.to_fhir().contains_key("effectivePeriod"));
}

#[test]
fn results_of_any_kind_have_a_summary() {
    let summary = |member: &str, value: serde_json::Value| {
        let mut resource = every_model()[3].to_fhir();
        resource.remove("valueQuantity");
        resource.insert(member.to_owned(), value);
        Model::from_fhir(&resource).map(|model| model.summary())
    };
    assert_eq!(
        summary("valueCodeableConcept", json!({"coding": [{"code": "A", "display": "Group A"}]})).unwrap(),
        "Group A"
    );
    assert_eq!(summary("valueString", json!("clear")).unwrap(), "clear");
    assert_eq!(summary("valueInteger", json!(3)).unwrap(), "3");
    assert_eq!(
        summary("dataAbsentReason", json!({"coding": [{"code": "error"}]})).unwrap(),
        "no value (error)"
    );
    assert_eq!(summary("_valueString", json!({})).unwrap_err(), SkipReason::NoValue);
    let part = json!([{"code": {"text": "Part"}, "valueQuantity": {"value": 1.50, "unit": "g"}}]);
    assert!(summary("component", part).unwrap().starts_with("Part 1.5"));
}

#[test]
fn debug_text_holds_no_values() {
    let printed = format!("{:?}", every_model());
    for value in ["72.0", "120", "98.60", "Glucose", "LOT-1", "2024"] {
        assert!(!printed.contains(value), "{value}");
    }
    let lab = into_object(json!({"resourceType": "Patient"}));
    assert_eq!(Model::from_fhir(&lab).unwrap_err(), SkipReason::NotASharedType);
}
