//! Quantities and the three units whose meaning this crate knows, each by a named mapping.
//! Not here: conversion. A unit that is not named is reported, never guessed.

use serde_json::{Map, Value, json};

use crate::code::SYSTEM_UCUM;
use crate::json::text;
use crate::{Decimal, SkipReason};

/// A unit of the typed model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Beats per minute, UCUM `/min`.
    PerMinute,
    /// Millimetres of mercury, UCUM `mm[Hg]`.
    MillimetreOfMercury,
    /// Minutes, UCUM `min`.
    Minute,
}

impl Unit {
    /// The unit's UCUM code.
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::PerMinute => "/min",
            Self::MillimetreOfMercury => "mm[Hg]",
            Self::Minute => "min",
        }
    }

    /// The unit behind `HealthKit`'s name for it.
    pub fn from_healthkit(name: &str) -> Option<Self> {
        match name {
            "count/min" => Some(Self::PerMinute),
            "mmHg" => Some(Self::MillimetreOfMercury),
            "min" => Some(Self::Minute),
            _ => None,
        }
    }

    /// The unit behind a UCUM code; an annotation in braces does not change a unit (UCUM §12).
    fn from_ucum(code: &str) -> Option<Self> {
        match code {
            "/min" | "{beats}/min" | "{Beats}/min" | "{beat}/min" => Some(Self::PerMinute),
            "mm[Hg]" => Some(Self::MillimetreOfMercury),
            "min" => Some(Self::Minute),
            _ => None,
        }
    }

    /// The unit behind a display text, for quantities that carry no code.
    fn from_display(name: &str) -> Option<Self> {
        match name {
            "/min" | "count/min" | "beats/min" | "beats/minute" | "bpm" => Some(Self::PerMinute),
            "mm[Hg]" | "mmHg" | "mm Hg" => Some(Self::MillimetreOfMercury),
            "min" | "minutes" => Some(Self::Minute),
            _ => None,
        }
    }

    /// The unit of a FHIR quantity: by its UCUM code, else (and only without a code) by its display text.
    fn of_fhir(quantity: &Map<String, Value>) -> Option<Self> {
        match (text(quantity, "system"), text(quantity, "code")) {
            (Some(SYSTEM_UCUM) | None, Some(code)) => Self::from_ucum(code),
            (_, Some(_)) => None,
            (_, None) => Self::from_display(text(quantity, "unit")?),
        }
    }
}

/// Reads a FHIR quantity that must be in `unit`.
pub(crate) fn value_in(quantity: &Map<String, Value>, unit: Unit) -> Result<Decimal, SkipReason> {
    let value = quantity.get("value").ok_or(SkipReason::NoValue)?;
    let value = Decimal::from_json(value).ok_or(SkipReason::InvalidValue)?;
    if Unit::of_fhir(quantity) == Some(unit) { Ok(value) } else { Err(SkipReason::UnknownUnit) }
}

/// Writes a FHIR quantity in one of the known units.
pub(crate) fn quantity_in(value: &Decimal, unit: Unit) -> Value {
    json!({"value": value.to_json(), "unit": unit.ucum(), "system": SYSTEM_UCUM, "code": unit.ucum()})
}

/// A quantity in the unit of its source, as laboratories report them.
#[derive(Clone, Eq, PartialEq)]
pub struct Quantity {
    /// The number, in its source's text.
    pub value: Decimal,
    /// The UCUM code where there is one, else the unit's display text; empty for a plain number.
    pub unit: String,
    /// FHIR's comparator (`<`, `<=`, `>=`, `>`) where the value is a bound.
    pub comparator: Option<String>,
}

/// Never prints what it says.
impl std::fmt::Debug for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Quantity(..)")
    }
}

impl Quantity {
    /// A plain quantity in a UCUM unit.
    pub fn new(value: Decimal, unit: impl Into<String>) -> Self {
        Self { value, unit: unit.into(), comparator: None }
    }

    pub(crate) fn from_fhir(quantity: &Map<String, Value>) -> Option<Self> {
        let unit = match text(quantity, "system") {
            Some(SYSTEM_UCUM) => text(quantity, "code").or_else(|| text(quantity, "unit")),
            _ => text(quantity, "unit").or_else(|| text(quantity, "code")),
        };
        Some(Self {
            value: Decimal::from_json(quantity.get("value")?)?,
            unit: unit.unwrap_or_default().to_owned(),
            comparator: text(quantity, "comparator").map(str::to_owned),
        })
    }

    pub(crate) fn to_fhir(&self) -> Value {
        let mut quantity = json!({"value": self.value.to_json()});
        if !self.unit.is_empty() {
            quantity["unit"] = json!(self.unit);
            quantity["system"] = json!(SYSTEM_UCUM);
            quantity["code"] = json!(self.unit);
        }
        if let Some(comparator) = &self.comparator {
            quantity["comparator"] = json!(comparator);
        }
        quantity
    }

    /// The quantity as a person reads it: `67.98 mg/dL`, `<5 mg/L`.
    pub fn summary(&self) -> String {
        let comparator = self.comparator.as_deref().unwrap_or_default();
        format!("{comparator}{} {}", self.value, self.unit).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("an object") };
        object
    }

    #[test]
    fn healthkit_units_map_by_name_only() {
        assert_eq!(Unit::from_healthkit("count/min"), Some(Unit::PerMinute));
        assert_eq!(Unit::from_healthkit("mmHg"), Some(Unit::MillimetreOfMercury));
        assert_eq!(Unit::from_healthkit("min"), Some(Unit::Minute));
        for name in ["count/s", "kPa", "hr", "", "Count/min"] {
            assert_eq!(Unit::from_healthkit(name), None);
        }
    }

    #[test]
    fn a_code_decides_over_the_display_text() {
        let quantity = object(json!({"value": 5, "unit": "mmHg", "system": SYSTEM_UCUM, "code": "kPa"}));
        assert_eq!(value_in(&quantity, Unit::MillimetreOfMercury).unwrap_err(), SkipReason::UnknownUnit);
        let quantity = object(json!({"value": 44, "unit": "beats/minute"}));
        assert_eq!(value_in(&quantity, Unit::PerMinute).unwrap().as_str(), "44");
    }

    #[test]
    fn another_code_system_is_not_ucum() {
        let quantity = object(json!({"value": 5, "system": "http://snomed.info/sct", "code": "min"}));
        assert_eq!(value_in(&quantity, Unit::Minute).unwrap_err(), SkipReason::UnknownUnit);
    }

    #[test]
    fn bounds_keep_their_comparator() {
        let quantity = object(json!({"value": 5, "comparator": "<", "unit": "mg/L"}));
        assert_eq!(Quantity::from_fhir(&quantity).unwrap().summary(), "<5 mg/L");
    }
}
