use super::*;
use crate::{
    error::Error,
    store::{
        AcceptOutcome, Backup as _, Deposited, Mailboxes as _, PageItem, Registry as _,
        conformance::{
            Clinic, NOW, Patient,
            envelopes::{data, init},
        },
        embedded::{self, EngineName},
        ordered::OrderedStore,
        types::BackedUp,
    },
};
use clap::ValueEnum as _;
use sealcare_proto::v1 as wire;

fn word() -> wire::Signed {
    wire::Signed { payload: Bytes::from_static(b"destroyed"), signature: Bytes::new() }
}

/// Ana shares, ben's stop waits for an answer, cem's was confirmed, dia's grant ended by the clinic's word.
struct Scene {
    clinic: Clinic,
    ana: Patient,
    ben: Patient,
    cem: Patient,
    dia: Patient,
}

impl Scene {
    async fn play(store: &OrderedStore) -> Self {
        let clinic = Clinic::open(store, 1).await;
        let [ana, ben, cem, dia] = [
            clinic.patient(store, 1).await,
            clinic.patient(store, 2).await,
            clinic.patient(store, 3).await,
            clinic.patient(store, 4).await,
        ];
        for (patient, session) in [(&ana, 1), (&ben, 2), (&cem, 3), (&dia, 4)] {
            patient.deposit(store, vec![init(session, 7), data(session, 0)]).await;
        }
        ben.revoke(store).await;
        cem.revoke(store).await;
        for patient in [&cem, &dia] {
            store.confirm_revocation(clinic.id, patient.grant(), word(), NOW).await.unwrap();
        }
        Self { clinic, ana, ben, cem, dia }
    }

    /// What a restored store knows, and what it does not.
    async fn is_kept_by(&self, store: &OrderedStore) {
        let bundle = self.clinic.registrant(1).bundle;
        assert_eq!(store.bundle(self.clinic.id).await.unwrap().0, bundle);
        let report = store.grant_status(self.ana.key()).await.unwrap();
        assert_eq!((report.stored_bytes, report.sessions.len(), report.tombstone), (0, 0, None));
        assert_eq!(self.ana.accept(store, 1).await, AcceptOutcome::Accepted);
        assert_eq!(self.clinic.stranger(9).accept(store, 1).await, AcceptOutcome::Spent);
        assert_eq!(self.ana.deposit(store, vec![data(1, 1)]).await, Deposited::UnknownSession);
        assert_eq!(self.ana.deposit(store, vec![init(5, 7)]).await, Deposited::Stored);
        for (patient, has_stop, confirmation) in
            [(&self.ben, true, None), (&self.cem, true, Some(word())), (&self.dia, false, Some(word()))]
        {
            let tombstone = store.grant_status(patient.key()).await.unwrap().tombstone.unwrap();
            assert_eq!((tombstone.revocation.is_some(), tombstone.confirmation), (has_stop, confirmation));
            assert_eq!(patient.deposit(store, vec![init(6, 7)]).await, Deposited::GrantRevoked);
        }
        let items = self.clinic.items(store).await;
        let stops: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                PageItem::Revocation { grant, .. } => Some(*grant),
                PageItem::Envelope { .. } => None,
            })
            .collect();
        assert_eq!((stops, items.len()), (vec![self.ben.grant()], 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_knows_who_stopped_and_is_another_life() {
    for from in EngineName::value_variants() {
        for to in EngineName::value_variants() {
            let folder = tempfile::tempdir().unwrap();
            let (data, again, file) =
                (folder.path().join("data"), folder.path().join("again"), folder.path().join("backup"));
            let store = embedded::open(&data, *from, 0).unwrap();
            let scene = Scene::play(&store).await;
            let backed_up = store.back_up(&file).unwrap();
            assert_eq!(backed_up, BackedUp { organizations: 1, grants: 4, tombstones: 3 });
            assert_eq!(embedded::restore(&again, *to, &file).unwrap().0, backed_up);
            let restored = embedded::open(&again, *to, 0).unwrap();
            assert_ne!(restored.incarnation(), store.incarnation());
            scene.is_kept_by(&restored).await;
            drop(restored);
            let reopened = embedded::open(&again, *to, 0).unwrap();
            assert_eq!(scene.ana.deposit(&reopened, vec![envelope_of(5)]).await, Deposited::Stored);
        }
    }
}

fn envelope_of(session: u8) -> Bytes {
    data(session, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_holds_no_ciphertext() {
    const MARKER: &[u8] = b"ciphertext that stays in the store";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let store = embedded::open(&folder.path().join("data"), EngineName::Fjall, 0).unwrap();
    let ana = Clinic::open(&store, 1).await.patient(&store, 1).await;
    let mut envelope = data(1, 0).to_vec();
    envelope[100..100 + MARKER.len()].copy_from_slice(MARKER);
    ana.deposit(&store, vec![init(1, 7), envelope.into()]).await;
    store.back_up(&file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(!holds(MARKER) && holds(ana.grant().as_bytes()));
}

async fn backup(folder: &Path) -> (PathBuf, Vec<u8>) {
    let file = folder.join("backup");
    let store = embedded::open(&folder.join("data"), EngineName::Fjall, 0).unwrap();
    Scene::play(&store).await;
    store.back_up(&file).unwrap();
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}

fn refusal(folder: &Path, file: &Path) -> BackupError {
    let data = folder.join("restored");
    let refused = embedded::restore(&data, EngineName::Fjall, file).unwrap_err();
    assert_eq!(EngineName::of(&data), None, "nothing was written");
    match refused {
        Error::Backup(refused) => refused,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_and_the_place_named() {
    let folder = tempfile::tempdir().unwrap();
    let (file, whole) = backup(folder.path()).await;
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(&file, damaged).unwrap();
        match refusal(folder.path(), &file) {
            BackupError::Damaged { place, .. } => assert!(place.abs_diff(at as u64) < 128 << 10 && at >= 26),
            BackupError::NotABackup => assert!(at < 22),
            BackupError::Version(_) => assert!((22..26).contains(&at)),
            other => panic!("{other}"),
        }
    }
    for length in [0, 21, 25, 27, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        refusal(folder.path(), &file);
    }
    fs::write(&file, [&whole[..], b"more"].concat()).unwrap();
    assert!(refusal(folder.path(), &file).to_string().contains("follows the end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_no_backup_has_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let forged = |records: &[(&[u8], Bytes)]| {
        let _ = fs::remove_file(&file);
        let mut writer = BackupWriter::create(&file).unwrap();
        for (key, value) in records {
            writer.record(key, value).unwrap();
        }
        writer.finish().unwrap();
        refusal(folder.path(), &file).to_string()
    };
    let key = [&b"D"[..], &[1; 32]].concat();
    let checked = |key: &[u8]| crate::store::ordered::checked(key, &[2; 32]);
    assert!(forged(&[(&key, checked(&key)), (&key, checked(&key))]).contains("order"));
    assert!(forged(&[(b"E-envelope", checked(b"E-envelope"))]).contains("no kind"));
    assert!(forged(&[(&key, checked(b"another"))]).contains("at byte 26: deposit key"));
    let mut long = fs::read(&file).unwrap();
    long[28..32].fill(0xff);
    fs::write(&file, long).unwrap();
    assert!(refusal(folder.path(), &file).to_string().contains("too long"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_a_store_is_left_alone_and_half_a_restore_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = backup(folder.path()).await;
    for engine in EngineName::value_variants() {
        let occupied = embedded::restore(&folder.path().join("data"), *engine, &file);
        assert!(matches!(occupied, Err(Error::Backup(BackupError::Occupied))));
        let data = folder.path().join(engine.to_string());
        drop(embedded::open(&data, *engine, 0).unwrap());
        fs::rename(engine.folder(&data), data.join("restoring")).unwrap();
        assert_eq!(EngineName::of(&data), None);
        embedded::restore(&data, *engine, &file).unwrap();
        assert!(embedded::open(&data, *engine, 0).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_leaves_a_folder_alone_that_is_not_empty_and_any_folder_until_the_backup_is_good() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (file, whole) = backup(folder.path()).await;
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let looks = || (mode(&home), fs::read_dir(&home).unwrap().count());
    fs::write(&file, &whole[1..]).unwrap();
    embedded::restore(&home, EngineName::Fjall, &file).unwrap_err();
    assert_eq!(looks(), (0o755, 0));
    fs::write(&file, &whole).unwrap();
    fs::write(home.join("letter"), "dear").unwrap();
    let refused = embedded::restore(&home, EngineName::Fjall, &file);
    assert!(matches!(refused, Err(Error::Backup(BackupError::NotEmpty))));
    assert_eq!(looks(), (0o755, 1));
    fs::remove_file(home.join("letter")).unwrap();
    embedded::restore(&home, EngineName::Fjall, &file).unwrap();
    assert_eq!((looks(), mode(&home.join("store"))), ((0o755, 1), 0o700));
    let new = folder.path().join("new");
    embedded::restore(&new, EngineName::Fjall, &file).unwrap();
    assert_eq!(mode(&new), 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_replaces_nothing_follows_no_link_and_leaves_no_half() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let names = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    fs::write(place("victim"), "dear").unwrap();
    std::os::unix::fs::symlink(place("victim"), place("backup.unfinished")).unwrap();
    drop(BackupWriter::create(&place("backup")).unwrap());
    assert_eq!(names(), ["backup.unfinished", "victim"]);
    let [first, second] = [0, 1].map(|_| BackupWriter::create(&place("backup")).unwrap());
    first.finish().unwrap();
    let written = fs::read(place("backup")).unwrap();
    match second.finish().unwrap_err() {
        BackupError::File(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(place("backup")).unwrap(), written);
    assert_eq!(fs::read(place("victim")).unwrap(), b"dear");
    assert_eq!(names(), ["backup", "backup.unfinished", "victim"]);
}
