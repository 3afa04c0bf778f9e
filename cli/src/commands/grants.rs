//! `grants`: with whom the patient shares, and since when. Not here: what arrived (`status`).

use std::fmt;

use sealcare_client::{GrantState, GrantStatus};
use serde::Serialize;

use crate::{
    context::Context,
    error::Result,
    times::{date, rfc3339},
};

#[derive(Serialize)]
struct Grants {
    grants: Vec<Grant>,
}

#[derive(Serialize)]
struct Grant {
    #[serde(rename = "grant")]
    id: String,
    code: String,
    domain: String,
    relay: String,
    state: &'static str,
    types: Vec<String>,
    /// Records that begin before are not shared.
    since: Option<String>,
    created: String,
}

pub(super) async fn run(context: &Context) -> Result<()> {
    let grants = context.open().await?.status().await?;
    context.output.print(&Grants { grants: grants.iter().map(Grant::from).collect() })
}

/// The word for a state, the same in every command.
pub(super) fn state_name(state: GrantState) -> &'static str {
    match state {
        GrantState::Unanswered => "unanswered",
        GrantState::Active => "active",
        GrantState::Paused => "paused",
        GrantState::RevocationPending => "revocation-pending",
        GrantState::Revoked { .. } => "revoked",
        GrantState::Ended { .. } => "ended",
        _ => "unknown",
    }
}

/// Whether a grant takes no more choices.
pub(super) fn is_over(state: GrantState) -> bool {
    matches!(state, GrantState::RevocationPending | GrantState::Revoked { .. } | GrantState::Ended { .. })
}

impl From<&GrantStatus> for Grant {
    fn from(status: &GrantStatus) -> Self {
        Self {
            id: status.grant.to_hex(),
            code: status.short_code.to_string(),
            domain: status.domain.to_string(),
            relay: status.relay.to_string(),
            state: state_name(status.state),
            types: status.types.iter().cloned().collect(),
            since: status.from.map(date),
            created: rfc3339(status.created),
        }
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.grants.is_empty() {
            return writeln!(f, "You share with nobody. Next: `sealcare accept @INVITATION`.");
        }
        writeln!(f, "{:<10} {:<19} {:<11} DOMAIN", "CODE", "STATE", "SINCE")?;
        for grant in &self.grants {
            let since = grant.created.get(..10).unwrap_or_default();
            writeln!(f, "{:<10} {:<19} {since:<11} {}", grant.code, grant.state, grant.domain)?;
            let from = grant.since.as_ref().map_or(String::new(), |since| format!("; since {since}"));
            writeln!(f, "{:<10} {}{from}", "", grant.types.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_how_to_begin() {
        assert!(Grants { grants: Vec::new() }.to_string().contains("sealcare accept"));
    }
}
