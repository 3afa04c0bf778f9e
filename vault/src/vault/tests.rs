use std::path::PathBuf;

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::range::KeyRange;

const PULSE: Space = Space::new(1, "pulse");

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

    fn open(&self) -> Result<Vault> {
        Vault::open(&self.dir(), &self.unlock())
    }
}

fn value(vault: &Vault, key: &[u8]) -> Option<Vec<u8>> {
    vault.read(|tx| tx.get(PULSE, key)).unwrap().map(|value| value.to_vec())
}

/// Makes every commit that puts a row fail, as a disk would.
fn break_commits(vault: &Vault) {
    let broken = "PRAGMA foreign_keys = ON;
        CREATE TABLE whole (id INTEGER PRIMARY KEY);
        CREATE TABLE part (whole INTEGER REFERENCES whole DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER breaking AFTER INSERT ON rows BEGIN INSERT INTO part VALUES (1); END;";
    vault.writer().execute_batch(broken).unwrap();
}

#[test]
fn values_are_there_after_reopening() {
    let place = Place::new();
    let vault = place.create();
    vault.write(|tx| tx.put(PULSE, b"k", b"72 /min")).unwrap();
    drop(vault);
    assert!(Vault::exists(&place.dir()));
    assert_eq!(value(&place.open().unwrap(), b"k").unwrap(), b"72 /min");
}

#[test]
fn an_error_or_a_panic_leaves_nothing_behind() {
    let place = Place::new();
    let vault = place.create();
    let refused: Result<()> = vault.write(|tx| {
        tx.put(PULSE, b"k", b"1")?;
        Err(VaultError::NoWrappingKey)
    });
    assert!(refused.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        vault.write(|tx| {
            tx.put(PULSE, b"k", b"1")?;
            std::panic::panic_any("in the middle");
            #[allow(unreachable_code, reason = "gives the closure its type")]
            Ok::<_, VaultError>(())
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(value(&vault, b"k"), None);
    vault.write(|tx| tx.put(PULSE, b"k", b"2")).unwrap();
}

#[test]
fn after_a_failed_commit_the_vault_is_failed_until_reopened() {
    let place = Place::new();
    let vault = place.create();
    vault.write(|tx| tx.put(PULSE, b"before", b"1")).unwrap();
    break_commits(&vault);
    assert!(matches!(vault.write(|tx| tx.put(PULSE, b"k", b"1")), Err(VaultError::Database { .. })));
    assert!(matches!(vault.write(|_| Ok::<_, VaultError>(())), Err(VaultError::Failed)));
    assert!(matches!(vault.read(|tx| tx.get(PULSE, b"before")), Err(VaultError::Failed)));
    assert!(matches!(vault.create_wrapping_key(b"id"), Err(VaultError::Failed)));
    drop(vault);
    let vault = place.open().unwrap();
    assert_eq!(value(&vault, b"before").unwrap(), b"1");
    assert_eq!(value(&vault, b"k"), None);
}

#[test]
fn a_swallowed_failure_is_not_committed_and_a_full_disk_is_survived() {
    let place = Place::new();
    let vault = place.create();
    vault.writer().pragma_update(None, "max_page_count", 20).unwrap();
    let outcome = vault.write(|tx| {
        tx.put(PULSE, b"small", b"1")?;
        let full = tx.put(PULSE, b"large", &vec![7; 1_000_000]);
        assert!(matches!(full, Err(VaultError::DiskFull)));
        assert!(matches!(tx.put(PULSE, b"late", b"1"), Err(VaultError::Aborted)));
        Ok::<_, VaultError>(())
    });
    assert!(matches!(outcome, Err(VaultError::Aborted)));
    assert_eq!(vault.read(|tx| tx.count(PULSE, &KeyRange::all())).unwrap(), 0);
    vault.write(|tx| tx.put(PULSE, b"small", b"1")).unwrap();
}

#[test]
fn wrong_and_other_ways_to_unlock_are_named() {
    let place = Place::new();
    let passphrase = |text: &str| Unlock::Passphrase(Zeroizing::new(text.to_owned()));
    let create = |unlock: &Unlock| Vault::create(&place.dir(), unlock, &mut rand::rng());
    assert!(matches!(create(&passphrase("short")), Err(VaultError::PassphraseTooShort)));
    drop(create(&passphrase("correct horse")).unwrap());
    let open = |unlock: &Unlock| Vault::open(&place.dir(), unlock);
    assert!(matches!(open(&passphrase("incorrect horse")), Err(VaultError::WrongKey)));
    assert!(matches!(open(&place.unlock()), Err(VaultError::OtherUnlock { expected: "a passphrase" })));
    open(&passphrase("correct horse")).unwrap();
}

#[test]
fn a_second_opening_is_refused_and_creating_never_replaces() {
    let place = Place::new();
    assert!(matches!(place.open(), Err(VaultError::NotThere)));
    let vault = place.create();
    assert!(matches!(place.open(), Err(VaultError::InUse)));
    drop(vault);
    let again = Vault::create(&place.dir(), &place.unlock(), &mut rand::rng());
    assert!(matches!(again, Err(VaultError::AlreadyThere)));
    place.open().unwrap();
}

#[test]
fn an_unfinished_creation_is_redone_but_a_lost_header_is_not_replaced() {
    let place = Place::new();
    drop(place.create());
    std::fs::remove_file(place.dir().join(HEADER_FILE)).unwrap();
    assert!(matches!(place.open(), Err(VaultError::HeaderMissing)));
    let again = Vault::create(&place.dir(), &place.unlock(), &mut rand::rng());
    assert!(matches!(again, Err(VaultError::HeaderMissing)));
    std::fs::write(place.dir().join(UNFINISHED_FILE), b"").unwrap();
    assert!(matches!(place.open(), Err(VaultError::NotThere)));
    drop(place.create());
    assert!(!place.dir().join(UNFINISHED_FILE).exists());
}

#[test]
fn blinded_names_differ_by_space_vault_and_id() {
    let (one, other) = (Place::new(), Place::new());
    let (one, other) = (one.create(), other.create());
    assert_eq!(one.blind(PULSE, b"ana"), one.blind(PULSE, b"ana"));
    assert_ne!(one.blind(PULSE, b"ana"), one.blind(PULSE, b"ben"));
    assert_ne!(one.blind(PULSE, b"ana"), one.blind(Space::new(2, "other"), b"ana"));
    assert_ne!(one.blind(PULSE, b"ana"), other.blind(PULSE, b"ana"));
}

#[test]
fn a_reader_sees_one_moment_while_a_writer_commits() {
    let place = Place::new();
    let vault = place.create();
    vault.write(|tx| tx.put(PULSE, b"k", b"old")).unwrap();
    let seen = vault.read(|tx| {
        let before = tx.get(PULSE, b"k")?;
        vault.write(|tx| tx.put(PULSE, b"k", b"new"))?;
        Ok::<_, VaultError>((before, tx.get(PULSE, b"k")?))
    });
    let (before, after) = seen.unwrap();
    assert_eq!((before.unwrap().as_slice(), after.unwrap().as_slice()), (&b"old"[..], &b"old"[..]));
    assert_eq!(value(&vault, b"k").unwrap(), b"new");
}

#[test]
fn oversized_keys_values_and_ids_are_refused() {
    let place = Place::new();
    let vault = place.create();
    let put = |key: &[u8], value: &[u8]| vault.write(|tx| tx.put(PULSE, key, value));
    put(&[1; crate::KEY_BYTES_MAX], b"").unwrap();
    assert!(matches!(put(&[1; crate::KEY_BYTES_MAX + 1], b""), Err(VaultError::KeyTooLong)));
    let long = vec![0; crate::VALUE_BYTES_MAX + 1];
    assert!(matches!(put(b"k", &long), Err(VaultError::ValueTooLong)));
    assert!(matches!(vault.create_wrapping_key(b""), Err(VaultError::WrappingIdLength)));
    assert!(matches!(vault.create_wrapping_key(&[1; 257]), Err(VaultError::WrappingIdLength)));
}
