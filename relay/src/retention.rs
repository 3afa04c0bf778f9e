//! When sweeps run: every minute or so, and when a revocation wakes them. What was revoked leaves the disk
//! with a rewrite of what is stored, so that is done at most every ten minutes or so.
//!
//! Not here: what is forgotten (`store`).

use std::{sync::Arc, time::Duration};

use sealcare_protocol::Clock;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::store::{Progress, Reclaimed, Store, StoreError};

/// Steps of one sweep, each bounded; what is left waits for the next.
const STEPS_MAX: usize = 1_000_000;
/// How often the pause between rewritings doubles while they fail: to 64 times, or half a day.
const DOUBLINGS_MAX: u32 = 6;
/// Between two sweeps, however many revocations wake them.
const PAUSE: Duration = Duration::from_secs(1);

/// When to sweep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Between sweeps that nothing wakes.
    pub(crate) sweep_every: Duration,
    /// Between two rewrites of what is stored.
    pub(crate) reclaim_every: Duration,
}

/// Sweeps a store.
pub(crate) struct Sweeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) schedule: Schedule,
    /// A revocation came.
    pub(crate) revoked: Arc<Notify>,
    pub(crate) closing: CancellationToken,
}

impl Sweeper {
    /// Sweeps until closing. Damage is named and the sweep tries again later; a failed store ends it.
    pub(crate) async fn run(self) {
        let mut rewriting = Rewriting::default();
        while self.store.check().is_ok() {
            report(self.purge().await);
            if rewriting.is_due(Instant::now(), self.schedule.reclaim_every) && !self.closing.is_cancelled() {
                match self.closing.run_until_cancelled(self.store.reclaim()).await {
                    None => return,
                    Some(reclaimed) => {
                        rewriting.ended(&reclaimed, Instant::now());
                        report(reclaimed.map(drop));
                    }
                }
            }
            if self.closing.run_until_cancelled(self.pause()).await.is_none() {
                return;
            }
        }
    }

    async fn purge(&self) -> Result<(), StoreError> {
        for _ in 0..STEPS_MAX {
            if self.closing.is_cancelled() || self.store.purge(self.clock.now()).await? == Progress::Done {
                break;
            }
        }
        Ok(())
    }

    async fn pause(&self) {
        sleep(PAUSE.min(self.schedule.sweep_every)).await;
        tokio::select! {
            () = self.revoked.notified() => {}
            () = sleep(self.schedule.sweep_every.saturating_sub(PAUSE)) => {}
        }
    }
}

/// When files are rewritten again: each attempt costs as much as the last, so what fails is tried ever less often.
#[derive(Default)]
struct Rewriting {
    last: Option<Instant>,
    /// In a row.
    failures: u32,
}

impl Rewriting {
    fn is_due(&self, now: Instant, every: Duration) -> bool {
        let pause = every.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.last.is_none_or(|last| now.duration_since(last) >= pause)
    }

    fn ended(&mut self, reclaimed: &Result<Reclaimed, StoreError>, now: Instant) {
        self.failures = match reclaimed {
            // Nothing was rewritten.
            Ok(Reclaimed::Nothing | Reclaimed::NoRoom) => return,
            Ok(Reclaimed::Gone) => 0,
            Ok(Reclaimed::InUse) | Err(_) => self.failures.saturating_add(1),
        };
        self.last = Some(now);
    }
}

fn report(swept: Result<(), StoreError>) {
    match swept {
        Ok(()) => {}
        Err(StoreError::Corrupt(kind)) => {
            tracing::error!(kind, "stored row is damaged; the sweep passed it over");
            metrics::counter!("relay_damage_total", "kind" => kind).increment(1);
        }
        Err(_) => tracing::warn!("sweep stopped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_mins(10);

    #[test]
    fn a_rewriting_that_fails_is_tried_ever_less_often() {
        let (mut rewriting, mut now) = (Rewriting::default(), Instant::now());
        for pause in [20, 40, 80, 160, 320, 640, 640].map(Duration::from_mins) {
            assert!(rewriting.is_due(now, EVERY));
            rewriting.ended(&Err(StoreError::Corrupt("lane item")), now);
            assert!(!rewriting.is_due(now + pause - Duration::from_secs(1), EVERY));
            now += pause;
        }
        rewriting.ended(&Ok(Reclaimed::Gone), now);
        assert!(!rewriting.is_due(now, EVERY) && rewriting.is_due(now + EVERY, EVERY));
    }

    #[test]
    fn what_rewrote_nothing_delays_nothing() {
        let (mut rewriting, now) = (Rewriting::default(), Instant::now());
        for reclaimed in [Reclaimed::Nothing, Reclaimed::NoRoom] {
            rewriting.ended(&Ok(reclaimed), now);
            assert!(rewriting.is_due(now, EVERY));
        }
    }
}
