//! The relay's time, as far as a refusal told it. It serves call signatures only: nothing is sealed, expired or
//! verified by it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use sealcare_protocol::{Clock, Timestamp};

/// The machine's clock plus an offset.
pub(crate) struct CallClock {
    clock: Arc<dyn Clock>,
    offset_ms: AtomicI64,
}

impl CallClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, offset_ms: AtomicI64::new(0) }
    }

    /// The time to sign with.
    pub(crate) fn now(&self) -> Timestamp {
        let offset = self.offset_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(self.clock.now().as_millis().saturating_add_signed(offset))
    }

    /// Follows the relay, which said that it is `relay_time`.
    pub(crate) fn follow(&self, relay_time: Timestamp) {
        let here = i128::from(self.clock.now().as_millis());
        let offset = i128::from(relay_time.as_millis()) - here;
        self.offset_ms.store(i64::try_from(offset).unwrap_or(0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::ManualClock;

    use super::*;

    #[test]
    fn the_offset_follows_the_relay_both_ways() {
        let clock = CallClock::new(Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000))));
        for relay in [5_000_000, 10] {
            clock.follow(Timestamp::from_millis(relay));
            assert_eq!(clock.now().as_millis(), relay);
        }
        clock.follow(Timestamp::from_millis(u64::MAX));
        assert_eq!(clock.now().as_millis(), 1_000_000);
    }
}
