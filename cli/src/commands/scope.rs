//! `scope`: shows or changes what a grant covers. What is taken out is destroyed at the organization; what is added
//! is asked about first. While another command holds the account, what is taken out is noted, and that command
//! carries it out. Not here: what a scope is (`sealcare-client`).

use std::{collections::BTreeSet, fmt};

use sealcare_client::{ClientError, GrantStatus, Patient, RecordType, SharedScope, Timestamp};
use serde::Serialize;

use super::{
    grants::is_over,
    tell::{Told, tell, write_told},
};
use crate::{
    args::Scope,
    choice::{Choice, Reach, ScopeChange, present_scope},
    context::{Carried, Context},
    error::{Error, Result},
    grant_name,
    question::ask,
    times::date,
};

/// What a grant covers, and what a change has made of it.
#[derive(Serialize)]
struct Covered {
    #[serde(rename = "grant")]
    id: String,
    code: String,
    domain: String,
    types: Vec<&'static str>,
    /// Records that begin before are not shared.
    since: Option<String>,
    added: Vec<&'static str>,
    removed: Vec<&'static str>,
    #[serde(skip)]
    period: Period,
    /// Whether the relay has the patient's word for it; none if nothing was changed.
    told: Option<Told>,
    #[serde(skip)]
    carried: Carried,
}

/// What a change does to the period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Period {
    Kept,
    Longer,
    Shorter,
}

pub(super) async fn run(context: &Context, args: Scope) -> Result<()> {
    match args.change() {
        None => show(context, &args.grant).await,
        Some(change) => make(context, &args.grant, change).await,
    }
}

async fn show(context: &Context, name: &str) -> Result<()> {
    let grants = context.open().await?.status().await?;
    let grant = grant_name::find(&grants, name)?;
    let scope = present_scope(grant);
    context.output.print(&Covered::new(grant, &scope, &scope))
}

async fn make(context: &Context, name: &str, change: ScopeChange) -> Result<()> {
    let (patient, carried) = open(context, name, &change).await?;
    let grants = patient.status().await?;
    let grant = grant_name::find(&grants, name)?;
    if carried == Carried::Noted && is_over(grant.state) {
        return Err(ClientError::Revoked.into());
    }
    let old = present_scope(grant);
    let new = ScopeChange { reach: Reach::Whole, ..change.clone() }.applied_to(&old);
    let mut covered = Covered::new(grant, &old, &new);
    let is_asked = covered.is_wider() && change.reach == Reach::Narrower;
    if is_asked {
        ask(&covered.question()).map_err(|error| refusal(error, carried))?;
    }
    if is_asked || carried == Carried::NotYet {
        patient.change_scope(grant.grant, &new).await?;
    } else {
        covered = Covered::new(grant, &old, &old);
    }
    let outcome = tell(context, &patient, grant.grant).await;
    covered.told = Some(Told::by(&outcome));
    covered.carried = carried;
    context.output.print(&covered)?;
    outcome.map(drop)
}

/// What can only add waits for its turn, as it would be asked about anyway.
async fn open(context: &Context, name: &str, change: &ScopeChange) -> Result<(Patient, Carried)> {
    if change.reach == Reach::Narrower && !change.can_narrow() {
        return Ok((context.open().await?, Carried::NotYet));
    }
    context.open_for(name, &Choice::Scope(change.clone())).await
}

/// A refusal after the part that needs no yes was done.
fn refusal(error: Error, carried: Carried) -> Error {
    match (error, carried) {
        (Error::Declined | Error::NobodyToAsk, Carried::Noted) => Error::OnlyNarrowed,
        (error, _) => error,
    }
}

impl Covered {
    fn new(grant: &GrantStatus, old: &SharedScope, new: &SharedScope) -> Self {
        let names = |types: &BTreeSet<RecordType>, other: &BTreeSet<RecordType>| {
            types.difference(other).map(|kind| kind.name()).collect()
        };
        let start = |scope: &SharedScope| scope.from.map_or(0, Timestamp::as_millis);
        Self {
            id: grant.grant.to_hex(),
            code: grant.short_code.to_string(),
            domain: grant.domain.to_string(),
            types: new.types.iter().map(|kind| kind.name()).collect(),
            since: new.from.map(date),
            added: names(&new.types, &old.types),
            removed: names(&old.types, &new.types),
            period: match start(new).cmp(&start(old)) {
                std::cmp::Ordering::Less => Period::Longer,
                std::cmp::Ordering::Equal => Period::Kept,
                std::cmp::Ordering::Greater => Period::Shorter,
            },
            told: None,
            carried: Carried::NotYet,
        }
    }

    fn is_wider(&self) -> bool {
        !self.added.is_empty() || self.period == Period::Longer
    }

    fn question(&self) -> String {
        let Self { domain, .. } = self;
        let added = match &self.added[..] {
            [] => String::new(),
            added => format!("{domain} would also receive: {}.\n", added.join(", ")),
        };
        let earlier = match (self.period, &self.since) {
            (Period::Longer, Some(since)) => format!("It would receive records back to {since}.\n"),
            (Period::Longer, None) => "It would receive records of all dates.\n".to_owned(),
            _ => String::new(),
        };
        format!("{added}{earlier}Share that with {domain}?")
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, code, .. } = self;
        let types = if self.types.is_empty() { "nothing".to_owned() } else { self.types.join(", ") };
        let since = self.since.as_ref().map_or("of all dates".to_owned(), |since| format!("since {since}"));
        writeln!(f, "{domain} ({code}) may receive: {types}; {since}.")?;
        let Some(told) = self.told else { return Ok(()) };
        if self.carried == Carried::Noted {
            writeln!(
                f,
                "Your choice was carried out in its turn; {domain} destroys what it has beyond this."
            )?;
        }
        if !self.removed.is_empty() {
            writeln!(f, "It destroys what it has of: {}.", self.removed.join(", "))?;
        }
        if let (Period::Shorter, Some(since)) = (self.period, &self.since) {
            writeln!(f, "It destroys what it has from before {since}.")?;
        }
        if self.carried == Carried::Noted || !self.removed.is_empty() || self.period == Period::Shorter {
            writeln!(f, "What it copied into its own chart stays there.")?;
        }
        write_told(f, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(added: &[&'static str], removed: &[&'static str], period: Period) -> Covered {
        Covered {
            id: String::new(),
            code: "ABCD-EFGH".into(),
            domain: "clinic.example".into(),
            types: vec!["heart-rate"],
            since: Some("2024-01-01".into()),
            added: added.to_vec(),
            removed: removed.to_vec(),
            period,
            told: Some(Told::Yes),
            carried: Carried::NotYet,
        }
    }

    #[test]
    fn what_is_taken_out_is_said_to_be_destroyed() {
        let text = covered(&[], &["lab-result"], Period::Kept).to_string();
        assert!(
            text.contains("destroys what it has of: lab-result") && text.contains("stays there"),
            "{text}"
        );
        let text = covered(&[], &[], Period::Shorter).to_string();
        assert!(text.contains("from before 2024-01-01"), "{text}");
        let text = covered(&["lab-result"], &[], Period::Kept).to_string();
        assert!(!text.contains("destroys"), "{text}");
    }

    #[test]
    fn only_more_is_asked_about() {
        assert!(!covered(&[], &["lab-result"], Period::Shorter).is_wider());
        let longer = covered(&[], &[], Period::Longer);
        assert!(longer.is_wider() && longer.question().contains("back to 2024-01-01"));
        let wider = covered(&["lab-result"], &[], Period::Kept);
        assert!(wider.question().starts_with("clinic.example would also receive: lab-result."));
    }
}
