//! The end of a grant: tombstone first, then its keys, then the signed word to the relay, each step repeated
//! until it is done. Not here: the application's copy outside the grant's wrapping key.

use std::collections::HashSet;

use sealcare_protocol::{
    Confirmation, GrantId, Incarnation, OrganizationId, Timestamp, UnverifiedConfirmation,
    UnverifiedRevocation,
};
use sealcare_vault::{KeyRange, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::error::{ProviderError, Result};
use crate::grant::StatementRow;
use crate::inbox::{count_refused, queue, refuse};
use crate::kept::{self, Kept};
use crate::organization::{Organization, Profile, Shown};
use crate::spaces::{
    AWAITED, BINDINGS, CONFIRMATIONS_DUE, DESTRUCTIONS, HELD, REPLIES_DUE, SENDERS, SESSIONS, STATEMENTS,
    TOMBSTONES, WATCH, WIPES, grant_wrapping_key,
};

/// Tombstones that are looked at, and confirmations that are signed, at a time.
const PAGE_MAX: usize = 100;
const INCARNATION: &[u8] = b"incarnation";

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
    /// Nothing was heard for 90 days (or, in a restored vault, this organization's own word is all that is left).
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
}

impl Kept for DueConfirmation {
    const NAME: &'static str = "due confirmation";
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
    tx.put(DESTRUCTIONS, grant.as_bytes(), &[])?;
    let due = DueConfirmation { is_destroyed: false, is_applied };
    kept::put(tx, CONFIRMATIONS_DUE, grant.as_bytes(), &due)
}

/// Unless it is over already.
fn end_once(tx: &mut WriteTransaction<'_>, grant: &GrantId, cause: Cause, now: Timestamp) -> Result<()> {
    if tx.get(TOMBSTONES, grant.as_bytes())?.is_some() { Ok(()) } else { end(tx, grant, cause, now) }
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
        let page = tx.scan(TOMBSTONES, &range, PAGE_MAX)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = KeyRange::all().after(last);
        for (key, _) in &page {
            if tx.get(CONFIRMATIONS_DUE, key)?.is_none() {
                let due = DueConfirmation { is_destroyed: true, is_applied: true };
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

    /// Takes in tombstones that the relay lists, for a restored vault: the patients' words, and where there is none
    /// this organization's own.
    pub(crate) fn take_tombstones(
        &self,
        revocations: Vec<UnverifiedRevocation>,
        confirmations: Vec<UnverifiedConfirmation>,
        now: Timestamp,
    ) -> Result<()> {
        let bundle = self.bundle();
        self.vault.write(|tx| {
            for revocation in revocations {
                match revocation.verify() {
                    Ok(stop) if stop.organization() == &self.id => {
                        end_once(tx, stop.grant(), Cause::Revoked, now)?;
                    }
                    Ok(_) => {}
                    Err(_) => count_refused(tx, "revocation-signature")?,
                }
            }
            for confirmation in confirmations {
                match confirmation.verify(bundle.authority()) {
                    Ok(confirmation) => end_once(tx, confirmation.grant(), Cause::Silent, now)?,
                    Err(_) => count_refused(tx, "confirmation-signature")?,
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
        loop {
            let due = self.vault.read(|tx| tx.scan(DESTRUCTIONS, &KeyRange::all(), PAGE_MAX))?;
            if due.is_empty() {
                return Ok(());
            }
            for (key, _) in due {
                let grant = GrantId::from_slice(&key)?;
                self.vault.destroy_wrapping_key(&grant_wrapping_key(&grant))?;
                self.vault.write(|tx| mark_destroyed(tx, &grant))?;
            }
        }
    }

    /// Signs what the relay does not have yet, of the next grants behind `after`. Only what is destroyed, here and by
    /// the application, is confirmed; `waiting` names the grants that are left out. Says behind which to go on, if
    /// there may be more.
    pub(crate) fn unconfirmed(
        &self,
        after: Option<&GrantId>,
        waiting: &HashSet<Vec<u8>>,
        now: Timestamp,
    ) -> Result<(Vec<Confirmation>, Option<GrantId>)> {
        let range = after.map_or(KeyRange::all(), |grant| KeyRange::all().after(grant.as_bytes()));
        let due = self.vault.read(|tx| tx.scan(CONFIRMATIONS_DUE, &range, PAGE_MAX))?;
        let (signer, mut confirmations, mut last) = (self.signer(), Vec::new(), None);
        for (key, row) in &due {
            let (grant, due) = (GrantId::from_slice(key)?, DueConfirmation::decode(row)?);
            if due.is_destroyed && due.is_applied && !waiting.contains(key) {
                confirmations.push(signer.confirm(&grant, now));
            }
            last = Some(grant);
        }
        Ok((confirmations, last.filter(|_| due.len() >= PAGE_MAX)))
    }

    /// The relay's store is in this life. After another one than last time, every grant that is over is confirmed
    /// again, and the bundle published: the store may be restored from a backup in which some of them are open.
    pub(crate) fn meet_store(&self, incarnation: &Incarnation) -> Result<()> {
        let met = self.vault.read(|tx| tx.get(WATCH, INCARNATION))?;
        if met.as_ref().is_some_and(|met| met.as_slice() == incarnation.as_bytes()) {
            return Ok(());
        }
        self.vault.write(|tx| {
            if met.is_some() {
                confirm_again(tx)?;
                let mut profile = Profile::load(tx)?;
                profile.published = 0;
                profile.store(tx)?;
            }
            Ok::<_, ProviderError>(tx.put(WATCH, INCARNATION, incarnation.as_bytes())?)
        })?;
        self.announce_replies();
        Ok(())
    }

    /// The relay has it.
    pub(crate) fn mark_confirmed(&self, grant: &GrantId) -> Result<()> {
        self.vault.write(|tx| Ok(tx.delete(CONFIRMATIONS_DUE, grant.as_bytes()).map(drop)?))
    }
}

/// The application may have taken it up in between.
fn mark_destroyed(tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
    tx.delete(DESTRUCTIONS, grant.as_bytes())?;
    let Some(due) = kept::get::<DueConfirmation>(tx, CONFIRMATIONS_DUE, grant.as_bytes())? else {
        return Ok(());
    };
    let destroyed = DueConfirmation { is_destroyed: true, ..due };
    kept::put(tx, CONFIRMATIONS_DUE, grant.as_bytes(), &destroyed)
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::{AccountSecret, Revocation};

    use super::*;
    use crate::fixture::{NOW, found};

    fn stop(organization: &Organization, number: u32) -> Revocation {
        let account = AccountSecret::random(&mut rand::rng());
        Revocation::sign(&account.deposit_key(organization.relay(), number), organization.id())
    }

    /// All that the relay is to be told, page by page.
    fn due(organization: &Organization) -> Vec<GrantId> {
        let (mut due, mut after) = (Vec::new(), None);
        loop {
            let page = organization.unconfirmed(after.as_ref(), &HashSet::new(), NOW).unwrap();
            due.extend(page.0.iter().map(|confirmation| *confirmation.grant()));
            after = page.1;
            if after.is_none() {
                return due;
            }
        }
    }

    #[test]
    fn another_life_of_the_relays_store_is_told_every_end_again() {
        let (_dir, organization) = found();
        let stops: Vec<_> = (0..150).map(|number| stop(&organization, number)).collect();
        let told = stops.iter().map(|stop| UnverifiedRevocation::new(stop.to_wire())).collect();
        organization.take_tombstones(told, Vec::new(), NOW).unwrap();
        let [first, second] = [1, 2].map(|life| Incarnation::from_bytes([life; 16]));
        organization.meet_store(&first).unwrap();
        assert_eq!(due(&organization).len(), 150);
        for grant in &due(&organization) {
            organization.mark_confirmed(grant).unwrap();
        }
        organization.meet_store(&first).unwrap();
        assert!(due(&organization).is_empty(), "the same life as last time");
        organization.meet_store(&second).unwrap();
        assert_eq!(due(&organization).len(), 150);
        organization.meet_store(&second).unwrap();
        assert_eq!(due(&organization).len(), 150);
    }

    #[test]
    fn a_restored_vault_believes_its_own_word_and_no_other() {
        let (_dir, organization) = found();
        let (_other_dir, other) = found();
        let grants = [1, 2].map(|byte| GrantId::from_bytes([byte; 32]));
        let sign = |by: &Organization, grant| {
            UnverifiedConfirmation::new(by.signer().confirm(grant, NOW).signed().clone()).unwrap()
        };
        let words = vec![sign(&organization, &grants[0]), sign(&other, &grants[1])];
        organization.take_tombstones(Vec::new(), words, NOW).unwrap();
        assert_eq!(due(&organization), [grants[0]]);
        assert_eq!(organization.refusals().unwrap()["confirmation-signature"], 1);
    }
}
