//! One sled database: batches, reads, and a sync that outlives a power cut.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{engine_error, file_error};
use crate::store::ordered::engine::EngineError;

/// Bytes of sled's page cache. Twice that while the database is rewritten.
const CACHE_BYTES: u64 = 64 << 20;
/// Bytes of a segment, the most that sled takes. What is longer than a quarter it moves into a file of its own,
/// which a leaf of 18 of the longest envelopes is not. And it writes over an emptied segment only after two
/// others were begun: the larger they are, the less often within one commit (see the parent module).
const SEGMENT_BYTES: usize = 16 << 20;
/// How often sled looks for segments to empty and use again.
const CLEAN_EVERY_MS: u64 = 500;

/// Makes a file's bytes survive a power cut.
pub(super) trait Syncer: Send + Sync + 'static {
    /// # Errors
    /// The system's.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// `fdatasync`.
pub(super) struct DataSync;

impl Syncer for DataSync {
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// A key and its new value; none deletes it.
pub(super) type Write = (Bytes, Option<Bytes>);

/// A sled database in `folder`.
pub(super) struct Generation {
    database: sled::Db,
    /// sled's only log, opened a second time: a sync of any handle is one of the file.
    log: File,
    blobs: PathBuf,
    synced_blobs: Mutex<HashSet<OsString>>,
    syncer: Arc<dyn Syncer>,
}

impl Generation {
    pub(super) fn open(folder: &Path, syncer: Arc<dyn Syncer>) -> Result<Self, EngineError> {
        let opened = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(Some(CLEAN_EVERY_MS))
            .open();
        let database = opened.map_err(|error| engine_error(&error))?;
        let log = File::open(folder.join("db")).map_err(file_error)?;
        // sled never syncs its settings nor the folder's entries, and opens nothing without them.
        for path in [folder.join("conf"), folder.join("blobs"), folder.to_owned()] {
            File::open(path).and_then(|file| file.sync_all()).map_err(file_error)?;
        }
        let blobs = folder.join("blobs");
        Ok(Self { database, log, blobs, synced_blobs: Mutex::default(), syncer })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.database.get(key).map_err(|error| engine_error(&error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Rows in `from..to` in order.
    pub(super) fn range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), EngineError>> {
        self.database.range(from..to).map(|row| {
            let (key, value) = row.map_err(|error| engine_error(&error))?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        })
    }

    /// Makes all changes or none, as of the next [`Self::sync`].
    pub(super) fn apply(&self, writes: &[Write]) -> Result<(), EngineError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(&key[..], &value[..]),
                None => batch.remove(&key[..]),
            }
        }
        self.database.apply_batch(batch).map_err(|error| engine_error(&error))
    }

    /// Writes out what sled still holds, then syncs its files.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        self.database.flush().map_err(|error| engine_error(&error))?;
        self.sync_blobs().and_then(|()| self.syncer.sync(&self.log)).map_err(file_error)
    }

    /// Files that sled wrote beside its log. Each is written once.
    fn sync_blobs(&self) -> io::Result<()> {
        let mut found = HashSet::new();
        for blob in fs::read_dir(&self.blobs)? {
            found.insert(blob?.file_name());
        }
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_new = false;
        for name in found.difference(&synced) {
            match File::open(self.blobs.join(name)) {
                Ok(blob) => self.syncer.sync(&blob)?,
                // sled removes what is replaced.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            is_new = true;
        }
        *synced = found;
        if is_new { File::open(&self.blobs)?.sync_all() } else { Ok(()) }
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.database.size_on_disk().unwrap_or(u64::MAX)
    }
}
