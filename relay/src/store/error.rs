//! Why a store did not do what it was asked: four reasons, the same for every engine. And why there is no backup,
//! or no store from one.

/// The store's result.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Four reasons; what a healthy store decides about a request is an outcome, not an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not there.
    #[error("not found")]
    NotFound,
    /// Something else is there already.
    #[error("conflict")]
    Conflict,
    /// Too busy, out of room, or failed until reopened. Nothing that is told as done was lost.
    #[error("the store is unavailable")]
    Unavailable,
    /// A row of this kind is damaged.
    #[error("damaged {0}")]
    Corrupt(&'static str),
}

/// Why there is no backup, or no store from one. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file cannot be read or written.
    #[error("the backup cannot be read or written: {0}")]
    File(std::io::Error),
    /// It begins otherwise.
    #[error("the file is not a backup of a relay")]
    NotABackup,
    /// A later relay wrote it.
    #[error("the backup has version {0}, which this relay does not know")]
    Version(u32),
    /// It is not what was written.
    #[error("the backup is damaged at byte {place}: {what}")]
    Damaged {
        /// Bytes from the beginning of the file.
        place: u64,
        /// What is wrong there, or which kind of row.
        what: &'static str,
    },
    /// A restore was begun here and did not end.
    #[error("a restore into the data folder was cut off: run `sealcare-relay restore` again")]
    Unfinished,
    /// A backup is restored into an empty folder only.
    #[error("the data folder has a store already")]
    Occupied,
    /// Something else than a store is in the folder.
    #[error("the data folder is not empty: name a new folder, or an empty one, with `--data`")]
    NotEmpty,
    /// The store does not give or take what it should.
    #[error(transparent)]
    Store(#[from] StoreError),
}
