//! Grants of which nothing is heard: told after a week, hidden when the lease runs out, over for good 90 days after
//! the lease was last renewed. Not here: the destruction itself (`revocation`).
//!
//! Only an organization that listens can say that nothing was heard: after an outage of its own that the relay's
//! retention does not bridge, it listens for a while before it ends anything, and in any case until it has caught up
//! with its relay (but not for ever: a relay that withholds a revocation must not win by it).

use std::time::Duration;

use sealcare_protocol::{GrantId, Timestamp};
use sealcare_vault::{KeyRange, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::error::{ProviderError, Result};
use crate::grant::{Notice, StatementRow};
use crate::inbox::queue::{self, KeptEvent};
use crate::kept::{self, Kept};
use crate::organization::Organization;
use crate::revocation::{self, Cause};
use crate::spaces::{AWAITED, BINDINGS, STATEMENTS, WATCH};

const DAY: Duration = Duration::from_hours(24);
/// A live app starts a session at least every 7 days; one more for its network.
const STALE_AFTER: Duration = DAY.saturating_mul(8);
/// After the lease's last renewal.
const ENDED_AFTER: Duration = DAY.saturating_mul(90);
/// The relay keeps an envelope for so long: what it held during a longer outage may be lost.
const OUTAGE: Duration = DAY.saturating_mul(13);
/// How long an organization listens after an outage, and waits for its relay at most, before it ends a grant.
const LISTENING: Duration = STALE_AFTER;
/// Grants that are looked at in one transaction.
const PAGE_GRANTS_MAX: usize = 256;

const LISTENER: &[u8] = b"listener";

/// When the organization looked last, and since when it has without an outage.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Listener {
    since: u64,
    last: u64,
}

impl Kept for Listener {
    const NAME: &'static str = "listener";
}

/// A restored grant of which no session came yet: since when it is waited for.
#[derive(Deserialize, Serialize)]
struct Awaited {
    since: u64,
}

impl Kept for Awaited {
    const NAME: &'static str = "awaited grant";
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Silence {
    /// Grants that were silent for longer than a live app is.
    pub stale: usize,
    /// Grants whose lease ran out.
    pub lapsed: usize,
    /// Grants that are over now.
    pub ended: usize,
}

/// A grant is heard of again: it is waited for no more.
pub(crate) fn break_silence(tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
    Ok(tx.delete(AWAITED, grant.as_bytes()).map(drop)?)
}

/// For a restored vault, in which the backup's times would end grants that nobody could hear.
pub(crate) fn forget(tx: &mut WriteTransaction<'_>) -> Result<()> {
    tx.delete_range(AWAITED, &KeyRange::all())?;
    Ok(tx.delete(WATCH, LISTENER).map(drop)?)
}

impl Organization {
    /// Looks for grants that have fallen silent, tells the application once of each step (`stale`, `lapsed`,
    /// `ended`) and ends those of which nothing was heard for 90 days. To be called every hour; calls between change
    /// nothing, and a missed one is made up for by the next.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn sweep(&self, now: Timestamp) -> Result<Silence> {
        let listener = self.vault.write(|tx| listen(tx, now))?;
        let limits = Limits { now, listener, has_caught_up: self.has_caught_up() };
        let mut found = Silence::default();
        self.sweep_statements(&limits, &mut found)?;
        self.sweep_awaited(&limits, &mut found)?;
        if found != Silence::default() {
            self.finish_destructions()?;
            self.announce_events();
            self.announce_replies();
        }
        self.finish_wipes()?;
        Ok(found)
    }

    fn sweep_statements(&self, limits: &Limits, found: &mut Silence) -> Result<()> {
        let mut range = KeyRange::all();
        loop {
            let last = self.vault.write(|tx| {
                let page = tx.scan(STATEMENTS, &range, PAGE_GRANTS_MAX)?;
                for (key, row) in &page {
                    look_at(tx, &GrantId::from_slice(key)?, StatementRow::decode(row)?, limits, found)?;
                }
                Ok::<_, ProviderError>(page.last().map(|(key, _)| key.clone()))
            })?;
            let Some(last) = last else { return Ok(()) };
            range = KeyRange::all().after(&last);
        }
    }

    /// Restored grants have a binding and nothing else until their next session.
    fn sweep_awaited(&self, limits: &Limits, found: &mut Silence) -> Result<()> {
        let mut range = KeyRange::all();
        loop {
            let last = self.vault.write(|tx| {
                let page = tx.scan(BINDINGS, &range, PAGE_GRANTS_MAX)?;
                for (key, _) in &page {
                    wait_for(tx, &GrantId::from_slice(key)?, limits, found)?;
                }
                Ok::<_, ProviderError>(page.last().map(|(key, _)| key.clone()))
            })?;
            let Some(last) = last else { return Ok(()) };
            range = KeyRange::all().after(&last);
        }
    }
}

/// What a grant is measured by.
struct Limits {
    now: Timestamp,
    listener: Listener,
    has_caught_up: bool,
}

impl Limits {
    fn is_over(&self, renewed: u64) -> bool {
        let now = self.now.as_millis();
        let has_listened = now >= after(self.listener.since, LISTENING);
        let patience = if self.has_caught_up { Duration::ZERO } else { LISTENING };
        has_listened && now >= after(renewed, ENDED_AFTER + patience)
    }
}

fn after(millis: u64, duration: Duration) -> u64 {
    Timestamp::from_millis(millis).plus(duration).as_millis()
}

fn listen(tx: &mut WriteTransaction<'_>, now: Timestamp) -> Result<Listener> {
    let now = now.as_millis();
    let before: Option<Listener> = kept::get(tx, WATCH, LISTENER)?;
    let since = match before {
        // A clock that was set back counts from here, too.
        Some(before) if before.last <= now && now < after(before.last, OUTAGE) => before.since,
        _ => now,
    };
    let listener = Listener { since, last: now };
    kept::put(tx, WATCH, LISTENER, &listener)?;
    Ok(listener)
}

fn look_at(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    mut row: StatementRow,
    limits: &Limits,
    found: &mut Silence,
) -> Result<()> {
    let now = limits.now.as_millis();
    if limits.is_over(row.renewed()) {
        found.ended += 1;
        return revocation::end(tx, grant, Cause::Silent, limits.now);
    }
    let notice = if now >= row.lease_until {
        Notice::Lapsed
    } else if now >= after(row.heard, STALE_AFTER) {
        Notice::Stale
    } else {
        return Ok(());
    };
    if row.notice >= notice {
        return Ok(());
    }
    let (count, event) = match notice {
        Notice::Lapsed => (&mut found.lapsed, KeptEvent::Lapsed),
        Notice::Stale | Notice::None => (&mut found.stale, KeptEvent::Stale),
    };
    *count += 1;
    queue::put(tx, grant, limits.now, &event)?;
    row.notice = notice;
    row.store(tx, grant)
}

fn wait_for(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    limits: &Limits,
    found: &mut Silence,
) -> Result<()> {
    if tx.get(STATEMENTS, grant.as_bytes())?.is_some() {
        return Ok(());
    }
    match kept::get::<Awaited>(tx, AWAITED, grant.as_bytes())? {
        Some(awaited) if limits.is_over(awaited.since) => {
            found.ended += 1;
            revocation::end(tx, grant, Cause::Silent, limits.now)
        }
        Some(_) => Ok(()),
        None => {
            let awaited = Awaited { since: limits.now.as_millis() };
            kept::put(tx, AWAITED, grant.as_bytes(), &awaited)
        }
    }
}
