//! What an import tells when it is done. Not here: errors, which end an import (`error`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::SourceName;
use crate::{Person, RecordType};

/// Why something in a file did not become a record. The names are those in reports and JSON.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// A daily activity summary (Apple's rings).
    ActivitySummary,
    /// The top-level twin of a reading that was taken from its blood-pressure correlation.
    BloodPressureChild,
    /// Half of a blood pressure without exactly one other half of the same source and time.
    BloodPressureUnpaired,
    /// A clinical record that an Apple Health export names, whose file is not there.
    ClinicalRecord,
    /// A report that groups results; the results travel by themselves.
    DiagnosticReport,
    /// Withdrawn by its source as a mistake.
    EnteredInError,
    /// A value that is not a number.
    InvalidValue,
    /// A clinical record in FHIR DSTU2, whose meaning differs.
    #[serde(rename = "fhir-dstu2")]
    FhirDstu2,
    /// A clinical record in FHIR STU3, whose meaning differs.
    #[serde(rename = "fhir-stu3")]
    FhirStu3,
    /// Not of FHIR's shape.
    Malformed,
    /// No code that says what it is.
    NoCode,
    /// No time at which it holds, or none that can be read.
    NoEffectiveTime,
    /// A bundle entry without a resource.
    NoResource,
    /// No value.
    NoValue,
    /// Something else than the five shared types.
    NotASharedType,
    /// The same resource again, with the same content.
    Repeated,
    /// Larger than [`crate::RESOURCE_BYTES_MAX`].
    TooLarge,
    /// A unit without a named mapping.
    UnknownUnit,
    /// A workout.
    Workout,
}

impl SkipReason {
    /// The reason's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActivitySummary => "activity-summary",
            Self::BloodPressureChild => "blood-pressure-child",
            Self::BloodPressureUnpaired => "blood-pressure-unpaired",
            Self::ClinicalRecord => "clinical-record",
            Self::DiagnosticReport => "diagnostic-report",
            Self::EnteredInError => "entered-in-error",
            Self::FhirDstu2 => "fhir-dstu2",
            Self::FhirStu3 => "fhir-stu3",
            Self::InvalidValue => "invalid-value",
            Self::Malformed => "malformed",
            Self::NoCode => "no-code",
            Self::NoEffectiveTime => "no-effective-time",
            Self::NoResource => "no-resource",
            Self::NoValue => "no-value",
            Self::NotASharedType => "not-a-shared-type",
            Self::Repeated => "repeated",
            Self::TooLarge => "too-large",
            Self::UnknownUnit => "unknown-unit",
            Self::Workout => "workout",
        }
    }

    /// Whether what was left out may be a record that its source has, so that a file cannot say that it is gone.
    pub(crate) const fn leaves_open(self) -> bool {
        match self {
            Self::BloodPressureUnpaired
            | Self::ClinicalRecord
            | Self::InvalidValue
            | Self::FhirDstu2
            | Self::FhirStu3
            | Self::Malformed
            | Self::NoCode
            | Self::NoEffectiveTime
            | Self::NoResource
            | Self::NoValue
            | Self::TooLarge
            | Self::UnknownUnit => true,
            Self::ActivitySummary
            | Self::BloodPressureChild
            | Self::DiagnosticReport
            | Self::EnteredInError
            | Self::NotASharedType
            | Self::Repeated
            | Self::Workout => false,
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an import found.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ImportReport {
    /// Records handed to the sink, by type.
    pub imported: BTreeMap<RecordType, u64>,
    /// What was left out, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The person whom the file is about: the first one it names.
    pub person: Option<Person>,
    /// Where the records come from, if the file says one place for all of them; the clinical records in an Apple
    /// Health archive come from a second one.
    pub source: Option<SourceName>,
    /// By source, the types of which the file shows whatever the source has, if it is all of it. A type of which
    /// something was left out that may be a record is not among them.
    #[serde(default)]
    pub coverage: BTreeMap<SourceName, BTreeSet<RecordType>>,
    /// When an Apple Health export was made, in milliseconds since 1970, where it says so.
    pub made_ms: Option<i64>,
    /// How many different people the file names. More than one asks for a word with the caller's person.
    pub people: u64,
}

impl ImportReport {
    /// Records handed to the sink, in all.
    pub fn records(&self) -> u64 {
        self.imported.values().sum()
    }

    pub(crate) fn skip(&mut self, reason: SkipReason, count: u64) {
        if count > 0 {
            *self.skipped.entry(reason).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_kept_under_the_names_that_people_see() {
        let mut report = ImportReport::default();
        report.imported.insert(RecordType::HeartRate, 2);
        for reason in [SkipReason::FhirDstu2, SkipReason::NotASharedType] {
            report.skip(reason, 1);
        }
        let json = serde_json::to_value(&report).unwrap();
        for reason in report.skipped.keys() {
            assert_eq!(json["skipped"][reason.name()], 1);
        }
        assert_eq!(json["imported"][RecordType::HeartRate.name()], 2);
        assert_eq!(serde_json::from_value::<ImportReport>(json).unwrap(), report);
    }
}
