//! Who may have a deposit stream: one for each key, so many at a time, and so many that still owe their proof.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealcare_protocol::DepositPublicKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    auth::Peer,
    incoming::{NetworkPlace, Networks},
};

/// Streams at a time that have not proven their key.
const OPENINGS_MAX: usize = 256;
/// Of them those of one network.
const NETWORK_OPENINGS_MAX: usize = 16;

/// Bounds of deposit streams.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Streams at a time, each with up to 1 MiB waiting in its window.
    pub streams_max: usize,
    /// How long a stream may take to prove its key.
    pub opening_within: Duration,
    /// How long one batch may take to come.
    pub batch_within: Duration,
    /// How long a stream lives; its patient opens another.
    pub lifetime: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams_max: 128,
            opening_within: Duration::from_secs(10),
            batch_within: Duration::from_mins(1),
            lifetime: Duration::from_mins(10),
        }
    }
}

/// The places of all deposit streams of this relay.
pub(crate) struct StreamPlaces {
    pub(super) limits: StreamLimits,
    openings: Arc<Semaphore>,
    networks: Networks,
    taken: Mutex<HashSet<DepositPublicKey>>,
    decisions: watch::Sender<u64>,
}

/// The place of one that has not proven its key; dropping it leaves it.
pub(super) struct OpeningPlace {
    _permit: OwnedSemaphorePermit,
    _network: NetworkPlace,
}

/// A key's place; dropping it leaves it.
pub(super) struct StreamPlace {
    key: DepositPublicKey,
    places: Arc<StreamPlaces>,
}

impl StreamPlaces {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        let openings = Arc::new(Semaphore::new(OPENINGS_MAX));
        let networks = Networks::new(NETWORK_OPENINGS_MAX);
        Self { limits, openings, networks, taken: Mutex::default(), decisions: watch::Sender::default() }
    }

    /// A place for one that has not proven its key yet.
    pub(super) fn begin(&self, Peer(address): Peer) -> Option<OpeningPlace> {
        let permit = self.openings.clone().try_acquire_owned().ok()?;
        Some(OpeningPlace { _permit: permit, _network: self.networks.enter(address)? })
    }

    /// The place of `key`; none if it has a stream, or there are as many as may be.
    pub(super) fn enter(self: &Arc<Self>, key: DepositPublicKey) -> Option<StreamPlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= self.limits.streams_max || !taken.insert(key) {
            return None;
        }
        metrics::gauge!("relay_deposit_streams").increment(1);
        Some(StreamPlace { key, places: self.clone() })
    }

    /// Lets every stream ask anew whether its grant may deposit: one was revoked, or an organization suspended.
    pub(crate) fn recheck(&self) {
        self.decisions.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes at each [`Self::recheck`].
    pub(super) fn decisions(&self) -> watch::Receiver<u64> {
        self.decisions.subscribe()
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.places.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        metrics::gauge!("relay_deposit_streams").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::DepositKey;

    use super::*;

    #[test]
    fn a_key_has_one_place_and_gives_it_back() {
        let places = Arc::new(StreamPlaces::new(StreamLimits { streams_max: 2, ..StreamLimits::default() }));
        let [a, b, c] = [1, 2, 3].map(|seed| DepositKey::from_seed(&[seed; 32]).public());
        let first = places.enter(a);
        assert!(first.is_some() && places.enter(a).is_none());
        let _second = places.enter(b).unwrap();
        assert!(places.enter(c).is_none());
        drop(first);
        assert!(places.enter(c).is_some());
    }

    #[test]
    fn one_network_does_not_take_all_openings() {
        let places = StreamPlaces::new(StreamLimits::default());
        let begin = |last| places.begin(Peer([192, 0, 2, last].into()));
        let held: Vec<_> = std::iter::from_fn(|| begin(1)).collect();
        assert_eq!(held.len(), NETWORK_OPENINGS_MAX);
        assert!(begin(2).is_some());
        drop(held);
        assert!(begin(1).is_some());
    }
}
