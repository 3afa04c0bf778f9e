//! The five types of record that can be shared, and the one name each has in scopes, commands, JSON and metrics.
//! Not here: which FHIR codes belong to which type (`code`), or which resource is which (`model`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RecordError;

/// A shared type of record. Its order is the order in which people are shown the types.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordType {
    /// Minutes of exercise, as Apple counts them.
    ExerciseMinutes,
    /// Heart rate (LOINC 8867-4).
    HeartRate,
    /// A systolic and diastolic pair (LOINC 85354-9, or the older panel 55284-4).
    BloodPressure,
    /// An Observation of category `laboratory`, under its own code.
    LabResult,
    /// An Immunization, given or not done.
    Immunization,
}

impl RecordType {
    /// Every type, in order.
    pub const ALL: [Self; 5] =
        [Self::ExerciseMinutes, Self::HeartRate, Self::BloodPressure, Self::LabResult, Self::Immunization];

    /// The type's name, the same wherever it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExerciseMinutes => "exercise-minutes",
            Self::HeartRate => "heart-rate",
            Self::BloodPressure => "blood-pressure",
            Self::LabResult => "lab-result",
            Self::Immunization => "immunization",
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RecordType {
    type Err = RecordError;

    fn from_str(name: &str) -> Result<Self, RecordError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(RecordError::UnknownType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for kind in RecordType::ALL {
            assert_eq!(kind.to_string().parse::<RecordType>().unwrap(), kind);
        }
        assert_eq!(
            RecordType::ALL.map(RecordType::name).join(" "),
            "exercise-minutes heart-rate blood-pressure lab-result immunization"
        );
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "HeartRate", "heart-rate ", "steps"] {
            assert!(matches!(name.parse::<RecordType>(), Err(RecordError::UnknownType)), "{name}");
        }
    }
}
