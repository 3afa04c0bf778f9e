//! Heart rate: LOINC 8867-4, UCUM `/min`. Not here: rhythm and variability, which are not shared.

use serde_json::json;

use super::observed_at;
use crate::code::{LOINC_HEART_RATE, SYSTEM_LOINC, category};
use crate::json::{Object, into_object, object};
use crate::unit::{Unit, quantity_in, value_in};
use crate::{Decimal, Effective, SkipReason};

/// A heart rate in beats per minute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeartRate {
    /// Beats per minute.
    pub rate: Decimal,
    /// When it was measured.
    pub effective: Effective,
}

impl HeartRate {
    pub(super) fn from_fhir(observation: &Object) -> Result<Self, SkipReason> {
        let quantity = object(observation, "valueQuantity").ok_or(SkipReason::NoValue)?;
        Ok(Self { rate: value_in(quantity, Unit::PerMinute)?, effective: observed_at(observation)? })
    }

    pub(super) fn to_fhir(&self) -> Object {
        let mut observation = into_object(json!({
            "resourceType": "Observation",
            "status": "final",
            "category": category("vital-signs"),
            "code": {
                "coding": [{"system": SYSTEM_LOINC, "code": LOINC_HEART_RATE, "display": "Heart rate"}],
                "text": "Heart rate"
            },
            "valueQuantity": quantity_in(&self.rate, Unit::PerMinute),
        }));
        self.effective.write_fhir(&mut observation, "effective");
        observation
    }

    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.rate, Unit::PerMinute.ucum())
    }
}
