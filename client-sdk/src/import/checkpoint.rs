//! How far the import of a file has come, kept with each batch so that an interrupted one goes on there.
//! Not here: the records.

use std::io::{self, Read, Seek};

use sealcare_records::ImportReport;
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    error::Result,
    record_store::ChangeCounts,
    store::{IMPORTS, Store, load, save},
};

/// Raised whenever a release reads other records, ids or another order out of the same file.
const READING: u32 = 2;
/// Interrupted imports that are remembered.
const KEPT_MAX: usize = 16;
const BUFFER_BYTES: usize = 64 * 1024;

/// A file that was checked, and how many of its records were taken.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Checkpoint {
    reading: u32,
    pub(crate) report: ImportReport,
    /// Records taken, in the order of the file.
    pub(crate) taken: u64,
    /// A chain of hashes over those: they are the file's own, not of one that stood in its place for a while.
    #[serde(default)]
    pub(crate) chain: [u8; 32],
    pub(crate) changes: ChangeCounts,
}

/// What names a file: a blinded hash of all of its bytes.
pub(crate) type FileKey = [u8; 32];

/// Reads a file from its beginning to its end, and rewinds it.
pub(crate) fn file_key(store: &Store, file: &mut (impl Read + Seek)) -> io::Result<FileKey> {
    file.rewind()?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.rewind()?;
    Ok(store.blind(IMPORTS, &hash.finalize()))
}

impl Checkpoint {
    /// At the beginning of a file that was checked.
    pub(crate) fn new(report: ImportReport) -> Self {
        Self { reading: READING, report, taken: 0, chain: [0; 32], changes: ChangeCounts::default() }
    }

    /// Of an import that was interrupted, if this release reads the file as that one did.
    pub(crate) fn load(tx: &ReadTransaction<'_>, key: &FileKey) -> Result<Option<Self>> {
        let kept: Option<Self> = load(tx, IMPORTS, key)?;
        Ok(kept.filter(|checkpoint| checkpoint.reading == READING))
    }

    /// The file is to be taken from its beginning.
    pub(crate) fn forget(store: &Store, key: &FileKey) -> Result<()> {
        store.vault().write(|tx| {
            tx.delete(IMPORTS, key)?;
            Ok(())
        })
    }

    pub(crate) fn save(&self, tx: &mut WriteTransaction<'_>, key: &FileKey) -> Result<()> {
        let kept = tx.scan(IMPORTS, &KeyRange::all(), KEPT_MAX)?;
        if kept.len() == KEPT_MAX && kept.iter().all(|(other, _)| other != key) {
            tx.delete_range(IMPORTS, &KeyRange::all())?;
        }
        save(tx, IMPORTS, key, self)
    }
}
