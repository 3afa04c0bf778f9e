//! Exercise minutes: LOINC 55411-3 with Apple's own coding beside it, UCUM `min`, always a period when written.
//! Not here: workouts and activity rings, which are not shared.

use serde_json::json;

use super::observed_at;
use crate::code::{HEALTHKIT_EXERCISE, LOINC_EXERCISE, SYSTEM_HEALTHKIT, SYSTEM_LOINC, category};
use crate::json::{Object, into_object, object};
use crate::unit::{Unit, quantity_in, value_in};
use crate::{Decimal, Effective, SkipReason};

/// Minutes of exercise within a period.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExerciseMinutes {
    /// Minutes.
    pub minutes: Decimal,
    /// The period in which they were exercised.
    pub effective: Effective,
}

impl ExerciseMinutes {
    pub(super) fn from_fhir(observation: &Object) -> Result<Self, SkipReason> {
        let quantity = object(observation, "valueQuantity").ok_or(SkipReason::NoValue)?;
        Ok(Self { minutes: value_in(quantity, Unit::Minute)?, effective: observed_at(observation)? })
    }

    pub(super) fn to_fhir(&self) -> Object {
        let mut observation = into_object(json!({
            "resourceType": "Observation",
            "status": "final",
            "category": category("activity"),
            "code": {
                "coding": [
                    {"system": SYSTEM_LOINC, "code": LOINC_EXERCISE, "display": "Exercise duration"},
                    {"system": SYSTEM_HEALTHKIT, "code": HEALTHKIT_EXERCISE, "display": "Apple Exercise Time"}
                ],
                "text": "Exercise minutes"
            },
            "valueQuantity": quantity_in(&self.minutes, Unit::Minute),
        }));
        let period = match &self.effective {
            Effective::At(at) => Effective::From(at.clone(), Some(at.clone())),
            period => period.clone(),
        };
        period.write_fhir(&mut observation, "effective");
        observation
    }

    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.minutes, Unit::Minute.ucum())
    }
}
