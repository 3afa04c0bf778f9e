//! The embedded default engine: fjall 3.
//!
//! Known of it: after an error it is poisoned until reopened, which an empty batch does not notice (the
//! layer never commits one); after a failed sync a reopen may show what was never acknowledged, so opening
//! syncs before anything is answered; and it gives no bytes back when asked (`release.rs`).

mod release;

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Mutex,
};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::engine::{Change, EngineError, OrderedKeys, Space, Visit};
use crate::store::Progress;

/// Bytes of one memtable. 64 MiB cuts the worst commit, which waits while four are being written out.
const MEMTABLE_BYTES: u64 = 64 << 20;
/// Bytes of all journals together.
const JOURNAL_BYTES: u64 = 512 << 20;
/// Bytes of block cache.
const CACHE_BYTES: u64 = 64 << 20;
/// Threads that flush and compact.
const WORKERS: usize = 2;

/// A fjall database in a folder of its own.
pub struct FjallKeys {
    folder: PathBuf,
    database: Database,
    lanes: Keyspace,
    rows: Keyspace,
    /// Holds one worthless key.
    filler: Keyspace,
    /// Held while bytes are given back.
    releasing: Mutex<()>,
    /// How often that looks whether a reader ended.
    looks_max: usize,
}

impl FjallKeys {
    /// Opens or creates the database in `folder`, and syncs what recovery found there.
    ///
    /// # Errors
    /// As [`EngineError`].
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .worker_threads(WORKERS)
            .open()
            .map_err(|e| engine_error(&e))?;
        let keyspace = |name: &str| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            database.keyspace(name, options).map_err(|e| engine_error(&e))
        };
        let (lanes, rows, filler) = (keyspace("lanes")?, keyspace("rows")?, keyspace("filler")?);
        database.persist(PersistMode::SyncAll).map_err(|e| engine_error(&e))?;
        let (folder, releasing) = (folder.to_owned(), Mutex::default());
        Ok(Self { folder, database, lanes, rows, filler, releasing, looks_max: release::LOOKS_MAX })
    }

    fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            Space::Lanes => &self.lanes,
            Space::Rows => &self.rows,
        }
    }
}

impl OrderedKeys for FjallKeys {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.keyspace(space).get(key).map_err(|e| engine_error(&e))?;
        Ok(value.map(Bytes::from))
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        for guard in self.keyspace(space).range(from..to) {
            let (key, value) = guard.into_inner().map_err(|e| engine_error(&e))?;
            if let ControlFlow::Break(()) = visit(key.into(), value.into()) {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        debug_assert!(!changes.is_empty(), "an empty batch would not notice a poisoned database");
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for change in changes {
            let keyspace = self.keyspace(change.space);
            match change.value {
                Some(value) => batch.insert(keyspace, change.key, value),
                None => batch.remove(keyspace, change.key),
            }
        }
        batch.commit().map_err(|e| engine_error(&e))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncData).map_err(|e| engine_error(&e))
    }

    fn compact(&self, space: Space) -> Result<Progress, EngineError> {
        self.release(self.keyspace(space))
    }

    fn compaction_bytes(&self, space: Space) -> u64 {
        self.keyspace(space).disk_space()
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }
}

/// A failure to read, write or sync means that the engine cannot go on; everything else is damage.
fn engine_error(error: &fjall::Error) -> EngineError {
    use fjall::Error as E;
    let named = match error {
        E::Io(_) | E::Storage(fjall::LsmError::Io(_)) | E::Poisoned | E::KeyspaceDeleted | E::Locked => {
            EngineError::Failed
        }
        _ => EngineError::Damaged,
    };
    tracing::error!(kind = %named, "storage engine");
    named
}
