//! The organization's backup, and what must be done after a restoration. Not here: the files (`sealcare-vault`).
//!
//! A backup holds the organization's signing keys, its grants' bindings and its tombstones, sealed under the vault's
//! key. It holds nothing that an epoch's or a grant's key wraps: it never opens what a patient has shared, whoever has
//! it. So whatever was received before is gone after a restoration, and patients' apps send it again.

use std::path::Path;
use std::sync::Arc;

use rand_core::CryptoRng;
use sealcare_protocol::{GrantId, Timestamp};
use sealcare_vault::{KeyRange, Unlock, Vault, WriteTransaction};

use crate::error::Result;
use crate::inbox::queue::{self, Entry, KeptEvent};
use crate::kept::Kept;
use crate::organization::{Organization, Profile};
use crate::silence;
use crate::spaces::{HELD, QUEUE, REPLIES_DUE, SENDERS, SESSIONS, STATEMENTS, WIPES};

/// Events that are looked through at a time.
const PAGE_EVENTS_MAX: usize = 1_000;

impl Organization {
    /// Writes a backup of this moment into the new folder `to`, mode 0700, while the organization goes on. Keep the
    /// vault's secret apart from it.
    ///
    /// # Errors
    /// Those of [`Vault::back_up`].
    pub fn back_up(&self, to: &Path) -> Result<()> {
        Ok(self.vault().back_up(to)?)
    }

    /// Makes the organization of the backup in `from` in a new vault in `dir`, and opens it: with new epoch keys, without
    /// sessions, and showing nothing before the relay told what was revoked since. Each grant is hidden until its
    /// next session, and its patient's app sends everything again.
    ///
    /// # Errors
    /// Those of [`Vault::restore`]; [`crate::ProviderError::NotFounded`] for the backup of a vault without an organization.
    pub fn restore(
        dir: &Path,
        from: &Path,
        unlock: &Unlock,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self> {
        let vault = Vault::restore(dir, from, unlock, forget_what_was_lost)?;
        Self::open(Arc::new(vault), now, rng)
    }
}

/// What was wrapped is gone already; this is what pointed to it.
fn forget_what_was_lost(tx: &mut WriteTransaction<'_>) -> Result<()> {
    let mut profile = Profile::load(tx)?;
    profile.mark_restored();
    profile.store(tx)?;
    // Grants are waited for, and the relay is listened to, from the restoration on and not since the backup.
    silence::forget(tx)?;
    for space in [STATEMENTS, SESSIONS, SENDERS, HELD, REPLIES_DUE, WIPES] {
        tx.delete_range(space, &KeyRange::all())?;
    }
    forget_events(tx)
}

/// Only the end of a grant is news still: everything else was about what is gone.
fn forget_events(tx: &mut WriteTransaction<'_>) -> Result<()> {
    let mut range = KeyRange::all();
    loop {
        let page = tx.scan(QUEUE, &range, PAGE_EVENTS_MAX)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = KeyRange::all().after(last);
        for (key, row) in &page {
            let Entry { grant, event, .. } = Entry::decode(row)?;
            if !matches!(event, KeptEvent::Revoked | KeptEvent::Rejected | KeptEvent::Ended) {
                queue::take_away(tx, &GrantId::from_bytes(grant), key)?;
            }
        }
    }
}
