//! `doctor`: checks the account's storage, the clock, the relays and the organizations' keys, and changes nothing.
//! Not here: how the network is looked at (`reach`).

mod reach;

use std::{collections::BTreeSet, fmt};

use sealcare_client::{Clock as _, GrantStatus, Patient, SystemClock, Timestamp, Vault};
use serde::Serialize;

use crate::{
    args::Doctor,
    context::Context,
    error::{Error, Result},
    exit::Exit,
    output::counted,
    progress::Meter,
};

/// What was found.
#[derive(Serialize)]
struct Findings {
    healthy: bool,
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    /// `storage`, `account`, `clock`, `relay` or `organization-keys`.
    #[serde(rename = "check")]
    name: &'static str,
    /// The relay or domain that it is about.
    about: Option<String>,
    outcome: Outcome,
    detail: String,
    advice: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Failed,
    Skipped,
}

pub(super) async fn run(context: &Context, args: Doctor) -> Result<()> {
    let mut checks = Vec::new();
    if let Some((patient, grants)) = examine_home(context, &mut checks).await? {
        let open: Vec<&GrantStatus> = grants.iter().filter(|grant| is_open(grant)).collect();
        checks.push(clock(&grants, SystemClock.now()));
        if args.offline {
            checks.push(Check::skipped("relay", "needs the network"));
            checks.push(Check::skipped("organization-keys", "needs the network"));
        } else {
            examine_network(context, &patient, &open, &mut checks).await;
        }
    }
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Failed).count();
    let findings = Findings { healthy: failed == 0, checks };
    context.output.print(&findings)?;
    match u64::try_from(failed).unwrap_or(u64::MAX) {
        0 => Ok(()),
        failed => Err(Error::Unhealthy(format!("{} failed", counted(failed, "check")))),
    }
}

/// The account, unless storage or account do not open. Being busy or locked out is not a finding but an error.
async fn examine_home(
    context: &Context,
    checks: &mut Vec<Check>,
) -> Result<Option<(Patient, Vec<GrantStatus>)>> {
    let vault = match open_intact(context).await {
        Err(error) if error.exit() != Exit::Storage => return Err(error),
        Err(error) => {
            checks.push(Check::of("storage", None, Err(error)));
            return Ok(None);
        }
        Ok((vault, values)) => {
            checks.push(Check::of("storage", None, Ok(format!("{} intact", counted(values, "value")))));
            vault
        }
    };
    match open_account(context, vault).await {
        Err(error) => {
            checks.push(Check::of("account", None, Err(error)));
            Ok(None)
        }
        Ok((patient, grants)) => {
            let count = u64::try_from(grants.len()).unwrap_or(u64::MAX);
            checks.push(Check::of("account", None, Ok(counted(count, "grant"))));
            Ok(Some((patient, grants)))
        }
    }
}

/// The vault and how many values are in it, once all of them have opened.
async fn open_intact(context: &Context) -> Result<(Vault, u64)> {
    let vault = context.open_vault(&context.home.unlock()?).await?;
    let _meter = Meter::of_work("checking every stored value", context.output);
    let values = vault.verify(&[])?;
    Ok((vault, values))
}

async fn open_account(context: &Context, vault: Vault) -> Result<(Patient, Vec<GrantStatus>)> {
    let patient = context.open_in(vault).await?;
    let grants = patient.status().await?;
    Ok((patient, grants))
}

async fn examine_network(
    context: &Context,
    patient: &Patient,
    open: &[&GrantStatus],
    checks: &mut Vec<Check>,
) {
    let meter = Meter::of_work("asking relays and organizations", context.output);
    let relays: BTreeSet<_> = open.iter().map(|grant| &grant.relay).collect();
    for relay in relays {
        let reached = reach::relay(relay.as_str(), context.addresses()).await;
        checks.push(Check::of("relay", Some(relay.to_string()), reached.map(|()| "reachable".into())));
    }
    for grant in open {
        let keys = reach::keys(patient, grant).await;
        let about = Some(grant.domain.to_string());
        checks.push(Check::of("organization-keys", about, keys.map(|()| "valid now, as accepted".into())));
    }
    drop(meter);
    if open.is_empty() {
        checks.push(Check::skipped("relay", "you share with nobody"));
        checks.push(Check::skipped("organization-keys", "you share with nobody"));
    }
}

fn is_open(grant: &GrantStatus) -> bool {
    grant.state.confirmed_at().is_none()
}

/// A clock cannot be earlier than what the account has lived through. Whether it runs ahead, the organizations' keys
/// tell, which are valid for days; a relay refuses calls beyond five minutes, and says so.
fn clock(grants: &[GrantStatus], now: Timestamp) -> Check {
    let lived = grants.iter().flat_map(|grant| [Some(grant.created), grant.last_deposit, grant.heard]);
    match lived.flatten().max() {
        Some(latest) if latest > now => Check {
            name: "clock",
            about: None,
            outcome: Outcome::Failed,
            detail: "earlier than what was shared before".into(),
            advice: Some("Set this machine's clock."),
        },
        _ => Check::of("clock", None, Ok("not behind".into())),
    }
}

impl Check {
    fn of(name: &'static str, about: Option<String>, found: Result<String>) -> Self {
        match found {
            Ok(detail) => Self { name, about, outcome: Outcome::Ok, detail, advice: None },
            Err(error) => {
                let advice = error.advice();
                Self { name, about, outcome: Outcome::Failed, detail: error.to_string(), advice }
            }
        }
    }

    fn skipped(name: &'static str, why: &str) -> Self {
        Self { name, about: None, outcome: Outcome::Skipped, detail: why.into(), advice: None }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, about, outcome, detail, advice } in &self.checks {
            let mark = match outcome {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            write!(f, "{mark:<8} {name}")?;
            if let Some(about) = about {
                write!(f, " {about}")?;
            }
            writeln!(f, ": {detail}")?;
            if let Some(advice) = advice {
                writeln!(f, "         {advice}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealcare_client::VaultError;

    #[test]
    fn a_failed_check_says_what_to_do() {
        let failed = Check::of("storage", None, Err(VaultError::Corrupt { space: "records" }.into()));
        let findings = Findings { healthy: false, checks: vec![failed, Check::skipped("relay", "why")] };
        let text = findings.to_string();
        assert!(text.starts_with("FAILED   storage: a value in records is damaged\n"), "{text}");
        assert!(text.contains("sealcare doctor") && text.contains("skipped  relay: why"), "{text}");
    }

    #[test]
    fn without_a_past_no_clock_is_behind() {
        assert_eq!(clock(&[], Timestamp::from_millis(0)).outcome, Outcome::Ok);
    }
}
