//! Committing a data envelope: the advanced chain, the sender's numbers, and the records or why they were refused.

use std::time::Duration;

use bytes::Bytes;
use sealcare_protocol::{
    Body, Change, ChangeState, DataRefusal, GrantId, GrantState, OpenedData, ReceiverSession, RefusalReason,
    Scope, SenderId, SessionId, Timestamp,
};
use sealcare_records::{Record, RecordError, RecordId};
use sealcare_vault::WriteTransaction;

use crate::error::Result;
use crate::grant::{Notice, StatementRow};
use crate::inbox::coverage::covers;
use crate::inbox::queue::{self, KeptChange, KeptDelivery, KeptEvent};
use crate::inbox::refuse;
use crate::reply::SenderRow;
use crate::spaces::{HELD, SESSIONS, TOMBSTONES, grant_wrapping_key, session_key};

/// A grant's sender is asked to send everything again because of lost data at most this often.
const RESYNC_PAUSE: Duration = Duration::from_hours(24);

pub(crate) fn settle(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    session: &SessionId,
    envelope: &Bytes,
    now: Timestamp,
) -> Result<()> {
    if tx.get(TOMBSTONES, grant.as_bytes())?.is_some() {
        return refuse(tx, grant, DataRefusal::Revoked.name(), now);
    }
    let key = session_key(grant, session);
    let Some(kept) = tx.get(SESSIONS, &key)? else {
        return refuse(tx, grant, DataRefusal::UnknownSession.name(), now);
    };
    let session = ReceiverSession::from_kept(&kept)?;
    match session.open(envelope, now) {
        Ok(opened) => commit(tx, grant, opened, now),
        Err(DataRefusal::Duplicate) => Ok(()),
        Err(refusal) => {
            if refusal == DataRefusal::Gap {
                tx.delete(SESSIONS, &key)?;
                queue::put(tx, grant, now, &KeptEvent::Gap)?;
            }
            refuse(tx, grant, refusal.name(), now)?;
            let is_loss = matches!(refusal, DataRefusal::Gap | DataRefusal::Open);
            if is_loss { ask_again(tx, grant, session.sender(), now) } else { Ok(()) }
        }
    }
}

/// What is lost is asked for at once, but not more often than a relay that drops or damages envelopes may cost a
/// patient's app; then the sender's own resend rule mends it.
fn ask_again(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    sender: &SenderId,
    now: Timestamp,
) -> Result<()> {
    let (Some(mut statement), Some(mut row)) =
        (StatementRow::load(tx, grant)?, SenderRow::load(tx, grant, sender)?)
    else {
        return Ok(());
    };
    let is_soon =
        now.as_millis() < Timestamp::from_millis(statement.resync_at).plus(RESYNC_PAUSE).as_millis();
    if row.must_resync || (statement.resync_at > 0 && is_soon) {
        return Ok(());
    }
    statement.resync_at = now.as_millis();
    statement.store(tx, grant)?;
    row.ask_for_everything(tx, grant, now)?;
    row.store(tx, grant, sender)
}

/// It opened: chain and number move on whatever it holds.
fn commit(tx: &mut WriteTransaction<'_>, grant: &GrantId, opened: OpenedData, now: Timestamp) -> Result<()> {
    let session = &opened.session;
    let key = session_key(grant, session.id());
    let Some(mut sender) = SenderRow::load(tx, grant, session.sender())? else {
        // A sender that was forgotten begins anew.
        tx.delete(SESSIONS, &key)?;
        return refuse(tx, grant, DataRefusal::UnknownSession.name(), now);
    };
    tx.put_wrapped(&grant_wrapping_key(grant), SESSIONS, &key, &session.to_kept())?;
    if opened.sequence < sender.next_sequence {
        // Delivered before, in an earlier session.
        return Ok(());
    }
    sender.next_sequence = session.next_sequence();
    let Some(mut statement) = StatementRow::load(tx, grant)? else {
        // Nobody has said yet what is shared.
        sender.refuse(opened.sequence, reason(DataRefusal::OutOfScope));
        refuse(tx, grant, DataRefusal::OutOfScope.name(), now)?;
        return sender.store(tx, grant, session.sender());
    };
    match check(opened.body, &statement)? {
        Ok(changes) => {
            let delivery = KeptDelivery::new(session.sender(), opened.sequence, changes);
            deliver(tx, grant, &mut statement, delivery, now)?;
        }
        Err(refusal) => {
            sender.refuse(opened.sequence, reason(refusal));
            refuse(tx, grant, refusal.name(), now)?;
        }
    }
    heard(tx, grant, statement, now)?;
    sender.store(tx, grant, session.sender())
}

fn deliver(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    statement: &mut StatementRow,
    delivery: KeptDelivery,
    now: Timestamp,
) -> Result<()> {
    if delivery.changes.is_empty() {
        return Ok(());
    }
    let event = KeptEvent::Records(delivery);
    if statement.held.is_empty() {
        queue::put(tx, grant, now, &event)
    } else {
        keep_back(tx, grant, statement, &event, now)
    }
}

/// Keeps back as much as may be; more is not kept at all, and asked for again when staff admit the grant.
fn keep_back(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    statement: &mut StatementRow,
    event: &KeptEvent,
    now: Timestamp,
) -> Result<()> {
    let Some(bytes) = statement.kept_back_bytes else { return Ok(()) };
    let entry = queue::encode(grant, now, event);
    let bytes = bytes.saturating_add(u64::try_from(entry.len()).unwrap_or(u64::MAX));
    let is_room = bytes <= queue::KEPT_BACK_BYTES_MAX;
    statement.kept_back_bytes = is_room.then_some(bytes);
    if is_room {
        queue::hold_back(tx, grant, &entry)?;
    } else {
        tx.delete_prefix(HELD, grant.as_bytes())?;
    }
    statement.store(tx, grant)
}

/// Minutes are exact enough for "last heard", and spare a write for each envelope.
fn heard(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    mut statement: StatementRow,
    now: Timestamp,
) -> Result<()> {
    const EXACT_MILLIS: u64 = 60_000;
    if now.as_millis().saturating_sub(statement.heard) < EXACT_MILLIS {
        return Ok(());
    }
    statement.heard = now.as_millis();
    statement.notice = Notice::None;
    statement.store(tx, grant)
}

/// Form → scope → paused, on the parsed FHIR: what the sender declares counts for nothing. One record out of
/// scope refuses the whole body.
fn check(
    body: Result<Body, DataRefusal>,
    statement: &StatementRow,
) -> Result<Result<Vec<KeptChange>, DataRefusal>> {
    let statement = statement.statement()?;
    let changes = match body.and_then(|body| check_changes(body.changes, &statement.scope)) {
        Ok(changes) => changes,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let is_paused = statement.state == GrantState::Paused && !changes.is_empty();
    Ok(if is_paused { Err(DataRefusal::Paused) } else { Ok(changes) })
}

fn check_changes(changes: Vec<Change>, scope: &Scope) -> Result<Vec<KeptChange>, DataRefusal> {
    changes.into_iter().map(|change| check_change(change, scope)).collect()
}

fn check_change(change: Change, scope: &Scope) -> Result<KeptChange, DataRefusal> {
    let id = RecordId::new(change.record_id).map_err(|_| DataRefusal::Malformed)?;
    let type_name = change.type_name.as_str().to_owned();
    let ChangeState::Upsert(fhir) = change.state else {
        // A deletion is always welcome.
        return Ok(KeptChange { id: id.as_str().to_owned(), type_name, fhir: None });
    };
    let record = Record::from_fhir_json(&fhir, id).map_err(|error| match error {
        RecordError::NotShared(_) => DataRefusal::OutOfScope,
        _ => DataRefusal::Malformed,
    })?;
    if !covers(scope, &record) {
        return Err(DataRefusal::OutOfScope);
    }
    let fhir = String::from_utf8(fhir.to_vec()).map_err(|_| DataRefusal::Malformed)?;
    let type_name = record.record_type().name().to_owned();
    Ok(KeptChange { id: record.id().as_str().to_owned(), type_name, fhir: Some(fhir) })
}

fn reason(refusal: DataRefusal) -> RefusalReason {
    match refusal {
        DataRefusal::OutOfScope => RefusalReason::OutOfScope,
        DataRefusal::Paused => RefusalReason::Paused,
        _ => RefusalReason::Malformed,
    }
}
