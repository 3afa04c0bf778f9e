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
        let mut reclaimed_at: Option<Instant> = None;
        while self.store.check().is_ok() {
            report(self.purge().await);
            let is_due = reclaimed_at.is_none_or(|at| at.elapsed() >= self.schedule.reclaim_every);
            if is_due && !self.closing.is_cancelled() {
                match self.closing.run_until_cancelled(self.store.reclaim()).await {
                    None => return,
                    Some(Ok(Reclaimed::Gone | Reclaimed::InUse)) => reclaimed_at = Some(Instant::now()),
                    Some(other) => report(other.map(drop)),
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
