//! Recognizing resources of older FHIR versions, so that they are refused by name and never read by guess: the same
//! member can mean another thing there.
//!
//! A resource rarely says which version it is, so what gives it away is its shape. DSTU2: resource types that were
//! renamed (`MedicationOrder`, `DiagnosticOrder`, `Conformance` …), `Immunization.wasNotGiven` or `.reported`,
//! an Observation's `category` that is no list, or its `comments`, `AllergyIntolerance.substance`,
//! `Condition.dateRecorded`, a Patient's `careProvider` or a family name that is a list, an Argonaut profile.
//! STU3: `Immunization.notGiven`, or `.date` without `occurrence[x]`; an Observation's `context`, `comment` or an
//! `interpretation` that is no list. Best effort: an old resource without any of these shapes reads as R4.

use serde_json::Value;

use crate::FhirVersion;
use crate::json::{Object, object, objects, text};

/// Resource types that DSTU2 has and R4 has not (STU3 kept none of them).
const DSTU2_TYPES: [&str; 6] =
    ["Conformance", "DiagnosticOrder", "DeviceUseRequest", "MedicationOrder", "Order", "OrderResponse"];

/// The older version that a resource is of, if it shows.
pub(super) fn detect(resource: &Object) -> Option<FhirVersion> {
    let kind = text(resource, "resourceType")?;
    if DSTU2_TYPES.contains(&kind) || declares(resource, "/argonaut/") || declares(resource, "/DSTU2/") {
        return Some(FhirVersion::Dstu2);
    }
    let has = |member: &str| resource.contains_key(member);
    let is_object = |member: &str| resource.get(member).is_some_and(Value::is_object);
    match kind {
        "Immunization" if has("wasNotGiven") || has("reported") => Some(FhirVersion::Dstu2),
        "Immunization" if has("notGiven") || (has("date") && !has_occurrence(resource)) => {
            Some(FhirVersion::Stu3)
        }
        "Observation" if is_object("category") || has("comments") => Some(FhirVersion::Dstu2),
        "Observation" if has("context") || has("comment") || is_object("interpretation") => {
            Some(FhirVersion::Stu3)
        }
        "AllergyIntolerance" if has("substance") => Some(FhirVersion::Dstu2),
        "Condition" if has("dateRecorded") => Some(FhirVersion::Dstu2),
        "Patient" if has("careProvider") || has_listed_family(resource) => Some(FhirVersion::Dstu2),
        _ => None,
    }
}

fn declares(resource: &Object, part: &str) -> bool {
    let profiles = object(resource, "meta").and_then(|meta| meta.get("profile")).and_then(Value::as_array);
    profiles.into_iter().flatten().filter_map(Value::as_str).any(|profile| profile.contains(part))
}

fn has_occurrence(immunization: &Object) -> bool {
    immunization.keys().any(|member| member.trim_start_matches('_').starts_with("occurrence"))
}

fn has_listed_family(patient: &Object) -> bool {
    objects(patient, "name").any(|name| name.get("family").is_some_and(Value::is_array))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::into_object;
    use serde_json::json;

    #[test]
    fn older_shapes_are_named() {
        let dstu2 = [
            json!({"resourceType": "MedicationOrder"}),
            json!({"resourceType": "Immunization", "wasNotGiven": false, "date": "2014"}),
            json!({"resourceType": "Observation", "category": {"coding": []}}),
            json!({"resourceType": "Patient", "name": [{"family": ["Silva"]}]}),
            json!({"resourceType": "Device", "meta": {"profile": ["http://fhir.org/guides/argonaut/x"]}}),
        ];
        for resource in dstu2 {
            assert_eq!(detect(&into_object(resource)), Some(FhirVersion::Dstu2));
        }
        let stu3 = [
            json!({"resourceType": "Immunization", "notGiven": false}),
            json!({"resourceType": "Immunization", "status": "completed", "date": "2014"}),
            json!({"resourceType": "Observation", "category": [], "context": {"reference": "Encounter/1"}}),
        ];
        for resource in stu3 {
            assert_eq!(detect(&into_object(resource)), Some(FhirVersion::Stu3));
        }
    }

    #[test]
    fn r4_passes() {
        let r4 = [
            json!({"resourceType": "Immunization", "occurrenceString": "in 2014"}),
            json!({"resourceType": "Observation", "category": [], "interpretation": []}),
            json!({"resourceType": "Patient", "name": [{"family": "Silva"}]}),
        ];
        for resource in r4 {
            assert_eq!(detect(&into_object(resource)), None);
        }
    }
}
