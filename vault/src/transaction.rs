//! What can be done inside a transaction: read rows, and in a writing one change them. Not here: begin, commit
//! and failure (`vault`).

use std::cell::Cell;
use std::ops::Deref;

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, params, params_from_iter};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::range::{Edge, KEY_BYTES_MAX, KeyRange, SCAN_VALUES_MAX, Space, VALUE_BYTES_MAX};
use crate::seal::SealingKey;
use crate::vault::Keys;
use crate::wrapping::{KeyName, KeyNumber, WrappingKeys};

/// A key and its opened value, as a scan returns them.
pub type Row = (Vec<u8>, Zeroizing<Vec<u8>>);

/// A view of the vault at one moment.
pub struct ReadTransaction<'v> {
    connection: &'v Connection,
    keys: &'v Keys,
    wrapping: &'v WrappingKeys,
    trouble: Cell<Trouble>,
}

/// Whether SQLite failed inside the transaction: it may have rolled back by itself, and what followed would then
/// be committed alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    None,
    Statement,
    Disk,
}

/// A transaction that changes the vault: all of it or nothing.
pub struct WriteTransaction<'v>(ReadTransaction<'v>);

impl<'v> ReadTransaction<'v> {
    pub(crate) fn new(connection: &'v Connection, keys: &'v Keys, wrapping: &'v WrappingKeys) -> Self {
        Self { connection, keys, wrapping, trouble: Cell::new(Trouble::None) }
    }

    pub(crate) fn trouble(&self) -> Trouble {
        self.trouble.get()
    }

    /// The value of a key, if there is one.
    ///
    /// # Errors
    /// `Corrupt` if it is not what was put there, `Destroyed` if its wrapping key is gone.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>> {
        check_key(key)?;
        let mut statement =
            self.statement("SELECT wrapping, sealed FROM rows WHERE space = ?1 AND key = ?2")?;
        let row = statement
            .query_row(params![space.number(), key], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional();
        match self.settled(row)? {
            None => Ok(None),
            Some((wrapping, sealed)) => self.open(space, key, wrapping, &sealed).map(Some),
        }
    }

    /// The rows of a range in ascending order of their keys, `limit` or [`SCAN_VALUES_MAX`] at most.
    ///
    /// # Errors
    /// As for [`Self::get`], for any of them.
    pub fn scan(&self, space: Space, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        self.scan_in_order(space, range, limit, "ASC")
    }

    /// The rows of a range in descending order of their keys, `limit` or [`SCAN_VALUES_MAX`] at most.
    ///
    /// # Errors
    /// As for [`Self::get`], for any of them.
    pub fn scan_descending(&self, space: Space, range: &KeyRange, limit: usize) -> Result<Vec<Row>> {
        self.scan_in_order(space, range, limit, "DESC")
    }

    /// How many rows a range has. Opens none; the cost grows with their number.
    ///
    /// # Errors
    /// Those of the database.
    pub fn count(&self, space: Space, range: &KeyRange) -> Result<u64> {
        let mut statement =
            self.statement(&format!("SELECT count(*) FROM rows WHERE {}", condition(range)))?;
        let count = statement.query_row(params_from_iter(bounds(space, range)), |row| row.get(0));
        let count: i64 = self.settled(count)?;
        u64::try_from(count).map_err(|_| VaultError::DatabaseDamaged)
    }

    /// Whether a wrapping key of this id exists and is not destroyed.
    ///
    /// # Errors
    /// `WrappingIdLength`, `WrappingKeyDamaged`, and those of the database.
    pub fn has_wrapping_key(&self, id: &[u8]) -> Result<bool> {
        let name = self.keys.wrapping_name(id)?;
        match self.wrapping_number(&name)? {
            None => Ok(false),
            Some(number) => self.wrapping.is_there(number, &name),
        }
    }

    /// Opens every row and returns how many there are; rows of destroyed keys are passed over.
    pub(crate) fn verify(&self, spaces: &[Space]) -> Result<u64> {
        let mut statement = self.statement("SELECT space, key, wrapping, sealed FROM rows")?;
        let mut rows = self.settled(statement.query([]))?;
        let mut count = 0;
        while let Some(row) = self.settled(rows.next())? {
            let number: u16 = self.settled(row.get(0))?;
            let key: Vec<u8> = self.settled(row.get(1))?;
            let sealed: Vec<u8> = self.settled(row.get(3))?;
            let named = spaces.iter().copied().find(|space| space.number() == number);
            let space = named.unwrap_or(Space::new(number, "another space"));
            match self.open(space, &key, self.settled(row.get(2))?, &sealed) {
                Ok(_) | Err(VaultError::Destroyed { .. }) => count += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    pub(crate) fn wrapping_keys(&self) -> Result<Vec<(KeyNumber, KeyName)>> {
        let mut statement = self.statement(
            "SELECT number, name FROM wrapping_keys UNION ALL SELECT number, name FROM retired_keys",
        )?;
        let rows = statement.query_map([], |row| Ok((KeyNumber(row.get(0)?), row.get(1)?)));
        self.settled(rows.and_then(Iterator::collect))
    }

    pub(crate) fn wrapping_number(&self, name: &KeyName) -> Result<Option<KeyNumber>> {
        let mut statement = self.statement("SELECT number FROM wrapping_keys WHERE name = ?1")?;
        let number = statement.query_row([name], |row| row.get(0)).optional();
        Ok(self.settled(number)?.map(KeyNumber))
    }

    /// The present key of a name, and those that are retired.
    pub(crate) fn wrapping_numbers(&self, name: &KeyName) -> Result<Vec<KeyNumber>> {
        let mut statement = self.statement(
            "SELECT number FROM wrapping_keys WHERE name = ?1
             UNION ALL SELECT number FROM retired_keys WHERE name = ?1",
        )?;
        let rows = statement.query_map([name], |row| row.get(0).map(KeyNumber));
        self.settled(rows.and_then(Iterator::collect))
    }

    fn scan_in_order(&self, space: Space, range: &KeyRange, limit: usize, order: &str) -> Result<Vec<Row>> {
        let mut statement = self.statement(&format!(
            "SELECT key, wrapping, sealed FROM rows WHERE {} ORDER BY key {order}",
            condition(range)
        ))?;
        let mut rows = self.settled(statement.query(params_from_iter(bounds(space, range))))?;
        let mut found = Vec::new();
        while found.len() < limit.min(SCAN_VALUES_MAX) {
            let Some(row) = self.settled(rows.next())? else { break };
            let key: Vec<u8> = self.settled(row.get(0))?;
            let sealed: Vec<u8> = self.settled(row.get(2))?;
            let value = self.open(space, &key, self.settled(row.get(1))?, &sealed)?;
            found.push((key, value));
        }
        Ok(found)
    }

    fn open(
        &self,
        space: Space,
        key: &[u8],
        wrapping: Option<i64>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let corrupt = VaultError::Corrupt { space: space.name() };
        let Some(number) = wrapping.map(KeyNumber) else {
            return self.keys.rows.open(&row_context(space, None, key), sealed).ok_or(corrupt);
        };
        let context = row_context(space, Some(number), key);
        self.with_key(space, number, |wrapped| wrapped.open(&context, sealed))?.ok_or(corrupt)
    }

    /// A wrapped value, re-sealed for another key.
    pub(crate) fn sealed_anew(
        &self,
        (space, key): (Space, &[u8]),
        (old, new): (KeyNumber, KeyNumber),
        sealed: &[u8],
    ) -> Result<Vec<u8>> {
        let value = self.open(space, key, Some(old.0), sealed)?;
        let context = row_context(space, Some(new), key);
        self.with_key(space, new, |wrapped| wrapped.seal(&context, &value))?
    }

    fn with_key<T>(&self, space: Space, number: KeyNumber, work: impl FnOnce(&SealingKey) -> T) -> Result<T> {
        let used = self.wrapping.with(number, || self.wrapping_name(number), work)?;
        used.ok_or(VaultError::Destroyed { space: space.name() })
    }

    fn wrapping_name(&self, number: KeyNumber) -> Result<Option<KeyName>> {
        let mut statement = self.statement(
            "SELECT name FROM wrapping_keys WHERE number = ?1
             UNION ALL SELECT name FROM retired_keys WHERE number = ?1",
        )?;
        let name = statement.query_row([number.0], |row| row.get(0)).optional();
        self.settled(name)
    }

    pub(crate) fn statement(&self, sql: &str) -> Result<CachedStatement<'_>> {
        if self.trouble.get() != Trouble::None {
            return Err(VaultError::Aborted);
        }
        self.settled(self.connection.prepare_cached(sql))
    }

    /// Notes a failure of SQLite, so that nothing is committed after it.
    pub(crate) fn settled<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| {
            let on_disk = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
            if on_disk {
                self.trouble.set(Trouble::Disk);
            } else if self.trouble.get() == Trouble::None {
                self.trouble.set(Trouble::Statement);
            }
            error.into()
        })
    }
}

impl<'v> WriteTransaction<'v> {
    pub(crate) fn new(connection: &'v Connection, keys: &'v Keys, wrapping: &'v WrappingKeys) -> Self {
        Self(ReadTransaction::new(connection, keys, wrapping))
    }

    /// Puts a value, in place of what was there.
    ///
    /// # Errors
    /// `KeyTooLong`, `ValueTooLong`, `DiskFull`, and those of the database.
    pub fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<()> {
        check_key(key)?;
        check_value(value)?;
        let sealed = self.keys.rows.seal(&row_context(space, None, key), value)?;
        self.put_sealed(space, key, None, &sealed)
    }

    /// Puts a value that opens only as long as the wrapping key `id` is not destroyed; destroying it deletes the
    /// row. Read it with `get` and `scan` like any other.
    ///
    /// # Errors
    /// `NoWrappingKey` unless `Vault::create_wrapping_key` made it; else as for [`Self::put`].
    pub fn put_wrapped(&mut self, id: &[u8], space: Space, key: &[u8], value: &[u8]) -> Result<()> {
        check_key(key)?;
        check_value(value)?;
        let name = self.keys.wrapping_name(id)?;
        let number = self.wrapping_number(&name)?.ok_or(VaultError::NoWrappingKey)?;
        let context = row_context(space, Some(number), key);
        let sealed = self
            .wrapping
            .with(number, || Ok(Some(name)), |wrapped| wrapped.seal(&context, value))?
            .ok_or(VaultError::NoWrappingKey)??;
        self.put_sealed(space, key, Some(number), &sealed)
    }

    /// Deletes a row and says whether there was one.
    ///
    /// # Errors
    /// `KeyTooLong`, and those of the database.
    pub fn delete(&mut self, space: Space, key: &[u8]) -> Result<bool> {
        check_key(key)?;
        let mut statement = self.statement("DELETE FROM rows WHERE space = ?1 AND key = ?2")?;
        let deleted = self.settled(statement.execute(params![space.number(), key]))?;
        Ok(deleted > 0)
    }

    /// Deletes the rows of a range and returns how many there were.
    ///
    /// # Errors
    /// Those of the database.
    pub fn delete_range(&mut self, space: Space, range: &KeyRange) -> Result<usize> {
        let mut statement = self.statement(&format!("DELETE FROM rows WHERE {}", condition(range)))?;
        self.settled(statement.execute(params_from_iter(bounds(space, range))))
    }

    /// Deletes every row whose key begins with `prefix` and returns how many there were.
    ///
    /// # Errors
    /// Those of the database.
    pub fn delete_prefix(&mut self, space: Space, prefix: &[u8]) -> Result<usize> {
        self.delete_range(space, &KeyRange::prefix(prefix))
    }

    pub(crate) fn insert_wrapping_key(&mut self, name: &KeyName) -> Result<KeyNumber> {
        let mut statement = self.statement("INSERT INTO wrapping_keys (name) VALUES (?1)")?;
        self.settled(statement.insert([name])).map(KeyNumber)
    }

    /// Deletes a wrapping key's number and all rows under it; returns how many rows.
    pub(crate) fn delete_wrapped(&mut self, number: KeyNumber) -> Result<usize> {
        let mut rows = self.statement("DELETE FROM rows WHERE wrapping = ?1")?;
        let deleted = self.settled(rows.execute([number.0]))?;
        let mut key = self.statement("DELETE FROM wrapping_keys WHERE number = ?1")?;
        self.settled(key.execute([number.0]))?;
        let mut retired = self.statement("DELETE FROM retired_keys WHERE number = ?1")?;
        self.settled(retired.execute([number.0]))?;
        Ok(deleted)
    }

    fn put_sealed(
        &mut self,
        space: Space,
        key: &[u8],
        wrapping: Option<KeyNumber>,
        sealed: &[u8],
    ) -> Result<()> {
        let mut statement = self.statement(
            "INSERT INTO rows (space, key, wrapping, sealed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (space, key) DO UPDATE SET wrapping = excluded.wrapping, sealed = excluded.sealed",
        )?;
        let wrapping = wrapping.map(|number| number.0);
        self.settled(statement.execute(params![space.number(), key, wrapping, sealed]))?;
        Ok(())
    }
}

/// What can be read can be read while writing too.
impl<'v> Deref for WriteTransaction<'v> {
    type Target = ReadTransaction<'v>;

    fn deref(&self) -> &ReadTransaction<'v> {
        &self.0
    }
}

/// What a value is bound to, so that one moved to another row does not open there.
fn row_context(space: Space, wrapping: Option<KeyNumber>, key: &[u8]) -> Vec<u8> {
    let wrapping = wrapping.map_or(0, |number| number.0);
    [&space.number().to_be_bytes()[..], &wrapping.to_be_bytes(), key].concat()
}

fn condition(range: &KeyRange) -> String {
    let lower = match range.lower().1 {
        Edge::Included => "key >= ?2",
        Edge::Excluded => "key > ?2",
    };
    let upper = match range.upper() {
        None => "",
        Some((_, Edge::Included)) => " AND key <= ?3",
        Some((_, Edge::Excluded)) => " AND key < ?3",
    };
    format!("space = ?1 AND {lower}{upper}")
}

fn bounds<'r>(space: Space, range: &'r KeyRange) -> Vec<rusqlite::types::ToSqlOutput<'r>> {
    use rusqlite::types::{ToSqlOutput, ValueRef};
    let blob = |key: &'r [u8]| ToSqlOutput::Borrowed(ValueRef::Blob(key));
    let mut bounds = vec![ToSqlOutput::from(space.number()), blob(range.lower().0)];
    bounds.extend(range.upper().map(|(key, _)| blob(key)));
    bounds
}

fn check_key(key: &[u8]) -> Result<()> {
    if key.len() > KEY_BYTES_MAX { Err(VaultError::KeyTooLong) } else { Ok(()) }
}

fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > VALUE_BYTES_MAX { Err(VaultError::ValueTooLong) } else { Ok(()) }
}
