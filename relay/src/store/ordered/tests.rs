//! The layer on its engines: conformance, the failed latch, damage, and what a reopen finds.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    engine::{Change, EngineError, Visit},
    *,
};
use crate::store::{
    Store,
    conformance::{CASES, Clinic, Patient, envelopes},
};

fn incarnation(number: u8) -> Incarnation {
    Incarnation::from_bytes([number; 16])
}

/// Opens an engine in a folder.
type Keys = fn(&Path) -> Arc<dyn OrderedKeys>;

const ENGINES: &[Keys] = &[
    |folder| Arc::new(FjallKeys::open(folder).unwrap()),
    #[cfg(feature = "sled")]
    |folder| Arc::new(SledKeys::open(folder).unwrap()),
];

fn open(keys: Keys, folder: &Path) -> OrderedStore {
    OrderedStore::open(keys(folder), incarnation(1), 0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_engine_conforms() {
    for &keys in ENGINES {
        for (name, case) in CASES {
            println!("{name}");
            let folder = tempfile::tempdir().unwrap();
            case(&open(keys, folder.path())).await;
        }
    }
}

/// An engine whose next commit or sync fails when told so, and whose files are as large as told.
struct Faulty {
    engine: Arc<dyn OrderedKeys>,
    fails: Arc<AtomicBool>,
    disk_bytes: u64,
}

impl Faulty {
    fn check(&self) -> Result<(), EngineError> {
        if self.fails.swap(false, Ordering::SeqCst) { Err(EngineError::Failed) } else { Ok(()) }
    }
}

impl OrderedKeys for Faulty {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        self.engine.scan(space, from, to, visit)
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        self.engine.commit(changes)?;
        self.check()
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.check()?;
        self.engine.sync()
    }

    fn compact(&self, space: Space) -> Result<Progress, EngineError> {
        self.engine.compact(space)
    }

    fn compaction_bytes(&self, _: Space) -> u64 {
        self.disk_bytes
    }

    fn folder(&self) -> Option<&Path> {
        self.engine.folder()
    }
}

async fn patient(store: &dyn Store) -> Patient {
    Clinic::open(store, 1).await.patient(store, 1).await
}

fn batch(first: u64) -> DepositBatch {
    let envelopes = match first {
        0 => vec![envelopes::init(1, 7)],
        n => vec![envelopes::data(1, n - 1)],
    };
    DepositBatch::new(envelopes).unwrap()
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_never_followed_by_success() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let engine = Faulty { engine: keys(folder.path()), fails: fails.clone(), disk_bytes: 0 };
        let store = OrderedStore::open(Arc::new(engine), incarnation(1), 0).unwrap();
        let key = patient(&store).await.key();
        fails.store(true, Ordering::SeqCst);
        assert_eq!(store.deposit(key, batch(0), NOW).await, Err(StoreError::Unavailable));
        assert_eq!(store.deposit(key, batch(0), NOW).await, Err(StoreError::Unavailable));
        assert_eq!(store.grant_status(key).await.unwrap_err(), StoreError::Unavailable);
        assert_eq!(store.check(), Err(StoreError::Unavailable));
        drop(store);
        // The engine kept what was never acknowledged: the retry finds it, synced by the reopen.
        assert_eq!(open(keys, folder.path()).deposit(key, batch(0), NOW).await, Ok(Deposited::Already));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_not_answered_after_a_failed_sync() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let engine = Faulty { engine: keys(folder.path()), fails: fails.clone(), disk_bytes: 0 };
        let store = OrderedStore::open(Arc::new(engine), incarnation(1), 0).unwrap();
        let key = patient(&store).await.key();
        assert_eq!(store.deposit(key, batch(0), NOW).await, Ok(Deposited::Stored));
        fails.store(true, Ordering::SeqCst);
        assert_eq!(store.deposit(key, batch(0), NOW).await, Err(StoreError::Unavailable));
        assert_eq!(store.check(), Err(StoreError::Unavailable));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_keeps_its_incarnation_and_its_rows() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        drop(store);
        let engine = keys(folder.path());
        let store = OrderedStore::open(engine, incarnation(2), 0).unwrap();
        assert_eq!(store.incarnation(), incarnation(1));
        assert_eq!(store.deposit(patient.key(), batch(0), NOW).await, Ok(Deposited::Already));
        assert_eq!(store.deposit(patient.key(), batch(1), NOW).await, Ok(Deposited::Stored));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_stays_hidden_and_is_finished_after_a_reopen() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        patient.revoke(&store).await;
        drop(store);
        let store = open(keys, folder.path());
        assert!(patient.clinic.envelopes(&store).await.is_empty());
        while store.purge(NOW).await.unwrap() == Progress::More {}
        let lane = layout::lane_item(&patient.clinic.id, lane_of(&patient.grant()), 1);
        assert_eq!(store.engine.get(Space::Lanes, &lane), Ok(None));
        store.reclaim().await.unwrap();
        assert!(deletions::unfinished(store.engine.as_ref()).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_envelope_leaves_the_disk_with_the_reclaim() {
    for &keys in ENGINES {
        const MARKER: &[u8] = b"ciphertext to look for on the disk";
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        let mut envelope = envelopes::data(1, 0).to_vec();
        envelope[100..100 + MARKER.len()].copy_from_slice(MARKER);
        let marked = DepositBatch::new(vec![envelope.into()]).unwrap();
        store.deposit(patient.key(), marked, NOW).await.unwrap();
        assert!(lies_in(folder.path(), MARKER), "the search must be able to find it");
        patient.revoke(&store).await;
        while store.purge(NOW).await.unwrap() == Progress::More {}
        store.reclaim().await.unwrap();
        assert!(!lies_in(folder.path(), MARKER));
    }
}

/// As a large grant's do while they come in.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_envelope_that_was_written_out_long_ago_leaves_the_disk_too() {
    for &keys in ENGINES {
        const MARKER: &[u8] = b"ciphertext to look for on the disk";
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        let mut envelope = envelopes::data(1, 0).to_vec();
        envelope[100..100 + MARKER.len()].copy_from_slice(MARKER);
        let marked = DepositBatch::new(vec![envelope.into()]).unwrap();
        store.deposit(patient.key(), marked, NOW).await.unwrap();
        assert_eq!(store.engine.compact(Space::Lanes), Ok(Progress::Done));
        assert!(lies_in(folder.path(), MARKER), "the search must be able to find it");
        patient.revoke(&store).await;
        while store.purge(NOW).await.unwrap() == Progress::More {}
        assert_eq!(store.reclaim().await, Ok(Reclaimed::Gone));
        assert!(!lies_in(folder.path(), MARKER));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_passes_damage_over_and_names_it_at_the_end() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let clinic = Clinic::open(&store, 1).await;
        let late = NOW.plus(crate::store::ENVELOPE_RETENTION);
        let (mut patients, mut lanes) = (Vec::new(), std::collections::HashSet::new());
        for number in 1..=u8::MAX {
            if patients.len() < 5 && lanes.insert(lane_of(&clinic.stranger(number).grant())) {
                patients.push(clinic.patient(&store, number).await);
            }
        }
        for patient in &patients {
            store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        }
        let item = |patient: &Patient| layout::lane_item(&clinic.id, lane_of(&patient.grant()), 1);
        let is_there = |patient: &Patient| store.engine.get(Space::Lanes, &item(patient)).unwrap().is_some();
        patients[1].revoke(&store).await;
        spoil(&store, Space::Lanes, item(&patients[2]));
        assert_eq!(purge_all(&store, late).await, Err(StoreError::Corrupt("lane item")));
        let left: Vec<_> = patients.iter().map(is_there).collect();
        assert_eq!(left, [false, false, true, false, false]);
    }
}

/// Sweeps once through everything.
async fn purge_all(store: &OrderedStore, now: Timestamp) -> Result<()> {
    for _ in 0..1_000 {
        match store.purge(now).await {
            Ok(Progress::More) => {}
            ended => return ended.map(drop),
        }
    }
    panic!("the sweep does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_among_a_revoked_grants_envelopes_keeps_no_other() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        for place in 0..4 {
            store.deposit(patient.key(), batch(place), NOW).await.unwrap();
        }
        let item = |sequence| layout::lane_item(&patient.clinic.id, lane_of(&patient.grant()), sequence);
        let left = || -> Vec<u64> {
            (1..=4).filter(|n| store.engine.get(Space::Lanes, &item(*n)).unwrap().is_some()).collect()
        };
        spoil(&store, Space::Lanes, item(1));
        // The third does not even say whose it is.
        spoil_byte(&store, Space::Lanes, item(3), 5);
        patient.revoke(&store).await;
        assert_eq!(purge_all(&store, NOW).await, Err(StoreError::Corrupt("lane item")));
        assert_eq!(left(), [3]);
        assert_eq!(store.reclaim().await, Ok(Reclaimed::Gone));
        assert_eq!(store.reclaim().await, Ok(Reclaimed::Nothing));
        assert_eq!(purge_all(&store, NOW).await, Err(StoreError::Corrupt("lane item")));
        assert_eq!(deletions::unfinished(store.engine.as_ref()).unwrap(), [patient.grant()]);
        spoil_byte(&store, Space::Lanes, item(3), 5);
        assert_eq!(purge_all(&store, NOW).await, Ok(()));
        assert_eq!(left(), [0; 0]);
        assert_eq!(store.reclaim().await, Ok(Reclaimed::Gone));
        assert!(deletions::unfinished(store.engine.as_ref()).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_before_damage() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        store.deposit(patient.key(), batch(1), NOW).await.unwrap();
        let lane = lane_of(&patient.grant());
        spoil(&store, Space::Lanes, layout::lane_item(&patient.clinic.id, lane, 2));
        let limit = PageLimit { items_max: 9, bytes_max: 1 << 20 };
        let page = patient.clinic.page(&store, lane, 0, limit).await;
        assert_eq!((page.items.len(), page.after, page.more), (1, 1, Progress::More));
        let place = LanePlace { organization: patient.clinic.id, lane, after: 1 };
        assert_eq!(store.fetch_after(place, limit).await.unwrap_err(), StoreError::Corrupt("lane item"));
    }
}

/// Flips a bit of what lies there.
fn spoil(store: &OrderedStore, space: Space, key: Vec<u8>) {
    spoil_byte(store, space, key, 0);
}

fn spoil_byte(store: &OrderedStore, space: Space, key: Vec<u8>, at: usize) {
    let mut value = store.engine.get(space, &key).unwrap().unwrap().to_vec();
    value[at] ^= 1;
    let change = Change { space, key: key.into(), value: Some(value.into()) };
    store.engine.commit(vec![change]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_promises_nothing_and_costs_no_sync() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let engine = Faulty { engine: keys(folder.path()), fails: fails.clone(), disk_bytes: 0 };
        let store = OrderedStore::open(Arc::new(engine), incarnation(1), 0).unwrap();
        fails.store(true, Ordering::SeqCst);
        let stranger = Clinic::new(1).stranger(1);
        assert_eq!(store.deposit(stranger.key(), batch(0), NOW).await, Err(StoreError::NotFound));
        let domain = Clinic::new(1).registrant(1).domain;
        assert_eq!(store.decide(domain, OrganizationState::Approved).await, Err(StoreError::NotFound));
        assert_eq!((store.check(), fails.load(Ordering::SeqCst)), (Ok(()), true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_for_the_rewriting_fails_nothing_and_forgets_nothing() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let engine = Faulty { engine: keys(folder.path()), fails, disk_bytes: u64::MAX };
        let store = OrderedStore::open(Arc::new(engine), incarnation(1), 0).unwrap();
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        patient.revoke(&store).await;
        while store.purge(NOW).await.unwrap() == Progress::More {}
        assert_eq!(store.reclaim().await, Ok(Reclaimed::NoRoom));
        assert_eq!(store.check(), Ok(()));
        assert_eq!(deletions::unfinished(store.engine.as_ref()).unwrap(), [patient.grant()]);
        drop(store);
        let store = open(keys, folder.path());
        assert_eq!(store.reclaim().await, Ok(Reclaimed::Gone));
        assert_eq!(store.reclaim().await, Ok(Reclaimed::Nothing));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_grant_leaves_nothing_to_look_for() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        let range = SequenceRange { lane: lane_of(&patient.grant()), sequences: 1..=1 };
        store.acknowledge(patient.clinic.id, vec![range]).await.unwrap();
        patient.revoke(&store).await;
        let row = layout::deletion(&patient.grant());
        let row: rows::DeletionRow = Committed(store.engine.as_ref()).row(&row).unwrap().unwrap();
        assert!(row.is_deleted());
    }
}

pub(super) fn lies_in(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return lies_in(&path, needle);
        }
        std::fs::read(&path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_not_skipped() {
    for &keys in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(keys, folder.path());
        let patient = patient(&store).await;
        store.deposit(patient.key(), batch(0), NOW).await.unwrap();
        let lane = lane_of(&patient.grant());
        spoil(&store, Space::Lanes, layout::lane_item(&patient.clinic.id, lane, 1));
        let place = LanePlace { organization: patient.clinic.id, lane, after: 0 };
        let fetched = store.fetch_after(place, PageLimit { items_max: 9, bytes_max: 9 }).await;
        assert_eq!(fetched.unwrap_err(), StoreError::Corrupt("lane item"));
        spoil(&store, Space::Rows, layout::grant(&patient.grant()));
        assert_eq!(store.deposit(patient.key(), batch(1), NOW).await, Err(StoreError::Corrupt("grant")));
        assert_eq!(store.check(), Ok(()));
    }
}
