//! Code systems and the codes that mark the shared types. Not here: units (`unit`).

use serde_json::{Value, json};

use crate::json::{Object, object, objects, text};

pub(crate) const SYSTEM_LOINC: &str = "http://loinc.org";
pub(crate) const SYSTEM_UCUM: &str = "http://unitsofmeasure.org";
pub(crate) const SYSTEM_CVX: &str = "http://hl7.org/fhir/sid/cvx";
pub(crate) const SYSTEM_HEALTHKIT: &str = "http://developer.apple.com/documentation/healthkit";
pub(crate) const SYSTEM_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
pub(crate) const SYSTEM_INTERPRETATION: &str =
    "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
pub(crate) const SYSTEM_DATA_ABSENT: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
/// FHIR's system for identifiers that are URIs, such as `urn:uuid:…`.
pub(crate) const SYSTEM_URI: &str = "urn:ietf:rfc:3986";
/// Our identifiers for records whose source has no UUID.
pub(crate) const SYSTEM_RECORD: &str = "urn:sealcare:record";
/// Our codes for how an observation was made.
pub(crate) const SYSTEM_METHOD: &str = "urn:sealcare:observation-method";
/// An observation that a person typed in.
pub(crate) const METHOD_MANUAL: &str = "manual-entry";

pub(crate) const LOINC_HEART_RATE: &str = "8867-4";
pub(crate) const LOINC_BLOOD_PRESSURE: &str = "85354-9";
/// The panel that older data uses.
pub(crate) const LOINC_BLOOD_PRESSURE_OLD: &str = "55284-4";
pub(crate) const LOINC_SYSTOLIC: &str = "8480-6";
pub(crate) const LOINC_DIASTOLIC: &str = "8462-4";
pub(crate) const LOINC_EXERCISE: &str = "55411-3";
pub(crate) const HEALTHKIT_EXERCISE: &str = "HKQuantityTypeIdentifierAppleExerciseTime";

/// A code in its system. At least one of code and display is there.
#[derive(Clone, Eq, PartialEq)]
pub struct Coding {
    /// URI of the code system.
    pub system: Option<String>,
    /// The code.
    pub code: Option<String>,
    /// What people read.
    pub display: Option<String>,
}

/// Never prints what it says.
impl std::fmt::Debug for Coding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coding(..)")
    }
}

impl Coding {
    /// A LOINC code and its name.
    pub fn loinc(code: &str, display: &str) -> Self {
        Self::of(SYSTEM_LOINC, code, display)
    }

    /// A CVX vaccine code and its name.
    pub fn cvx(code: &str, display: &str) -> Self {
        Self::of(SYSTEM_CVX, code, display)
    }

    fn of(system: &str, code: &str, display: &str) -> Self {
        let owned = |text: &str| Some(text.to_owned());
        Self { system: owned(system), code: owned(code), display: owned(display) }
    }

    /// What a person should read: the display text, else the code.
    pub fn label(&self) -> &str {
        self.display.as_deref().or(self.code.as_deref()).unwrap_or_default()
    }

    /// Reads a `CodeableConcept`: its coding in `preferred`, else its first, named by its own text if it has no name.
    pub(crate) fn from_concept(concept: &Object, preferred: &str) -> Option<Self> {
        let coding = objects(concept, "coding")
            .find(|coding| text(coding, "system") == Some(preferred))
            .or_else(|| objects(concept, "coding").next());
        let of = |member| coding.and_then(|coding| text(coding, member)).map(str::to_owned);
        let display = of("display").or_else(|| text(concept, "text").map(str::to_owned));
        let read = Self { system: of("system"), code: of("code"), display };
        (read.code.is_some() || read.display.is_some()).then_some(read)
    }

    pub(crate) fn to_concept(&self) -> Value {
        let mut coding = Object::new();
        for (member, value) in [("system", &self.system), ("code", &self.code), ("display", &self.display)] {
            if let Some(value) = value {
                coding.insert(member.to_owned(), json!(value));
            }
        }
        json!({"coding": [coding], "text": self.label()})
    }
}

/// Whether the resource's `code` has this coding.
pub(crate) fn is_coded(resource: &Object, system: &str, code: &str) -> bool {
    object(resource, "code").is_some_and(|concept| has_coding(concept, system, code))
}

/// Whether an observation is of this category, in R4's code system or its predecessor.
pub(crate) fn is_in_category(observation: &Object, category: &str) -> bool {
    const SYSTEM_BEFORE_R4: &str = "http://hl7.org/fhir/observation-category";
    objects(observation, "category").any(|concept| {
        has_coding(concept, SYSTEM_CATEGORY, category) || has_coding(concept, SYSTEM_BEFORE_R4, category)
    })
}

pub(crate) fn category(code: &str) -> Value {
    json!([{"coding": [{"system": SYSTEM_CATEGORY, "code": code}]}])
}

fn has_coding(concept: &Object, system: &str, code: &str) -> bool {
    objects(concept, "coding")
        .any(|coding| text(coding, "system") == Some(system) && text(coding, "code") == Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::into_object;

    #[test]
    fn a_code_counts_only_in_its_system() {
        let of = |system: &str| {
            into_object(json!({"code": {"coding": [{"code": "x"}, {"system": system, "code": "8867-4"}]}}))
        };
        assert!(is_coded(&of(SYSTEM_LOINC), SYSTEM_LOINC, LOINC_HEART_RATE));
        assert!(!is_coded(&of("http://snomed.info/sct"), SYSTEM_LOINC, LOINC_HEART_RATE));
    }

    #[test]
    fn the_preferred_system_wins_and_text_names_the_nameless() {
        let concept = into_object(
            json!({"coding": [{"system": "a", "code": "1"}, {"system": SYSTEM_CVX, "code": "140"}], "text": "Flu"}),
        );
        let coding = Coding::from_concept(&concept, SYSTEM_CVX).unwrap();
        assert_eq!((coding.code.as_deref(), coding.label()), (Some("140"), "Flu"));
        assert!(Coding::from_concept(&Object::new(), SYSTEM_CVX).is_none());
    }
}
