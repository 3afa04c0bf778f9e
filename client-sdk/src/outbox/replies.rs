//! The organization's sealed replies: what they confirm is deleted, what they ask for is noted.

use bytes::Bytes;
use sealcare_protocol::{
    EnvelopeHeader, GrantId, GrantState, RefusalReason, Reply, ReplyKey, SessionId, Timestamp,
};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use zeroize::Zeroizing;

use super::{bodies, coverage, number_of, numbered, refusals::Refused, renew_sender, repeats};
use crate::{
    account::Account,
    choice,
    error::{ClientError, Result},
    grant::{Flow, GrantRow, Heard},
    recovery::offer,
    store::{BODIES, LINK_CODES, REPLY_KEYS, Store},
};

/// Sessions whose replies are asked for; the relay keeps no more.
const SESSIONS_MAX: usize = 64;
/// Confirmed bodies that are deleted at a time.
const PAGE_BODIES: usize = 1_024;
const KEPT: ClientError = ClientError::Kept("reply keys");

/// A session's reply key, and the counter of the last reply that was read with it.
struct KeyRow {
    /// `grant ‖ start ‖ session`: in the order of their start.
    key: Vec<u8>,
    counter: u64,
    reply_key: ReplyKey,
}

/// Keeps the key to replies of a session that starts now.
pub(crate) fn keep_key(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    key: &ReplyKey,
    now: Timestamp,
) -> Result<()> {
    let place = [&numbered(id, now.as_millis())[..], key.session().as_bytes()].concat();
    put(tx, id, &KeyRow { key: place, counter: 0, reply_key: ReplyKey::from_kept(&key.to_kept())? })
}

/// The newest sessions that replies may come for.
pub(crate) fn sessions(tx: &ReadTransaction<'_>, id: &GrantId) -> Result<Vec<SessionId>> {
    Ok(keys(tx, id)?.iter().map(|row| *row.reply_key.session()).collect())
}

/// Reads the replies that open and are newer than what was read; others are the relay's noise.
pub(crate) fn read(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    envelopes: &[Bytes],
    now: Timestamp,
) -> Result<()> {
    let mut row = GrantRow::load_active(tx, id)?;
    for key in keys(tx, id)?.into_iter().rev() {
        let opened = envelopes
            .iter()
            .filter(|envelope| is_of(envelope, key.reply_key.session()))
            .filter_map(|envelope| key.reply_key.open(envelope).ok())
            .filter(|(_, counter)| *counter > key.counter)
            .max_by_key(|(_, counter)| *counter);
        let Some((reply, counter)) = opened else { continue };
        // Keys of sessions before this one have served.
        let before = std::ops::Bound::Excluded(&key.key[..]);
        tx.delete_range(REPLY_KEYS, &KeyRange::new(std::ops::Bound::Included(id.as_bytes()), before))?;
        put(tx, id, &KeyRow { counter, ..key })?;
        apply(tx, store, id, &mut row, &reply, now)?;
        break;
    }
    Ok(())
}

fn is_of(envelope: &[u8], session: &SessionId) -> bool {
    EnvelopeHeader::parse(envelope).is_some_and(|header| header.session() == session)
}

fn apply(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    row: &mut GrantRow,
    reply: &Reply,
    now: Timestamp,
) -> Result<()> {
    if reply.sender != row.outbox.sender {
        return Ok(());
    }
    tx.delete(LINK_CODES, id.as_bytes())?;
    row.heard = Some(heard(reply, now));
    if let Some(session) = &mut row.session {
        session.unanswered = 0;
    }
    heed(tx, store, id, row, reply)?;
    choice::state_in_time(tx, id, row, now)?;
    if reply.resync || reply.next_sequence > row.outbox.sealed_below {
        return renew_sender(tx, id, row);
    }
    confirm(tx, store, id, row, reply)?;
    row.save(tx, id)
}

/// Takes the statement that stands at the organization, if it is not this installation's: whole where its mark
/// shows that the patient made it on another device; otherwise only as far as it shares less.
fn heed(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    row: &mut GrantRow,
    reply: &Reply,
) -> Result<()> {
    let identity = row.identity(&Account::load(tx)?.secret);
    offer::end_doubt(tx, id, row, reply.stored_revision)?;
    if row.recovery.is_some() {
        return offer::take(tx, store, id, row, reply.verified_terms(&identity));
    }
    let (scope, flow) = match (reply.verified_terms(&identity), &reply.stored) {
        (Some(own), _) if own.revision >= row.revision => {
            if own.revision > row.revision {
                row.outbox.restated_below = row.outbox.sealed_below;
            }
            row.revision = own.revision;
            (own.scope, own.state.into())
        }
        (None, Some(claimed)) if row.is_overruled() => {
            let flow = if claimed.state == GrantState::Paused { Flow::Paused } else { row.flow };
            (coverage::intersection(&row.scope(), &claimed.scope), flow)
        }
        _ => return Ok(()),
    };
    if scope == row.scope() && flow == row.flow {
        return Ok(());
    }
    choice::restate(tx, store, id, row, scope, flow)
}

/// Deletes the bodies that the organization is done with, and notes what it refused of them though it may be owed.
fn confirm(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    row: &mut GrantRow,
    reply: &Reply,
) -> Result<()> {
    let (next, refused) = (reply.next_sequence, Refused::of(reply, row));
    if next <= row.outbox.confirmed_below {
        return Ok(());
    }
    let end = numbered(id, next);
    let range = || {
        let (from, to) = (numbered(id, 0), std::ops::Bound::Excluded(&end[..]));
        KeyRange::new(std::ops::Bound::Included(&from), to)
    };
    let (mut confirmed, mut owed) = (0, 0);
    loop {
        let page = tx.scan(BODIES, &range(), PAGE_BODIES)?;
        for (key, kept) in &page {
            let count = bodies::record_count(kept)?;
            if refused.owes(number_of(key)?) {
                repeats::note(tx, store, id, &bodies::parse(kept)?.decode()?.changes)?;
                owed += count;
            } else {
                confirmed += count;
            }
            tx.delete(BODIES, key)?;
        }
        if page.is_empty() {
            break;
        }
    }
    row.outbox.records_pending = row.outbox.records_pending.saturating_sub(confirmed + owed);
    row.outbox.records_confirmed = row.outbox.records_confirmed.saturating_add(confirmed);
    row.outbox.confirmed_below = next;
    if let Some(session) = &mut row.session {
        (session.gone_since, session.resends) = (None, 0);
    }
    Ok(())
}

fn heard(reply: &Reply, now: Timestamp) -> Heard {
    let name = |reason| match reason {
        RefusalReason::Malformed => "malformed",
        RefusalReason::OutOfScope => "out-of-scope",
        RefusalReason::Paused => "paused",
        RefusalReason::Unknown => "unknown",
    };
    let refusals = reply.refusals.iter().map(|r| (r.sequence, name(r.reason).to_owned())).collect();
    Heard {
        at: now,
        stored_revision: reply.stored_revision,
        is_held: reply.held,
        refusals,
        views_ms: reply.views.iter().map(|view| view.as_millis()).collect(),
    }
}

/// In the order of their start, the newest [`SESSIONS_MAX`].
fn keys(tx: &ReadTransaction<'_>, id: &GrantId) -> Result<Vec<KeyRow>> {
    let mut rows = tx.scan_descending(REPLY_KEYS, &KeyRange::prefix(id.as_bytes()), SESSIONS_MAX)?;
    rows.reverse();
    rows.into_iter()
        .map(|(key, value)| {
            let (counter, kept) = value.split_first_chunk::<8>().ok_or(KEPT)?;
            Ok(KeyRow { key, counter: u64::from_be_bytes(*counter), reply_key: ReplyKey::from_kept(kept)? })
        })
        .collect()
}

fn put(tx: &mut WriteTransaction<'_>, id: &GrantId, row: &KeyRow) -> Result<()> {
    let value = Zeroizing::new([&row.counter.to_be_bytes()[..], &row.reply_key.to_kept()].concat());
    Ok(tx.put_wrapped(id.as_bytes(), REPLY_KEYS, &row.key, &value)?)
}
