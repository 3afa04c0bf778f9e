//! What `recover` has come to, for people and for programs.

use std::{collections::BTreeSet, fmt};

use sealcare_client::{GrantState, GrantStatus, Patient, RecoveryState, SearchReport, SheetState};
use serde::Serialize;

use crate::{
    commands::{grants::state_name, sheet},
    error::Result,
    output::counted,
};

#[derive(Serialize)]
pub(super) struct Outcome {
    /// Whether every relay was searched to its end, and every grant that it knows is here.
    complete: bool,
    grants: Vec<Grant>,
    failures: Vec<Failure>,
    sheet: &'static str,
    #[serde(skip)]
    reminder: Option<&'static str>,
}

#[derive(Serialize)]
struct Grant {
    #[serde(rename = "grant")]
    id: String,
    code: String,
    domain: String,
    state: &'static str,
    /// `unanswered`, `unproven`, `offered` or null for a grant that shares or is stopped.
    recovery: Option<&'static str>,
    /// What is shared; of an offer, what was.
    types: BTreeSet<String>,
}

#[derive(Serialize)]
struct Failure {
    relay: String,
    error: String,
}

pub(super) async fn of(patient: &Patient, report: &SearchReport) -> Result<Outcome> {
    let state: SheetState = patient.sheet_state().await?;
    let failure = |failure: &sealcare_client::SearchFailure| Failure {
        relay: failure.relay.to_string(),
        error: failure.error.to_string(),
    };
    Ok(Outcome {
        complete: report.failures.is_empty(),
        grants: patient.status().await?.iter().map(Grant::from).collect(),
        failures: report.failures.iter().map(failure).collect(),
        sheet: sheet::state_name(&state),
        reminder: sheet::reminder(&state),
    })
}

impl From<&GrantStatus> for Grant {
    fn from(status: &GrantStatus) -> Self {
        let recovery = match &status.recovery {
            _ if matches!(status.state, GrantState::RevocationPending | GrantState::Revoked { .. }) => None,
            Some(RecoveryState::Offered(_)) => Some("offered"),
            Some(RecoveryState::Unproven) => Some("unproven"),
            Some(_) => Some("unanswered"),
            None => None,
        };
        Self {
            id: status.grant.to_hex(),
            code: status.short_code.to_string(),
            domain: status.domain.to_string(),
            state: state_name(status.state),
            recovery,
            types: match &status.recovery {
                Some(RecoveryState::Offered(offered)) => offered.types.clone(),
                _ => status.types.clone(),
            },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = u64::try_from(self.grants.len()).unwrap_or(u64::MAX);
        writeln!(f, "Found: {}.", counted(count, "grant"))?;
        self.grants.iter().try_for_each(|grant| writeln!(f, "{grant}"))?;
        for failure in &self.failures {
            writeln!(f, "{}: {}", failure.relay, failure.error)?;
        }
        if !self.complete {
            writeln!(
                f,
                "Not everything could be looked for. Run `sealcare recover` again later; `sealcare share` goes on too."
            )?;
        }
        if let Some(reminder) = self.reminder {
            writeln!(f, "{reminder}")?;
        }
        if self.grants.iter().any(|grant| grant.state == "active") {
            writeln!(f, "Next: import your records again, then `sealcare share`.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.types.iter().map(String::as_str).collect();
        write!(f, "  {} ({}): ", self.domain, self.code)?;
        match (self.state, self.recovery) {
            (_, Some("offered")) => write!(
                f,
                "received {}. To go on so: `sealcare recover --keep`; to choose anew: `sealcare scope {}`",
                types.join(", "),
                self.code
            ),
            (_, Some("unproven")) => write!(
                f,
                "it cannot be proved what you chose. Choose anew: `sealcare scope {0}`, then `sealcare resume {0}`",
                self.code
            ),
            (_, Some(_)) => f.write_str("not heard yet; `sealcare share` asks again"),
            ("revoked", _) => f.write_str("stopped and confirmed"),
            ("revocation-pending", _) => {
                f.write_str("stopped; not confirmed yet (`sealcare share` asks again)")
            }
            (state, None) => write!(f, "{state}: {}", types.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(state: &'static str, recovery: Option<&'static str>) -> String {
        let grant = Grant {
            id: String::new(),
            code: "ABCD-EFGH".into(),
            domain: "clinic.example".into(),
            state,
            recovery,
            types: ["heart-rate".to_owned()].into(),
        };
        let reminder = Some("Print it again");
        Outcome { complete: false, grants: vec![grant], failures: Vec::new(), sheet: "incomplete", reminder }
            .to_string()
    }

    #[test]
    fn each_grant_says_what_to_do_next() {
        assert!(text("active", None).contains("active: heart-rate"));
        assert!(text("active", None).contains("import your records again"));
        assert!(text("paused", Some("offered")).contains("`sealcare recover --keep`"));
        assert!(text("paused", Some("unproven")).contains("`sealcare scope ABCD-EFGH`"));
        assert!(text("paused", Some("unanswered")).contains("`sealcare share` asks again"));
        assert!(text("revoked", None).contains("stopped and confirmed"));
        assert!(
            text("active", None).contains("Not everything")
                && text("active", None).contains("Print it again")
        );
    }
}
