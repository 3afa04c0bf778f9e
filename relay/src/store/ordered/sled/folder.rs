//! The engine's folder: a lock, one folder for each generation of the database, and the file that names the
//! one that counts. A crash leaves that file with the old name or the new; what it does not name is removed.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::file_error;
use crate::store::ordered::engine::EngineError;

const LOCK: &str = "lock";
const CURRENT: &str = "current";
const CURRENT_NEW: &str = "current.new";
const GENERATION: &str = "generation-";
/// Digits of the largest generation, and a newline.
const CURRENT_BYTES_MAX: u64 = 21;

pub(super) struct Folder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, EngineError> {
        fs::create_dir_all(path).map_err(file_error)?;
        let lock = File::create(path.join(LOCK)).map_err(file_error)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| file_error(e.into()))?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent).map_err(file_error)?;
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.path.join(format!("{GENERATION}{number}"))
    }

    /// The generation that counts; in a new folder one that `make` makes, durably. All others are removed.
    pub(super) fn current(
        &self,
        make: impl FnOnce(&Path) -> Result<(), EngineError>,
    ) -> Result<u64, EngineError> {
        let named = self.named()?;
        self.remove_others(named).map_err(file_error)?;
        match named {
            // sled would make a new one where nothing is: a store that is gone must not look like an empty one.
            Some(number) if !self.generation(number).join("db").is_file() => Err(EngineError::Damaged),
            Some(number) => Ok(number),
            None => {
                make(&self.generation(0))?;
                self.name(0)?;
                Ok(0)
            }
        }
    }

    fn named(&self) -> Result<Option<u64>, EngineError> {
        let path = self.path.join(CURRENT);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(error)),
            Ok(metadata) if metadata.len() > CURRENT_BYTES_MAX => return Err(EngineError::Damaged),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).map_err(file_error)?;
        text.trim_end().parse().map(Some).map_err(|_| EngineError::Damaged)
    }

    /// Makes `number` the generation that counts, durably, in one step.
    pub(super) fn name(&self, number: u64) -> Result<(), EngineError> {
        let write = || {
            let new = self.path.join(CURRENT_NEW);
            let mut file = File::create(&new)?;
            writeln!(file, "{number}")?;
            file.sync_all()?;
            fs::rename(new, self.path.join(CURRENT))?;
            sync_folder(&self.path)
        };
        write().map_err(file_error)
    }

    /// Removes a generation that counts no more, or not yet.
    pub(super) fn remove(&self, number: u64) -> Result<(), EngineError> {
        let path = self.generation(number);
        let removed = if path.exists() { fs::remove_dir_all(path) } else { Ok(()) };
        removed.and_then(|()| sync_folder(&self.path)).map_err(file_error)
    }

    fn remove_others(&self, kept: Option<u64>) -> io::Result<()> {
        let kept = kept.map(|number| self.generation(number));
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let is_generation = entry.file_name().to_string_lossy().starts_with(GENERATION);
            if is_generation && Some(entry.path()) != kept {
                fs::remove_dir_all(entry.path())?;
            }
        }
        sync_folder(&self.path)
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
