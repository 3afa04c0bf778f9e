//! The end of a grant: tombstone first, then its keys, then the signed word to the relay, each step repeated
//! until it is done. Not here: the application's copy outside the grant's wrapping key.

use std::collections::HashSet;

use sealcare_protocol::{Confirmation, GrantId, OrganizationId, Timestamp, UnverifiedRevocation};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::error::{ProviderError, Result};
use crate::grant::StatementRow;
use crate::inbox::{queue, refuse};
use crate::kept::{self, Kept};
use crate::organization::{Organization, Profile, Shown};
use crate::spaces::{
    AWAITED, BINDINGS, CONFIRMATIONS_DUE, HELD, REPLIES_DUE, SENDERS, SESSIONS, STATEMENTS, TOMBSTONES,
    WIPES, grant_wrapping_key,
};

/// Confirmations that are signed at a time.
const CONFIRMATIONS_MAX: usize = 100;

/// That a grant is over, for ever.
#[derive(Deserialize, Serialize)]
struct Tombstone {
    at: u64,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    Revoked,
    Rejected,
    /// Nothing was heard for 90 days.
    Silent,
}

impl Kept for Tombstone {
    const NAME: &'static str = "tombstone";
}

/// What is left to do for a grant that is over.
#[derive(Deserialize, Serialize)]
struct DueConfirmation {
    is_destroyed: bool,
    /// The application has destroyed what it kept elsewhere.
    is_applied: bool,
    cause: Cause,
}

impl Kept for DueConfirmation {
    const NAME: &'static str = "due confirmation";
}

/// A confirmation that the relay does not have.
pub(crate) struct Unconfirmed {
    pub(crate) confirmation: Confirmation,
    pub(crate) cause: Cause,
}

/// Checks a revocation and acts on nothing less than a good one, also for a grant that was never met.
pub(crate) fn settle(
    tx: &mut WriteTransaction<'_>,
    organization: &OrganizationId,
    grant: &GrantId,
    revocation: UnverifiedRevocation,
    now: Timestamp,
) -> Result<()> {
    match revocation.verify() {
        Ok(stop) if stop.organization() == organization && stop.grant() == grant => {
            end(tx, grant, Cause::Revoked, now)
        }
        Ok(_) => refuse(tx, grant, "revocation-binding", now),
        Err(_) => refuse(tx, grant, "revocation-signature", now),
    }
}

/// From this commit on nothing of the grant is accepted or shown; its keys are destroyed right after.
pub(crate) fn end(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    cause: Cause,
    now: Timestamp,
) -> Result<()> {
    let mut is_applied = true;
    if tx.get(TOMBSTONES, grant.as_bytes())?.is_none() {
        kept::put(tx, TOMBSTONES, grant.as_bytes(), &Tombstone { at: now.as_millis(), cause })?;
        let event = match cause {
            Cause::Revoked => queue::KeptEvent::Revoked,
            Cause::Rejected => queue::KeptEvent::Rejected,
            Cause::Silent => queue::KeptEvent::Ended,
        };
        if tx.get(BINDINGS, grant.as_bytes())?.is_some() {
            queue::put(tx, grant, now, &event)?;
            is_applied = false;
        }
    } else if let Some(due) = kept::get::<DueConfirmation>(tx, CONFIRMATIONS_DUE, grant.as_bytes())? {
        is_applied = due.is_applied;
    }
    tx.delete(BINDINGS, grant.as_bytes())?;
    for space in [STATEMENTS, WIPES, AWAITED] {
        tx.delete(space, grant.as_bytes())?;
    }
    for space in [SESSIONS, SENDERS, REPLIES_DUE, HELD] {
        tx.delete_prefix(space, grant.as_bytes())?;
    }
    // Also when it comes again: then the relay does not have the confirmation.
    let due = DueConfirmation { is_destroyed: false, is_applied, cause };
    kept::put(tx, CONFIRMATIONS_DUE, grant.as_bytes(), &due)
}

/// The application has taken up that the grant is over.
pub(crate) fn mark_applied(tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
    let Some(due) = kept::get::<DueConfirmation>(tx, CONFIRMATIONS_DUE, grant.as_bytes())? else {
        return Ok(());
    };
    let applied = DueConfirmation { is_applied: true, ..due };
    kept::put(tx, CONFIRMATIONS_DUE, grant.as_bytes(), &applied)
}

/// Every grant that is over is confirmed anew, where it is not due anyway.
pub(crate) fn confirm_again(tx: &mut WriteTransaction<'_>) -> Result<()> {
    let mut range = KeyRange::all();
    loop {
        let page = tx.scan(TOMBSTONES, &range, CONFIRMATIONS_MAX)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = KeyRange::all().after(last);
        for (key, row) in &page {
            if tx.get(CONFIRMATIONS_DUE, key)?.is_none() {
                let cause = Tombstone::decode(row)?.cause;
                let due = DueConfirmation { is_destroyed: true, is_applied: true, cause };
                kept::put(tx, CONFIRMATIONS_DUE, key, &due)?;
            }
        }
    }
}

impl Organization {
    /// Ends a held grant that staff do not take for the invited person's: its keys and data are destroyed, and
    /// the relay is told as for a revocation.
    ///
    /// # Errors
    /// [`ProviderError::UnknownGrant`], [`ProviderError::NotHeld`], and those of the vault.
    pub fn reject(&self, grant: &GrantId, now: Timestamp) -> Result<()> {
        self.vault.write(|tx| {
            let row = StatementRow::load(tx, grant)?.ok_or(ProviderError::UnknownGrant)?;
            if row.held.is_empty() {
                return Err(ProviderError::NotHeld);
            }
            end(tx, grant, Cause::Rejected, now)
        })?;
        self.finish_destructions()?;
        self.announce_events();
        self.announce_replies();
        Ok(())
    }

    /// Takes in a tombstone that the relay lists, for a restored vault.
    pub(crate) fn take_tombstones(&self, listed: &[UnverifiedRevocation], now: Timestamp) -> Result<()> {
        self.vault.write(|tx| {
            for revocation in listed {
                let Ok(stop) = revocation.clone().verify() else {
                    kept::count_up(tx, crate::spaces::COUNTERS, b"refused revocation-signature")?;
                    continue;
                };
                if stop.organization() == &self.id && tx.get(TOMBSTONES, stop.grant().as_bytes())?.is_none() {
                    end(tx, stop.grant(), Cause::Revoked, now)?;
                }
            }
            Ok::<_, ProviderError>(())
        })?;
        self.finish_destructions()
    }

    /// The relay has told all that was revoked.
    pub(crate) fn tombstones_taken(&self) -> Result<()> {
        if self.is_restored()? {
            self.vault.write(|tx| {
                let mut profile = Profile::load(tx)?;
                profile.needs_tombstones = false;
                profile.store(tx)
            })?;
        }
        self.shown.send_replace(Shown::Now);
        Ok(())
    }

    /// Destroys the keys of grants that are over. Runs after each receipt and on opening, so that a crash in
    /// between changes nothing.
    pub(crate) fn finish_destructions(&self) -> Result<()> {
        for (grant, due) in self.vault.read(due)? {
            if due.is_destroyed {
                continue;
            }
            self.vault.destroy_wrapping_key(&grant_wrapping_key(&grant))?;
            let destroyed = DueConfirmation { is_destroyed: true, ..due };
            self.vault.write(|tx| {
                // The application may have taken it up in between.
                let now_due = kept::get::<DueConfirmation>(tx, CONFIRMATIONS_DUE, grant.as_bytes())?;
                let is_applied = now_due.is_some_and(|due| due.is_applied);
                let due = DueConfirmation { is_applied, ..destroyed };
                kept::put(tx, CONFIRMATIONS_DUE, grant.as_bytes(), &due)
            })?;
        }
        Ok(())
    }

    /// Signs what the relay does not have yet. Only what is destroyed, here and by the
    /// application, is confirmed; `waiting` names the grants that are left out.
    pub(crate) fn unconfirmed(&self, waiting: &HashSet<Vec<u8>>, now: Timestamp) -> Result<Vec<Unconfirmed>> {
        let due = self.vault.read(due)?;
        let signer = self.signer();
        let is_ready = |due: &DueConfirmation| due.is_destroyed && due.is_applied;
        let destroyed = due
            .into_iter()
            .filter(|(grant, due)| is_ready(due) && !waiting.contains(grant.as_bytes().as_slice()));
        let sign = |(grant, due): (GrantId, DueConfirmation)| Unconfirmed {
            confirmation: signer.confirm(&grant, now),
            cause: due.cause,
        };
        Ok(destroyed.take(CONFIRMATIONS_MAX).map(sign).collect())
    }

    /// The relay has it.
    pub(crate) fn mark_confirmed(&self, grant: &GrantId) -> Result<()> {
        self.vault.write(|tx| Ok(tx.delete(CONFIRMATIONS_DUE, grant.as_bytes()).map(drop)?))
    }
}

fn due(tx: &ReadTransaction<'_>) -> Result<Vec<(GrantId, DueConfirmation)>> {
    let rows = tx.scan(CONFIRMATIONS_DUE, &KeyRange::all(), usize::MAX)?;
    rows.iter().map(|(key, row)| Ok((GrantId::from_slice(key)?, DueConfirmation::decode(row)?))).collect()
}
