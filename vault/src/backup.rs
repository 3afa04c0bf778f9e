//! A vault's backup, and a vault from one: header, database and a manifest of both, without wrapping keys and without
//! anything that they close. What a grant's or an epoch's key wraps is in no backup, so its destruction holds for every copy. Not here:
//! what the rows mean, and what must be done after a restoration.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Result, VaultError};
use crate::transaction::WriteTransaction;
use crate::unlock::Unlock;
use crate::vault::{DATABASE_FILE, HEADER_FILE, LOCK_FILE, UNFINISHED_FILE, Vault};
use crate::{database, files, header};

/// The first line; the lines after it are those of `sha256sum`.
const FIRST_LINE: &str = "sealcare vault backup 1";
const FIRST_WORDS: &str = "sealcare vault backup ";
const MANIFEST_FILE: &str = "manifest";
const MANIFEST_BYTES_MAX: usize = 1_024;
const HASH_PIECE_BYTES: usize = 64 * 1_024;
/// What a manifest names.
const NAMED_FILES: [&str; 2] = [HEADER_FILE, DATABASE_FILE];
/// The files of a backup, in a folder of its own.
pub const BACKUP_FILES: [&str; 3] = [HEADER_FILE, DATABASE_FILE, MANIFEST_FILE];

impl Vault {
    /// Writes a backup of this moment into the new folder `to` (mode 0700, files 0600), durably: everything but wrapping
    /// keys and the rows under them. The vault stays in use meanwhile. A failure leaves a folder that is no backup:
    /// the manifest comes last.
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
        let manifest = manifest(to).map_err(VaultError::file("read the backup back"))?;
        files::write_whole(&to.join(MANIFEST_FILE), manifest.as_bytes())
            .map_err(VaultError::file("write the backup's manifest"))?;
        files::sync_dir_of(to).map_err(VaultError::file("sync the folder of the backup"))
    }

    /// Makes a vault in `dir` from the backup in `from`, lets `adjust` write what a restored vault needs, and opens it.
    /// A crash before the return leaves either the whole of that or a folder in which a vault can be made.
    ///
    /// # Errors
    /// `NoBackup` for a folder that is none, `BackupDamaged` for one whose files are not as they were written,
    /// `AlreadyThere`, `InUse`, those of [`Vault::open`] (`WrongKey` for the backup of another vault) and of `adjust`.
    pub fn restore<E: From<VaultError>>(
        dir: &Path,
        from: &Path,
        unlock: &Unlock,
        adjust: impl FnOnce(&mut WriteTransaction<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let manifest = read_manifest(from)?;
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
        check(&manifest, &header, &dir.join(DATABASE_FILE))?;
        let vault = Self::assemble(dir, vault_key, lock)?;
        vault.write(adjust)?;
        files::write_whole(&dir.join(HEADER_FILE), &header).map_err(VaultError::file("write the header"))?;
        vault.mark_finished()?;
        Ok(vault)
    }
}

/// The manifest of what lies in `dir`.
fn manifest(dir: &Path) -> io::Result<String> {
    let mut lines = format!("{FIRST_LINE}\n");
    for name in NAMED_FILES {
        lines.push_str(&line(&hash(&dir.join(name))?, name));
    }
    Ok(lines)
}

fn line(hash: &str, name: &str) -> String {
    format!("{hash}  {name}\n")
}

fn read_manifest(dir: &Path) -> Result<String> {
    let bytes = match files::read_small(&dir.join(MANIFEST_FILE), MANIFEST_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(VaultError::NoBackup),
        read => read.map_err(VaultError::file("read the backup's manifest"))?,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::BackupDamaged)?;
    match text.lines().next() {
        Some(FIRST_LINE) => Ok(text.to_owned()),
        Some(line) if line.starts_with(FIRST_WORDS) => Err(VaultError::NewerVersion),
        _ => Err(VaultError::BackupDamaged),
    }
}

/// Whether the header and the copied database are those that the manifest names.
fn check(manifest: &str, header: &[u8], database: &Path) -> Result<()> {
    let database = hash(database).map_err(VaultError::file("read the copied database"))?;
    let mut named = format!("{FIRST_LINE}\n");
    for (hash, name) in [hex(&Sha256::digest(header)), database].iter().zip(NAMED_FILES) {
        named.push_str(&line(hash, name));
    }
    if named == manifest { Ok(()) } else { Err(VaultError::BackupDamaged) }
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let mut piece = vec![0; HASH_PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&piece[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
