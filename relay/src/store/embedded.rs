//! A relay's data folder: which embedded engine keeps its store there, and opening it.
//!
//! A folder has one engine for life: its store lies in a folder of that engine's name. Moving to the other is a
//! backup and a restore (`backup`).

use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::ValueEnum;
use rand::{TryRng as _, rngs::SysRng};
use sealcare_protocol::Incarnation;
use serde::Deserialize;

#[cfg(feature = "sled")]
use super::ordered::SledKeys;
use super::{
    BackedUp, BackupError, OrganizationRecord,
    ordered::{
        self, FjallKeys, OrderedStore,
        engine::{EngineError, OrderedKeys},
    },
};
use crate::error::{Error, Result};

/// Where a restore makes its store, until that is whole.
const UNFINISHED: &str = "restoring";

/// The embedded engines. All do the same; the default is the faster one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EngineName {
    /// fjall 3.
    #[default]
    Fjall,
    /// sled 0.34.
    #[cfg(feature = "sled")]
    Sled,
}

impl EngineName {
    const ALL: &[Self] = &[
        Self::Fjall,
        #[cfg(feature = "sled")]
        Self::Sled,
    ];

    /// Where in `data` this engine keeps a store.
    pub(super) fn folder(self, data: &Path) -> PathBuf {
        data.join(match self {
            Self::Fjall => "store",
            #[cfg(feature = "sled")]
            Self::Sled => "store-sled",
        })
    }

    /// The engine of the store in `data`, if there is one.
    pub fn of(data: &Path) -> Option<Self> {
        Self::ALL.iter().copied().find(|engine| engine.folder(data).exists())
    }

    pub(super) fn open(self, folder: &Path) -> Result<Arc<dyn OrderedKeys>> {
        let opened: Result<Arc<dyn OrderedKeys>, EngineError> = match self {
            Self::Fjall => FjallKeys::open(folder).map(|keys| Arc::new(keys) as _),
            #[cfg(feature = "sled")]
            Self::Sled => SledKeys::open(folder).map(|keys| Arc::new(keys) as _),
        };
        opened.map_err(|error| match error {
            EngineError::Damaged => Error::Storage("the engine found damage"),
            EngineError::Failed => Error::Storage("the engine does not open; is another relay using it?"),
        })
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fjall => "fjall",
            #[cfg(feature = "sled")]
            Self::Sled => "sled",
        })
    }
}

/// Opens the store in `data`, or creates it with `engine`, as a new life. Deposits stop while less than
/// `free_bytes_min` is free on its disk. Blocks.
///
/// # Errors
/// [`Error::OtherEngine`] if the folder belongs to another engine; [`Error::Backup`] after a restore that a crash
/// has cut off; else [`Error::File`], [`Error::Storage`],
/// [`Error::Store`].
pub fn open(data: &Path, engine: EngineName, free_bytes_min: u64) -> Result<OrderedStore> {
    prepare(data)?;
    match EngineName::of(data) {
        Some(there) if there != engine => return Err(Error::OtherEngine { there, asked: engine }),
        None if data.join(UNFINISHED).exists() => return Err(BackupError::Unfinished.into()),
        _ => {}
    }
    let keys = engine.open(&engine.folder(data))?;
    Ok(OrderedStore::open(keys, new_incarnation()?, free_bytes_min)?)
}

/// Makes the store in `data` from the backup in `file`, with `engine`, as a new life: cursors of the one before
/// are worth nothing, and senders start their sessions anew. The whole file is checked before anything is
/// written; a crash leaves no store. A new folder is this user's alone; one that was there keeps its mode until
/// [`open`]. Returns what was restored, and the organizations with their states as of the backup. Blocks.
///
/// # Errors
/// [`Error::Backup`], naming the place of damage, or if `data` is not empty; else [`Error::File`],
/// [`Error::Storage`], [`Error::Store`].
pub fn restore(data: &Path, engine: EngineName, file: &Path) -> Result<(BackedUp, Vec<OrganizationRecord>)> {
    check_empty(data)?;
    let restored = ordered::verify(file)?;
    let unfinished = data.join(UNFINISHED);
    let file_error = |source| Error::File { path: unfinished.clone(), source };
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(file_error)?;
    }
    // A folder that was there keeps its mode: it may be another's. What is made here is this user's alone.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&unfinished).map_err(file_error)?;
    let keys = engine.open(&unfinished)?;
    ordered::restore(file, &keys)?;
    drop(OrderedStore::open(keys, new_incarnation()?, 0)?);
    fs::rename(&unfinished, engine.folder(data)).map_err(file_error)?;
    fs::File::open(data).and_then(|folder| folder.sync_all()).map_err(file_error)?;
    Ok(restored)
}

/// Whether `data` is not there, or holds nothing but what a restore that was cut off has left.
fn check_empty(data: &Path) -> Result<()> {
    if EngineName::of(data).is_some() {
        return Err(BackupError::Occupied.into());
    }
    let file_error = |source| Error::File { path: data.to_owned(), source };
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(file_error)?,
    };
    for entry in entries {
        if entry.map_err(file_error)?.file_name() != UNFINISHED {
            return Err(BackupError::NotEmpty.into());
        }
    }
    Ok(())
}

/// A folder that only this user can look into.
fn prepare(data: &Path) -> Result<()> {
    let file_error = |source| Error::File { path: data.to_owned(), source };
    fs::create_dir_all(data).map_err(file_error)?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o700)).map_err(file_error)
}

pub(super) fn new_incarnation() -> Result<Incarnation> {
    let mut id = [0; Incarnation::SIZE];
    SysRng.try_fill_bytes(&mut id).map_err(|_| Error::Randomness)?;
    Ok(Incarnation::from_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "sled")]
    fn a_folder_keeps_its_engine_and_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        for (mine, other) in [(EngineName::Fjall, EngineName::Sled), (EngineName::Sled, EngineName::Fjall)] {
            let data = data.join(mine.to_string());
            assert_eq!(EngineName::of(&data), None);
            drop(open(&data, mine, 0).unwrap());
            assert_eq!(EngineName::of(&data), Some(mine));
            let refused = open(&data, other, 0).err().unwrap().to_string();
            assert!(refused.contains(&format!("store = \"{mine}\"")), "{refused}");
            drop(open(&data, mine, 0).unwrap());
        }
    }
}
