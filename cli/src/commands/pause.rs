//! `pause` and `resume`: durable on this machine first, then told. While another command holds the account the choice
//! is noted, and that command carries it out. Not here: the stop for good (`revoke`).

use std::fmt;

use sealcare_client::ClientError;
use serde::Serialize;

use super::{
    grants::{is_over, state_name},
    tell::{Told, tell, write_told},
};
use crate::{
    args::GrantName,
    choice::Choice,
    context::{Carried, Context},
    error::Result,
    grant_name,
};

#[derive(Serialize)]
struct Changed {
    #[serde(rename = "grant")]
    id: String,
    code: String,
    domain: String,
    /// `paused`, or what it is after a resumption: `active` or `unanswered`.
    state: &'static str,
    /// Records on their way.
    pending: u64,
    /// Whether the relay has the patient's word for it.
    told: Told,
}

pub(super) async fn pause(context: &Context, args: GrantName) -> Result<()> {
    choose(context, &args, &Choice::Pause).await
}

pub(super) async fn resume(context: &Context, args: GrantName) -> Result<()> {
    choose(context, &args, &Choice::Resume).await
}

async fn choose(context: &Context, args: &GrantName, choice: &Choice) -> Result<()> {
    let (patient, carried) = context.open_for(&args.grant, choice).await?;
    let grants = patient.status().await?;
    let grant = grant_name::find(&grants, &args.grant)?;
    match carried {
        Carried::NotYet => choice.carry_out(&patient, grant).await?,
        Carried::Noted if is_over(grant.state) => return Err(ClientError::Revoked.into()),
        Carried::Noted => {}
    }
    let outcome = tell(context, &patient, grant.grant).await;
    let grants = patient.status().await?;
    let now = grants.iter().find(|now| now.grant == grant.grant).unwrap_or(grant);
    context.output.print(&Changed {
        id: now.grant.to_hex(),
        code: now.short_code.to_string(),
        domain: now.domain.to_string(),
        state: state_name(now.state),
        pending: now.records_pending,
        told: Told::by(&outcome),
    })?;
    outcome.map(drop)
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, code, .. } = self;
        if self.state == "paused" {
            writeln!(
                f,
                "Paused. No record leaves this machine for {domain} until `sealcare resume {code}`."
            )?;
            writeln!(f, "Signs of life go on; what {domain} has stays there.")?;
        } else {
            writeln!(f, "{domain} receives again, what came during the pause too.")?;
        }
        write_told(f, self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_says_how_it_ends_and_whether_it_was_told() {
        let changed = |state, told| Changed {
            id: String::new(),
            code: "ABCD-EFGH".into(),
            domain: "clinic.example".into(),
            state,
            pending: 0,
            told,
        };
        let paused = changed("paused", Told::NotYet).to_string();
        assert!(paused.contains("sealcare resume ABCD-EFGH") && paused.contains("not told yet"), "{paused}");
        let resumed = changed("active", Told::Yes).to_string();
        assert!(resumed.contains("receives again") && !resumed.contains("not told"), "{resumed}");
        let json = serde_json::to_value(changed("paused", Told::Yes)).unwrap();
        assert_eq!((&json["state"], &json["told"]), (&"paused".into(), &true.into()));
    }
}
