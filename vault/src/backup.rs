//! A vault's backup, and a vault from one: header and database, without wrapping keys and without anything that they
//! close. What a grant's or an epoch's key wraps is in no backup, so its destruction holds for every copy. Not here:
//! what the rows mean, and what must be done after a restoration.

use std::path::Path;

use crate::error::{Result, VaultError};
use crate::transaction::WriteTransaction;
use crate::unlock::Unlock;
use crate::vault::{DATABASE_FILE, HEADER_FILE, LOCK_FILE, UNFINISHED_FILE, Vault};
use crate::{database, files, header};

/// The files of a backup, in a folder of its own.
pub const BACKUP_FILES: [&str; 2] = [HEADER_FILE, DATABASE_FILE];

impl Vault {
    /// Writes a backup of this moment into the new folder `to` (mode 0700, files 0600), durably: everything but wrapping
    /// keys and the rows under them. The vault stays in use meanwhile. A failure leaves a folder that is no backup
    /// until the header is in it.
    ///
    /// # Errors
    /// `BackupThere`, `DiskFull`, `Failed`, and those of the disk.
    pub fn back_up(&self, to: &Path) -> Result<()> {
        self.refuse_failed()?;
        let header = header::read_bytes(&self.dir.join(HEADER_FILE))?;
        if to.exists() {
            return Err(VaultError::BackupThere);
        }
        files::create_private_dir(to).map_err(VaultError::file("create the folder of the backup"))?;
        database::copy_unwrapped(&self.dir.join(DATABASE_FILE), &to.join(DATABASE_FILE))?;
        files::write_whole(&to.join(HEADER_FILE), &header)
            .map_err(VaultError::file("write the backup's header"))?;
        files::sync_dir_of(to).map_err(VaultError::file("sync the folder of the backup"))
    }

    /// Makes a vault in `dir` from the backup in `from`, lets `adjust` write what a restored vault needs, and opens it.
    /// A crash before the return leaves either the whole of that or a folder in which a vault can be made.
    ///
    /// # Errors
    /// `AlreadyThere`, `InUse`, `NotThere` for a folder that is no backup, those of [`Vault::open`] and of `adjust`.
    pub fn restore<E: From<VaultError>>(
        dir: &Path,
        from: &Path,
        unlock: &Unlock,
        adjust: impl FnOnce(&mut WriteTransaction<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let header = header::read_bytes(&from.join(HEADER_FILE))?;
        let vault_key = header::read(&from.join(HEADER_FILE))?.open(unlock)?;
        files::create_private_dir(dir).map_err(VaultError::file("create the vault's folder"))?;
        let lock = files::lock(&dir.join(LOCK_FILE))?;
        if Self::exists(dir) {
            return Err(VaultError::AlreadyThere.into());
        }
        Self::clear_unfinished(dir)?;
        files::write_whole(&dir.join(UNFINISHED_FILE), &[])
            .map_err(VaultError::file("mark the vault as unfinished"))?;
        files::copy_private(&from.join(DATABASE_FILE), &dir.join(DATABASE_FILE))
            .map_err(VaultError::file("copy the backup's database"))?;
        let vault = Self::assemble(dir, vault_key, lock)?;
        vault.write(adjust)?;
        files::write_whole(&dir.join(HEADER_FILE), &header).map_err(VaultError::file("write the header"))?;
        vault.mark_finished()?;
        Ok(vault)
    }
}
