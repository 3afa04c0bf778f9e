//! Laboratory results: a code of their own, a value of any FHIR type, a range and an interpretation where the
//! laboratory gives them. Not here: judging a value against a range.

use serde_json::{Value, json};

use super::observed_at;
use crate::code::{SYSTEM_DATA_ABSENT, SYSTEM_INTERPRETATION, SYSTEM_LOINC, category};
use crate::json::{Object, into_object, object, objects, text};
use crate::unit::Quantity;
use crate::{Coding, Effective, SkipReason};

/// A laboratory result.
#[derive(Clone, Eq, PartialEq)]
pub struct LabResult {
    /// What was measured; LOINC where the source has it.
    pub code: Coding,
    /// The result.
    pub value: LabValue,
    /// The laboratory's own range for this result.
    pub range: Option<ReferenceRange>,
    /// Interpretation code: `H`, `L`, `N` and so on.
    pub interpretation: Option<String>,
    /// When the specimen was taken, else when the result was issued.
    pub effective: Effective,
}

/// Never prints what it says.
impl std::fmt::Debug for LabResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LabResult(..)")
    }
}

/// The value of a laboratory result.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum LabValue {
    /// A number in the laboratory's unit.
    Quantity(Quantity),
    /// Words: a coded concept's text, a string, or another type of value in brief.
    Text(String),
    /// Several named parts.
    Components(Vec<(Coding, LabValue)>),
    /// No value, and the laboratory's code for why.
    Absent(String),
}

/// Never prints what it says.
impl std::fmt::Debug for LabValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LabValue(..)")
    }
}

/// A laboratory's reference range, in the unit of its quantities.
#[derive(Clone, Eq, PartialEq)]
pub struct ReferenceRange {
    /// Lower bound, included.
    pub low: Option<Quantity>,
    /// Upper bound, included.
    pub high: Option<Quantity>,
    /// The range in words, where it is given so.
    pub text: Option<String>,
}

/// Never prints what it says.
impl std::fmt::Debug for ReferenceRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReferenceRange(..)")
    }
}

impl LabResult {
    pub(super) fn from_fhir(observation: &Object) -> Result<Self, SkipReason> {
        let code = object(observation, "code")
            .and_then(|concept| Coding::from_concept(concept, SYSTEM_LOINC))
            .ok_or(SkipReason::NoCode)?;
        let interpretation = objects(observation, "interpretation")
            .find_map(|concept| Coding::from_concept(concept, SYSTEM_INTERPRETATION));
        Ok(Self {
            code,
            value: LabValue::from_fhir(observation).ok_or(SkipReason::NoValue)?,
            range: objects(observation, "referenceRange").next().map(ReferenceRange::from_fhir),
            interpretation: interpretation.and_then(|coding| coding.code),
            effective: observed_at(observation)?,
        })
    }

    pub(super) fn to_fhir(&self) -> Object {
        let mut observation = into_object(json!({
            "resourceType": "Observation",
            "status": "final",
            "category": category("laboratory"),
            "code": self.code.to_concept(),
        }));
        self.value.write_fhir(&mut observation);
        if let Some(range) = &self.range {
            observation.insert("referenceRange".to_owned(), json!([range.to_fhir()]));
        }
        if let Some(code) = &self.interpretation {
            let coding = json!({"system": SYSTEM_INTERPRETATION, "code": code});
            observation.insert("interpretation".to_owned(), json!([{"coding": [coding]}]));
        }
        self.effective.write_fhir(&mut observation, "effective");
        observation
    }
}

impl LabValue {
    /// Reads `value[x]`, else the components, else why there is none.
    fn from_fhir(observation: &Object) -> Option<Self> {
        if let Some((kind, value)) = observation.iter().find(|(member, _)| is_value(member)) {
            return Self::of_kind(kind, value);
        }
        let parts: Vec<(Coding, Self)> = objects(observation, "component")
            .filter_map(|part| {
                let code = Coding::from_concept(object(part, "code")?, SYSTEM_LOINC)?;
                Some((code, Self::from_fhir(part)?))
            })
            .collect();
        if !parts.is_empty() {
            return Some(Self::Components(parts));
        }
        let reason = Coding::from_concept(object(observation, "dataAbsentReason")?, SYSTEM_DATA_ABSENT)?;
        Some(Self::Absent(reason.label().to_owned()))
    }

    fn of_kind(kind: &str, value: &Value) -> Option<Self> {
        match (kind, value) {
            ("valueQuantity", Value::Object(quantity)) => Quantity::from_fhir(quantity).map(Self::Quantity),
            ("valueCodeableConcept", Value::Object(concept)) => {
                let words = text(concept, "text").map(str::to_owned);
                words.or_else(|| Some(Coding::from_concept(concept, "")?.label().to_owned())).map(Self::Text)
            }
            ("valueRange", Value::Object(range)) => {
                Some(Self::Text(ReferenceRange::from_fhir(range).summary()))
            }
            ("valueRatio", Value::Object(ratio)) => {
                let part = |member| object(ratio, member).and_then(Quantity::from_fhir);
                let (above, below) = (part("numerator")?, part("denominator")?);
                Some(Self::Text(format!("{}:{}", above.summary(), below.summary())))
            }
            ("valuePeriod", Value::Object(period)) => {
                let end = |member| text(period, member).unwrap_or("…");
                Some(Self::Text(format!("{} – {}", end("start"), end("end"))))
            }
            ("valueSampledData", Value::Object(_)) => Some(Self::Text("sampled data".to_owned())),
            (_, Value::String(words)) if !words.is_empty() => Some(Self::Text(words.clone())),
            (_, Value::Bool(_) | Value::Number(_)) => Some(Self::Text(value.to_string())),
            _ => None,
        }
    }

    fn write_fhir(&self, observation: &mut Object) {
        let (member, value) = match self {
            Self::Quantity(quantity) => ("valueQuantity", quantity.to_fhir()),
            Self::Text(words) => ("valueString", json!(words)),
            Self::Components(parts) => ("component", parts.iter().map(component).collect()),
            Self::Absent(reason) => {
                ("dataAbsentReason", json!({"coding": [{"system": SYSTEM_DATA_ABSENT, "code": reason}]}))
            }
        };
        observation.insert(member.to_owned(), value);
    }

    /// The value as a person reads it.
    pub fn summary(&self) -> String {
        match self {
            Self::Quantity(quantity) => quantity.summary(),
            Self::Text(words) => words.clone(),
            Self::Components(parts) => {
                let parts = parts.iter().map(|(code, value)| format!("{} {}", code.label(), value.summary()));
                parts.collect::<Vec<_>>().join(", ")
            }
            Self::Absent(reason) => format!("no value ({reason})"),
        }
    }
}

/// `valueQuantity`, `valueString` and so on; not `_valueString`.
fn is_value(member: &str) -> bool {
    member.strip_prefix("value").is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
}

fn component((code, value): &(Coding, LabValue)) -> Value {
    let mut part = into_object(json!({"code": code.to_concept()}));
    value.write_fhir(&mut part);
    Value::Object(part)
}

impl ReferenceRange {
    fn from_fhir(range: &Object) -> Self {
        let bound = |member| object(range, member).and_then(Quantity::from_fhir);
        Self { low: bound("low"), high: bound("high"), text: text(range, "text").map(str::to_owned) }
    }

    fn to_fhir(&self) -> Value {
        let mut range = Object::new();
        for (member, bound) in [("low", &self.low), ("high", &self.high)] {
            if let Some(bound) = bound {
                range.insert(member.to_owned(), bound.to_fhir());
            }
        }
        if let Some(words) = &self.text {
            range.insert("text".to_owned(), json!(words));
        }
        Value::Object(range)
    }

    /// The range as a person reads it: `70 mg/dL – 99 mg/dL`.
    pub fn summary(&self) -> String {
        match (&self.text, &self.low, &self.high) {
            (Some(words), _, _) => words.clone(),
            (None, Some(low), Some(high)) => format!("{} – {}", low.summary(), high.summary()),
            (None, Some(low), None) => format!("≥{}", low.summary()),
            (None, None, Some(high)) => format!("≤{}", high.summary()),
            (None, None, None) => String::new(),
        }
    }
}
