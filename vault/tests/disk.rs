//! What lies on the disk: nothing readable, private modes, and damage that is named.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sealcare_vault::{KeyRange, Space, Unlock, UnopenableKeys, Vault, VaultError};
use tempfile::TempDir;

const PULSE: Space = Space::new(1, "pulse");
const NAMES: Space = Space::new(2, "names");
const ROWS: u32 = 60;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    fn unlock(&self) -> Unlock {
        Unlock::SecretFile(self.folder.path().join("secret"))
    }

    fn create(&self) -> Vault {
        Vault::create(&self.dir(), &self.unlock(), &mut rand::rng()).unwrap()
    }

    fn open(&self) -> Result<Vault, VaultError> {
        Vault::open(&self.dir(), &self.unlock())
    }

    /// A vault with [`ROWS`] rows, every third under a wrapping key.
    fn filled(&self) -> Vault {
        let vault = self.create();
        vault.create_wrapping_key(b"grant of ana").unwrap();
        let fill = vault.write(|tx| {
            for row in 0..ROWS {
                let key = vault.blind(PULSE, &row.to_be_bytes());
                match row % 3 {
                    0 => tx.put_wrapped(b"grant of ana", PULSE, &key, &content(row))?,
                    _ => tx.put(PULSE, &key, &content(row))?,
                }
            }
            Ok::<_, VaultError>(())
        });
        fill.unwrap();
        vault
    }

    /// Runs SQL on the closed vault's database, as somebody with the disk could.
    fn tamper(&self, sql: &str) {
        let database = Connection::open(self.dir().join("vault.db")).unwrap();
        database.execute_batch(sql).unwrap();
    }
}

fn content(row: u32) -> Vec<u8> {
    format!("heart rate {row} /min of Ana Example").into_bytes()
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_under(&path)) } else { found.push(path) }
    }
    found
}

fn hits(dir: &Path, needle: &[u8]) -> usize {
    let contains = |path: &PathBuf| fs::read(path).unwrap().windows(needle.len()).any(|w| w == needle);
    files_under(dir).iter().filter(|path| contains(path)).count()
}

fn copy_database(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["header", "vault.db", "vault.db-wal"] {
        let _ = fs::remove_file(to.join(name));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[test]
fn nothing_put_is_readable_in_any_file() {
    let place = Place::new();
    let vault = place.filled();
    vault.write(|tx| tx.put(NAMES, b"planted in clear", b"x")).unwrap();
    for _ in ["in the log", "in the database"] {
        assert!(hits(&place.dir(), b"planted in clear") > 0, "the search finds what is there");
        for needle in [&b"heart rate"[..], b"Ana Example", b"grant of ana"] {
            assert_eq!(hits(&place.dir(), needle), 0);
        }
        assert_eq!(vault.verify(&[PULSE, NAMES]).unwrap(), u64::from(ROWS) + 1);
        vault.create_wrapping_key(b"other").unwrap();
        vault.destroy_wrapping_key(b"other").unwrap();
    }
}

#[cfg(unix)]
#[test]
fn every_file_and_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let _vault = place.filled();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = files_under(&place.dir());
    assert!(files.len() >= 6, "header, lock, database, log, index and a key");
    assert!(files.iter().all(|path| mode(path) == 0o600));
    assert_eq!(mode(&place.dir()), 0o700);
    assert_eq!(mode(&place.dir().join("wrapping")), 0o700);
}

#[test]
fn a_value_moved_to_another_row_is_corrupt() {
    let swap = "UPDATE rows SET sealed = (SELECT sealed FROM rows WHERE key = x'62') WHERE key = x'61'";
    for sql in
        [swap, "UPDATE rows SET space = 2", "UPDATE rows SET wrapping = NULL", "UPDATE rows SET key = x'63'"]
    {
        let place = Place::new();
        let vault = place.create();
        vault.create_wrapping_key(b"id").unwrap();
        vault.write(|tx| tx.put_wrapped(b"id", PULSE, b"a", b"1")).unwrap();
        if sql == swap {
            vault.write(|tx| tx.put_wrapped(b"id", PULSE, b"b", b"2")).unwrap();
        }
        drop(vault);
        place.tamper(sql);
        let vault = place.open().unwrap();
        let found = vault.read(|tx| {
            tx.scan(PULSE, &KeyRange::all(), 10)?;
            tx.scan(NAMES, &KeyRange::all(), 10)
        });
        assert!(matches!(found, Err(VaultError::Corrupt { space: "pulse" | "names" })), "{sql}");
        assert!(matches!(vault.verify(&[PULSE, NAMES]), Err(VaultError::Corrupt { .. })), "{sql}");
    }
}

#[test]
fn every_flipped_bit_of_the_header_is_named() {
    let place = Place::new();
    drop(place.create());
    let path = place.dir().join("header");
    let good = fs::read(&path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        assert!(matches!(place.open(), Err(VaultError::HeaderDamaged)), "bit {bit}");
    }
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        assert!(matches!(place.open(), Err(VaultError::HeaderDamaged)), "{len} bytes");
    }
    fs::write(&path, good).unwrap();
    place.open().unwrap();
}

#[test]
fn a_flipped_bit_of_the_database_is_named_or_harmless() {
    const FLIPS: usize = 400;
    let place = Place::new();
    drop(place.filled());
    let path = place.dir().join("vault.db");
    let good = fs::read(&path).unwrap();
    let mut named = 0;
    for flip in 0..FLIPS {
        let bit = (flip * 0x9e37_79b1) % (good.len() * 8);
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        let read = place.open().and_then(|vault| {
            for row in 0..ROWS {
                let key = vault.blind(PULSE, &row.to_be_bytes());
                let value = vault.read(|tx| tx.get(PULSE, &key))?.expect("a row vanished unnoticed");
                assert_eq!(value.as_slice(), content(row));
            }
            Ok(())
        });
        for name in ["vault.db-wal", "vault.db-shm"] {
            let _ = fs::remove_file(place.dir().join(name));
        }
        match read {
            Ok(()) => {}
            Err(
                VaultError::Corrupt { space: "pulse" | "another space" }
                | VaultError::DatabaseDamaged
                | VaultError::Destroyed { .. }
                | VaultError::NewerVersion
                | VaultError::WrappingKeyDamaged,
            ) => named += 1,
            Err(other) => panic!("bit {bit}: {other}"),
        }
    }
    // The others hit free space of a small database.
    assert!(named > FLIPS / 5, "only {named} of {FLIPS} were noticed");
}

#[test]
fn a_missing_cut_or_foreign_database_is_damage() {
    let (place, other) = (Place::new(), Place::new());
    drop(place.create());
    drop(other.create());
    let path = place.dir().join("vault.db");
    let good = fs::read(&path).unwrap();
    fs::copy(other.dir().join("vault.db"), &path).unwrap();
    assert!(matches!(place.open(), Err(VaultError::DatabaseDamaged)));
    for len in [0, 1, 100, 4_096, good.len() - 4_096] {
        fs::write(&path, &good[..len]).unwrap();
        assert!(matches!(place.open(), Err(VaultError::DatabaseDamaged)), "{len} bytes");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(place.open(), Err(VaultError::DatabaseDamaged)));
}

#[test]
fn a_destroyed_wrapping_key_closes_earlier_copies_of_the_database() {
    let place = Place::new();
    let vault = place.filled();
    let copy = place.folder.path().join("copy");
    drop(vault);
    copy_database(&place.dir(), &copy);
    let key_file = files_under(&place.dir().join("wrapping")).pop().unwrap();
    let key_bytes = fs::read(&key_file).unwrap();
    let vault = place.open().unwrap();
    let wrapped = vault.blind(PULSE, &0_u32.to_be_bytes());
    assert!(vault.read(|tx| tx.get(PULSE, &wrapped)).unwrap().is_some());

    vault.destroy_wrapping_key(b"grant of ana").unwrap();
    assert!(vault.read(|tx| tx.get(PULSE, &wrapped)).unwrap().is_none());
    assert_eq!(vault.read(|tx| tx.count(PULSE, &KeyRange::all())).unwrap(), u64::from(ROWS - ROWS / 3));
    assert_eq!(fs::metadata(place.dir().join("vault.db-wal")).unwrap().len(), 0);
    assert_eq!(hits(&place.dir(), &key_bytes), 0);
    drop(vault);

    copy_database(&copy, &place.dir());
    let vault = place.open().unwrap();
    let closed = vault.read(|tx| tx.get(PULSE, &wrapped));
    assert!(matches!(closed, Err(VaultError::Destroyed { space: "pulse" })));
    assert!(!vault.read(|tx| tx.has_wrapping_key(b"grant of ana")).unwrap());
    drop(vault);

    // The control: with the file the same copy opens, so it was the file that closed it.
    fs::write(&key_file, &key_bytes).unwrap();
    let vault = place.open().unwrap();
    assert_eq!(vault.read(|tx| tx.get(PULSE, &wrapped)).unwrap().unwrap().as_slice(), content(0));
    fs::remove_file(&key_file).unwrap();
    drop(vault);
    let vault = place.open().unwrap();
    assert_eq!(vault.delete_unopenable().unwrap(), ROWS as usize / 3);
    assert!(vault.read(|tx| tx.get(PULSE, &wrapped)).unwrap().is_none());
}

#[test]
fn a_restored_database_takes_a_new_key_for_an_old_id() {
    let place = Place::new();
    drop(place.filled());
    fs::remove_dir_all(place.dir().join("wrapping")).unwrap();
    let vault = place.open().unwrap();
    let rows = || vault.read(|tx| tx.count(PULSE, &KeyRange::all())).unwrap();
    assert_eq!(rows(), u64::from(ROWS), "what might come back is not deleted unasked");
    assert_eq!(vault.verify(&[PULSE]).unwrap(), u64::from(ROWS));
    vault.create_wrapping_key(b"grant of ana").unwrap();
    assert_eq!(rows(), u64::from(ROWS - ROWS / 3));
    vault.write(|tx| tx.put_wrapped(b"grant of ana", NAMES, b"k", b"new")).unwrap();
    assert_eq!(vault.read(|tx| tx.get(NAMES, b"k")).unwrap().unwrap().as_slice(), b"new");
}

#[test]
fn an_id_used_again_opens_nothing_of_its_past() {
    let place = Place::new();
    let vault = place.create();
    let put = |value: &[u8]| vault.write(|tx| tx.put_wrapped(b"id", PULSE, b"k", value));
    assert!(matches!(put(b"1"), Err(VaultError::NoWrappingKey)));
    vault.create_wrapping_key(b"id").unwrap();
    put(b"1").unwrap();
    vault.create_wrapping_key(b"id").unwrap();
    assert_eq!(vault.read(|tx| tx.get(PULSE, b"k")).unwrap().unwrap().as_slice(), b"1");
    vault.destroy_wrapping_key(b"id").unwrap();
    vault.destroy_wrapping_key(b"id").unwrap();
    assert!(matches!(put(b"2"), Err(VaultError::NoWrappingKey)));
    vault.create_wrapping_key(b"id").unwrap();
    assert!(vault.read(|tx| tx.get(PULSE, b"k")).unwrap().is_none());
    put(b"3").unwrap();
    assert_eq!(vault.read(|tx| tx.get(PULSE, b"k")).unwrap().unwrap().as_slice(), b"3");
}

#[test]
fn an_interrupted_destruction_is_finished_on_opening() {
    let place = Place::new();
    drop(place.filled());
    let key_file = files_under(&place.dir().join("wrapping")).pop().unwrap();
    // As after a crash right behind the first step.
    fs::rename(&key_file, key_file.with_extension("gone")).unwrap();
    // And a key whose creation was never committed, with half a file beside.
    fs::write(place.dir().join("wrapping/00000000000000ff.key"), b"never committed").unwrap();
    fs::write(place.dir().join("wrapping/00000000000000fe.new"), b"half").unwrap();
    let vault = place.open().unwrap();
    assert_eq!(vault.read(|tx| tx.count(PULSE, &KeyRange::all())).unwrap(), u64::from(ROWS - ROWS / 3));
    assert_eq!(files_under(&place.dir().join("wrapping")), Vec::<PathBuf>::new());
}

#[test]
fn a_damaged_wrapping_key_is_named_and_can_still_be_destroyed() {
    let place = Place::new();
    drop(place.filled());
    let key_file = files_under(&place.dir().join("wrapping")).pop().unwrap();
    let mut bytes = fs::read(&key_file).unwrap();
    bytes[40] ^= 1;
    fs::write(&key_file, bytes).unwrap();
    let vault = place.open().unwrap();
    assert!(matches!(vault.verify(&[PULSE]), Err(VaultError::WrappingKeyDamaged)));
    assert!(matches!(vault.create_wrapping_key(b"grant of ana"), Err(VaultError::WrappingKeyDamaged)));
    vault.destroy_wrapping_key(b"grant of ana").unwrap();
    assert_eq!(vault.verify(&[PULSE]).unwrap(), u64::from(ROWS - ROWS / 3));
}

#[test]
fn what_a_damaged_key_wrapped_can_be_given_up_and_its_id_used_again() {
    let place = Place::new();
    drop(place.filled());
    let key_file = files_under(&place.dir().join("wrapping")).pop().unwrap();
    fs::write(&key_file, b"cut").unwrap();
    let vault = place.open().unwrap();
    assert_eq!(vault.unopenable_keys().unwrap(), UnopenableKeys { missing: 0, damaged: 1 });
    assert_eq!(vault.delete_unopenable().unwrap(), ROWS as usize / 3);
    assert_eq!(vault.unopenable_keys().unwrap().count(), 0);
    assert_eq!(vault.verify(&[PULSE]).unwrap(), u64::from(ROWS - ROWS / 3));
    vault.create_wrapping_key(b"grant of ana").unwrap();
    assert!(vault.read(|tx| tx.has_wrapping_key(b"grant of ana")).unwrap());
}
