//! Blood pressure: the panel 85354-9 (55284-4 is read too) with systolic 8480-6 and diastolic 8462-4 as
//! components, UCUM `mm[Hg]`. Not here: pairing loose readings (`apple::pairing`).

use serde_json::{Value, json};

use super::observed_at;
use crate::code::{LOINC_BLOOD_PRESSURE, LOINC_DIASTOLIC, LOINC_SYSTOLIC, SYSTEM_LOINC, category, is_coded};
use crate::json::{Object, into_object, object, objects};
use crate::unit::{Unit, quantity_in, value_in};
use crate::{Decimal, Effective, SkipReason};

/// A blood pressure in millimetres of mercury; one half may be missing, as hospitals sometimes report it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BloodPressure {
    /// Systolic.
    pub systolic: Option<Decimal>,
    /// Diastolic.
    pub diastolic: Option<Decimal>,
    /// When it was measured.
    pub effective: Effective,
}

impl BloodPressure {
    pub(super) fn from_fhir(observation: &Object) -> Result<Self, SkipReason> {
        let systolic = component(observation, LOINC_SYSTOLIC)?;
        let diastolic = component(observation, LOINC_DIASTOLIC)?;
        if systolic.is_none() && diastolic.is_none() {
            return Err(SkipReason::NoValue);
        }
        Ok(Self { systolic, diastolic, effective: observed_at(observation)? })
    }

    pub(super) fn to_fhir(&self) -> Object {
        let halves = [
            (LOINC_SYSTOLIC, "Systolic blood pressure", &self.systolic),
            (LOINC_DIASTOLIC, "Diastolic blood pressure", &self.diastolic),
        ];
        let components: Vec<Value> = halves
            .into_iter()
            .filter_map(|(code, display, value)| {
                let coding = json!({"system": SYSTEM_LOINC, "code": code, "display": display});
                let quantity = quantity_in(value.as_ref()?, Unit::MillimetreOfMercury);
                Some(json!({"code": {"coding": [coding], "text": display}, "valueQuantity": quantity}))
            })
            .collect();
        let coding =
            json!({"system": SYSTEM_LOINC, "code": LOINC_BLOOD_PRESSURE, "display": "Blood pressure panel"});
        let mut observation = into_object(json!({
            "resourceType": "Observation",
            "status": "final",
            "category": category("vital-signs"),
            "code": {"coding": [coding], "text": "Blood pressure"},
            "component": components,
        }));
        self.effective.write_fhir(&mut observation, "effective");
        observation
    }

    pub(super) fn summary(&self) -> String {
        let half = |value: &Option<Decimal>| value.as_ref().map_or("–".to_owned(), Decimal::to_string);
        format!("{}/{} {}", half(&self.systolic), half(&self.diastolic), Unit::MillimetreOfMercury.ucum())
    }
}

/// One half's value; `None` where the component is absent or holds only the reason why.
fn component(observation: &Object, code: &str) -> Result<Option<Decimal>, SkipReason> {
    let Some(component) =
        objects(observation, "component").find(|component| is_coded(component, SYSTEM_LOINC, code))
    else {
        return Ok(None);
    };
    object(component, "valueQuantity")
        .map(|quantity| value_in(quantity, Unit::MillimetreOfMercury))
        .transpose()
}
