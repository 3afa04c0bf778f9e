//! What can go wrong in a vault, in words that are safe to log: no value, key, path or id is in any text.

use std::io;

use crate::range::{KEY_BYTES_MAX, VALUE_BYTES_MAX, WRAPPING_ID_BYTES_MAX};

/// SQLite's generic error: a statement that does not fit the schema.
const SQLITE_ERROR: i32 = 1;

/// The result of everything in this crate.
pub type Result<T, E = VaultError> = std::result::Result<T, E>;

/// Why a vault refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A vault is in this folder already; creating another would lose it.
    #[error("a vault is in this folder already")]
    AlreadyThere,
    /// The folder holds no vault.
    #[error("no vault is in this folder")]
    NotThere,
    /// Another process, or another `Vault` of this process, has it open.
    #[error("the vault is in use by another process")]
    InUse,
    /// The secret does not open this vault.
    #[error("wrong passphrase or key for this vault")]
    WrongKey,
    /// The vault was made for another kind of `Unlock`.
    #[error("this vault is unlocked by {expected}")]
    OtherUnlock {
        /// The kind that the header names.
        expected: &'static str,
    },
    /// The passphrase is shorter than [`crate::PASSPHRASE_BYTES_MIN`].
    #[error("the passphrase is too short: use at least {} bytes", crate::PASSPHRASE_BYTES_MIN)]
    PassphraseTooShort,
    /// The vault's header is cut, changed, or not a header.
    #[error("the vault's header is damaged: restore the file `header` from a backup")]
    HeaderDamaged,
    /// There is a database, but the header without which it cannot be opened is gone.
    #[error("the vault's header is missing: restore the file `header` from a backup")]
    HeaderMissing,
    /// A newer release wrote this vault.
    #[error("the vault was written by a newer release")]
    NewerVersion,
    /// The database is missing, cut, changed, or of another vault.
    #[error("the vault's database is damaged or of another vault: restore `vault.db` from a backup")]
    DatabaseDamaged,
    /// A value is not what was put there: flipped bits, or moved from another key.
    #[error("a value in {space} is damaged")]
    Corrupt {
        /// The space's name.
        space: &'static str,
    },
    /// The value's wrapping key was destroyed, or is not on this disk (a restored backup).
    #[error("the wrapping key of a value in {space} is destroyed")]
    Destroyed {
        /// The space's name.
        space: &'static str,
    },
    /// No wrapping key of this id: create it first.
    #[error("no wrapping key of this id")]
    NoWrappingKey,
    /// A wrapping key's file is cut or changed.
    #[error("a wrapping key's file is damaged")]
    WrappingKeyDamaged,
    /// A commit failed earlier, so what the disk holds is not known.
    #[error("the vault failed earlier and must be opened again")]
    Failed,
    /// The database failed inside this transaction, which was rolled back whatever its closure returned.
    #[error("the transaction failed and was rolled back")]
    Aborted,
    /// The disk is full; the transaction was rolled back.
    #[error("the disk is full")]
    DiskFull,
    /// The key of a row is longer than [`KEY_BYTES_MAX`].
    #[error("a key is longer than {} bytes", KEY_BYTES_MAX)]
    KeyTooLong,
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("a value is longer than {} bytes", VALUE_BYTES_MAX)]
    ValueTooLong,
    /// The id of a wrapping key is empty or longer than [`WRAPPING_ID_BYTES_MAX`].
    #[error("the id of a wrapping key is empty or longer than {} bytes", WRAPPING_ID_BYTES_MAX)]
    WrappingIdLength,
    /// The secret file does not exist.
    #[error("the vault's secret file is missing")]
    SecretFileMissing,
    /// Others than the owner may read the secret file.
    #[error("the vault's secret file is readable by others: set its mode to 0600")]
    SecretFileExposed,
    /// The secret file is not 64 hexadecimal digits.
    #[error("the vault's secret file is damaged")]
    SecretFileDamaged,
    /// The secret file was to lie within the vault's folder, where one theft takes both.
    #[error("the vault's secret file must lie outside the vault's folder")]
    SecretFileInside,
    /// This machine has no keychain that could be reached, or it is locked.
    #[error("no keychain could be reached: unlock it, or use a passphrase file instead")]
    KeychainUnavailable,
    /// The keychain has no entry for this vault.
    #[error("the keychain has no key for this vault: restore the keychain, or use a passphrase file instead")]
    KeychainEntryMissing,
    /// This build has no keychain support (cargo feature `keychain`).
    #[error("this build has no keychain support: use a passphrase file instead")]
    KeychainNotBuilt,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// Argon2id refused, in practice for want of memory.
    #[error("the passphrase could not be stretched: about 64 MiB of memory is needed")]
    Stretching,
    /// The folder for a backup is there already; what is in it could be another backup.
    #[error("the folder for the backup is there already")]
    BackupThere,
    /// The folder is no backup, or one that was never finished.
    #[error("the folder is no backup: it has no manifest")]
    NoBackup,
    /// The files of the backup are not those that were written.
    #[error("the backup is damaged: its files are not those that its manifest names")]
    BackupDamaged,
    /// A path is not Unicode, which SQLite needs.
    #[error("a path is not Unicode text")]
    PathNotText,
    /// A file operation failed.
    #[error("could not {action}")]
    File {
        /// What was attempted.
        action: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// SQLite failed in a way that has no name of its own here.
    #[error("the database failed with sqlite code {code}")]
    Database {
        /// SQLite's extended result code.
        code: i32,
    },
}

impl VaultError {
    pub(crate) fn file(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, source }
    }
}

/// SQLite's own text is dropped: it may quote a path or a statement.
impl From<rusqlite::Error> for VaultError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error() {
            Some(cause) => match cause.code {
                ErrorCode::DiskFull => Self::DiskFull,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::DatabaseDamaged,
                // Every statement is fixed text: one that no longer compiles met a damaged schema.
                ErrorCode::Unknown if cause.extended_code == SQLITE_ERROR => Self::DatabaseDamaged,
                _ => Self::Database { code: cause.extended_code },
            },
            // A column of the wrong type or size: not written by this crate.
            None => Self::DatabaseDamaged,
        }
    }
}
