//! The batch in flight: sealed once, kept together with the advanced chain before it is uploaded, and uploaded
//! again byte for byte until the relay has answered.

use std::time::Duration;

use bytes::Bytes;
use sealcare_protocol::{
    EnvelopeHeader, GrantId, KeyBundle, LinkCode, SealedInit, SenderSession, SessionStart, Terms, Timestamp,
};
use sealcare_transport::{DEPOSIT_BYTES_MAX, DEPOSIT_ENVELOPES_MAX};
use sealcare_vault::{ReadTransaction, WriteTransaction};
use zeroize::Zeroizing;

use super::{UNCONFIRMED_MAX, bodies, replies};
use crate::{
    account::Account,
    error::{ClientError, Result},
    grant::{Flow, GrantRow, SessionNeed, SessionRow},
    store::{FLIGHTS, LINK_CODES, SESSIONS},
};

/// A session is succeeded after 7 days, data or not: this is the heartbeat.
const SESSION_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// Until the first reply, a new init comes after 6 hours, then 12, then every 24.
const UNANSWERED_FIRST: Duration = Duration::from_hours(6);
const UNANSWERED_MAX: Duration = Duration::from_hours(24);
/// What an envelope has around its padded body.
const ENVELOPE_OVERHEAD: usize = 58;
const KEPT: ClientError = ClientError::Kept("the batch in flight");

/// Sealed envelopes of one session, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Flight {
    pub(crate) envelopes: Vec<Bytes>,
}

/// The batch to upload next: the one in flight, else a newly sealed one; none if there is nothing to send. Of a
/// paused grant only the init of a session is sealed.
pub(crate) fn next(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    bundle: &KeyBundle,
    now: Timestamp,
) -> Result<Option<Flight>> {
    let mut row = GrantRow::load_active(tx, id)?;
    if let Some(kept) = tx.get(FLIGHTS, id.as_bytes())? {
        return Flight::from_kept(&kept).map(Some);
    }
    let mut envelopes = Vec::new();
    let mut session = if needs_session(&row, now) {
        let init = start_session(tx, id, &mut row, bundle, now)?;
        replies::keep_key(tx, id, &init.reply_key, now)?;
        envelopes.push(Bytes::from(init.envelope));
        init.session
    } else {
        load_session(tx, id)?
    };
    if row.flow == Flow::Active {
        seal_bodies(tx, id, &mut session, &mut envelopes)?;
    }
    if envelopes.is_empty() {
        return Ok(None);
    }
    let flight = Flight { envelopes };
    row.outbox.sealed_below = row.outbox.sealed_below.max(session.next_sequence());
    tx.put_wrapped(id.as_bytes(), SESSIONS, id.as_bytes(), &session.to_kept())?;
    tx.put_wrapped(id.as_bytes(), FLIGHTS, id.as_bytes(), &flight.to_kept()?)?;
    row.save(tx, id)?;
    Ok(Some(flight))
}

fn needs_session(row: &GrantRow, now: Timestamp) -> bool {
    let Some(session) = &row.session else { return true };
    let age = now.since(session.started);
    let is_full = row.outbox.next - row.outbox.confirmed_below >= UNCONFIRMED_MAX;
    let is_due = age >= SESSION_LIFETIME || (row.heard.is_none() && age >= patience(session.unanswered));
    session.succession == SessionNeed::Successor || (is_due && !is_full)
}

/// How long the `unanswered`th init in a row is waited for.
fn patience(unanswered: u32) -> Duration {
    let doubled = UNANSWERED_FIRST.saturating_mul(1 << unanswered.saturating_sub(1).min(8));
    doubled.min(UNANSWERED_MAX)
}

fn start_session(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    row: &mut GrantRow,
    bundle: &KeyBundle,
    now: Timestamp,
) -> Result<SealedInit> {
    let account = Account::load(tx)?;
    let grant = row.identity(&account.secret);
    let code = tx.get(LINK_CODES, id.as_bytes())?;
    let code = code.map(|code| LinkCode::from_slice(&code)).transpose()?;
    let statement = if row.recovery.is_some() {
        grant.silent_statement()
    } else {
        let terms = Terms { revision: row.revision, state: row.flow.into(), scope: row.scope() };
        grant.statement(terms, account.person, code)
    };
    let base = row.outbox.confirmed_below;
    let start = SessionStart { grant: &grant, bundle, sender: row.outbox.sender, base };
    let init = start.seal(statement, now, &mut rand::rng())?;
    let unanswered = row.session.map_or(0, |before| before.unanswered);
    row.session = Some(SessionRow {
        id: *init.session.id(),
        base,
        started: now,
        unanswered: unanswered.saturating_add(1),
        gone_since: None,
        resends: row.session.map_or(0, |before| before.resends),
        succession: SessionNeed::None,
    });
    Ok(init)
}

fn load_session(tx: &ReadTransaction<'_>, id: &GrantId) -> Result<SenderSession> {
    let kept = tx.get(SESSIONS, id.as_bytes())?.ok_or(ClientError::Kept(SESSIONS.name()))?;
    Ok(SenderSession::from_kept(&kept)?)
}

/// Seals the bodies that follow, as long as the batch has room.
fn seal_bodies(
    tx: &ReadTransaction<'_>,
    id: &GrantId,
    session: &mut SenderSession,
    envelopes: &mut Vec<Bytes>,
) -> Result<()> {
    let mut bytes: usize = envelopes.iter().map(Bytes::len).sum();
    while envelopes.len() < DEPOSIT_ENVELOPES_MAX {
        let Some(body) = bodies::load(tx, id, session.next_sequence())? else { break };
        bytes += body.padded_len() + ENVELOPE_OVERHEAD;
        if bytes > DEPOSIT_BYTES_MAX {
            break;
        }
        envelopes.push(Bytes::from(session.seal(&body, &mut rand::rng())?));
    }
    Ok(())
}

impl Flight {
    /// Whether it is the batch that `other` is: sealed bytes never repeat.
    pub(crate) fn is_in_flight(&self, tx: &ReadTransaction<'_>, id: &GrantId) -> Result<bool> {
        let kept = tx.get(FLIGHTS, id.as_bytes())?;
        Ok(kept.map(|kept| Self::from_kept(&kept)).transpose()?.is_some_and(|flight| flight == *self))
    }

    /// Data envelopes in it.
    pub(crate) fn bodies(&self) -> u64 {
        let is_data =
            |envelope: &&Bytes| matches!(EnvelopeHeader::parse(envelope), Some(EnvelopeHeader::Data(_)));
        self.envelopes.iter().filter(is_data).map(|_| 1).sum()
    }

    /// `(length u32 ‖ envelope)*`.
    fn to_kept(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut kept = Zeroizing::new(Vec::new());
        for envelope in &self.envelopes {
            let len = u32::try_from(envelope.len()).map_err(|_| KEPT)?;
            kept.extend_from_slice(&len.to_be_bytes());
            kept.extend_from_slice(envelope);
        }
        Ok(kept)
    }

    fn from_kept(mut kept: &[u8]) -> Result<Self> {
        let mut envelopes = Vec::new();
        while !kept.is_empty() {
            let (len, rest) = kept.split_first_chunk::<4>().ok_or(KEPT)?;
            let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| KEPT)?;
            let (envelope, rest) = rest.split_at_checked(len).ok_or(KEPT)?;
            envelopes.push(Bytes::copy_from_slice(envelope));
            kept = rest;
        }
        Ok(Self { envelopes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_batch_is_the_same_bytes() {
        let flight =
            Flight { envelopes: vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"3")] };
        let kept = flight.to_kept().unwrap();
        assert_eq!(Flight::from_kept(&kept).unwrap(), flight);
        assert!(Flight::from_kept(&kept[..kept.len() - 1]).is_err());
    }

    #[test]
    fn patience_doubles_from_six_hours_to_a_day() {
        let hours = [1, 2, 3, 4, 400].map(|count| patience(count).as_secs() / 3600);
        assert_eq!(hours, [6, 12, 24, 24, 24]);
    }
}
