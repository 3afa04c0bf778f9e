//! Immunizations: a vaccine (CVX where the source has it), given or not done, with its lot.
//! Not here: whether anything signed vouches for it (health cards).

use serde_json::json;

use crate::code::SYSTEM_CVX;
use crate::json::{Object, into_object, object, text};
use crate::{Coding, Effective, SkipReason};

/// An immunization.
#[derive(Clone, Eq, PartialEq)]
pub struct Immunization {
    /// The vaccine.
    pub vaccine: Coding,
    /// Given, not done, or a mistake.
    pub status: ImmunizationStatus,
    /// The vaccine's lot number.
    pub lot: Option<String>,
    /// When it was given: a date, or words for vaccinations long past.
    pub occurrence: Effective,
}

/// Never prints what it says.
impl std::fmt::Debug for Immunization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Immunization(..)")
    }
}

/// FHIR's status of an immunization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ImmunizationStatus {
    /// Given.
    Completed,
    /// Deliberately not given.
    NotDone,
    /// Recorded by mistake.
    EnteredInError,
}

impl ImmunizationStatus {
    /// FHIR's code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NotDone => "not-done",
            Self::EnteredInError => "entered-in-error",
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        [Self::Completed, Self::NotDone, Self::EnteredInError]
            .into_iter()
            .find(|status| status.code() == code)
    }
}

impl Immunization {
    pub(super) fn from_fhir(immunization: &Object) -> Result<Self, SkipReason> {
        let status = text(immunization, "status").and_then(ImmunizationStatus::from_code);
        let vaccine = object(immunization, "vaccineCode")
            .and_then(|concept| Coding::from_concept(concept, SYSTEM_CVX))
            .ok_or(SkipReason::NoCode)?;
        Ok(Self {
            vaccine,
            status: status.ok_or(SkipReason::Malformed)?,
            lot: text(immunization, "lotNumber").map(str::to_owned),
            occurrence: Effective::from_fhir(immunization, "occurrence")
                .ok_or(SkipReason::NoEffectiveTime)?,
        })
    }

    pub(super) fn to_fhir(&self) -> Object {
        let mut immunization = into_object(json!({
            "resourceType": "Immunization",
            "status": self.status.code(),
            "vaccineCode": self.vaccine.to_concept(),
        }));
        let occurrence = match &self.occurrence {
            Effective::InWords(words) => ("occurrenceString", words.as_str()),
            known => ("occurrenceDateTime", known.as_str()),
        };
        immunization.insert(occurrence.0.to_owned(), json!(occurrence.1));
        if let Some(lot) = &self.lot {
            immunization.insert("lotNumber".to_owned(), json!(lot));
        }
        immunization
    }

    pub(super) fn summary(&self) -> String {
        match &self.lot {
            Some(lot) => format!("{}, lot {lot}", self.status.code()),
            None => self.status.code().to_owned(),
        }
    }
}
