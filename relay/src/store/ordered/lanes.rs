//! Lanes: deposit into one, fetch from it, acknowledge. A lane's sequence is given in the committer, so
//! every committed sequence is above all that were decided before.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{GrantId, KeyId, OrganizationId, SessionId, Timestamp};

use super::{
    engine::{EngineError, Space},
    gate::Gate,
    lane_of,
    lane_row::{LaneKind, LaneRow},
    layout,
    reads::{Committed, Rows},
    rows::{GrantRow, HeadRow, OrganizationRow, SessionRow, decode},
    transaction::Transaction,
    value::check,
};
use crate::store::{
    DepositBatch, Deposited, EPOCH_GRACE, FetchOutcome, LanePlace, OrganizationState, Page, PageItem,
    PageLimit, Progress, Result, SESSION_RETENTION, SESSIONS_MAX, SequenceRange, StoreError,
};

/// Items that one step of an acknowledgement or sweep reads and deletes: with the largest envelopes 17 MiB.
pub(super) const STEP_ITEMS_MAX: usize = 256;
/// Items that one fetch reads at most, hidden ones included.
const SCAN_ITEMS_MAX: usize = 2_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(super) fn deposit(
    t: &mut Transaction<'_>,
    gate: &Arc<Gate>,
    id: GrantId,
    batch: DepositBatch,
    now: Timestamp,
) -> Result<Deposited> {
    let mut grant = t.grant(&id)?;
    if grant.revoked_ms.is_some() {
        return Ok(Deposited::GrantRevoked);
    }
    let organization_id = grant.organization()?;
    let organization = t.organization(&organization_id)?;
    if organization.state()? != OrganizationState::Approved {
        return Ok(Deposited::NotApproved);
    }
    let known = t.session(&id, &batch.session)?;
    if let Some(refused) = refusal(known.as_ref(), &batch, &organization, now) {
        return Ok(refused);
    }
    if grant.stored_bytes.saturating_add(batch.bytes as u64) > grant.stored_bytes_max {
        return Ok(Deposited::GrantFull);
    }
    if known.is_none() {
        close_idlest(t, &id)?;
    }
    keep_session(t, &id, known, &batch, now);
    append(t, &organization_id, &id, &mut grant, batch, now)?;
    let gate = gate.clone();
    t.after_commit(move || gate.arrived(&organization_id, lane_of(&id)));
    Ok(Deposited::Stored)
}

/// Why a batch is not stored; the order matters: a duplicate is a duplicate even once its epoch has closed.
fn refusal(
    known: Option<&SessionRow>,
    batch: &DepositBatch,
    organization: &OrganizationRow,
    now: Timestamp,
) -> Option<Deposited> {
    match (known, batch.init_key) {
        (Some(row), _) if row.remembers(batch) => Some(Deposited::Already),
        (Some(row), _) if batch.first < row.next => Some(Deposited::Conflict),
        (Some(row), _) if batch.first > row.next => Some(Deposited::OutOfOrder),
        (None, None) => Some(Deposited::UnknownSession),
        (None, Some(key)) if !takes_inits(organization, key, now) => Some(Deposited::EpochClosed),
        (Some(_), _) | (None, Some(_)) => None,
    }
}

fn takes_inits(organization: &OrganizationRow, key: KeyId, now: Timestamp) -> bool {
    let mut epochs = organization.epochs.iter();
    epochs
        .find(|epoch| epoch.key_id == key.as_bytes()[..])
        .is_some_and(|epoch| now <= Timestamp::from_millis(epoch.encrypt_until_ms).plus(EPOCH_GRACE))
}

/// Makes room for one more session.
fn close_idlest(t: &mut Transaction<'_>, grant: &GrantId) -> Result<()> {
    let prefix = layout::sessions(grant);
    let open = t.scan(Space::Rows, &prefix, &layout::end_of(&prefix), SESSIONS_MAX + 1)?;
    if open.len() < SESSIONS_MAX {
        return Ok(());
    }
    let mut idlest: Option<(u64, Bytes)> = None;
    for (key, value) in open {
        let row: SessionRow = decode("session", value)?;
        if idlest.as_ref().is_none_or(|(used, _)| row.used_ms < *used) {
            idlest = Some((row.used_ms, key));
        }
    }
    if let Some((_, key)) = idlest {
        t.delete(Space::Rows, key.to_vec());
    }
    Ok(())
}

fn keep_session(
    t: &mut Transaction<'_>,
    grant: &GrantId,
    known: Option<SessionRow>,
    batch: &DepositBatch,
    now: Timestamp,
) {
    let before = known.as_ref().map(|row| row.used_ms);
    let mut row = known.unwrap_or_default();
    row.remember(batch);
    if let Some(key) = batch.init_key {
        row.key_id = Bytes::copy_from_slice(key.as_bytes());
    }
    use_session(t, grant, &batch.session, row, before, now);
}

/// Writes a session that is used now. Its expiry is written once a day, not at each use.
pub(super) fn use_session(
    t: &mut Transaction<'_>,
    grant: &GrantId,
    session: &SessionId,
    mut row: SessionRow,
    used_before_ms: Option<u64>,
    now: Timestamp,
) {
    row.used_ms = now.as_millis();
    let key = layout::session(grant, session);
    let day = now.as_millis() / DAY_MS;
    if used_before_ms.map(|used| used / DAY_MS) != Some(day) {
        let due =
            Timestamp::from_millis(day.saturating_add(1).saturating_mul(DAY_MS)).plus(SESSION_RETENTION);
        t.put(Space::Rows, layout::expiry(due, &key), Bytes::new());
    }
    t.put(Space::Rows, key, row.encode_to_vec());
}

fn append(
    t: &mut Transaction<'_>,
    organization: &OrganizationId,
    id: &GrantId,
    grant: &mut GrantRow,
    batch: DepositBatch,
    now: Timestamp,
) -> Result<()> {
    let lane = lane_of(id);
    let first = t.lane_head(organization, lane)?;
    if grant.stored_bytes == 0 {
        grant.lowest_sequence = first;
    }
    grant.stored_bytes = grant.stored_bytes.saturating_add(batch.bytes as u64);
    let (session, first_place) = (batch.session, batch.first);
    let mut next = first;
    for (place, bytes) in (first_place..).zip(batch.envelopes) {
        let row = LaneRow { kind: LaneKind::Envelope, grant: *id, session, place, stored: now, bytes };
        t.put(Space::Lanes, layout::lane_item(organization, lane, next), row.encode());
        next = next.checked_add(1).ok_or(StoreError::Unavailable)?;
    }
    t.put(Space::Rows, layout::lane_head(organization, lane), HeadRow { next }.encode_to_vec());
    t.put(Space::Rows, layout::grant(id), grant.encode_to_vec());
    Ok(())
}

pub(super) fn fetch_after(
    rows: &mut Committed<'_>,
    gate: &Gate,
    place: LanePlace,
    limit: PageLimit,
) -> Result<FetchOutcome> {
    let mark = gate.mark();
    if !rows.is_approved(&place.organization)? {
        return Ok(FetchOutcome::NotApproved);
    }
    let head = rows.lane_head(&place.organization, place.lane)?;
    let after = if place.after < head { place.after } else { 0 };
    let mut page = Page { items: Vec::new(), after, more: Progress::Done, mark };
    if after + 1 < head {
        read_lane(rows, &gate.hidden(), LanePlace { after, ..place }, limit, &mut page)?;
    }
    Ok(FetchOutcome::Page(page))
}

fn read_lane(
    rows: &Committed<'_>,
    hidden: &std::collections::HashSet<GrantId>,
    place: LanePlace,
    limit: PageLimit,
    page: &mut Page,
) -> Result<()> {
    let from = layout::lane_item(&place.organization, place.lane, place.after + 1);
    let to = layout::after(&layout::lane_item(&place.organization, place.lane, u64::MAX));
    let (mut scanned, mut bytes) = (0, 0);
    let mut damage = None;
    let read = rows.0.scan(Space::Lanes, &from, &to, &mut |key, stored| {
        let full =
            !page.items.is_empty() && (page.items.len() >= limit.items_max || bytes >= limit.bytes_max);
        if full || scanned >= SCAN_ITEMS_MAX {
            page.more = Progress::More;
            return ControlFlow::Break(());
        }
        scanned += 1;
        match page_item(&key, &stored, hidden) {
            Ok((_, Some(item), _)) if bytes > 0 && bytes + item_bytes(&item) > limit.bytes_max => {
                page.more = Progress::More;
                ControlFlow::Break(())
            }
            Ok((sequence, item, length)) => {
                page.after = sequence;
                bytes += length;
                page.items.extend(item);
                ControlFlow::Continue(())
            }
            Err(error) => {
                damage = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    match read {
        Ok(()) => {}
        Err(EngineError::Damaged) => damage = Some(StoreError::Corrupt("lane item")),
        Err(EngineError::Failed) => return Err(StoreError::Unavailable),
    }
    match damage {
        None => Ok(()),
        // What lies before the damage is whole; the next read begins with the damage and names it.
        Some(_) if !page.items.is_empty() => {
            page.more = Progress::More;
            Ok(())
        }
        Some(damage) => Err(damage),
    }
}

fn item_bytes(item: &PageItem) -> usize {
    match item {
        PageItem::Envelope { envelope, .. } => envelope.len(),
        PageItem::Revocation { .. } => 0,
    }
}

type Read = (u64, Option<PageItem>, usize);

fn page_item(key: &[u8], stored: &Bytes, hidden: &std::collections::HashSet<GrantId>) -> Result<Read> {
    let sequence = layout::sequence_of(key).ok_or(StoreError::Corrupt("lane item"))?;
    let row = LaneRow::decode(check(key, stored)?)?;
    let (grant, length) = (row.grant, row.bytes.len());
    let item = match row.kind {
        LaneKind::Envelope if hidden.contains(&grant) => return Ok((sequence, None, 0)),
        LaneKind::Envelope => PageItem::Envelope { sequence, grant, envelope: row.bytes },
        LaneKind::Revocation => {
            let revocation: wire::Revocation = decode("lane item", row.bytes)?;
            PageItem::Revocation { sequence, grant, revocation }
        }
    };
    Ok((sequence, Some(item), length))
}

/// Deletes the first items of `range`; returns what is left of it.
pub(super) fn acknowledge(
    t: &mut Transaction<'_>,
    organization: &OrganizationId,
    range: &SequenceRange,
) -> Result<Option<SequenceRange>> {
    let (first, last) = range.sequences.clone().into_inner();
    if first > last {
        return Ok(None);
    }
    let from = layout::lane_item(organization, range.lane, first);
    let to = layout::after(&layout::lane_item(organization, range.lane, last));
    let found = t.scan(Space::Lanes, &from, &to, STEP_ITEMS_MAX)?;
    let is_last_step = found.len() < STEP_ITEMS_MAX;
    let next =
        found.last().and_then(|(key, _)| layout::sequence_of(key)).and_then(|last| last.checked_add(1));
    let items = found.into_iter().map(|(key, value)| Ok((key, LaneRow::decode(value)?)));
    remove(t, items.collect::<Result<_>>()?)?;
    match next {
        Some(next) if !is_last_step && next <= last => {
            Ok(Some(SequenceRange { lane: range.lane, sequences: next..=last }))
        }
        _ => Ok(None),
    }
}

/// Deletes items and accounts for them in their grants and sessions.
pub(super) fn remove(t: &mut Transaction<'_>, items: Vec<(Bytes, LaneRow)>) -> Result<()> {
    let mut freed: HashMap<GrantId, u64> = HashMap::new();
    let mut gone: HashMap<(GrantId, SessionId), Vec<u64>> = HashMap::new();
    for (key, row) in items {
        t.delete(Space::Lanes, key.to_vec());
        if row.kind == LaneKind::Envelope {
            *freed.entry(row.grant).or_default() += row.bytes.len() as u64;
            gone.entry((row.grant, row.session)).or_default().push(row.place);
        }
    }
    for (grant, bytes) in freed {
        let row: Option<GrantRow> = t.row(&layout::grant(&grant))?;
        // An envelope lies only in an accepted grant's lane, and grants stay for ever.
        let mut row = row.ok_or(StoreError::Corrupt("grant"))?;
        row.stored_bytes = row.stored_bytes.saturating_sub(bytes);
        t.put(Space::Rows, layout::grant(&grant), row.encode_to_vec());
    }
    for ((grant, session), places) in gone {
        // A session that was closed or forgotten has no mark to move.
        if let Some(mut row) = t.session(&grant, &session)? {
            for place in places {
                row.mark_gone(place);
            }
            t.put(Space::Rows, layout::session(&grant, &session), row.encode_to_vec());
        }
    }
    Ok(())
}

/// Whether something stored at `stored` has passed `retention` by `now`.
pub(super) fn is_past(stored: Timestamp, retention: Duration, now: Timestamp) -> bool {
    stored.plus(retention) <= now
}
