//! The life of wrapping keys: created before rows use them, destroyed before rows are deleted, and finished on
//! opening where a crash came between. Not here: the key files themselves (`wrapping`).

use std::collections::HashSet;

use rusqlite::Connection;

use crate::database;
use crate::error::{Result, VaultError};
use crate::transaction::WriteTransaction;
use crate::vault::Vault;
use crate::wrapping::{KeyName, KeyNumber, Leftover};

/// Wrapping keys that can be used no more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UnopenableKeys {
    /// Their files are not there.
    pub missing: usize,
    /// Their files do not open: a disk that forgets, or a hand.
    pub damaged: usize,
}

impl UnopenableKeys {
    /// How many.
    pub const fn count(&self) -> usize {
        self.missing + self.damaged
    }
}

impl Vault {
    /// Makes sure that a wrapping key of this id exists, durably. The id is blinded before it touches the disk.
    ///
    /// After a destruction the same id may be used again, for a new key that opens nothing of the old one.
    ///
    /// # Errors
    /// `WrappingIdLength`, `WrappingKeyDamaged`, and those of the disk.
    pub fn create_wrapping_key(&self, id: &[u8]) -> Result<()> {
        let name = self.keys.wrapping_name(id)?;
        let mut writer = self.writer();
        let mut created = None;
        let outcome = self.change(&mut writer, |tx| {
            if let Some(number) = tx.wrapping_number(&name)? {
                if self.wrapping.is_there(number, &name)? {
                    return Ok(());
                }
                tx.delete_wrapped(number)?;
            }
            let number = tx.insert_wrapping_key(&name)?;
            created = Some(number);
            // The file first, then the commit: a number in the database always had its file.
            self.wrapping.create(number, &name)
        });
        if let (Err(_), Some(number)) = (&outcome, created) {
            // A file without a number is also removed on the next opening.
            let _ = self.wrapping.erase(number).and_then(|()| self.wrapping.forget(number));
        }
        outcome
    }

    /// Destroys a wrapping key: at return nothing that it wrapped can be opened any more, neither here nor in an
    /// earlier copy of the database, and its rows are deleted. Unknown and destroyed ids are fine.
    ///
    /// The key's file is overwritten and removed. A disk that writes elsewhere (flash, copy-on-write, snapshots)
    /// may keep the old block; that block is sealed under the vault key.
    ///
    /// # Errors
    /// Those of the disk. If the deletion of the rows fails (a full disk), the key is destroyed nevertheless; call
    /// again, or open the vault again, to delete them.
    pub fn destroy_wrapping_key(&self, id: &[u8]) -> Result<()> {
        let name = self.keys.wrapping_name(id)?;
        let mut writer = self.writer();
        let numbers = self.change(&mut writer, |tx| tx.wrapping_numbers(&name))?;
        if numbers.is_empty() { Ok(()) } else { self.destroy_numbers(&mut writer, &numbers) }
    }

    /// Destroys keys and their rows; repeatable.
    pub(crate) fn destroy_numbers(&self, writer: &mut Connection, numbers: &[KeyNumber]) -> Result<()> {
        numbers.iter().try_for_each(|number| self.wrapping.erase(*number))?;
        self.change(writer, |tx| numbers.iter().try_for_each(|number| tx.delete_wrapped(*number).map(drop)))?;
        numbers.iter().try_for_each(|number| self.wrapping.forget(*number))?;
        self.empty_log(writer)
    }

    /// Counts the wrapping keys that the database knows and this disk cannot give: missing after a database was
    /// restored from a backup, which never holds wrapping keys, or damaged.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn unopenable_keys(&self) -> Result<UnopenableKeys> {
        let mut writer = self.writer();
        self.change(&mut writer, |tx| Ok(self.find_unopenable(tx)?.1))
    }

    /// Deletes the rows whose wrapping keys are [unopenable](Self::unopenable_keys), for nothing opens them ever
    /// again, and returns how many rows there were. The files of damaged keys are destroyed too, so that their ids
    /// can be used anew.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn delete_unopenable(&self) -> Result<usize> {
        let mut writer = self.writer();
        let (numbers, _) = self.change(&mut writer, |tx| self.find_unopenable(tx))?;
        for number in &numbers {
            self.wrapping.erase(*number)?;
        }
        let deleted = self.change(&mut writer, |tx| {
            numbers.iter().try_fold(0, |deleted, number| Ok(deleted + tx.delete_wrapped(*number)?))
        })?;
        for number in &numbers {
            self.wrapping.forget(*number)?;
        }
        self.empty_log(&writer)?;
        Ok(deleted)
    }

    fn find_unopenable(&self, tx: &WriteTransaction<'_>) -> Result<(Vec<KeyNumber>, UnopenableKeys)> {
        let (mut numbers, mut found) = (Vec::new(), UnopenableKeys::default());
        for (number, name) in tx.wrapping_keys()? {
            match self.wrapping.is_there(number, &name) {
                Ok(true) => continue,
                Ok(false) => found.missing += 1,
                Err(VaultError::WrappingKeyDamaged) => found.damaged += 1,
                Err(error) => return Err(error),
            }
            numbers.push(number);
        }
        Ok((numbers, found))
    }

    /// Finishes what a crash interrupted: destructions, and creations that were never committed.
    pub(crate) fn finish_destructions(&self) -> Result<()> {
        let leftovers = self.wrapping.leftovers()?;
        let mut writer = self.writer();
        let unfinished = self.change(&mut writer, |tx| {
            let known: HashSet<KeyNumber> =
                tx.wrapping_keys()?.into_iter().map(|(number, _): (_, KeyName)| number).collect();
            let unfinished: Vec<_> = leftovers
                .into_iter()
                .filter_map(|leftover| match leftover {
                    Leftover::Gone(number) => Some(number),
                    Leftover::Key(number) => Some(number).filter(|number| !known.contains(number)),
                })
                .collect();
            Ok(unfinished)
        })?;
        if unfinished.is_empty() {
            return Ok(());
        }
        self.destroy_numbers(&mut writer, &unfinished)
    }

    /// Begins, runs and commits with this crate's own errors.
    fn change<T>(
        &self,
        writer: &mut Connection,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T>,
    ) -> Result<T> {
        self.write_on(writer, work)
    }

    fn empty_log(&self, writer: &Connection) -> Result<()> {
        database::empty_log(writer).inspect_err(|_| self.fail())
    }
}
