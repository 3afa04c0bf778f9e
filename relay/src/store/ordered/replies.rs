//! Reply slots: one for a session, the highest counter wins.

use bytes::Bytes;
use prost::Message as _;
use sealcare_protocol::{GrantId, OrganizationId, SessionId, Timestamp};

use super::{
    engine::Space,
    lanes::use_session,
    layout,
    reads::{Committed, Rows},
    rows::{ReplyRow, decode},
    transaction::Transaction,
};
use crate::store::{ReplyOutcome, ReplySlot, Result, SESSIONS_MAX, StoreError, types::DepositorKey};

pub(super) fn put_reply(
    t: &mut Transaction<'_>,
    organization: &OrganizationId,
    grant: &GrantId,
    reply: ReplySlot,
    now: Timestamp,
) -> Result<ReplyOutcome> {
    let row = t.grant(grant)?;
    if row.organization()? != *organization || row.revoked_ms.is_some() {
        return Err(StoreError::NotFound);
    }
    let key = layout::reply(grant, &reply.session);
    let there: Option<ReplyRow> = t.row(&key)?;
    let session = t.session(grant, &reply.session)?;
    match (&there, session) {
        (Some(there), _) if there.counter >= reply.counter => return Ok(ReplyOutcome::Older),
        (None, None) => return Err(StoreError::NotFound),
        (_, Some(row)) => {
            let before = Some(row.used_ms);
            use_session(t, grant, &reply.session, row, before, now);
        }
        (Some(_), None) => {}
    }
    if there.is_none() {
        drop_oldest(t, grant)?;
    }
    t.put(Space::Rows, key, ReplyRow { counter: reply.counter, reply: reply.reply }.encode_to_vec());
    Ok(ReplyOutcome::Stored)
}

/// Makes room for one more slot.
fn drop_oldest(t: &mut Transaction<'_>, grant: &GrantId) -> Result<()> {
    let prefix = layout::replies(grant);
    let slots = t.scan(Space::Rows, &prefix, &layout::end_of(&prefix), SESSIONS_MAX + 1)?;
    if slots.len() < SESSIONS_MAX {
        return Ok(());
    }
    let mut oldest: Option<(u64, Bytes)> = None;
    for (key, value) in slots {
        let row: ReplyRow = decode("reply", value)?;
        if oldest.as_ref().is_none_or(|(counter, _)| row.counter < *counter) {
            oldest = Some((row.counter, key));
        }
    }
    if let Some((_, key)) = oldest {
        t.delete(Space::Rows, key.to_vec());
    }
    Ok(())
}

pub(super) fn fetch_replies(
    rows: &mut Committed<'_>,
    key: &DepositorKey,
    sessions: &[SessionId],
) -> Result<Vec<ReplySlot>> {
    let (grant, _) = rows.grant_of(key)?;
    let prefix = layout::replies(&grant);
    let slots = rows.scan(Space::Rows, &prefix, &layout::end_of(&prefix), SESSIONS_MAX)?;
    let slots = slots.into_iter().map(|(key, value)| {
        let session = layout::session_of(&key).ok_or(StoreError::Corrupt("reply"))?;
        let row: ReplyRow = decode("reply", value)?;
        Ok(ReplySlot { session, counter: row.counter, reply: row.reply })
    });
    let is_wanted = |slot: &Result<ReplySlot>| match slot {
        Ok(slot) => sessions.is_empty() || sessions.contains(&slot.session),
        Err(_) => true,
    };
    slots.filter(is_wanted).collect()
}
