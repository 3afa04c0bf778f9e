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
/// Lies here while the first generation is made, which may be removed until then.
const FIRST_UNFINISHED: &str = "first.unfinished";
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
    ///
    /// # Errors
    /// `Damaged`, and nothing is removed, if the generation that counts is not there, or not known while there are
    /// others than a first one whose making was cut off.
    pub(super) fn current(
        &self,
        make: impl FnOnce(&Path) -> Result<(), EngineError>,
    ) -> Result<u64, EngineError> {
        let Some(number) = self.named()? else {
            self.make_first(make)?;
            return Ok(0);
        };
        // sled would make a new one where nothing is: a store that is gone must not look like an empty one.
        if !self.generation(number).join("db").is_file() {
            return Err(EngineError::Damaged);
        }
        self.remove_mark().and_then(|()| self.remove_others(number)).map_err(file_error)?;
        Ok(number)
    }

    /// Makes the first generation, under a mark that lies beside it until it counts.
    fn make_first(&self, make: impl FnOnce(&Path) -> Result<(), EngineError>) -> Result<(), EngineError> {
        let first = self.generation(0);
        let is_marked = self.path.join(FIRST_UNFINISHED).exists();
        match self.generations().map_err(file_error)?.as_slice() {
            [] => {}
            [lone] if *lone == first && is_marked => self.remove(0)?,
            _ => return Err(EngineError::Damaged),
        }
        let mark = || File::create(self.path.join(FIRST_UNFINISHED)).and_then(|_| sync_folder(&self.path));
        mark().map_err(file_error)?;
        make(&first)?;
        self.name(0)?;
        self.remove_mark().map_err(file_error)
    }

    fn remove_mark(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join(FIRST_UNFINISHED)) {
            Ok(()) => sync_folder(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
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
        self.write_name(number)?;
        self.put_name()
    }

    /// Writes down, durably, that `number` will count. It does not yet.
    pub(super) fn write_name(&self, number: u64) -> Result<(), EngineError> {
        let write = || {
            let mut file = File::create(self.path.join(CURRENT_NEW))?;
            writeln!(file, "{number}")?;
            file.sync_all()
        };
        write().map_err(file_error)
    }

    /// Makes count what [`Self::write_name`] has written down, durably, in one step.
    pub(super) fn put_name(&self) -> Result<(), EngineError> {
        let renamed = fs::rename(self.path.join(CURRENT_NEW), self.path.join(CURRENT));
        renamed.and_then(|()| sync_folder(&self.path)).map_err(file_error)
    }

    /// Removes a generation that counts no more, or not yet.
    pub(super) fn remove(&self, number: u64) -> Result<(), EngineError> {
        let path = self.generation(number);
        let removed = if path.exists() { fs::remove_dir_all(path) } else { Ok(()) };
        removed.and_then(|()| sync_folder(&self.path)).map_err(file_error)
    }

    fn remove_others(&self, kept: u64) -> io::Result<()> {
        let kept = self.generation(kept);
        for other in self.generations()?.iter().filter(|path| **path != kept) {
            fs::remove_dir_all(other)?;
        }
        sync_folder(&self.path)
    }

    fn generations(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(GENERATION) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
