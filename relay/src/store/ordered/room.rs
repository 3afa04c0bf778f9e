//! Room on the disk: deposits stop while some is left, so that revocations, acknowledgements and
//! compaction still work on a disk that is as good as full.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::store::{Result, StoreError};

/// Free bytes below which no envelope is taken. Compaction rewrites a space, and a journal is as large.
pub const FREE_BYTES_MIN: u64 = 256 << 20;
/// How long a measurement is good for.
const MEASURED_FOR: Duration = Duration::from_secs(1);

/// Free bytes for this process on the disk of `folder`.
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Watches the disk of the store's folder.
#[derive(Debug)]
pub(super) struct Room {
    free_bytes_min: u64,
    measured: Mutex<Option<(Instant, u64)>>,
}

impl Room {
    pub(super) fn new(free_bytes_min: u64) -> Self {
        Self { free_bytes_min, measured: Mutex::new(None) }
    }

    /// # Errors
    /// [`StoreError::Unavailable`] while too little is free.
    pub(super) fn check(&self, folder: Option<&Path>) -> Result<()> {
        let Some(folder) = folder else { return Ok(()) };
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = measured.filter(|(at, _)| at.elapsed() < MEASURED_FOR).map(|(_, free)| free);
        let free = fresh.or_else(|| free_bytes(folder)).unwrap_or(u64::MAX);
        if fresh.is_none() {
            metrics::gauge!("relay_disk_free_mebibytes").set(u32::try_from(free >> 20).unwrap_or(u32::MAX));
            *measured = Some((Instant::now(), free));
        }
        if free >= self.free_bytes_min { Ok(()) } else { Err(StoreError::Unavailable) }
    }

    /// Whether `bytes` are free on the disk of `folder` at this instant; one that does not tell has none.
    pub(super) fn has(folder: Option<&Path>, bytes: u64) -> bool {
        folder.is_none_or(|folder| free_bytes(folder).is_some_and(|free| free >= bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_too_little_room_takes_no_deposit() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Room::new(1).check(Some(folder.path())), Ok(()));
        assert_eq!(Room::new(u64::MAX).check(Some(folder.path())), Err(StoreError::Unavailable));
    }
}
