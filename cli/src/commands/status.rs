//! `status`: for each grant what arrived, what waits, what was refused, who looked. Nothing is asked of a relay.

use std::{collections::BTreeMap, fmt};

use sealcare_client::{Clock as _, GrantStatus, RecordType, StatementState, SystemClock, Timestamp};
use serde::Serialize;

use super::{grants::state_name, recovered::Recovered, sheet};
use crate::{
    context::Context,
    error::Result,
    output::counted,
    times::{ago, date, rfc3339},
};

#[derive(Serialize)]
struct Status {
    /// Records on this machine, by type.
    records: BTreeMap<&'static str, u64>,
    grants: Vec<Grant>,
    /// Whether the recovery sheet is enough: `complete`, `incomplete` or `never-made`.
    sheet: &'static str,
    #[serde(skip)]
    reminder: Option<&'static str>,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
struct Grant {
    #[serde(rename = "grant")]
    id: String,
    code: String,
    domain: String,
    state: &'static str,
    /// Whether the organization has taken the last choice: `pending`, `confirmed` or `overruled`.
    statement: &'static str,
    types: Vec<String>,
    /// Records that begin before are not shared.
    since: Option<String>,
    /// Of a grant that was found again and does not share yet: what it waits for.
    recovery: Option<Recovered>,
    /// Whether staff must still compare the code.
    held: bool,
    pending: u64,
    confirmed: u64,
    too_large: u64,
    refusals: BTreeMap<String, u64>,
    views: Vec<String>,
    heard: Option<String>,
    last_deposit: Option<String>,
    revoked_at: Option<String>,
    #[serde(skip)]
    times: Times,
}

/// The same instants, for people.
#[derive(Clone, Copy)]
struct Times {
    heard: Option<Timestamp>,
    last_deposit: Option<Timestamp>,
    last_view: Option<Timestamp>,
}

pub(super) async fn run(context: &Context) -> Result<()> {
    let patient = context.open().await?;
    let counts = patient.record_counts().await?;
    let grants = patient.status().await?;
    let sheet = patient.sheet_state().await?;
    let status = Status {
        sheet: sheet::state_name(&sheet),
        // Without a grant there is nothing to lose yet.
        reminder: sheet::reminder(&sheet).filter(|_| !grants.is_empty()),
        records: RecordType::ALL.map(|kind| (kind.name(), counts.get(&kind).copied().unwrap_or(0))).into(),
        grants: grants.iter().map(Grant::from).collect(),
        now: SystemClock.now(),
    };
    context.output.print(&status)
}

impl From<&GrantStatus> for Grant {
    fn from(status: &GrantStatus) -> Self {
        Self {
            id: status.grant.to_hex(),
            code: status.short_code.to_string(),
            domain: status.domain.to_string(),
            state: state_name(status.state),
            statement: match status.statement {
                StatementState::Pending => "pending",
                StatementState::Confirmed => "confirmed",
                StatementState::Overruled => "overruled",
            },
            types: status.types.iter().cloned().collect(),
            since: status.from.map(date),
            recovery: Recovered::of(status),
            held: status.is_held,
            pending: status.records_pending,
            confirmed: status.records_confirmed,
            too_large: status.records_too_large,
            refusals: status.refusals.clone(),
            views: status.views.iter().copied().map(rfc3339).collect(),
            heard: status.heard.map(rfc3339),
            last_deposit: status.last_deposit.map(rfc3339),
            revoked_at: status.state.confirmed_at().map(rfc3339),
            times: Times {
                heard: status.heard,
                last_deposit: status.last_deposit,
                last_view: status.views.iter().max().copied(),
            },
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "On this machine: {}", counted(self.records.values().sum(), "record"))?;
        for (name, count) in self.records.iter().filter(|(_, count)| **count > 0) {
            writeln!(f, "  {count:>9}  {name}")?;
        }
        if self.grants.is_empty() {
            writeln!(f, "You share with nobody. Next: `sealcare accept @INVITATION`.")?;
        }
        self.grants.iter().try_for_each(|grant| grant.write(f, self.now))?;
        self.reminder.map_or(Ok(()), |reminder| writeln!(f, "\n{reminder}"))
    }
}

impl Grant {
    fn write(&self, f: &mut fmt::Formatter<'_>, now: Timestamp) -> fmt::Result {
        writeln!(f, "\n{} ({}): {}", self.domain, self.code, self.state_text())?;
        let told = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| ago(at, now));
        if self.revoked_at.is_none() && self.state != "revocation-pending" {
            self.write_scope(f)?;
            writeln!(f, "  {} arrived, {} on the way", self.confirmed, self.pending)?;
            writeln!(
                f,
                "  last deposit {}, last answer {}",
                told(self.times.last_deposit),
                told(self.times.heard)
            )?;
        }
        if self.held {
            writeln!(f, "  held until staff compare the code {} with yours", self.code)?;
        }
        if self.too_large > 0 {
            writeln!(f, "  {} too large to share", counted(self.too_large, "record"))?;
        }
        for (reason, count) in &self.refusals {
            writeln!(f, "  refused by the organization: {} ({reason})", counted(*count, "part"))?;
        }
        match self.views.len() {
            0 => Ok(()),
            100.. => writeln!(f, "  looked at 100 times or more, last {}", told(self.times.last_view)),
            count => writeln!(f, "  looked at {count}×, last {}", told(self.times.last_view)),
        }
    }

    fn write_scope(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(recovered) = &self.recovery {
            return writeln!(f, "  {recovered}");
        }
        let since = self.since.as_ref().map_or(String::new(), |since| format!(", since {since}"));
        writeln!(f, "  covers {}{since}", self.types.join(", "))?;
        match self.statement {
            "pending" if self.state != "unanswered" => {
                writeln!(f, "  your last choice is not confirmed yet (`sealcare share` asks)")
            }
            "overruled" => writeln!(
                f,
                "  another device's choice stands there; `sealcare scope`, `pause` or `resume` here replaces it"
            ),
            _ => Ok(()),
        }
    }

    fn state_text(&self) -> String {
        match (self.state, &self.revoked_at) {
            ("ended", Some(at)) => format!(
                "ended: nothing was heard of you for 90 days; the organization destroyed its copy on {}",
                at.get(..10).unwrap_or(at)
            ),
            (_, Some(at)) => format!("stopped; the organization confirmed on {}", at.get(..10).unwrap_or(at)),
            ("revocation-pending", _) => {
                "stopped; the organization has not confirmed yet (`sealcare share` asks again)".to_owned()
            }
            _ if self.recovery.is_some() => "found again; nothing is shared yet".to_owned(),
            ("paused", _) => format!("paused (`sealcare resume {}` ends it)", self.code),
            ("unanswered", _) => "shared; the organization has not answered yet".to_owned(),
            _ => "shared".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(state: &'static str) -> Grant {
        let now = Timestamp::from_millis(1_700_000_000_000);
        Grant {
            id: String::new(),
            code: "ABCD-EFGH".into(),
            domain: "clinic.example".into(),
            state,
            statement: "pending",
            types: vec!["heart-rate".to_owned()],
            since: Some("2024-01-01".to_owned()),
            recovery: None,
            held: true,
            pending: 3,
            confirmed: 40,
            too_large: 1,
            refusals: [("out-of-scope".to_owned(), 2)].into(),
            views: vec![rfc3339(now)],
            heard: None,
            last_deposit: None,
            revoked_at: None,
            times: Times { heard: None, last_deposit: Some(now), last_view: Some(now) },
        }
    }

    fn text(grant: Grant) -> String {
        let now = Timestamp::from_millis(1_700_000_120_000);
        let (records, reminder) = ([("heart-rate", 43)].into(), Some("Print it again."));
        Status { records, grants: vec![grant], sheet: "incomplete", reminder, now }.to_string()
    }

    #[test]
    fn a_grant_tells_what_arrived_and_who_looked() {
        let text = text(grant("active"));
        for part in [
            "43  heart-rate",
            "clinic.example (ABCD-EFGH): shared\n",
            "  covers heart-rate, since 2024-01-01\n",
            "your last choice is not confirmed yet",
            "40 arrived, 3 on the way",
            "last deposit 2 min ago, last answer never",
            "held until staff compare the code ABCD-EFGH",
            "1 record too large",
            "2 parts (out-of-scope)",
            "looked at 1×, last 2 min ago",
            "\nPrint it again.",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_stopped_grant_says_whether_it_is_confirmed() {
        assert!(text(grant("revocation-pending")).contains("has not confirmed yet"));
        let confirmed = Grant { revoked_at: Some("2026-01-02T03:04:05Z".into()), ..grant("revoked") };
        let text = text(confirmed);
        assert!(text.contains("confirmed on 2026-01-02") && !text.contains("arrived"), "{text}");
    }

    #[test]
    fn a_grant_that_ended_by_silence_says_so() {
        let ended = Grant { revoked_at: Some("2026-01-02T03:04:05Z".into()), ..grant("ended") };
        let text = text(ended);
        assert!(
            text.contains("90 days") && text.contains("on 2026-01-02") && !text.contains("stopped"),
            "{text}"
        );
    }
}
