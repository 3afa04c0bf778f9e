//! What the relay's answers mean for the outbox.

use std::time::Duration;

use sealcare_protocol::{GrantId, Timestamp};
use sealcare_transport::{DepositOutcome, GrantReport};
use sealcare_vault::WriteTransaction;

use super::{flight::Flight, renew_sender};
use crate::{
    error::Result,
    grant::{BundleNeed, GrantRow, SessionNeed},
    recovery::offer,
    store::{FLIGHTS, LINK_CODES, SESSIONS},
};

/// A reply is waited for this long after the relay let go of what it confirms; doubled with each resend.
const REPLY_PATIENCE: Duration = Duration::from_hours(24);
const RESENDS_DOUBLED_MAX: u32 = 6;

/// What is to be done after a deposit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Settled {
    /// The batch is with the relay.
    Deposited,
    /// A new session, or a new sender, sends it again.
    Again,
    /// It is no more in flight: the patient chose otherwise meanwhile.
    Dropped,
}

/// Takes the relay's answer to the deposit of `flights`, the oldest in flight. What it refuses takes those after
/// it along: they are of the same session.
pub(crate) fn deposit(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    flights: &[Flight],
    outcome: DepositOutcome,
    now: Timestamp,
) -> Result<Settled> {
    let mut row = GrantRow::load_active(tx, id)?;
    for flight in flights {
        if !flight.is_in_flight(tx, id)? {
            return Ok(Settled::Dropped);
        }
    }
    if !matches!(outcome, DepositOutcome::Stored | DepositOutcome::Already) {
        tx.delete_prefix(FLIGHTS, id.as_bytes())?;
    }
    match outcome {
        DepositOutcome::Stored | DepositOutcome::Already => {
            for flight in flights {
                flight.land(tx, id)?;
            }
            row.outbox.last_deposit = Some(now);
            row.save(tx, id)?;
            return Ok(Settled::Deposited);
        }
        // Somebody else has this chain: a restored copy of this installation.
        DepositOutcome::Conflict => {
            // What was never answered has its link code still, and no later choice stands against it.
            if tx.get(LINK_CODES, id.as_bytes())?.is_none() {
                offer::doubt(&mut row);
            }
            renew_sender(tx, id, &mut row)?;
        }
        DepositOutcome::OutOfOrder | DepositOutcome::UnknownSession | DepositOutcome::EpochClosed => {
            tx.delete(SESSIONS, id.as_bytes())?;
            if outcome == DepositOutcome::EpochClosed {
                row.bundle_need = BundleNeed::Fresh;
            }
            row.session = None;
            row.save(tx, id)?;
        }
    }
    Ok(Settled::Again)
}

/// Takes what the relay says of the current session: what it has let go, fetched or expired, must be confirmed
/// under seal within a day, the statement too, else it is sent again in a new session to a fresh bundle.
pub(crate) fn report(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    report: &GrantReport,
    now: Timestamp,
) -> Result<()> {
    let mut row = GrantRow::load_active(tx, id)?;
    let Some(mut session) = row.session else { return Ok(()) };
    let is_settled = row.is_statement_confirmed() || row.is_overruled();
    let is_waiting = row.outbox.sealed_below > row.outbox.confirmed_below || !is_settled;
    // A session that the relay has forgotten delivers nothing any more.
    let is_gone =
        report.sessions.iter().find(|known| known.session == session.id).map_or(is_waiting, |known| {
            session.base.saturating_add(known.gone_below) > row.outbox.confirmed_below
                || (known.init_is_gone && !is_settled)
        });
    if is_gone {
        let since = *session.gone_since.get_or_insert(now);
        let patience = REPLY_PATIENCE.saturating_mul(1 << session.resends.min(RESENDS_DOUBLED_MAX));
        if now.since(since) >= patience {
            session.succession = SessionNeed::Successor;
            session.resends = session.resends.saturating_add(1);
            row.bundle_need = BundleNeed::Fresh;
        }
    } else {
        session.gone_since = None;
    }
    row.session = Some(session);
    row.save(tx, id)
}
