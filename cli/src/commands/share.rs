//! `share`: one pass over every grant, or pass after pass. Between two passes the account is closed, so that other
//! commands can work. Not here: what a pass does (`sealcare-client`).

use std::{fmt, sync::Arc, time::Duration};

use rand::RngExt as _;
use sealcare_client::{
    ClientError, GrantState, GrantStatus, PassOutcome, ShareProgress, SharedGrant, Unlock,
};
use serde::Serialize;

use crate::{
    args::Share,
    context::Context,
    error::{Error, Result},
    exit::Exit,
    progress::Meter,
    request,
    times::jittered,
};

/// Whether somebody waits for the pass.
#[derive(Clone, Copy, Debug)]
enum Pace {
    AtOnce,
    Apart,
}

/// What a pass did.
#[derive(Debug, Serialize)]
struct Pass {
    grants: Vec<Grant>,
}

/// What a pass did for one grant.
#[derive(Debug, Serialize)]
struct Grant {
    #[serde(rename = "grant")]
    id: String,
    code: String,
    domain: String,
    /// `deposited`, `waiting`, `paused`, `revocation-pending`, `revoked`, `ended` or `failed`.
    outcome: &'static str,
    /// Envelopes of records that were deposited now.
    deposited: u64,
    /// Records on their way, in all.
    pending: u64,
    /// Records that arrived, in all.
    confirmed: u64,
    error: Option<String>,
}

pub(super) async fn run(context: &Context, args: Share) -> Result<()> {
    let unlock = context.home.unlock()?;
    if args.follow {
        let every = Duration::from_secs(args.every);
        return tokio::select! {
            result = follow(context, &unlock, every) => result,
            stopped = stop_signal() => stopped,
        };
    }
    let (pass, failure) = share_once(context, &unlock, Pace::AtOnce).await?;
    context.output.print(&pass)?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Goes on through whatever a later pass may mend; ends with what it cannot.
async fn follow(context: &Context, unlock: &Unlock, every: Duration) -> Result<()> {
    loop {
        match share_once(context, unlock, Pace::Apart).await {
            Ok((pass, failure)) => {
                context.output.print(&pass)?;
                if let Some(error) = failure {
                    crate::report(&error.into(), context.output);
                }
            }
            Err(error) if error.exit() == Exit::Busy => crate::report(&error, context.output),
            Err(error) => return Err(error),
        }
        let share = rand::rng().random_range(0.0..=1.0);
        tokio::time::sleep(jittered(every, share)).await;
    }
}

/// The pass, and the first error of a grant.
async fn share_once(context: &Context, unlock: &Unlock, pace: Pace) -> Result<(Pass, Option<ClientError>)> {
    let patient = context.open_with(unlock).await?;
    let meter = Arc::new(Meter::of_work("sharing", context.output));
    let drawn = Arc::clone(&meter);
    let on_progress = move |progress: ShareProgress| {
        drawn.say(format!("sharing: {} of {}", progress.bodies_deposited, progress.bodies_total));
    };
    let sharing = async {
        match pace {
            Pace::AtOnce => patient.share(&on_progress).await,
            Pace::Apart => patient.share_apart(&on_progress).await,
        }
    };
    let shared = request::heed(context, &patient, sharing).await?;
    let statuses = patient.status().await?;
    drop(meter);
    Ok(summary(shared, &statuses))
}

fn summary(shared: Vec<SharedGrant>, statuses: &[GrantStatus]) -> (Pass, Option<ClientError>) {
    let mut failure = None;
    let mut grants = Vec::new();
    for SharedGrant { grant, outcome } in shared {
        let Some(status) = statuses.iter().find(|status| status.grant == grant) else { continue };
        let ((outcome, deposited), error) = match outcome {
            Ok(_) if matches!(status.state, GrantState::Ended { .. }) => (("ended", 0), None),
            // Also where the pause came in the middle of the pass.
            Ok(done) if status.state == GrantState::Paused => (("paused", told(done).1), None),
            Ok(done) => (told(done), None),
            Err(error) => (("failed", 0), Some(error)),
        };
        grants.push(Grant {
            id: grant.to_hex(),
            code: status.short_code.to_string(),
            domain: status.domain.to_string(),
            outcome,
            deposited,
            pending: status.records_pending,
            confirmed: status.records_confirmed,
            error: error.as_ref().map(ToString::to_string),
        });
        failure = failure.or(error);
    }
    (Pass { grants }, failure)
}

fn told(outcome: PassOutcome) -> (&'static str, u64) {
    match outcome {
        PassOutcome::Deposited { bodies } => ("deposited", bodies),
        PassOutcome::Waiting { bodies } => ("waiting", bodies),
        PassOutcome::Paused => ("paused", 0),
        PassOutcome::RevocationPending => ("revocation-pending", 0),
        PassOutcome::Revoked => ("revoked", 0),
        _ => ("unknown", 0),
    }
}

/// Completes at Ctrl-C or SIGTERM. A pass that is cut off there is finished by the next one.
async fn stop_signal() -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Start)?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped.map_err(Error::Start),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map_err(Error::Start)
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.grants.is_empty() {
            return writeln!(f, "You share with nobody. Next: `sealcare accept @INVITATION`.");
        }
        self.grants.iter().try_for_each(|grant| writeln!(f, "{grant}"))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.domain, self.code)?;
        match self.outcome {
            "deposited" | "waiting" => {
                write!(f, "{} arrived, {} on the way", self.confirmed, self.pending)?;
                if self.outcome == "waiting" {
                    write!(f, "; more follows once it has answered")
                } else {
                    Ok(())
                }
            }
            "paused" => write!(f, "paused; {} arrived", self.confirmed),
            "revocation-pending" => write!(f, "stopped; it has not confirmed yet"),
            "revoked" => write!(f, "stopped and confirmed"),
            "ended" => write!(f, "ended by silence; it destroyed its copy. A new invitation begins anew"),
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_tells_what_became_of_each_grant() {
        let grant = |outcome| Grant {
            id: String::new(),
            code: "ABCD-EFGH".into(),
            domain: "clinic.example".into(),
            outcome,
            deposited: 1,
            pending: 2,
            confirmed: 3,
            error: None,
        };
        assert_eq!(grant("deposited").to_string(), "clinic.example (ABCD-EFGH): 3 arrived, 2 on the way");
        assert!(grant("waiting").to_string().ends_with("more follows once it has answered"));
        assert!(Pass { grants: Vec::new() }.to_string().contains("sealcare accept"));
    }
}
