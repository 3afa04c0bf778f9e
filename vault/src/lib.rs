//! Encrypted local storage for both SDKs, with wrapping keys that can be destroyed.
//!
//! A vault is a folder: a header with the vault key, wrapped under a keychain entry, a passphrase or a secret
//! file; an SQLite database whose values are sealed; and one small file for each wrapping key, outside the
//! database. Destroying that file closes everything under it for ever, in old database pages and backups too; so does
//! renewing it for what was deleted before.
//!
//! ```
//! use sealcare_vault::{KeyRange, Space, Unlock, Vault, VaultError};
//!
//! const GRANTS: Space = Space::new(1, "grants");
//! # let folder = tempfile::tempdir().unwrap();
//! # let (dir, secret) = (folder.path().join("vault"), folder.path().join("vault.secret"));
//! let vault = Vault::create(&dir, &Unlock::SecretFile(secret), &mut rand::rng())?;
//! let key = vault.blind(GRANTS, b"grant 7"); // what would identify somebody is blinded
//! vault.create_wrapping_key(b"grant 7")?;
//! vault.write(|tx| {
//!     tx.put(GRANTS, b"count", b"1")?;
//!     tx.put_wrapped(b"grant 7", GRANTS, &key, b"its records")
//! })?;
//! vault.destroy_wrapping_key(b"grant 7")?; // closed for ever, in every copy of the database
//! let left = vault.read(|tx| tx.scan(GRANTS, &KeyRange::all(), 10))?;
//! assert_eq!(left.len(), 1);
//! # Ok::<(), VaultError>(())
//! ```
//!
//! **What lies on disk in clear:** the numbers of spaces, keys as the caller chose them, the length of each
//! value, and which rows share a wrapping key. **What is detected:** a value changed, moved to another key or
//! put back under another wrapping key; a damaged page or index. **What is not:** the whole database put back to
//! an earlier state by somebody who can write to the disk (values of destroyed keys stay closed then too), and
//! the last commits cut off a log that was damaged after a crash, which SQLite takes for an unfinished write.
//!
//! Here is no network, no clock, no protocol and no knowledge of what a value means.

mod backup;
mod database;
mod destruction;
mod error;
mod files;
mod header;
mod keychain;
mod range;
mod renewal;
mod seal;
mod secret_file;
mod transaction;
mod unlock;
mod vault;
mod wrapping;

pub use backup::BACKUP_FILES;
pub use destruction::UnopenableKeys;
pub use error::{Result, VaultError};
pub use range::{KEY_BYTES_MAX, KeyRange, SCAN_VALUES_MAX, Space, VALUE_BYTES_MAX, WRAPPING_ID_BYTES_MAX};
pub use transaction::{ReadTransaction, Row, WriteTransaction};
pub use unlock::{PASSPHRASE_BYTES_MIN, Unlock};
pub use vault::Vault;
