//! Renewing a wrapping key: what it wraps moves under a new one of the same id, page by page, and the old one is
//! destroyed, so that rows deleted before are closed in old pages and copies of the database too. Not here: the
//! end of a wrapping key together with all its rows (`destruction`).

use rusqlite::{OptionalExtension, params};

use crate::error::{Result, VaultError};
use crate::range::Space;
use crate::transaction::WriteTransaction;
use crate::vault::Vault;
use crate::wrapping::{KeyName, KeyNumber};

/// Rows that move in one transaction; others may write between two.
const PAGE_ROWS_MAX: usize = 256;
/// Bytes of sealed values after which a page ends: one value may have as many again.
const PAGE_BYTES: usize = 8 << 20;

/// A row that is still under the old key.
struct OldRow {
    id: i64,
    space: Space,
    key: Vec<u8>,
    sealed: Vec<u8>,
}

impl Vault {
    /// Draws a new wrapping key for `id`, moves every row under it, and destroys the former key: rows that were
    /// deleted or overwritten before this call open in no earlier page or copy of the database any more. Nothing
    /// changes for who reads and writes meanwhile. An unknown id is fine.
    ///
    /// The cost grows with the bytes that move, as for writing them. After a crash everything is still there, partly
    /// under the former key: call again.
    ///
    /// # Errors
    /// `WrappingIdLength`, `Corrupt` for a row that does not open, and those of the disk.
    pub fn renew_wrapping_key(&self, id: &[u8]) -> Result<()> {
        let name = self.keys.wrapping_name(id)?;
        // What a crash interrupted: its key is older than what was deleted since.
        self.finish_retired(&name)?;
        if self.retire(&name)?.is_some() {
            self.finish_retired(&name)?;
        }
        Ok(())
    }

    /// From this commit on the name means a new key; rows stay where they are.
    fn retire(&self, name: &KeyName) -> Result<Option<KeyNumber>> {
        let mut writer = self.writer();
        let mut created = None;
        let outcome = self.write_on(&mut writer, |tx| {
            let Some(old) = tx.wrapping_number(name)? else { return Ok(None) };
            tx.retire_wrapping_key(old, name)?;
            let number = tx.insert_wrapping_key(name)?;
            created = Some(number);
            // The file first, then the commit: a number in the database always had its file.
            self.wrapping.create(number, name)?;
            Ok(created)
        });
        if let (Err(_), Some(number)) = (&outcome, created) {
            // A file without a number is also removed on the next opening.
            let _ = self.wrapping.erase(number).and_then(|()| self.wrapping.forget(number));
        }
        outcome
    }

    fn finish_retired(&self, name: &KeyName) -> Result<()> {
        loop {
            let moved = self.write_on(&mut self.writer(), |tx| {
                let Some(old) = tx.retired_number(name)? else { return Ok::<_, VaultError>(None) };
                tx.move_page(old, name).map(|count| Some((old, count)))
            })?;
            match moved {
                None => return Ok(()),
                Some((_, count)) if count > 0 => {}
                Some((old, _)) => self.destroy_numbers(&mut self.writer(), &[old])?,
            }
        }
    }
}

impl WriteTransaction<'_> {
    fn retire_wrapping_key(&mut self, number: KeyNumber, name: &KeyName) -> Result<()> {
        let mut current = self.statement("DELETE FROM wrapping_keys WHERE number = ?1")?;
        self.settled(current.execute([number.0]))?;
        let mut retired = self.statement("INSERT INTO retired_keys (number, name) VALUES (?1, ?2)")?;
        self.settled(retired.execute(params![number.0, name])).map(drop)
    }

    fn retired_number(&self, name: &KeyName) -> Result<Option<KeyNumber>> {
        let mut statement = self.statement("SELECT min(number) FROM retired_keys WHERE name = ?1")?;
        let number = statement.query_row([name], |row| row.get::<_, Option<i64>>(0)).optional();
        Ok(self.settled(number)?.flatten().map(KeyNumber))
    }

    /// Moves some rows from `old` to the present key of `name`; 0 once there are none.
    fn move_page(&mut self, old: KeyNumber, name: &KeyName) -> Result<usize> {
        let new = self.wrapping_number(name)?.ok_or(VaultError::NoWrappingKey)?;
        let rows = self.old_rows(old)?;
        for row in &rows {
            let sealed = self.sealed_anew((row.space, &row.key), (old, new), &row.sealed)?;
            let mut update = self.statement("UPDATE rows SET wrapping = ?2, sealed = ?3 WHERE id = ?1")?;
            self.settled(update.execute(params![row.id, new.0, sealed]))?;
        }
        Ok(rows.len())
    }

    fn old_rows(&self, old: KeyNumber) -> Result<Vec<OldRow>> {
        let mut statement = self.statement("SELECT id, space, key, sealed FROM rows WHERE wrapping = ?1")?;
        let mut rows = self.settled(statement.query([old.0]))?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < PAGE_ROWS_MAX && bytes < PAGE_BYTES {
            let Some(row) = self.settled(rows.next())? else { break };
            let row = OldRow {
                id: self.settled(row.get(0))?,
                space: Space::new(self.settled(row.get(1))?, "a space"),
                key: self.settled(row.get(2))?,
                sealed: self.settled(row.get(3))?,
            };
            bytes += row.sealed.len();
            page.push(row);
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::KeyRange;
    use crate::unlock::Unlock;

    const PULSE: Space = Space::new(1, "pulse");
    const ID: &[u8] = b"grant";

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> (Self, Vault) {
            let place = Self(tempfile::tempdir().unwrap());
            let dir = place.0.path().join("vault");
            let vault = Vault::create(&dir, &place.unlock(), &mut rand::rng()).unwrap();
            vault.create_wrapping_key(ID).unwrap();
            (place, vault)
        }

        fn unlock(&self) -> Unlock {
            Unlock::SecretFile(self.0.path().join("secret"))
        }

        fn open(&self) -> Vault {
            Vault::open(&self.0.path().join("vault"), &self.unlock()).unwrap()
        }

        fn key_files(&self) -> usize {
            std::fs::read_dir(self.0.path().join("vault/wrapping")).unwrap().count()
        }
    }

    fn put(vault: &Vault, rows: u32) {
        vault
            .write(|tx| (0..rows).try_for_each(|row| tx.put_wrapped(ID, PULSE, &row.to_be_bytes(), b"72")))
            .unwrap();
    }

    fn values(vault: &Vault) -> usize {
        let rows = vault.read(|tx| tx.scan(PULSE, &KeyRange::all(), usize::MAX)).unwrap();
        rows.iter().filter(|(_, value)| value.as_slice() == b"72").count()
    }

    #[test]
    fn what_stays_opens_and_an_old_copy_of_what_was_deleted_does_not() {
        let (place, vault) = Place::new();
        put(&vault, 600);
        let old: (i64, Vec<u8>) = vault
            .writer()
            .query_row("SELECT wrapping, sealed FROM rows WHERE key = x'00000000'", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        vault.write(|tx| tx.delete(PULSE, &0_u32.to_be_bytes())).unwrap();
        vault.renew_wrapping_key(ID).unwrap();
        assert_eq!(values(&vault), 599);
        assert_eq!(place.key_files(), 1);
        // As from an earlier page of the database.
        vault
            .writer()
            .execute(
                "INSERT INTO rows (space, key, wrapping, sealed) VALUES (1, x'00000000', ?1, ?2)",
                params![old.0, old.1],
            )
            .unwrap();
        let back = vault.read(|tx| tx.get(PULSE, &0_u32.to_be_bytes()));
        assert!(matches!(back, Err(VaultError::Destroyed { .. })));
    }

    #[test]
    fn a_crash_in_the_middle_loses_nothing_and_the_next_call_ends_it() {
        let (place, vault) = Place::new();
        put(&vault, 600);
        let name = vault.keys.wrapping_name(ID).unwrap();
        vault.retire(&name).unwrap();
        vault
            .write(|tx| {
                let old = tx.retired_number(&name)?.unwrap();
                tx.move_page(old, &name)
            })
            .unwrap();
        drop(vault);
        let vault = place.open();
        assert_eq!((values(&vault), place.key_files()), (600, 2));
        vault.renew_wrapping_key(ID).unwrap();
        assert_eq!((values(&vault), place.key_files()), (600, 1));
    }

    #[test]
    fn a_destruction_in_the_middle_destroys_both() {
        let (place, vault) = Place::new();
        put(&vault, 600);
        let name = vault.keys.wrapping_name(ID).unwrap();
        vault.retire(&name).unwrap();
        vault.destroy_wrapping_key(ID).unwrap();
        assert_eq!((values(&vault), place.key_files()), (0, 0));
        vault.renew_wrapping_key(ID).unwrap();
        assert!(!vault.read(|tx| tx.has_wrapping_key(ID)).unwrap());
    }
}
