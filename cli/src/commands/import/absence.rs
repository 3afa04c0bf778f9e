//! What a complete file does not have any more: shown by type and period, deleted only on the person's word.
//! Not here: how it is found (`sealcare-client`).

use std::{collections::BTreeMap, fmt};

use sealcare_client::{Absence, Caution, Patient, Timestamp};
use serde::Serialize;

use crate::{
    args::Deletions,
    error::{Error, Result},
    output::{Output, counted},
    question, times,
};

/// What is absent, and how much of it was deleted.
#[derive(Debug, Serialize)]
pub(super) struct AbsenceReport {
    types: BTreeMap<&'static str, Absent>,
    /// Records that are not in the file either, of types of which something in it could not be read.
    left_alone: BTreeMap<&'static str, u64>,
    /// Why it looks like a mistake.
    warning: Option<&'static str>,
    /// Records that were deleted: all of them, or none.
    deleted: u64,
}

#[derive(Debug, Serialize)]
struct Absent {
    count: u64,
    first: Option<String>,
    last: Option<String>,
}

/// Shows what is absent and deletes it if the person says so: with the option, or on the terminal.
pub(super) async fn settle(
    patient: &Patient,
    absence: Absence,
    deletions: Deletions,
    output: Output,
) -> Result<AbsenceReport> {
    let mut report = AbsenceReport::of(&absence);
    let is_confirmed = match deletions {
        _ if absence.count() == 0 => false,
        Deletions::Confirmed => true,
        Deletions::Asked if output == Output::Json => false,
        Deletions::Asked => {
            match question::ask(&format!("{report}Delete them here and at all organizations?")) {
                Ok(()) => true,
                Err(Error::NobodyToAsk | Error::Declined) => false,
                Err(error) => return Err(error),
            }
        }
    };
    if is_confirmed {
        report.deleted = patient.confirm_absence(absence).await?;
    }
    Ok(report)
}

impl AbsenceReport {
    fn of(absence: &Absence) -> Self {
        let date = |ms: Option<u64>| ms.map(|ms| times::date(Timestamp::from_millis(ms)));
        let types = absence.types.iter().map(|(kind, absent)| {
            (
                kind.name(),
                Absent { count: absent.count, first: date(absent.first_ms), last: date(absent.last_ms) },
            )
        });
        let warning = absence.caution().map(|caution| match caution {
            Caution::NothingLeft => "nothing-left",
            _ => "much-smaller",
        });
        let left_alone = absence.left_alone.iter().map(|(kind, count)| (kind.name(), *count)).collect();
        Self { types: types.collect(), left_alone, warning, deleted: 0 }
    }

    /// Whether there is something to delete.
    pub(super) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// Records that were deleted.
    pub(super) fn deleted(&self) -> u64 {
        self.deleted
    }
}

impl fmt::Display for AbsenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.warning {
            Some("nothing-left") => writeln!(
                f,
                "WARNING: the file has nothing of what is here. If it is not what your Health app shows, do not delete."
            )?,
            Some(_) => writeln!(
                f,
                "WARNING: more would be deleted than stays. If that is not what you did, do not delete."
            )?,
            None => {}
        }
        if !self.left_alone.is_empty() {
            writeln!(f, "Not in the file, and left alone: something of the type in it could not be read")?;
            super::write_counts(f, &self.left_alone)?;
        }
        if self.is_empty() {
            return Ok(());
        }
        let count = self.types.values().map(|absent| absent.count).sum();
        writeln!(f, "Not in the file any more: {}", counted(count, "record"))?;
        for (name, Absent { count, first, last }) in &self.types {
            write!(f, "  {count:>9}  {name}")?;
            match (first, last) {
                (Some(first), Some(last)) => writeln!(f, ", {first} to {last}")?,
                _ => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_told_by_type_and_period_with_its_warning() {
        let absent = Absent { count: 2, first: Some("2024-01-01".into()), last: Some("2024-02-01".into()) };
        let types = [("heart-rate", absent)].into();
        let mut report = AbsenceReport { types, left_alone: BTreeMap::new(), warning: None, deleted: 0 };
        let text = report.to_string();
        assert!(text.starts_with("Not in the file any more: 2 records\n"), "{text}");
        assert!(text.contains("2  heart-rate, 2024-01-01 to 2024-02-01\n"), "{text}");
        for warning in ["nothing-left", "much-smaller"] {
            report.warning = Some(warning);
            assert!(report.to_string().starts_with("WARNING: "));
        }
        report = AbsenceReport {
            types: BTreeMap::new(),
            left_alone: [("immunization", 1)].into(),
            warning: None,
            deleted: 0,
        };
        let text = report.to_string();
        assert!(text.contains("left alone") && text.ends_with("1  immunization\n"), "{text}");
    }
}
