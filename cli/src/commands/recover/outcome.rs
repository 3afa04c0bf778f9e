//! What `recover` has come to, for people and for programs.

use std::{collections::BTreeSet, fmt};

use sealcare_client::{GrantStatus, Patient, SearchReport, SheetState};
use serde::Serialize;

use crate::{
    commands::{grants::state_name, recovered::Recovered, sheet},
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
    /// What a grant that does not share yet waits for.
    recovery: Option<Recovered>,
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
        Self {
            id: status.grant.to_hex(),
            code: status.short_code.to_string(),
            domain: status.domain.to_string(),
            state: state_name(status.state),
            recovery: Recovered::of(status),
            types: status.types.clone(),
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
        match (self.state, &self.recovery) {
            (_, Some(recovered)) => recovered.fmt(f),
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

    #[test]
    fn it_says_what_was_found_and_what_to_do_next() {
        let text = |state| {
            let grant = Grant {
                id: String::new(),
                code: "ABCD-EFGH".into(),
                domain: "clinic.example".into(),
                state,
                recovery: None,
                types: ["heart-rate".to_owned()].into(),
            };
            let reminder = Some("Print it again");
            let grants = vec![grant];
            Outcome { complete: false, grants, failures: Vec::new(), sheet: "incomplete", reminder }
                .to_string()
        };
        for part in ["Found: 1 grant.", "active: heart-rate", "import your records again", "Not everything"] {
            assert!(text("active").contains(part), "{part}");
        }
        assert!(
            text("revoked").contains("stopped and confirmed") && text("revoked").contains("Print it again")
        );
    }
}
