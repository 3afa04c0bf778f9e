//! Grants of which nothing is heard: told after a week, hidden when the lease runs out, over for good 90 days after
//! the lease was last renewed. Not here: the destruction itself (`revocation`).
//!
//! Only an organization that listens can say that nothing was heard: after an outage, its own or its relay's, that the
//! relay's retention does not bridge, it listens for a while before it ends anything, and in any case until it has
//! caught up with its relay (but not for ever: a relay that withholds a revocation must not win by it). While the relay
//! says that this clock is wrong, nothing ends by it.

use std::collections::HashSet;
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
/// How long an organization listens after an outage before it ends a grant.
const LISTENING: Duration = STALE_AFTER;
/// After the lease's last renewal, whatever the relay does: later than any outage that a relay comes back from.
const ENDED_UNHEARD_AFTER: Duration = DAY.saturating_mul(180);
/// Grants that are looked at in one transaction.
const PAGE_GRANTS_MAX: usize = 256;

const LISTENER: &[u8] = b"listener";

/// When the organization looked last and was caught up with its relay last, and since when each without an outage.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Listener {
    since: u64,
    last: u64,
    #[serde(default)]
    live_since: u64,
    #[serde(default)]
    live_last: u64,
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
        let has_caught_up = self.link.has_caught_up();
        let listener = self.vault.write(|tx| listen(tx, now, has_caught_up))?;
        let is_clock_disputed = self.link.is_clock_disputed();
        let halted = self.link.halted();
        let limits = Limits { now, listener, has_caught_up, is_clock_disputed, halted };
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

    /// Everything that the relay had has come: from here on, silence is silence.
    pub(crate) fn has_listened(&self, now: Timestamp) -> Result<()> {
        self.vault.write(|tx| listen(tx, now, true).map(drop))
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
    is_clock_disputed: bool,
    /// What was heard of them waits at the relay.
    halted: HashSet<GrantId>,
}

impl Limits {
    fn is_over(&self, renewed: u64) -> bool {
        let has = |since, duration| self.now.as_millis() >= after(since, duration);
        let Listener { since, live_since, .. } = self.listener;
        let was_heard_out = self.has_caught_up && has(live_since, LISTENING) && has(renewed, ENDED_AFTER);
        let is_over = was_heard_out || has(renewed, ENDED_UNHEARD_AFTER);
        is_over && has(since, LISTENING) && !self.is_clock_disputed
    }
}

fn after(millis: u64, duration: Duration) -> u64 {
    Timestamp::from_millis(millis).plus(duration).as_millis()
}

fn listen(tx: &mut WriteTransaction<'_>, now: Timestamp, has_caught_up: bool) -> Result<Listener> {
    let now = now.as_millis();
    let before: Option<Listener> = kept::get(tx, WATCH, LISTENER)?;
    let before = before.unwrap_or(Listener { since: now, last: now, live_since: now, live_last: now });
    // A clock that was set back counts from here, too.
    let goes_on = |last: u64| last <= now && now < after(last, OUTAGE);
    let mut listener = Listener { last: now, ..before };
    if !goes_on(before.last) {
        listener.since = now;
    }
    if has_caught_up {
        if !goes_on(before.live_last) {
            listener.live_since = now;
        }
        listener.live_last = now;
    }
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
    if limits.halted.contains(grant) {
        return Ok(());
    }
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
    if limits.halted.contains(grant) || tx.get(STATEMENTS, grant.as_bytes())?.is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, bind, found};
    use crate::subscriber::LinkState;

    const HOUR: Duration = Duration::from_hours(1);

    /// One that has been silent since the beginning, looked for each day.
    fn ended_on(days: std::ops::Range<u32>, organization: &Organization) -> Option<u32> {
        let mut days = days;
        days.find(|day| organization.sweep(NOW.plus(DAY * *day)).unwrap().ended > 0)
    }

    #[test]
    fn a_relay_that_returns_after_an_outage_is_listened_to_before_a_grant_ends() {
        let (_dir, organization) = found();
        bind(&organization);
        organization.link.stand(LinkState::Live);
        assert_eq!(ended_on(0..10, &organization), None);
        organization.link.stand(LinkState::Connecting);
        assert_eq!(ended_on(10..100, &organization), None);
        organization.link.stand(LinkState::Live);
        let back = NOW.plus(DAY * 100);
        assert_eq!(organization.sweep(back.plus(HOUR)).unwrap().ended, 0);
        assert_eq!(ended_on(101..120, &organization), Some(109));
    }

    #[test]
    fn a_clock_that_the_relay_calls_wrong_ends_nothing() {
        let (_dir, organization) = found();
        bind(&organization);
        organization.link.dispute_clock();
        assert_eq!(ended_on(0..200, &organization), None);
        organization.link.stand(LinkState::Live);
        assert_eq!(ended_on(200..201, &organization), Some(200));
    }
}
