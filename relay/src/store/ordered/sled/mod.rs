//! The second embedded engine: sled 0.34, for those who already run it.
//!
//! Known of it, and made up for here: it acknowledges after `sync_file_range`, which does not outlive a power
//! cut, so every commit ends with an `fdatasync` of its files (`generation.rs`); after a failed sync it goes on
//! as if nothing had happened, so this adapter has a latch of its own; it shows a change before that is
//! durable, and its iterators see a commit in part, so readers are given the values from before the commit
//! until it is durable (`shown.rs`); and it gives no bytes back when asked, so they leave with a rewrite of
//! the database into a folder of its own (`rewrite.rs`).
//!
//! Not made up for: sled writes over an emptied segment when it believes its successor to be on the disk, and only
//! a sync makes that true. A power cut within one commit that writes more than two segments may therefore
//! damage older rows; a kill cannot. fjall never writes over anything.
//!
//! One tree holds both spaces, each under a letter, because only a tree's batch is atomic and cheap.

mod folder;
mod generation;
mod rewrite;
mod shown;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use self::{
    folder::Folder,
    generation::{DataSync, Generation, Syncer},
    shown::Shown,
};
use super::engine::{Change, EngineError, OrderedKeys, Space, Visit};
use crate::store::Progress;

/// A sled database in a folder of its own.
pub struct SledKeys {
    folder: Folder,
    syncer: Arc<dyn Syncer>,
    shown: Shown,
    writer: Mutex<Writer>,
    /// Held while the database is rewritten.
    rewriting: Mutex<()>,
    failed: AtomicBool,
}

/// What a commit writes to.
struct Writer {
    current: Arc<Generation>,
    number: u64,
    /// The generation that is being made, which misses no commit.
    next: Option<Arc<Generation>>,
}

impl SledKeys {
    /// Opens or creates the database in `folder`, finishes a rewriting that was interrupted, and syncs what
    /// recovery found.
    ///
    /// # Errors
    /// As [`EngineError`]; `Failed` also if another process uses the folder.
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        Self::open_with(folder, Arc::new(DataSync))
    }

    fn open_with(folder: &Path, syncer: Arc<dyn Syncer>) -> Result<Self, EngineError> {
        let folder = Folder::open(folder)?;
        let mut made = None;
        let number = folder.current(|first| {
            let first = made.insert(Generation::open(first, syncer.clone())?);
            first.sync()
        })?;
        // A new one is not opened a second time: sled's threads hold its lock for a moment after the first.
        let current = match made {
            Some(first) => first,
            None => Generation::open(&folder.generation(number), syncer.clone())?,
        };
        let current = Arc::new(current);
        current.sync()?;
        Ok(Self {
            folder,
            syncer,
            shown: Shown::new(current.clone()),
            writer: Mutex::new(Writer { current, number, next: None }),
            rewriting: Mutex::default(),
            failed: AtomicBool::default(),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), EngineError> {
        if self.failed.load(Ordering::Acquire) { Err(EngineError::Failed) } else { Ok(()) }
    }

    /// Whatever failed to be written or synced is never built upon, nor told as done by a later sync.
    fn latch<T>(&self, written: Result<T, EngineError>) -> Result<T, EngineError> {
        if written.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        written
    }
}

impl OrderedKeys for SledKeys {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.check()?;
        self.shown.get(&stored_key(space, key))
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        self.check()?;
        self.shown.scan(&stored_key(space, from), &stored_key(space, to), &mut |key, value| {
            visit(key.slice(1..), value)
        })
    }

    fn scan_at_once(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        self.check()?;
        self.shown.scan_at_once(&stored_key(space, from), &stored_key(space, to), &mut |key, value| {
            visit(key.slice(1..), value)
        })
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let mut writer = self.writer();
        self.check()?;
        let changes: Vec<_> =
            changes.into_iter().map(|c| (stored_key(c.space, &c.key).into(), c.value)).collect();
        let committed = self.shown.hold_back(&changes).and_then(|()| writer.current.sync());
        self.latch(committed)?;
        self.shown.show();
        // A copy that misses a commit is worth nothing: whoever makes it finds out.
        if writer.next.as_ref().is_some_and(|next| next.apply(&changes).is_err()) {
            writer.next = None;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let writer = self.writer();
        self.check()?;
        self.latch(writer.current.sync())
    }

    /// Rewrites the whole database, whichever space is asked for: both lie in the same files.
    fn compact(&self, _: Space) -> Result<Progress, EngineError> {
        self.rewrite()
    }

    /// The copy grows beyond what it holds before sled empties its segments.
    fn compaction_bytes(&self, _: Space) -> u64 {
        self.writer().current.disk_bytes().saturating_mul(2)
    }

    fn folder(&self) -> Option<&Path> {
        Some(self.folder.path())
    }
}

/// The space's letter, then the key.
fn stored_key(space: Space, key: &[u8]) -> Vec<u8> {
    let letter = match space {
        Space::Lanes => b'l',
        Space::Rows => b'r',
    };
    [&[letter], key].concat()
}

/// Failures of the disk end everything; what sled cannot make sense of is damage.
fn engine_error(error: &sled::Error) -> EngineError {
    let named = match error {
        sled::Error::Io(_) | sled::Error::ReportableBug(_) => EngineError::Failed,
        _ => EngineError::Damaged,
    };
    tracing::error!(kind = %named, "storage engine");
    named
}

/// The same for a file of this adapter's own.
fn file_error(_: std::io::Error) -> EngineError {
    tracing::error!(kind = %EngineError::Failed, "storage engine");
    EngineError::Failed
}
