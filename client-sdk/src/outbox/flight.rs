//! The batches in flight, in order: each sealed once, kept together with the advanced chain before it is uploaded,
//! and uploaded again byte for byte until the relay has answered. All of them are of one session.

use std::time::Duration;

use bytes::Bytes;
use sealcare_protocol::{
    EnvelopeHeader, GrantId, KeyBundle, LinkCode, SealedInit, SenderSession, SessionStart, Terms, Timestamp,
};
use sealcare_transport::{DEPOSIT_BYTES_MAX, DEPOSIT_ENVELOPES_MAX, STREAM_BATCHES_MAX};
use sealcare_vault::{KeyRange, ReadTransaction, Row, WriteTransaction};
use zeroize::Zeroizing;

use super::{UNCONFIRMED_MAX, bodies, replies, withdrawal};
use crate::{
    account::Account,
    error::{ClientError, Result},
    grant::{GrantRow, SessionNeed, SessionRow},
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
    /// Its place among the batches of its grant that are in flight; sealed bytes never repeat, numbers may.
    number: u64,
    pub(crate) envelopes: Vec<Bytes>,
}

/// The batch to upload next: the oldest in flight, else a newly sealed one; none if there is nothing to send. Of a
/// paused grant only the init of a session is sealed.
pub(crate) fn next(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    bundle: &KeyBundle,
    now: Timestamp,
) -> Result<Option<Flight>> {
    let mut row = GrantRow::load_active(tx, id)?;
    if tx.delete(FLIGHTS, id.as_bytes())? {
        // Kept without a number, by an earlier build; its bodies are still there.
        withdrawal::succeed_session(tx, id, &mut row)?;
    }
    if let Some(oldest) = tx.scan(FLIGHTS, &KeyRange::prefix(id.as_bytes()), 1)?.first() {
        return Flight::from_kept(id, oldest).map(Some);
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
    if row.is_flowing() {
        seal_bodies(tx, id, &mut session, &mut envelopes)?;
    }
    keep(tx, id, &mut row, &session, Flight { number: 0, envelopes })
}

/// The batch after `before`, which is in flight: the next that is, else one newly sealed in the same session. None
/// if there is nothing more to send, as much is in flight as may be, or `before` was dropped meanwhile.
pub(crate) fn following(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    before: &Flight,
    now: Timestamp,
) -> Result<Option<Flight>> {
    let mut row = GrantRow::load_active(tx, id)?;
    if !before.is_in_flight(tx, id)? {
        return Ok(None);
    }
    let kept = tx.scan(FLIGHTS, &KeyRange::prefix(id.as_bytes()), STREAM_BATCHES_MAX)?;
    if let Some(next) = kept.iter().find(|(key, _)| *key > before.key(id)) {
        return Flight::from_kept(id, next).map(Some);
    }
    if kept.len() >= STREAM_BATCHES_MAX || !row.is_flowing() || needs_session(&row, now) {
        return Ok(None);
    }
    let (mut session, mut envelopes) = (load_session(tx, id)?, Vec::new());
    seal_bodies(tx, id, &mut session, &mut envelopes)?;
    let number = before.number.checked_add(1).ok_or(KEPT)?;
    keep(tx, id, &mut row, &session, Flight { number, envelopes })
}

/// Keeps a sealed batch, if there is anything in it, with the chain as it is after it.
fn keep(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    row: &mut GrantRow,
    session: &SenderSession,
    flight: Flight,
) -> Result<Option<Flight>> {
    if flight.envelopes.is_empty() {
        return Ok(None);
    }
    row.outbox.sealed_below = row.outbox.sealed_below.max(session.next_sequence());
    tx.put_wrapped(id.as_bytes(), SESSIONS, id.as_bytes(), &session.to_kept())?;
    tx.put_wrapped(id.as_bytes(), FLIGHTS, &flight.key(id), &flight.to_kept()?)?;
    row.save(tx, id)?;
    Ok(Some(flight))
}

fn needs_session(row: &GrantRow, now: Timestamp) -> bool {
    let Some(session) = &row.session else { return true };
    let age = now.since(session.started);
    // Nothing of what is full goes while records do not flow: only the sign of life.
    let is_full = row.is_flowing() && row.outbox.next - row.outbox.confirmed_below >= UNCONFIRMED_MAX;
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
    /// Whether this very batch is still to be uploaded: the patient may have chosen otherwise meanwhile.
    pub(crate) fn is_in_flight(&self, tx: &ReadTransaction<'_>, id: &GrantId) -> Result<bool> {
        let kept = tx.get(FLIGHTS, &self.key(id))?;
        Ok(kept
            .map(|kept| envelopes(&kept))
            .transpose()?
            .is_some_and(|envelopes| envelopes == self.envelopes))
    }

    /// Forgets it, once the relay has it.
    pub(crate) fn land(&self, tx: &mut WriteTransaction<'_>, id: &GrantId) -> Result<()> {
        tx.delete(FLIGHTS, &self.key(id))?;
        Ok(())
    }

    /// Grant id ‖ number u64.
    fn key(&self, id: &GrantId) -> Vec<u8> {
        [&id.as_bytes()[..], &self.number.to_be_bytes()].concat()
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

    fn from_kept(id: &GrantId, (key, value): &Row) -> Result<Self> {
        let number = key.strip_prefix(id.as_bytes()).and_then(|number| number.try_into().ok());
        Ok(Self { number: u64::from_be_bytes(number.ok_or(KEPT)?), envelopes: envelopes(value)? })
    }
}

fn envelopes(mut kept: &[u8]) -> Result<Vec<Bytes>> {
    let mut envelopes = Vec::new();
    while !kept.is_empty() {
        let (len, rest) = kept.split_first_chunk::<4>().ok_or(KEPT)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| KEPT)?;
        let (envelope, rest) = rest.split_at_checked(len).ok_or(KEPT)?;
        envelopes.push(Bytes::copy_from_slice(envelope));
        kept = rest;
    }
    Ok(envelopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_batch_is_the_same_bytes() {
        let sealed = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"3")];
        let kept = Flight { number: 0, envelopes: sealed.clone() }.to_kept().unwrap();
        assert_eq!(envelopes(&kept).unwrap(), sealed);
        assert!(envelopes(&kept[..kept.len() - 1]).is_err());
    }

    #[test]
    fn patience_doubles_from_six_hours_to_a_day() {
        let hours = [1, 2, 3, 4, 400].map(|count| patience(count).as_secs() / 3600);
        assert_eq!(hours, [6, 12, 24, 24, 24]);
    }
}
