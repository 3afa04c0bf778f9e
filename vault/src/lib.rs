//! Encrypted local storage for both SDKs, with wrapping keys that can be destroyed.
//!
//! A vault is a folder: a header with the vault key, wrapped under a keychain entry, a passphrase or a secret
//! file; an SQLite database whose values are sealed; and one small file for each wrapping key, outside the
//! database. Destroying that file closes everything under it for ever, in old database pages and backups too.
//! Here is no network, no clock, no protocol and no knowledge of what a value means.

mod database;
mod destruction;
mod error;
mod files;
mod header;
mod keychain;
mod range;
mod seal;
mod secret_file;
mod transaction;
mod unlock;
mod vault;
mod wrapping;

pub use error::{Result, VaultError};
pub use range::{KEY_BYTES_MAX, KeyRange, SCAN_VALUES_MAX, Space, VALUE_BYTES_MAX, WRAPPING_ID_BYTES_MAX};
pub use transaction::{ReadTransaction, Row, WriteTransaction};
pub use unlock::{PASSPHRASE_BYTES_MIN, Unlock};
pub use vault::Vault;
