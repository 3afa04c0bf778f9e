//! The file of a backup: rows in the order of their keys, each with its checksum, under one hash.
//!
//! `magic ‖ version u32 ‖ record … ‖ 0 u16 ‖ records u64 ‖ SHA-256 of all before`, and a record is
//! `key length u16 ‖ value length u32 ‖ key ‖ value ‖ xxh3 of both u64`. Integers are big-endian.
//!
//! Not here: which rows (`ordered::backup`), and where they are restored to (`embedded`).

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, ErrorKind, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use rand::{TryRng as _, rngs::SysRng};
use sha2::{Digest as _, Sha256};

use super::error::BackupError;

const MAGIC: &[u8; 22] = b"sealcare relay backup\n";
const VERSION: u32 = 1;
/// Longest key: an expiry that names a ticket has 58 bytes, a domain 254.
const KEY_BYTES_MAX: usize = 512;
/// Longest value with its checksum: a bundle has 64 KiB and its signature.
const VALUE_BYTES_MAX: usize = 128 << 10;
const BUFFER_BYTES: usize = 1 << 20;

type Result<T> = std::result::Result<T, BackupError>;

/// A backup being written. It has its name only once it is whole and durable, and replaces no other file.
pub(super) struct BackupWriter {
    file: BufWriter<File>,
    hash: Sha256,
    records: u64,
    path: PathBuf,
    unfinished: Unfinished,
}

/// The file under the name that it has until it is whole; dropping it removes that name.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Whoever reads the folder sees by the name what is left if even this fails.
        let _ = fs::remove_file(&self.0);
    }
}

impl BackupWriter {
    /// Begins beside `path`, in a new file that only this user can read, under a name that nobody can guess.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let mut random = [0; 16];
        SysRng.try_fill_bytes(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let name = format!(".sealcare-relay-backup-{}.unfinished", HEXLOWER.encode(&random));
        let unfinished = folder_of(path).join(name);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let mut writer = Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            hash: Sha256::new(),
            records: 0,
            path: path.to_owned(),
            unfinished: Unfinished(unfinished),
        };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_be_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// `stored` is a value with its checksum.
    pub(super) fn record(&mut self, key: &[u8], stored: &[u8]) -> Result<()> {
        let too_long = || BackupError::Store(super::StoreError::Corrupt("row"));
        let key_length = u16::try_from(key.len()).ok().filter(|_| key.len() <= KEY_BYTES_MAX);
        let length = u32::try_from(stored.len()).ok().filter(|_| stored.len() <= VALUE_BYTES_MAX);
        self.put(&key_length.ok_or_else(too_long)?.to_be_bytes())?;
        self.put(&length.ok_or_else(too_long)?.to_be_bytes())?;
        self.put(key)?;
        self.put(stored)?;
        self.records += 1;
        Ok(())
    }

    /// Ends the file, syncs it and gives it its name.
    ///
    /// # Errors
    /// [`BackupError::File`]; `AlreadyExists` if something has that name meanwhile.
    pub(super) fn finish(mut self) -> Result<()> {
        self.put(&0_u16.to_be_bytes())?;
        self.put(&self.records.to_be_bytes())?;
        let hash = std::mem::take(&mut self.hash).finalize();
        self.file.write_all(&hash)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        // Unlike a renaming this replaces nothing.
        fs::hard_link(&self.unfinished.0, &self.path)?;
        let folder = File::open(folder_of(&self.path))?;
        drop(self.unfinished);
        Ok(folder.sync_all()?)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A backup being read, record by record.
pub(super) struct BackupReader {
    file: BufReader<File>,
    hash: Sha256,
    records: u64,
    /// Bytes read.
    place: u64,
}

impl BackupReader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        let mut reader = Self { file, hash: Sha256::new(), records: 0, place: 0 };
        let is_magic = reader.array::<{ MAGIC.len() }>().is_ok_and(|magic| magic == *MAGIC);
        if !is_magic {
            return Err(BackupError::NotABackup);
        }
        match u32::from_be_bytes(reader.array()?) {
            VERSION => Ok(reader),
            other => Err(BackupError::Version(other)),
        }
    }

    /// The next key and its value with the checksum, or none once the file has ended as it should.
    pub(super) fn next_record(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        let begin = self.place;
        let key_bytes = usize::from(u16::from_be_bytes(self.array()?));
        if key_bytes == 0 {
            return self.end().map(|()| None);
        }
        let value_bytes = usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX);
        if key_bytes > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
            return Err(BackupError::Damaged { place: begin, what: "a record is too long" });
        }
        let key = self.bytes(key_bytes)?;
        let value = self.bytes(value_bytes)?;
        self.records += 1;
        Ok(Some((key, value)))
    }

    /// Where the next record begins.
    pub(super) fn place(&self) -> u64 {
        self.place
    }

    fn end(&mut self) -> Result<()> {
        let place = self.place;
        let records = u64::from_be_bytes(self.array()?);
        let hash = self.hash.clone().finalize();
        let is_whole = self.array::<32>()? == hash[..] && records == self.records;
        if !is_whole {
            return Err(BackupError::Damaged { place, what: "the records are not those that were written" });
        }
        match self.file.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(BackupError::Damaged { place: self.place, what: "something follows the end" }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, count: usize) -> Result<Bytes> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes)?;
        Ok(bytes.into())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                BackupError::Damaged { place: self.place, what: "the file ends too early" }
            }
            _ => BackupError::File(error),
        })?;
        self.hash.update(&*bytes);
        self.place += bytes.len() as u64;
        Ok(())
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

#[cfg(test)]
mod tests;
