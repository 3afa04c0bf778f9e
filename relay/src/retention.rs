//! When sweeps run: every minute or so, and soon after a revocation.

use std::{sync::Arc, time::Duration};

use sealcare_protocol::Clock;
use tokio_util::sync::CancellationToken;

use crate::store::{Progress, Store, StoreError};

/// Steps of one sweep, each bounded; what is left waits for the next.
const STEPS_MAX: usize = 1_000_000;

/// Sweeps until `closing`. Damage is named and the sweep tries again later; a failed store ends it.
pub(crate) async fn sweep(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    every: Duration,
    closing: CancellationToken,
) {
    while store.check().is_ok() {
        if let Err(error) = sweep_once(store.as_ref(), clock.as_ref(), &closing).await {
            if let StoreError::Corrupt(kind) = error {
                tracing::error!(kind, "stored row is damaged; sweep stopped");
            } else {
                tracing::warn!("sweep stopped");
            }
        }
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn sweep_once(
    store: &dyn Store,
    clock: &dyn Clock,
    closing: &CancellationToken,
) -> Result<(), StoreError> {
    for _ in 0..STEPS_MAX {
        if closing.is_cancelled() || store.purge(clock.now()).await? == Progress::Done {
            break;
        }
    }
    store.reclaim().await
}
