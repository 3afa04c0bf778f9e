//! Admission: what becomes of a held grant when staff have looked. Not here: why a grant is held (`inbox`), and its
//! rejection (`revocation`).

use std::collections::BTreeSet;

use sealcare_protocol::{GrantId, Person, Timestamp};
use sealcare_vault::{KeyRange, WriteTransaction};

use crate::error::{ProviderError, Result};
use crate::grant::{Binding, Grant, HoldReason, StatementRow};
use crate::inbox::queue::{self, KeptEvent};
use crate::organization::Organization;
use crate::spaces::{BINDINGS, HELD};
use crate::{kept, reply};

impl Organization {
    /// Lets a held grant through, `seen` as staff saw it when they compared its [`crate::ShortCode`] and the person. Only
    /// the reasons that they saw are cleared, the person's only if it is still the same one; the answer holds those
    /// that are left. With the last one, what was kept back is delivered (or, if it was more than 64 MiB, sent again
    /// by the patient's app), and the person counts as the expected one from here on.
    ///
    /// # Errors
    /// [`ProviderError::UnknownGrant`], [`ProviderError::NotHeld`], and those of the vault.
    pub fn admit(&self, seen: &Grant, now: Timestamp) -> Result<BTreeSet<HoldReason>> {
        let left = self.vault.write(|tx| {
            let grant = &seen.id;
            let mut row = StatementRow::load(tx, grant)?.ok_or(ProviderError::UnknownGrant)?;
            if row.held.is_empty() {
                return Err(ProviderError::NotHeld);
            }
            clear_seen(tx, &mut row, seen)?;
            if row.held.is_empty() {
                if row.kept_back_bytes.is_none() {
                    reply::ask_again(tx, grant, now)?;
                }
                row.nothing_kept_back();
                queue::put(tx, grant, now, &KeptEvent::Admitted)?;
                release(tx, grant)?;
                reply::mark_all_due(tx, grant)?;
            }
            row.store(tx, grant)?;
            Ok(row.held)
        })?;
        self.announce_events();
        self.announce_replies();
        Ok(left)
    }
}

/// Clears the reasons that staff saw; what was settled once is remembered beyond a restored backup.
fn clear_seen(tx: &mut WriteTransaction<'_>, row: &mut StatementRow, seen: &Grant) -> Result<()> {
    let person = row.statement()?.person;
    let is_clear = |reason: &HoldReason| {
        seen.held.contains(reason) && (*reason != HoldReason::PersonMismatch || person == seen.person)
    };
    let (cleared, left) = row.held.iter().copied().partition::<BTreeSet<_>, _>(is_clear);
    row.held = left;
    if cleared.contains(&HoldReason::Paper) {
        let mut binding: Binding =
            kept::get(tx, BINDINGS, seen.id.as_bytes())?.ok_or(ProviderError::UnknownGrant)?;
        binding.is_compared = true;
        kept::put(tx, BINDINGS, seen.id.as_bytes(), &binding)?;
    }
    if cleared.contains(&HoldReason::PersonMismatch) { expect_person(tx, &seen.id, &person) } else { Ok(()) }
}

fn expect_person(tx: &mut WriteTransaction<'_>, grant: &GrantId, person: &Person) -> Result<()> {
    let key = grant.as_bytes();
    let mut binding: Binding = kept::get(tx, BINDINGS, key)?.ok_or(ProviderError::UnknownGrant)?;
    person.name().clone_into(&mut binding.name);
    person.birth_date().clone_into(&mut binding.birth_date);
    kept::put(tx, BINDINGS, key, &binding)
}

/// Moves what was kept back into the queue, in order.
fn release(tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
    loop {
        let kept_back = tx.scan(HELD, &KeyRange::prefix(grant.as_bytes()), queue::PAGE_EVENTS_MAX)?;
        if kept_back.is_empty() {
            return Ok(());
        }
        for (key, event) in &kept_back {
            queue::release(tx, grant, event)?;
            tx.delete(HELD, key)?;
        }
    }
}
