//! Between the search and its result: what the organizations tell of the grants that were found, and what the person
//! decides about each.

use std::time::{Duration, Instant};

use sealcare_client::{
    ClientError, GrantState, GrantStatus, OfferedTerms, Patient, Recovery, RecoveryState, SharedGrant,
};

use crate::{
    context::Context,
    error::{Error, Result},
    progress::Meter,
    question, request,
    times::date,
};

/// How long organizations are waited for. They have until the next `share`, too.
const ANSWERS_MAX: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Shares until every organization has told what was chosen, or confirmed its stop, but not for long. Gives the last
/// pass's first error of a grant.
pub(super) async fn await_answers(
    context: &Context,
    patient: &Patient,
    how: Recovery,
) -> Result<Option<ClientError>> {
    let meter = Meter::of_work("waiting for the organizations", context.output);
    let begun = Instant::now();
    loop {
        let shared = request::heed(context, patient, patient.share(&|_| ())).await?;
        let is_waiting = patient.status().await?.iter().any(|grant| is_awaited(grant, how));
        if !is_waiting || begun.elapsed() >= ANSWERS_MAX {
            drop(meter);
            return Ok(first_error(shared));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_awaited(grant: &GrantStatus, how: Recovery) -> bool {
    match how {
        Recovery::Stolen => grant.state == GrantState::RevocationPending,
        Recovery::Keep | Recovery::Ask => {
            grant.recovery == Some(RecoveryState::Unanswered) && grant.state == GrantState::Paused
        }
    }
}

fn first_error(shared: Vec<SharedGrant>) -> Option<ClientError> {
    shared.into_iter().find_map(|grant| grant.outcome.err())
}

/// Keeps what was offered before the person said so.
pub(super) async fn keep(patient: &Patient) -> Result<()> {
    for grant in patient.status().await? {
        if let Some(RecoveryState::Offered(_)) = grant.recovery {
            patient.keep_offered(grant.grant).await?;
        }
    }
    Ok(())
}

/// Asks about every grant whose organization has told what was chosen. Without a terminal nothing is decided.
pub(super) async fn ask(patient: &Patient) -> Result<()> {
    for grant in patient.status().await? {
        let Some(RecoveryState::Offered(offered)) = &grant.recovery else { continue };
        match question::ask(&question(&grant, offered)) {
            Ok(()) => patient.keep_offered(grant.grant).await?,
            Err(Error::Declined) => {}
            Err(Error::NobodyToAsk) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn question(grant: &GrantStatus, offered: &OfferedTerms) -> String {
    let types: Vec<_> = offered.types.iter().map(String::as_str).collect();
    let since = offered.from.map_or(String::new(), |from| format!(" since {}", date(from)));
    let paused = if offered.is_paused { " (paused)" } else { "" };
    format!("{} received from you{paused}: {}{since}.\nGo on so?", grant.domain, types.join(", "))
}
