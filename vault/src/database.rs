//! The SQLite file: settings, tables, and whether it is whole. Not here: what the rows mean (`transaction`).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{Result, VaultError};
use crate::files;
use crate::seal::{Label, SealingKey};

/// Marks the file as a vault's: "seal".
const APPLICATION_ID: i32 = 0x7365_616c;
/// 2 knows of keys that are being renewed.
const SCHEMA_VERSION: i32 = 2;
/// Statements that a connection keeps prepared; there are about 30 different ones.
const STATEMENTS_MAX: usize = 64;
/// How long a checkpoint waits for readers.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// A database up to this size is checked whole whenever it is opened (about 0.1 s); see `Vault::verify`.
const OPEN_CHECK_BYTES_MAX: u64 = 32 * 1_024 * 1_024;

/// Memory for pages, per connection: the upper levels of an index over a million blinded keys.
const CACHE_KIB: i32 = 16 * 1_024;
/// Pages of 4 KiB that the log holds before a commit moves them into the database: 16 MiB.
const LOG_PAGES: i32 = 4_096;

const SCHEMA: &str = include_str!("schema.sql");
/// From version 1, in one transaction.
const UPGRADE: &str = "BEGIN IMMEDIATE;
    CREATE TABLE retired_keys (number INTEGER PRIMARY KEY, name BLOB NOT NULL) STRICT;
    PRAGMA user_version = 2;
    COMMIT;";
const COPY: &str = include_str!("copy.sql");
const IDENTITY: &[u8] = b"this database belongs to this key";

/// Makes a new database that names its vault's key.
pub(crate) fn create(path: &Path, vault_key: &SealingKey) -> Result<()> {
    // Created before SQLite would, for the mode; SQLite gives its log and index the same one.
    drop(files::create_private(path).map_err(VaultError::file("create the vault's database"))?);
    let mut connection = connect(path)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let identity = vault_key.derive(Label::Identity).seal(&[], IDENTITY)?;
    transaction.execute("INSERT INTO identity (sealed) VALUES (?1)", [identity])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    files::sync_dir_of(path).map_err(VaultError::file("sync the vault's folder"))
}

/// Opens the writing connection of an existing database and checks that it is this vault's.
pub(crate) fn open_writer(path: &Path, vault_key: &SealingKey) -> Result<Connection> {
    let bytes = path.metadata().map_err(|_| VaultError::DatabaseDamaged)?.len();
    let connection = connect(path)?;
    let application_id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application_id != APPLICATION_ID {
        return Err(VaultError::DatabaseDamaged);
    }
    if version > SCHEMA_VERSION {
        return Err(VaultError::NewerVersion);
    }
    let identity: Vec<u8> = connection.query_row("SELECT sealed FROM identity", [], |row| row.get(0))?;
    vault_key.derive(Label::Identity).open(&[], &identity).ok_or(VaultError::DatabaseDamaged)?;
    if bytes <= OPEN_CHECK_BYTES_MAX {
        check_structure(&connection)?;
    }
    if version < SCHEMA_VERSION {
        connection.execute_batch(UPGRADE)?;
    }
    Ok(connection)
}

/// Opens the connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", "ON")?;
    Ok(connection)
}

/// SQLite's own check of every page and index entry: a row must not vanish because a bit of an index flipped.
pub(crate) fn check_structure(connection: &Connection) -> Result<()> {
    let verdict: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(VaultError::DatabaseDamaged) }
}

/// Moves the log into the database and empties it, so that deleted rows are not in the log either. Waits for
/// readers for a while; what they still hold goes with the next checkpoint.
pub(crate) fn empty_log(connection: &Connection) -> Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Writes what the database at `path` holds at this moment into a new file, but for wrapping keys' numbers and the rows
/// under them. Waits for no reader or writer, and they wait for nothing. Durable on return.
pub(crate) fn copy_unwrapped(path: &Path, copy: &Path) -> Result<()> {
    // Created before SQLite would, for the mode.
    drop(files::create_private(copy).map_err(VaultError::file("create the copy of the database"))?);
    let source = path.to_str().ok_or(VaultError::PathNotText)?;
    let mut connection = connect(copy)?;
    // No log beside the copy: it is one file.
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.execute("ATTACH ?1 AS source", [source])?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(COPY)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    connection.execute("DETACH source", [])?;
    check_structure(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    files::sync_dir_of(copy).map_err(VaultError::file("sync the folder of the copy"))
}

fn connect(path: &Path) -> Result<Connection> {
    // Without CREATE: a missing database is damage and must not become an empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On Apple fsync alone does not reach the platter.
    connection.pragma_update(None, "fullfsync", "ON")?;
    connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    // Negative is in KiB.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::random_key;

    /// `synchronous` 2 is FULL: each commit is synced. It cannot be seen from outside without cutting the power.
    #[test]
    fn both_connections_are_durable_and_wipe_what_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("vault.db"), random_key().unwrap());
        create(&path, &key).unwrap();
        for connection in [open_writer(&path, &key).unwrap(), open_reader(&path).unwrap()] {
            let setting =
                |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!((setting("synchronous"), setting("secure_delete")), (2, 1));
            let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
        }
        assert!(open_reader(&path).unwrap().execute("DELETE FROM identity", []).is_err());
    }

    #[test]
    fn a_database_of_the_first_version_is_upgraded() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("vault.db"), random_key().unwrap());
        create(&path, &key).unwrap();
        connect(&path).unwrap().execute_batch("DROP TABLE retired_keys; PRAGMA user_version = 1").unwrap();
        drop(open_writer(&path, &key).unwrap());
        let upgraded = open_writer(&path, &key).unwrap();
        upgraded.query_row("SELECT count(*) FROM retired_keys", [], |_| Ok(())).unwrap();
    }

    #[test]
    fn a_newer_schema_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("vault.db"), random_key().unwrap());
        create(&path, &key).unwrap();
        connect(&path).unwrap().pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        assert!(matches!(open_writer(&path, &key), Err(VaultError::NewerVersion)));
    }
}
