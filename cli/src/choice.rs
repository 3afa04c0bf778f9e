//! A later choice about one grant, as it was said: a stop, a pause, its end, another scope. Not here: asking and
//! answering (`commands`), keeping a choice for another command (`request`), what follows from it
//! (`sealcare-client`).

use std::collections::BTreeSet;

use sealcare_client::{ClientError, GrantStatus, Patient, RecordType, SharedScope, Timestamp};
use serde::{Deserialize, Serialize};

/// What a person has chosen for a grant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Choice {
    /// The end, for good.
    Stop,
    /// No record for a while.
    Pause,
    /// The end of a pause.
    Resume,
    /// Another scope.
    Scope(ScopeChange),
}

/// What is to become of a scope, whatever it is now.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeChange {
    /// These types and no others; none keeps those that are.
    pub(crate) types: Option<BTreeSet<RecordType>>,
    pub(crate) period: PeriodChange,
    pub(crate) reach: Reach,
}

/// What is to become of a scope's period.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PeriodChange {
    /// As it is.
    Kept,
    /// Records of all dates.
    AllDates,
    /// Records that begin so many milliseconds after 1970 or later.
    Since(u64),
}

/// How far a change of scope may go.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reach {
    /// The person has said yes to all of it.
    Whole,
    /// What is taken out is taken out; what would be added needs the person's word first.
    Narrower,
}

impl Choice {
    /// What it is called.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resumption",
            Self::Scope(ScopeChange { reach: Reach::Whole, .. }) => "scope",
            Self::Scope(ScopeChange { reach: Reach::Narrower, .. }) => "narrower scope",
        }
    }

    /// Does it: durable in the account when this returns; telling is another step.
    ///
    /// # Errors
    /// [`ClientError::Revoked`] for what a stopped grant takes no more, and those of the vault.
    pub(crate) async fn carry_out(&self, patient: &Patient, grant: &GrantStatus) -> Result<(), ClientError> {
        match self {
            Self::Stop => patient.begin_revocation(grant.grant).await,
            Self::Pause => patient.pause(grant.grant).await,
            Self::Resume => patient.resume(grant.grant).await,
            Self::Scope(change) => {
                let scope = change.applied_to(&present_scope(grant));
                patient.change_scope(grant.grant, &scope).await
            }
        }
    }
}

impl ScopeChange {
    /// What a grant covers that covered `old`.
    pub(crate) fn applied_to(&self, old: &SharedScope) -> SharedScope {
        let types = self.types.clone().unwrap_or_else(|| old.types.clone());
        let from = match self.period {
            PeriodChange::Kept => old.from,
            PeriodChange::AllDates => None,
            PeriodChange::Since(millis) => Some(Timestamp::from_millis(millis)),
        };
        match self.reach {
            Reach::Whole => SharedScope { types, from },
            // No start is earlier than any.
            Reach::Narrower => SharedScope { types: &types & &old.types, from: from.max(old.from) },
        }
    }

    /// Whether it may take something out of some scope.
    pub(crate) fn can_narrow(&self) -> bool {
        let leaves_out = |types: &BTreeSet<RecordType>| types.len() < RecordType::ALL.len();
        self.types.as_ref().is_some_and(leaves_out) || matches!(self.period, PeriodChange::Since(_))
    }
}

/// What a grant covers.
pub(crate) fn present_scope(grant: &GrantStatus) -> SharedScope {
    let types = grant.types.iter().filter_map(|name| name.parse().ok()).collect();
    SharedScope { types, from: grant.from }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAB: RecordType = RecordType::LabResult;
    const HEART: RecordType = RecordType::HeartRate;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn change(types: Option<&[RecordType]>, period: PeriodChange, reach: Reach) -> ScopeChange {
        ScopeChange { types: types.map(|types| types.iter().copied().collect()), period, reach }
    }

    #[test]
    fn without_a_yes_nothing_is_added_and_all_that_is_taken_out_is() {
        let old = SharedScope { types: [HEART, LAB].into(), from: Some(at(5)) };
        for (types, period, expected, from) in [
            (Some(&[HEART][..]), PeriodChange::Kept, vec![HEART], Some(at(5))),
            (Some(&[HEART, RecordType::Immunization]), PeriodChange::AllDates, vec![HEART], Some(at(5))),
            (None, PeriodChange::Since(9), vec![HEART, LAB], Some(at(9))),
            (None, PeriodChange::Since(1), vec![HEART, LAB], Some(at(5))),
        ] {
            let new = change(types, period, Reach::Narrower).applied_to(&old);
            assert_eq!((new.types, new.from), (expected.into_iter().collect(), from));
        }
        let all_dates = SharedScope { from: None, ..old };
        let since = change(None, PeriodChange::Since(9), Reach::Narrower).applied_to(&all_dates);
        assert_eq!(since.from, Some(at(9)));
    }

    #[test]
    fn with_a_yes_a_change_is_taken_as_it_was_said() {
        let old = SharedScope { types: [HEART].into(), from: Some(at(5)) };
        let wider = change(Some(&[LAB]), PeriodChange::AllDates, Reach::Whole).applied_to(&old);
        assert_eq!((wider.types, wider.from), ([LAB].into(), None));
        let kept = change(None, PeriodChange::Kept, Reach::Whole).applied_to(&old);
        assert_eq!((kept.types, kept.from), (old.types, old.from));
    }

    #[test]
    fn only_what_leaves_something_out_can_narrow() {
        let can = |types: Option<&[RecordType]>, period| change(types, period, Reach::Narrower).can_narrow();
        assert!(can(Some(&[HEART]), PeriodChange::AllDates) && can(None, PeriodChange::Since(0)));
        assert!(!can(Some(&RecordType::ALL), PeriodChange::AllDates) && !can(None, PeriodChange::Kept));
    }
}
