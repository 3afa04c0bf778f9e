//! Why the relay does not start or stops by itself. Refused calls are `api::status`.

use std::path::PathBuf;

use crate::store::{BackupError, StoreError, embedded::EngineName};

/// The relay's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the relay does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used; exit status 64.
    #[error("configuration: {0}")]
    Config(String),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen: {0}")]
    Listen(std::io::Error),
    /// The data folder has its store in another engine than the configuration names.
    #[error("the data folder's store is in {there}: set `store = \"{there}\"`, not \"{asked}\"")]
    OtherEngine {
        /// Whose the store is.
        there: EngineName,
        /// What was asked for.
        asked: EngineName,
    },
    /// The storage engine does not open.
    #[error("storage: {0}")]
    Storage(&'static str),
    /// The store does not open, or failed while running.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key for access tokens cannot be made.
    #[error("no key for access tokens")]
    TokenKey,
    /// The system gives no random numbers.
    #[error("no random numbers")]
    Randomness,
    /// The server failed.
    #[error("server failed")]
    Server,
    /// There is no backup, or no store from one.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The operator's socket does not answer, or refuses.
    #[error("{0}")]
    Admin(String),
}

impl Error {
    /// The process's exit status: 64 for bad configuration (EX_USAGE), 75 where trying again may help
    /// (EX_TEMPFAIL), else 1.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::OtherEngine { .. } => 64,
            Self::Store(StoreError::Unavailable) | Self::Listen(_) => 75,
            _ => 1,
        }
    }
}
