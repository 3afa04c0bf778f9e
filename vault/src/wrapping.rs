//! The files of wrapping keys, one each, outside the database: a copy of the database opens nothing of theirs.
//! Not here: which rows they wrap, and the order with the database (`destruction`).
//!
//! `NUMBER.key` holds 32 random bytes sealed under the vault key, bound to number and name. To destroy a key is to
//! rename its file to `NUMBER.gone`, overwrite it with zeros, and remove it once its rows are deleted: a `.gone`
//! file found on opening is a destruction that a crash interrupted.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::files;
use crate::seal::{KEY_BYTES, Label, SEAL_OVERHEAD_BYTES, SealingKey, random_key};

/// Keys held in memory, at most; beyond that all are wiped and read again when needed.
const LOADED_KEYS_MAX: usize = 4_096;
const FILE_BYTES: usize = KEY_BYTES + SEAL_OVERHEAD_BYTES;

/// A wrapping key's place in the database; never given twice.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct KeyNumber(pub(crate) i64);

/// The blinded id of a wrapping key.
pub(crate) type KeyName = [u8; 32];

/// What a file in the folder stands for.
pub(crate) enum Leftover {
    /// A key, if the database knows its number.
    Key(KeyNumber),
    /// An interrupted destruction.
    Gone(KeyNumber),
}

/// The folder of wrapping keys and those that were read from it.
pub(crate) struct WrappingKeys {
    dir: PathBuf,
    files_key: SealingKey,
    vault_key: SealingKey,
    loaded: Mutex<HashMap<KeyNumber, SealingKey>>,
}

impl WrappingKeys {
    /// Takes over the folder; makes it where a restored backup has none.
    pub(crate) fn open(dir: PathBuf, vault_key: SealingKey) -> Result<Self> {
        files::create_private_dir(&dir).map_err(VaultError::file("create the folder of wrapping keys"))?;
        let files_key = vault_key.derive(Label::WrappingFiles);
        Ok(Self { dir, files_key, vault_key, loaded: Mutex::default() })
    }

    /// Writes a new key's file; durable on return.
    pub(crate) fn create(&self, number: KeyNumber, name: &KeyName) -> Result<()> {
        let sealed = self.files_key.seal(&context(number, name), random_key()?.expose())?;
        files::write_whole(&self.key_path(number), &sealed)
            .map_err(VaultError::file("write a wrapping key's file"))
    }

    /// Whether the key can still be used. A damaged file is an error.
    pub(crate) fn is_there(&self, number: KeyNumber, name: &KeyName) -> Result<bool> {
        self.with(number, || Ok(Some(*name)), |_| ()).map(|used| used.is_some())
    }

    /// Calls `work` with the key of the rows that this key wraps; `None` if it is destroyed.
    ///
    /// `work` runs under the lock of the loaded keys, so that nothing uses a key after its destruction returned.
    pub(crate) fn with<T>(
        &self,
        number: KeyNumber,
        name: impl FnOnce() -> Result<Option<KeyName>>,
        work: impl FnOnce(&SealingKey) -> T,
    ) -> Result<Option<T>> {
        let mut loaded = self.loaded();
        if let Some(key) = loaded.get(&number) {
            return Ok(Some(work(key)));
        }
        let Some(name) = name()? else { return Ok(None) };
        let Some(key) = self.read(number, &name)? else { return Ok(None) };
        if loaded.len() >= LOADED_KEYS_MAX {
            loaded.clear();
        }
        let value = work(&key);
        loaded.insert(number, key);
        Ok(Some(value))
    }

    /// Makes the key unusable for ever, also in memory; leaves the `.gone` file. Repeatable.
    pub(crate) fn erase(&self, number: KeyNumber) -> Result<()> {
        let mut loaded = self.loaded();
        loaded.remove(&number);
        erase_file(&self.key_path(number), &self.gone_path(number))
            .map_err(VaultError::file("destroy a wrapping key's file"))
    }

    /// Removes what `erase` left, after the rows are deleted.
    pub(crate) fn forget(&self, number: KeyNumber) -> Result<()> {
        files::remove_durably(&self.gone_path(number))
            .map_err(VaultError::file("remove a destroyed wrapping key's file"))
    }

    /// What lies in the folder; removes halves of files that a crash left.
    pub(crate) fn leftovers(&self) -> Result<Vec<Leftover>> {
        let action = "list the wrapping keys";
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(VaultError::file(action))? {
            let path = entry.map_err(VaultError::file(action))?.path();
            match parse_file_name(&path) {
                Some((number, "key")) => found.push(Leftover::Key(number)),
                Some((number, "gone")) => found.push(Leftover::Gone(number)),
                Some((_, "new")) => erase_stray(&path).map_err(VaultError::file(action))?,
                // Not written by a vault: left alone.
                _ => {}
            }
        }
        Ok(found)
    }

    fn read(&self, number: KeyNumber, name: &KeyName) -> Result<Option<SealingKey>> {
        let sealed = match files::read_small(&self.key_path(number), FILE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(VaultError::file("read a wrapping key's file"))?,
        };
        let opened = self.files_key.open(&context(number, name), &sealed);
        let opened = opened.ok_or(VaultError::WrappingKeyDamaged)?;
        let bytes: &[u8; KEY_BYTES] =
            opened.as_slice().try_into().map_err(|_| VaultError::WrappingKeyDamaged)?;
        let material = SealingKey::from_uniform(Zeroizing::new(*bytes));
        Ok(Some(self.vault_key.derive_with(Label::WrappedRows, &material)))
    }

    fn loaded(&self) -> MutexGuard<'_, HashMap<KeyNumber, SealingKey>> {
        // A panic between two operations of the map leaves it whole.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_path(&self, number: KeyNumber) -> PathBuf {
        self.dir.join(format!("{:016x}.key", number.0))
    }

    fn gone_path(&self, number: KeyNumber) -> PathBuf {
        self.dir.join(format!("{:016x}.gone", number.0))
    }
}

fn erase_file(key: &Path, gone: &Path) -> io::Result<()> {
    match fs::rename(key, gone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    match files::overwrite_with_zeros(gone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    files::sync_dir_of(gone)
}

fn erase_stray(path: &Path) -> io::Result<()> {
    files::overwrite_with_zeros(path)?;
    files::remove_durably(path)
}

fn context(number: KeyNumber, name: &KeyName) -> Vec<u8> {
    [&number.0.to_be_bytes()[..], name].concat()
}

fn parse_file_name(path: &Path) -> Option<(KeyNumber, &str)> {
    let number = i64::from_str_radix(path.file_stem()?.to_str()?, 16).ok()?;
    Some((KeyNumber(number), path.extension()?.to_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: KeyNumber = KeyNumber(1);
    const NAME: KeyName = [5; 32];

    fn keys(dir: &Path) -> WrappingKeys {
        let vault_key = SealingKey::from_uniform(Zeroizing::new([9; KEY_BYTES]));
        WrappingKeys::open(dir.join("wrapping"), vault_key).unwrap()
    }

    fn seal(keys: &WrappingKeys, number: KeyNumber) -> Option<Vec<u8>> {
        keys.with(number, || Ok(Some(NAME)), |key| key.seal(b"", b"x").unwrap()).unwrap()
    }

    fn opens(keys: &WrappingKeys, number: KeyNumber, sealed: &[u8]) -> bool {
        keys.with(number, || Ok(Some(NAME)), |key| key.open(b"", sealed).is_some()).unwrap().unwrap()
    }

    #[test]
    fn a_key_is_the_same_after_reading_it_again_and_differs_from_others() {
        let dir = tempfile::tempdir().unwrap();
        keys(dir.path()).create(ONE, &NAME).unwrap();
        keys(dir.path()).create(KeyNumber(2), &NAME).unwrap();
        let sealed = seal(&keys(dir.path()), ONE).unwrap();
        assert!(opens(&keys(dir.path()), ONE, &sealed));
        assert!(!opens(&keys(dir.path()), KeyNumber(2), &sealed));
    }

    #[test]
    fn an_erased_key_is_gone_from_memory_too() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        keys.create(ONE, &NAME).unwrap();
        assert!(seal(&keys, ONE).is_some());
        keys.erase(ONE).unwrap();
        keys.erase(ONE).unwrap();
        assert!(seal(&keys, ONE).is_none());
        let gone = fs::read(keys.gone_path(ONE)).unwrap();
        assert_eq!(gone, [0; FILE_BYTES]);
        keys.forget(ONE).unwrap();
        keys.forget(ONE).unwrap();
        assert!(!keys.gone_path(ONE).exists());
    }

    #[test]
    fn a_file_under_another_number_or_name_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        keys.create(ONE, &NAME).unwrap();
        assert!(matches!(keys.is_there(ONE, &[6; 32]), Err(VaultError::WrappingKeyDamaged)));
        fs::rename(keys.key_path(ONE), keys.key_path(KeyNumber(2))).unwrap();
        assert!(matches!(keys.is_there(KeyNumber(2), &NAME), Err(VaultError::WrappingKeyDamaged)));
        assert!(!keys.is_there(ONE, &NAME).unwrap());
    }

    #[test]
    fn other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        let other = dir.path().join("wrapping/README.txt");
        fs::write(&other, b"not a key").unwrap();
        assert!(keys.leftovers().unwrap().is_empty());
        assert!(other.exists());
    }
}
