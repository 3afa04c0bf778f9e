//! `revoke`: the stop. Durable on this machine first; if the relay cannot be reached, `share` goes on asking. While
//! another command holds the account the stop is noted, and that command carries it out.

use std::fmt;

use sealcare_client::RevocationState;
use serde::Serialize;

use crate::{
    args::GrantName, choice::Choice, context::Context, error::Result, grant_name, progress::Meter,
    times::rfc3339,
};

#[derive(Serialize)]
struct Stopped {
    #[serde(rename = "grant")]
    id: String,
    code: String,
    domain: String,
    /// `pending` or `confirmed`.
    state: &'static str,
    confirmed_at: Option<String>,
}

pub(super) async fn run(context: &Context, args: GrantName) -> Result<()> {
    let (patient, _) = context.open_for(&args.grant, &Choice::Stop).await?;
    let grants = patient.status().await?;
    let grant = grant_name::find(&grants, &args.grant)?;
    let meter = Meter::of_work("telling the relay", context.output);
    let state = patient.revoke(grant.grant).await?;
    drop(meter);
    let confirmed_at = match state {
        RevocationState::Pending => None,
        RevocationState::Confirmed { at } => Some(rfc3339(at)),
    };
    let stopped = Stopped {
        id: grant.grant.to_hex(),
        code: grant.short_code.to_string(),
        domain: grant.domain.to_string(),
        state: if confirmed_at.is_some() { "confirmed" } else { "pending" },
        confirmed_at,
    };
    context.output.print(&stopped)
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, code, .. } = self;
        if let Some(at) = &self.confirmed_at {
            let day = at.get(..10).unwrap_or(at);
            return writeln!(f, "Stopped. {domain} confirmed on {day} that it destroyed its keys and copy.");
        }
        writeln!(f, "Stopped. The relay takes and hands out nothing more, and deletes what it holds.")?;
        writeln!(f, "{domain} has not confirmed yet: run `sealcare revoke {code}` again to see.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_pending_until_it_is_confirmed() {
        let stopped = |confirmed_at: Option<&str>| Stopped {
            id: String::new(),
            code: "ABCD-EFGH".into(),
            domain: "clinic.example".into(),
            state: "",
            confirmed_at: confirmed_at.map(str::to_owned),
        };
        assert!(stopped(None).to_string().contains("has not confirmed yet"));
        assert!(stopped(Some("2026-01-02T03:04:05Z")).to_string().contains("confirmed on 2026-01-02"));
    }
}
