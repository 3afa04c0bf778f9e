//! A backup taken from a vault in use: what is in it, what opens from it, and what a crash or a hand leaves.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sealcare_vault::{BACKUP_FILES, KeyRange, Result, Space, Unlock, Vault, VaultError, WriteTransaction};
use tempfile::TempDir;

const PULSE: Space = Space::new(1, "pulse");
const GRANTS: Space = Space::new(2, "grants");
const ANA: &[u8] = b"grant of ana";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn unlock(&self) -> Unlock {
        Unlock::SecretFile(self.path("secret"))
    }

    /// A hundred records under a wrapping key, and a grant that is under none.
    fn filled(&self) -> Vault {
        let vault = Vault::create(&self.path("vault"), &self.unlock(), &mut rand::rng()).unwrap();
        vault.create_wrapping_key(ANA).unwrap();
        let fill = vault.write(|tx| {
            tx.put(GRANTS, b"ana", b"patient 17")?;
            (0..100_u32).try_for_each(|n| tx.put_wrapped(ANA, PULSE, &n.to_be_bytes(), b"heart rate 72 /min"))
        });
        fill.unwrap();
        vault
    }

    fn restore(&self) -> Result<Vault> {
        Vault::restore(&self.path("restored"), &self.path("backup"), &self.unlock(), |_| Ok(()))
    }
}

fn modes(dir: &Path) -> Vec<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut modes = vec![mode(dir)];
    modes.extend(fs::read_dir(dir).unwrap().map(|entry| mode(&entry.unwrap().path())));
    modes
}

#[test]
fn a_backup_of_a_vault_in_use_is_whole_and_private_and_has_no_row_of_a_wrapping_key() {
    let place = Place::new();
    let vault = place.filled();
    vault.read(|_| vault.back_up(&place.path("backup"))).unwrap();
    vault.write(|tx| tx.put(GRANTS, b"later", b"")).unwrap();
    assert_eq!(modes(&place.path("backup")), [0o700, 0o600, 0o600, 0o600]);
    assert!(BACKUP_FILES.iter().all(|name| place.path("backup").join(name).exists()));
    let database = Connection::open(place.path("backup").join("vault.db")).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM rows"), 1);
    assert_eq!(count("SELECT count(*) FROM wrapping_keys"), 0);
    assert_eq!(count("PRAGMA freelist_count"), 0, "no page keeps what was deleted");
}

#[test]
fn no_sealed_byte_of_a_wrapped_row_is_in_a_backup() {
    let place = Place::new();
    let vault = place.filled();
    let original = Connection::open(place.path("vault/vault.db")).unwrap();
    let mut rows = original.prepare("SELECT sealed FROM rows WHERE wrapping IS NOT NULL").unwrap();
    let sealed: Vec<Vec<u8>> =
        rows.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect();
    vault.back_up(&place.path("backup")).unwrap();
    let bytes = fs::read(place.path("backup/vault.db")).unwrap();
    assert_eq!(sealed.len(), 100);
    for row in sealed {
        assert!(!bytes.windows(16).any(|window| window == &row[..16]));
    }
}

#[test]
fn a_restored_vault_has_what_no_wrapping_key_closed_and_takes_new_keys() {
    let place = Place::new();
    place.filled().back_up(&place.path("backup")).unwrap();
    let adjust = |tx: &mut WriteTransaction<'_>| tx.put(GRANTS, b"adjusted", b"");
    let restored = Vault::restore(&place.path("restored"), &place.path("backup"), &place.unlock(), adjust);
    let restored = restored.unwrap_or_else(|error: VaultError| panic!("{error}"));
    let kept = restored.read(|tx| tx.scan(GRANTS, &KeyRange::all(), 10)).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(restored.read(|tx| tx.count(PULSE, &KeyRange::all())).unwrap(), 0);
    assert!(!restored.read(|tx| tx.has_wrapping_key(ANA)).unwrap());
    restored.create_wrapping_key(ANA).unwrap();
    restored.write(|tx| tx.put_wrapped(ANA, PULSE, b"new", b"80 /min")).unwrap();
    drop(restored);
    let opened = Vault::open(&place.path("restored"), &place.unlock()).unwrap();
    assert_eq!(opened.verify(&[PULSE, GRANTS]).unwrap(), 3);
}

#[test]
fn nothing_is_overwritten_and_what_is_no_backup_is_refused_by_name() {
    let place = Place::new();
    let vault = place.filled();
    vault.back_up(&place.path("backup")).unwrap();
    assert!(matches!(vault.back_up(&place.path("backup")), Err(VaultError::BackupThere)));
    drop(place.restore().unwrap());
    assert!(matches!(place.restore(), Err(VaultError::AlreadyThere)));
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    let restore = |from: &Path, unlock: &Unlock| {
        Vault::restore(&place.path("other"), from, unlock, |_| Ok::<_, VaultError>(()))
    };
    assert!(matches!(restore(&empty, &place.unlock()), Err(VaultError::NoBackup)));
    let stranger = Place::new();
    drop(stranger.filled());
    let foreign = restore(&place.path("backup"), &stranger.unlock());
    assert!(matches!(foreign, Err(VaultError::WrongKey)));
    assert!(!Vault::exists(&place.path("other")));
}

#[test]
fn a_damaged_backup_is_refused_by_name() {
    let place = Place::new();
    place.filled().back_up(&place.path("backup")).unwrap();
    for name in BACKUP_FILES {
        let path = place.path("backup").join(name);
        let whole = fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            let refused = place.restore().unwrap_err();
            let is_named = matches!(refused, VaultError::BackupDamaged | VaultError::HeaderDamaged);
            assert!(is_named, "{name} at {at}: {refused}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(place.restore().is_err(), "{name} cut");
        fs::write(&path, whole).unwrap();
    }
    let manifest = place.path("backup/manifest");
    let newer = fs::read_to_string(&manifest).unwrap().replace("backup 1", "backup 2");
    let whole = fs::read(&manifest).unwrap();
    fs::write(&manifest, newer).unwrap();
    assert!(matches!(place.restore(), Err(VaultError::NewerVersion)));
    fs::write(&manifest, whole).unwrap();
    place.restore().unwrap();
}

#[test]
fn a_restoration_that_broke_off_leaves_nothing_that_opens_and_can_be_repeated() {
    let place = Place::new();
    place.filled().back_up(&place.path("backup")).unwrap();
    let failing = |_: &mut WriteTransaction<'_>| Err(VaultError::DiskFull);
    let broken = Vault::restore(&place.path("restored"), &place.path("backup"), &place.unlock(), failing);
    assert!(matches!(broken, Err(VaultError::DiskFull)));
    assert!(matches!(Vault::open(&place.path("restored"), &place.unlock()), Err(VaultError::NotThere)));
    place.restore().unwrap();
}

#[test]
fn a_backup_of_a_vault_that_is_written_all_the_time_is_of_one_moment() {
    let place = Place::new();
    let vault = place.filled();
    let write = |n: u32| {
        vault.write(|tx| {
            tx.put(GRANTS, b"left", &n.to_be_bytes())?;
            tx.put(GRANTS, b"right", &n.to_be_bytes())
        })
    };
    write(0).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..200).try_for_each(write));
        (0..3).for_each(|n| vault.back_up(&place.path(&format!("backup {n}"))).unwrap());
        writer.join().unwrap().unwrap();
    });
    for n in 0..3 {
        let (dir, from) = (place.path(&format!("restored {n}")), place.path(&format!("backup {n}")));
        let restored = Vault::restore(&dir, &from, &place.unlock(), |_| Ok::<_, VaultError>(())).unwrap();
        let side = |name| restored.read(|tx| tx.get(GRANTS, name)).unwrap().unwrap();
        assert_eq!(side(b"left"), side(b"right"));
    }
}
