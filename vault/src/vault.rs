//! The vault: create, open, read, write, and what happens after a failure. Not here: wrapping keys' life
//! (`destruction`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand_core::CryptoRng;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Result, VaultError};
use crate::range::{Space, WRAPPING_ID_BYTES_MAX};
use crate::seal::{Label, SealingKey};
use crate::transaction::{ReadTransaction, Trouble, WriteTransaction};
use crate::unlock::Unlock;
use crate::wrapping::{KeyName, WrappingKeys};
use crate::{database, files, header};

pub(crate) const HEADER_FILE: &str = "header";
/// Says that a database without a header is an unfinished creation, not a loss.
pub(crate) const UNFINISHED_FILE: &str = "unfinished";
pub(crate) const DATABASE_FILE: &str = "vault.db";
pub(crate) const LOCK_FILE: &str = "lock";
const WRAPPING_DIR: &str = "wrapping";
/// Blinds wrapping keys' ids; above every number that a `Space` can have, so that no caller's blinding equals it.
const WRAPPING_NAMES: u32 = 1 << 16;

/// An open vault. Calls block on the disk: from async code use a blocking task.
///
/// One transaction writes at a time, beside one that reads. Transactions do not nest: a call of `read` within
/// `read`, or of `write` within `write`, waits for ever.
pub struct Vault {
    pub(crate) dir: PathBuf,
    // Declared so that the connections close before the lock is given up.
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    pub(crate) keys: Keys,
    pub(crate) wrapping: WrappingKeys,
    has_failed: AtomicBool,
    _lock: File,
}

/// The keys that are derived from the vault key for as long as it is open.
pub(crate) struct Keys {
    pub(crate) rows: SealingKey,
    blind: SealingKey,
}

impl Vault {
    /// Whether a vault was created in `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join(HEADER_FILE).exists()
    }

    /// Creates a vault in `dir` (mode 0700, made if missing) and opens it. A crash before the return leaves
    /// either a vault or a folder in which one can be created.
    ///
    /// # Errors
    /// `AlreadyThere`, `InUse`, those of the [`Unlock`], and those of the disk.
    pub fn create(dir: &Path, unlock: &Unlock, rng: &mut impl CryptoRng) -> Result<Self> {
        files::create_private_dir(dir).map_err(VaultError::file("create the vault's folder"))?;
        let lock = files::lock(&dir.join(LOCK_FILE))?;
        if Self::exists(dir) {
            return Err(VaultError::AlreadyThere);
        }
        Self::clear_unfinished(dir)?;
        let (vault_key, header) = header::establish(dir, unlock, rng)?;
        files::write_whole(&dir.join(UNFINISHED_FILE), &[])
            .map_err(VaultError::file("mark the vault as unfinished"))?;
        database::create(&dir.join(DATABASE_FILE), &vault_key)?;
        files::write_whole(&dir.join(HEADER_FILE), &header).map_err(VaultError::file("write the header"))?;
        let vault = Self::assemble(dir, vault_key, lock)?;
        vault.mark_finished()?;
        Ok(vault)
    }

    /// Opens the vault in `dir` as it was created.
    ///
    /// # Errors
    /// `NotThere`, `InUse`, `WrongKey`, `OtherUnlock`, damage by name, and those of the disk.
    pub fn open(dir: &Path, unlock: &Unlock) -> Result<Self> {
        if !Self::exists(dir) {
            let is_lost = dir.join(DATABASE_FILE).exists() && !dir.join(UNFINISHED_FILE).exists();
            return Err(if is_lost { VaultError::HeaderMissing } else { VaultError::NotThere });
        }
        let lock = files::lock(&dir.join(LOCK_FILE))?;
        let vault_key = header::read(&dir.join(HEADER_FILE))?.open(unlock)?;
        let vault = Self::assemble(dir, vault_key, lock)?;
        vault.mark_finished()?;
        Ok(vault)
    }

    /// Runs `work` on the vault as it is at this moment.
    ///
    /// # Errors
    /// Those of `work`; `Failed` after a failed commit.
    pub fn read<T, E: From<VaultError>>(
        &self,
        work: impl FnOnce(&ReadTransaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut reader = lock(&self.reader);
        self.refuse_failed()?;
        let transaction = reader.transaction().map_err(VaultError::from)?;
        work(&ReadTransaction::new(&transaction, &self.keys, &self.wrapping))
    }

    /// Runs `work` and commits what it wrote: durably when this returns `Ok`, not at all when `work` returns an
    /// error or panics.
    ///
    /// # Errors
    /// Those of `work` and of the commit. If the commit itself fails it is unknown what the disk holds, and the
    /// vault answers `Failed` from then on, until it is opened again.
    pub fn write<T, E: From<VaultError>>(
        &self,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_on(&mut lock(&self.writer), work)
    }

    /// A name for `id` that tells nothing without the vault's key: HMAC-SHA256, the same in every run, different
    /// in every space and vault. For the keys of rows that would identify somebody.
    pub fn blind(&self, space: Space, id: &[u8]) -> [u8; 32] {
        self.keys.blind.blind(&[&u32::from(space.number()).to_be_bytes(), id])
    }

    /// Checks the whole database, opens every value, and returns how many there are. `spaces` gives the names for
    /// errors. Takes about a second for 100 MB. A small vault's structure is checked on each opening too.
    ///
    /// # Errors
    /// `DatabaseDamaged`, `Corrupt`, `WrappingKeyDamaged`.
    pub fn verify(&self, spaces: &[Space]) -> Result<u64> {
        let mut reader = lock(&self.reader);
        self.refuse_failed()?;
        let transaction = reader.transaction()?;
        database::check_structure(&transaction)?;
        ReadTransaction::new(&transaction, &self.keys, &self.wrapping).verify(spaces)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        lock(&self.writer)
    }

    pub(crate) fn write_on<T, E: From<VaultError>>(
        &self,
        writer: &mut Connection,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.refuse_failed()?;
        let outcome = self.attempt(writer, work);
        if !writer.is_autocommit() {
            // Not even the rollback succeeded.
            self.fail();
        }
        outcome
    }

    fn attempt<T, E: From<VaultError>>(
        &self,
        writer: &mut Connection,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction =
            writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(VaultError::from)?;
        let mut write = WriteTransaction::new(&transaction, &self.keys, &self.wrapping);
        let outcome = work(&mut write);
        let trouble = write.trouble();
        if trouble == Trouble::Disk {
            self.fail();
        }
        let value = outcome?;
        if trouble != Trouble::None {
            return Err(VaultError::Aborted.into());
        }
        transaction.commit().map_err(|error| {
            self.fail();
            VaultError::from(error)
        })?;
        Ok(value)
    }

    /// From here on every call answers `Failed`.
    pub(crate) fn fail(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    pub(crate) fn refuse_failed(&self) -> Result<()> {
        if self.has_failed.load(Ordering::Acquire) { Err(VaultError::Failed) } else { Ok(()) }
    }

    pub(crate) fn assemble(dir: &Path, vault_key: SealingKey, lock: File) -> Result<Self> {
        let database = dir.join(DATABASE_FILE);
        let writer = Mutex::new(database::open_writer(&database, &vault_key)?);
        let reader = Mutex::new(database::open_reader(&database)?);
        let keys = Keys { rows: vault_key.derive(Label::Rows), blind: vault_key.derive(Label::Blind) };
        let wrapping = WrappingKeys::open(dir.join(WRAPPING_DIR), vault_key)?;
        let (dir, has_failed) = (dir.to_owned(), AtomicBool::new(false));
        let vault = Self { dir, writer, reader, keys, wrapping, has_failed, _lock: lock };
        vault.finish_destructions()?;
        Ok(vault)
    }

    /// Once the header is there.
    pub(crate) fn mark_finished(&self) -> Result<()> {
        files::remove_if_there(&self.dir.join(UNFINISHED_FILE))
            .map_err(VaultError::file("mark the vault as finished"))
    }

    /// Removes what a crash during creation left; a database that lost its header is not that.
    pub(crate) fn clear_unfinished(dir: &Path) -> Result<()> {
        let database = dir.join(DATABASE_FILE);
        if !database.exists() {
            return Ok(());
        }
        if !dir.join(UNFINISHED_FILE).exists() {
            return Err(VaultError::HeaderMissing);
        }
        for name in ["vault.db", "vault.db-wal", "vault.db-shm"] {
            files::remove_if_there(&dir.join(name)).map_err(VaultError::file("clear an unfinished vault"))?;
        }
        Ok(())
    }
}

impl Keys {
    pub(crate) fn wrapping_name(&self, id: &[u8]) -> Result<KeyName> {
        if id.is_empty() || id.len() > WRAPPING_ID_BYTES_MAX {
            return Err(VaultError::WrappingIdLength);
        }
        Ok(self.blind.blind(&[&WRAPPING_NAMES.to_be_bytes(), id]))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// A panic inside a transaction rolled it back while unwinding, so the connection is whole.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
