//! The embedded default engine: fjall 3.
//!
//! Known of it: after an error it is poisoned until reopened, which an empty batch does not notice (the
//! layer never commits one); after a failed sync a reopen may show what was never acknowledged, so opening
//! syncs before anything is answered.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::engine::{Change, EngineError, OrderedKeys, Space, Visit};

/// Bytes of one memtable. 64 MiB cuts the worst commit, which waits while four are being written out.
const MEMTABLE_BYTES: u64 = 64 << 20;
/// Bytes of all journals together.
const JOURNAL_BYTES: u64 = 512 << 20;
/// Bytes of block cache.
const CACHE_BYTES: u64 = 64 << 20;
/// Threads that flush and compact.
const WORKERS: usize = 2;

/// Bytes of one piece of journal filler.
const FILLER_BYTES: usize = 4 << 20;
/// Pieces that are sure to fill a journal, which fjall retires beyond 64 MB.
const FILLERS_MAX: usize = 18;
/// Flushes of nothing within which the journals before are gone; each takes 10 ms at least.
const LOOKS_MAX: usize = 1_000;

/// A fjall database in a folder of its own.
pub struct FjallKeys {
    folder: PathBuf,
    database: Database,
    lanes: Keyspace,
    rows: Keyspace,
    /// Holds one worthless key.
    filler: Keyspace,
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
        Ok(Self { folder: folder.to_owned(), database, lanes, rows, filler })
    }

    fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            Space::Lanes => &self.lanes,
            Space::Rows => &self.rows,
        }
    }
}

impl FjallKeys {
    /// Makes fjall drop every journal up to the one it writes to now, and with them the ciphertext in there. It
    /// retires a journal only once that is full, and has no call for it: so the journal is filled up.
    fn retire_journals(&self) -> Result<(), EngineError> {
        let last = self.journals()?.into_iter().max();
        for _ in 0..FILLERS_MAX {
            self.write_filler(vec![0; FILLER_BYTES])?;
            if self.journals()?.into_iter().max() > last {
                break;
            }
        }
        for keyspace in [&self.rows, &self.lanes] {
            keyspace.rotate_memtable_and_wait().map_err(|e| engine_error(&e))?;
        }
        // After each flush fjall looks for journals that nothing needs any more, some of them in the background.
        for _ in 0..LOOKS_MAX {
            if self.journals()?.into_iter().min() > last {
                return Ok(());
            }
            self.write_filler(Vec::new())?;
        }
        tracing::error!("a journal that nothing needs does not go");
        Err(EngineError::Failed)
    }

    fn write_filler(&self, bytes: Vec<u8>) -> Result<(), EngineError> {
        let written =
            self.filler.insert("filler", bytes).and_then(|()| self.filler.rotate_memtable_and_wait());
        written.map_err(|e| engine_error(&e))
    }

    /// Numbers of the journals on the disk; the highest is written to.
    fn journals(&self) -> Result<Vec<u64>, EngineError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|_| EngineError::Failed)? {
            let name = entry.map_err(|_| EngineError::Failed)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok());
            numbers.extend(number);
        }
        Ok(numbers)
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

    /// Memtables are written out and the journals are retired first: both hold what was deleted.
    fn compact(&self, space: Space) -> Result<(), EngineError> {
        self.retire_journals()?;
        self.keyspace(space).major_compact().map_err(|e| engine_error(&e))
    }

    fn disk_bytes(&self, space: Space) -> u64 {
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
