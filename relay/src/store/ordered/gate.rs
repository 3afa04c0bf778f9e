//! The gate between reads and transports: what has been revoked or suspended since a page's read began.
//!
//! A page carries the mark of the instant before its read; a revocation moves the mark after its commit and
//! before its answer. A page whose mark is not the present one is read again, so nothing of a revoked grant
//! is handed over once the revocation was answered.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sealcare_protocol::{GrantId, OrganizationId};
use tokio::sync::watch;

use crate::store::LaneArrivals;

/// Shared by the committer's effects and all readers.
#[derive(Debug, Default)]
pub(super) struct Gate {
    mark: AtomicU64,
    hidden: RwLock<Arc<HashSet<GrantId>>>,
    arrivals: Mutex<HashMap<OrganizationId, watch::Sender<LaneArrivals>>>,
}

impl Gate {
    /// The instant, on this gate's scale.
    pub(super) fn mark(&self) -> u64 {
        self.mark.load(Ordering::SeqCst)
    }

    /// Grants that are revoked and whose envelopes may still lie in a lane. Read it after the mark and
    /// before the lane.
    pub(super) fn hidden(&self) -> Arc<HashSet<GrantId>> {
        self.hidden.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hides `grant`, then moves the mark.
    pub(super) fn hide(&self, grant: GrantId) {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut hidden).insert(grant);
        drop(hidden);
        self.close();
    }

    /// Forgets grants of which nothing lies in a lane any more.
    pub(super) fn forget(&self, grants: &[GrantId]) {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        let hidden = Arc::make_mut(&mut hidden);
        for grant in grants {
            hidden.remove(grant);
        }
    }

    /// Moves the mark: pages that were read before are not current any more.
    pub(super) fn close(&self) {
        self.mark.fetch_add(1, Ordering::SeqCst);
    }

    /// Tells whoever waits for `organization` that something may have arrived in `lane`.
    pub(super) fn arrived(&self, organization: &OrganizationId, lane: u8) {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = arrivals.get(organization) {
            sender.send_modify(|arrivals| arrivals.count(lane));
        }
    }

    pub(super) fn subscribe(&self, organization: OrganizationId) -> watch::Receiver<LaneArrivals> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.retain(|known, sender| *known == organization || sender.receiver_count() > 0);
        arrivals.entry(organization).or_default().subscribe()
    }
}
