//! The narrow typed view of a shared record, to and from FHIR R4: only what this system reads, checked.
//!
//! Not here: the rest of a resource, which travels untouched inside [`crate::Record`]; unit tables (`unit`).

mod blood_pressure;
mod exercise;
mod heart_rate;
mod immunization;
mod lab;

pub use blood_pressure::BloodPressure;
pub use exercise::ExerciseMinutes;
pub use heart_rate::HeartRate;
pub use immunization::{Immunization, ImmunizationStatus};
pub use lab::{LabResult, LabValue, ReferenceRange};

use crate::code::{
    HEALTHKIT_EXERCISE, LOINC_BLOOD_PRESSURE, LOINC_BLOOD_PRESSURE_OLD, LOINC_EXERCISE, LOINC_HEART_RATE,
    SYSTEM_HEALTHKIT, SYSTEM_LOINC, is_coded, is_in_category,
};
use crate::json::{Object, text};
use crate::{Effective, RecordType, SkipReason};

/// One clinical fact of a shared type.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Model {
    /// Exercise minutes.
    Exercise(ExerciseMinutes),
    /// Heart rate.
    HeartRate(HeartRate),
    /// Blood pressure.
    BloodPressure(BloodPressure),
    /// A laboratory result.
    Lab(Box<LabResult>),
    /// An immunization.
    Immunization(Immunization),
}

impl Model {
    /// Reads a FHIR R4 resource, deciding its type by its content.
    ///
    /// # Errors
    /// The reason why the resource is not one of the five types or lacks what its type needs.
    pub(crate) fn from_fhir(resource: &Object) -> Result<Self, SkipReason> {
        match record_type(resource)? {
            RecordType::ExerciseMinutes => ExerciseMinutes::from_fhir(resource).map(Self::Exercise),
            RecordType::HeartRate => HeartRate::from_fhir(resource).map(Self::HeartRate),
            RecordType::BloodPressure => BloodPressure::from_fhir(resource).map(Self::BloodPressure),
            RecordType::LabResult => LabResult::from_fhir(resource).map(|lab| Self::Lab(Box::new(lab))),
            RecordType::Immunization => Immunization::from_fhir(resource).map(Self::Immunization),
        }
    }

    pub(crate) fn to_fhir(&self) -> Object {
        match self {
            Self::Exercise(exercise) => exercise.to_fhir(),
            Self::HeartRate(heart_rate) => heart_rate.to_fhir(),
            Self::BloodPressure(pressure) => pressure.to_fhir(),
            Self::Lab(lab) => lab.to_fhir(),
            Self::Immunization(immunization) => immunization.to_fhir(),
        }
    }

    /// The shared type.
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::Exercise(_) => RecordType::ExerciseMinutes,
            Self::HeartRate(_) => RecordType::HeartRate,
            Self::BloodPressure(_) => RecordType::BloodPressure,
            Self::Lab(_) => RecordType::LabResult,
            Self::Immunization(_) => RecordType::Immunization,
        }
    }

    /// When it holds.
    pub fn effective(&self) -> &Effective {
        match self {
            Self::Exercise(exercise) => &exercise.effective,
            Self::HeartRate(heart_rate) => &heart_rate.effective,
            Self::BloodPressure(pressure) => &pressure.effective,
            Self::Lab(lab) => &lab.effective,
            Self::Immunization(immunization) => &immunization.occurrence,
        }
    }

    /// What it is, for people: `Heart rate`, a test's or a vaccine's name.
    pub fn label(&self) -> &str {
        match self {
            Self::Exercise(_) => "Exercise",
            Self::HeartRate(_) => "Heart rate",
            Self::BloodPressure(_) => "Blood pressure",
            Self::Lab(lab) => lab.code.label(),
            Self::Immunization(immunization) => immunization.vaccine.label(),
        }
    }

    /// Its value, for people: `72 /min`, `120/80 mm[Hg]`, `67.98 mg/dL`, `completed, lot X1`.
    pub fn summary(&self) -> String {
        match self {
            Self::Exercise(exercise) => exercise.summary(),
            Self::HeartRate(heart_rate) => heart_rate.summary(),
            Self::BloodPressure(pressure) => pressure.summary(),
            Self::Lab(lab) => lab.value.summary(),
            Self::Immunization(immunization) => immunization.summary(),
        }
    }
}

/// Decides the type by resource type, code and category. A code of its own goes before the category: a heart rate
/// that a laboratory reports is a heart rate.
pub(crate) fn record_type(resource: &Object) -> Result<RecordType, SkipReason> {
    match text(resource, "resourceType").ok_or(SkipReason::Malformed)? {
        "Immunization" => return Ok(RecordType::Immunization),
        "DiagnosticReport" => return Err(SkipReason::DiagnosticReport),
        "Observation" => {}
        _ => return Err(SkipReason::NotASharedType),
    }
    let is_loinc = |code| is_coded(resource, SYSTEM_LOINC, code);
    if is_loinc(LOINC_HEART_RATE) {
        Ok(RecordType::HeartRate)
    } else if is_loinc(LOINC_BLOOD_PRESSURE) || is_loinc(LOINC_BLOOD_PRESSURE_OLD) {
        Ok(RecordType::BloodPressure)
    } else if is_loinc(LOINC_EXERCISE) || is_coded(resource, SYSTEM_HEALTHKIT, HEALTHKIT_EXERCISE) {
        Ok(RecordType::ExerciseMinutes)
    } else if is_in_category(resource, "laboratory") {
        Ok(RecordType::LabResult)
    } else {
        Err(SkipReason::NotASharedType)
    }
}

/// The effective time of an Observation; a result without one holds when it was issued.
fn observed_at(observation: &Object) -> Result<Effective, SkipReason> {
    Effective::from_fhir(observation, "effective")
        .or_else(|| {
            let issued = text(observation, "issued")?;
            Some(Effective::At(crate::Moment::from_fhir(issued).ok()?))
        })
        .ok_or(SkipReason::NoEffectiveTime)
}

#[cfg(test)]
mod tests;
