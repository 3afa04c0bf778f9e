//! Committing a checked session init: all of it in the caller's transaction.

use std::collections::BTreeSet;

use sealcare_protocol::{
    AcceptedInit, BaseDecision, GrantId, GrantState, InitHeader, InitRefusal, OrganizationId, Statement,
    StatementDecision, Timestamp, receive_init,
};
use sealcare_vault::WriteTransaction;

use crate::epochs::{EpochRow, RETENTION};
use crate::error::{ProviderError, Result};
use crate::grant::{Binding, HoldReason, StatementRow};
use crate::inbox::queue::{self, KeptEvent, KeptScopeChange};
use crate::inbox::refuse;
use crate::inbox::state::VaultState;
use crate::invitation::{InvitationChannel, InvitationRow};
use crate::reply::{SenderRow, make_room};
use crate::spaces::{
    BINDINGS, BUNDLES, EPOCHS, INVITATIONS, SEEN_SESSIONS, SESSIONS, grant_wrapping_key, session_key,
};
use crate::{kept, silence, wipe};

pub(crate) fn settle(
    tx: &mut WriteTransaction<'_>,
    organization: &OrganizationId,
    grant: &GrantId,
    header: InitHeader,
    envelope: &[u8],
    now: Timestamp,
) -> Result<()> {
    match receive_init(&VaultState { tx, now }, organization, grant, envelope, now)? {
        Err(InitRefusal::Duplicate) => Ok(()),
        Err(refusal) => refuse(tx, grant, refusal.name(), now),
        Ok(init) => commit(tx, header, &init, now),
    }
}

fn commit(
    tx: &mut WriteTransaction<'_>,
    header: InitHeader,
    init: &AcceptedInit,
    now: Timestamp,
) -> Result<()> {
    remember_session(tx, header)?;
    if let Some(code) = &init.link_code {
        let invitation: InvitationRow =
            kept::get(tx, INVITATIONS, code.as_bytes())?.ok_or(ProviderError::Damaged("invitation"))?;
        tx.delete(INVITATIONS, code.as_bytes())?;
        bind(tx, init, invitation)?;
    }
    settle_statement(tx, init, now)?;
    settle_sender(tx, init, now)?;
    if tx.get(BUNDLES, init.bundle.as_bytes())?.is_none() {
        queue::put(tx, &init.grant, now, &KeptEvent::UnknownBundle)?;
    }
    Ok(())
}

/// Until no envelope sealed to its key can come any more.
fn remember_session(tx: &mut WriteTransaction<'_>, header: InitHeader) -> Result<()> {
    let epoch: EpochRow =
        kept::get(tx, EPOCHS, header.key.as_bytes())?.ok_or(ProviderError::Damaged("epoch"))?;
    let forget = Timestamp::from_millis(epoch.decrypt_until).plus(RETENTION).as_millis();
    Ok(tx.put(SEEN_SESSIONS, header.session.as_bytes(), &forget.to_be_bytes())?)
}

fn bind(tx: &mut WriteTransaction<'_>, init: &AcceptedInit, invitation: InvitationRow) -> Result<()> {
    let binding = Binding {
        grant_key: *init.grant_key.as_bytes(),
        patient: invitation.patient,
        channel: invitation.channel,
        name: invitation.name,
        birth_date: invitation.birth_date,
        is_compared: invitation.channel != InvitationChannel::Paper,
    };
    kept::put(tx, BINDINGS, init.grant.as_bytes(), &binding)
}

fn settle_statement(tx: &mut WriteTransaction<'_>, init: &AcceptedInit, now: Timestamp) -> Result<()> {
    let grant = &init.grant;
    let lease = init.session.lease_until();
    let row = match (StatementRow::load(tx, grant)?, &init.statement) {
        (None, StatementDecision::Adopt(statement)) => first_statement(tx, init, statement, now)?,
        // A restored vault, and a recovered device that does not know what was chosen: both wait for the person.
        (None, StatementDecision::KeepStored) => return silence::break_silence(tx, grant),
        (Some(mut row), decision) => {
            if row.is_lapsed(now) {
                queue::put(tx, grant, now, &KeptEvent::Returned)?;
            }
            if let StatementDecision::Adopt(statement) = decision {
                announce_changes(tx, grant, &mut row, statement, now)?;
                row.adopt(statement);
            }
            row.renew(lease, now);
            row
        }
    };
    silence::break_silence(tx, grant)?;
    row.store(tx, grant)
}

fn first_statement(
    tx: &mut WriteTransaction<'_>,
    init: &AcceptedInit,
    statement: &Statement,
    now: Timestamp,
) -> Result<StatementRow> {
    let binding = binding(tx, &init.grant)?;
    let mut held = BTreeSet::new();
    if !binding.is_compared {
        held.insert(HoldReason::Paper);
    }
    if !binding.expects(&statement.person)? {
        held.insert(HoldReason::PersonMismatch);
    }
    if !held.is_empty() {
        queue::put(tx, &init.grant, now, &KeptEvent::Held(held.iter().copied().collect()))?;
    }
    Ok(StatementRow::new(statement, held, init.session.lease_until(), now))
}

/// Tells the application how the statement differs, and holds the grant if it is another person's now.
fn announce_changes(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    row: &mut StatementRow,
    came: &Statement,
    now: Timestamp,
) -> Result<()> {
    let stored = row.statement()?;
    if stored.state != came.state {
        let event = match came.state {
            GrantState::Active => KeptEvent::Resumed,
            GrantState::Paused => KeptEvent::Paused,
        };
        queue::put(tx, grant, now, &event)?;
    }
    if stored.scope != came.scope {
        let is_narrower =
            !stored.scope.types.is_subset(&came.scope.types) || stored.scope.from < came.scope.from;
        let wipe = if is_narrower { Some(wipe::begin(tx, grant)?) } else { None };
        let change = KeptScopeChange::new(&stored.scope, &came.scope, wipe);
        queue::put(tx, grant, now, &KeptEvent::ScopeChanged(change))?;
    }
    if !binding(tx, grant)?.expects(&came.person)? && row.held.insert(HoldReason::PersonMismatch) {
        queue::put(tx, grant, now, &KeptEvent::Held(row.held.iter().copied().collect()))?;
    }
    Ok(())
}

fn binding(tx: &WriteTransaction<'_>, grant: &GrantId) -> Result<Binding> {
    kept::get(tx, BINDINGS, grant.as_bytes())?.ok_or(ProviderError::Damaged("binding"))
}

/// Closes the sender's session before, opens this one, and notes how its numbers fit.
fn settle_sender(tx: &mut WriteTransaction<'_>, init: &AcceptedInit, now: Timestamp) -> Result<()> {
    let (grant, session) = (&init.grant, &init.session);
    let (mut row, missing) = if let Some(mut row) = SenderRow::load(tx, grant, &init.sender)? {
        tx.delete(SESSIONS, &session_key(grant, &row.session()))?;
        row.move_to(&init.reply_key, now);
        (row, KeptEvent::Gap)
    } else {
        make_room(tx, grant)?;
        (SenderRow::new(&init.reply_key, 0, now), KeptEvent::UnknownSender)
    };
    if init.base == BaseDecision::Gap {
        row.next_sequence = session.next_sequence();
        queue::put(tx, grant, now, &missing)?;
        row.ask_for_everything(tx, grant, now)?;
    }
    let key = session_key(grant, session.id());
    tx.put_wrapped(&grant_wrapping_key(grant), SESSIONS, &key, &session.to_kept())?;
    row.store(tx, grant, &init.sender)
}
