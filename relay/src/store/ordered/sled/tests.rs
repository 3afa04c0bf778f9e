use std::{
    fs::{self, File},
    io,
    ops::ControlFlow,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use super::*;

/// Counts syncs, and does what it is told to instead of some.
#[derive(Default)]
struct Told {
    syncs: AtomicUsize,
    fails: AtomicBool,
    stops: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Syncer for Told {
    fn sync(&self, file: &File) -> io::Result<()> {
        if self.fails.swap(false, Ordering::SeqCst) {
            return Err(io::ErrorKind::Other.into());
        }
        let stop = self.stops.lock().unwrap().take();
        if let Some((reached, go_on)) = stop {
            reached.send(()).unwrap();
            go_on.recv().unwrap();
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        DataSync.sync(file)
    }
}

fn told(folder: &Path) -> (SledKeys, Arc<Told>) {
    let told = Arc::new(Told::default());
    (SledKeys::open_with(folder, told.clone()).unwrap(), told)
}

fn put(key: &'static str, value: &'static str) -> Vec<Change> {
    let (key, value) = (Bytes::from(key), Some(Bytes::from(value)));
    vec![Change { space: Space::Lanes, key, value }]
}

fn delete(key: &'static str) -> Vec<Change> {
    vec![Change { space: Space::Lanes, key: Bytes::from(key), value: None }]
}

fn all(keys: &SledKeys) -> Vec<(Bytes, Bytes)> {
    let mut rows = Vec::new();
    let visit = &mut |key, value| {
        rows.push((key, value));
        ControlFlow::Continue(())
    };
    keys.scan(Space::Lanes, b"", b"z", visit).unwrap();
    rows
}

fn rows(expected: &[(&'static str, &'static str)]) -> Vec<(Bytes, Bytes)> {
    expected.iter().map(|(key, value)| (Bytes::from(*key), Bytes::from(*value))).collect()
}

#[test]
fn every_commit_is_synced_before_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, told) = told(folder.path());
    for count in 1..=20 {
        let before = told.syncs.load(Ordering::SeqCst);
        keys.commit(put("a", "1")).unwrap();
        assert!(told.syncs.load(Ordering::SeqCst) > before, "commit {count} was not synced");
    }
    let before = told.syncs.load(Ordering::SeqCst);
    keys.sync().unwrap();
    assert!(told.syncs.load(Ordering::SeqCst) > before);
}

#[test]
fn a_value_that_sled_keeps_in_a_file_of_its_own_is_synced_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, told) = told(folder.path());
    let before = told.syncs.load(Ordering::SeqCst);
    let value = Some(Bytes::from(vec![1; 5 << 20]));
    keys.commit(vec![Change { space: Space::Lanes, key: Bytes::from("large"), value }]).unwrap();
    assert_eq!(fs::read_dir(keys.folder.generation(0).join("blobs")).unwrap().count(), 1);
    assert_eq!(told.syncs.load(Ordering::SeqCst), before + 2);
    keys.commit(put("a", "1")).unwrap();
    assert_eq!(told.syncs.load(Ordering::SeqCst), before + 3, "it is synced once");
}

#[test]
fn after_a_failed_sync_nothing_succeeds_until_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, told) = told(folder.path());
    keys.commit(put("a", "1")).unwrap();
    told.fails.store(true, Ordering::SeqCst);
    assert_eq!(keys.commit(put("b", "1")), Err(EngineError::Failed));
    assert_eq!(keys.commit(put("c", "1")), Err(EngineError::Failed));
    assert_eq!(keys.sync(), Err(EngineError::Failed));
    assert_eq!(keys.get(Space::Lanes, b"a"), Err(EngineError::Failed));
    assert_eq!(keys.compact(Space::Lanes), Err(EngineError::Failed));
    drop(keys);
    let keys = SledKeys::open(folder.path()).unwrap();
    assert_eq!(keys.get(Space::Lanes, b"a").unwrap().unwrap(), "1");
    assert_eq!(keys.get(Space::Lanes, b"c"), Ok(None));
    keys.commit(put("c", "1")).unwrap();
}

#[test]
fn nobody_sees_a_commit_before_it_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, told) = told(folder.path());
    keys.commit([put("a", "1"), put("c", "1")].concat()).unwrap();
    let ((reached, is_reached), (go_on, goes_on)) = (channel(), channel());
    *told.stops.lock().unwrap() = Some((reached, goes_on));
    let before = rows(&[("a", "1"), ("c", "1")]);
    thread::scope(|scope| {
        let changes = [put("a", "2"), put("b", "2"), delete("c"), put("d", "2")].concat();
        let committing = scope.spawn(|| keys.commit(changes));
        is_reached.recv().unwrap();
        let shown = all(&keys);
        let values: Vec<_> = [&b"a"[..], b"b", b"c"].map(|key| keys.get(Space::Lanes, key).unwrap()).into();
        go_on.send(()).unwrap();
        committing.join().unwrap().unwrap();
        assert_eq!(shown, before);
        assert_eq!(values, [Some("1".into()), None, Some("1".into())]);
    });
    assert_eq!(all(&keys), rows(&[("a", "2"), ("b", "2"), ("d", "2")]));
}

#[test]
fn a_long_reading_sees_one_commit_while_others_and_a_rewriting_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SledKeys::open(folder.path()).unwrap();
    let key = |n: u32| Bytes::copy_from_slice(&n.to_be_bytes());
    let change = |n: u32, value: Option<&'static str>| {
        vec![Change { space: Space::Rows, key: key(n), value: value.map(Bytes::from) }]
    };
    keys.commit((0..5_000).flat_map(|n| change(2 * n, Some("1"))).collect()).unwrap();
    let (mut seen, end) = (Vec::new(), u32::MAX.to_be_bytes());
    let read = keys.scan_at_once(Space::Rows, b"", &end, &mut |found, value| {
        if seen.is_empty() {
            // Whoever reads holds nothing that these wait for.
            keys.commit([change(0, None), change(9_000, Some("2")), change(9_001, Some("2"))].concat())
                .unwrap();
            keys.commit([change(9_000, None), change(9_002, None), change(10_001, Some("2"))].concat())
                .unwrap();
            keys.compact(Space::Rows).unwrap();
            assert_eq!(keys.get(Space::Rows, &key(9_001)), Ok(Some("2".into())));
        }
        seen.push((found, value));
        ControlFlow::Continue(())
    });
    read.unwrap();
    assert!(seen == (0..5_000).map(|n| (key(2 * n), Bytes::from("1"))).collect::<Vec<_>>());
    assert!(keys.shown.keeps_nothing());
    assert_eq!(keys.get(Space::Rows, &key(9_000)), Ok(None));
}

#[test]
fn a_rewriting_misses_no_commit_and_leaves_no_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, told) = told(folder.path());
    keys.commit([put("a", "1"), put("b", "1"), put("c", "1")].concat()).unwrap();
    keys.commit(delete("c")).unwrap();
    let ((reached, is_reached), (go_on, goes_on)) = (channel(), channel());
    *told.stops.lock().unwrap() = Some((reached, goes_on));
    thread::scope(|scope| {
        let rewriting = scope.spawn(|| keys.compact(Space::Lanes));
        // Everything has been copied and does not count yet.
        is_reached.recv().unwrap();
        keys.commit([put("a", "2"), delete("b"), put("d", "2")].concat()).unwrap();
        go_on.send(()).unwrap();
        rewriting.join().unwrap().unwrap();
    });
    let expected = rows(&[("a", "2"), ("d", "2")]);
    assert_eq!(all(&keys), expected);
    assert!(!folder.path().join("generation-0").exists());
    keys.commit(put("e", "3")).unwrap();
    drop(keys);
    let keys = SledKeys::open(folder.path()).unwrap();
    assert_eq!(all(&keys), [expected, rows(&[("e", "3")])].concat());
}

#[test]
fn a_copy_that_cannot_be_written_is_given_up_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, told) = told(folder.path());
    keys.commit(put("a", "1")).unwrap();
    told.fails.store(true, Ordering::SeqCst);
    assert_eq!(keys.compact(Space::Lanes), Ok(Progress::More));
    assert!(!folder.path().join("generation-1").exists());
    keys.commit(put("b", "1")).unwrap();
    // Its folder cannot be made.
    fs::write(folder.path().join("generation-1"), "").unwrap();
    assert_eq!(keys.compact(Space::Lanes), Ok(Progress::More));
    fs::remove_file(folder.path().join("generation-1")).unwrap();
    // Nor its name.
    fs::create_dir(folder.path().join("current.new")).unwrap();
    assert_eq!(keys.compact(Space::Lanes), Ok(Progress::More));
    fs::remove_dir(folder.path().join("current.new")).unwrap();
    keys.commit(put("c", "1")).unwrap();
    assert_eq!(keys.compact(Space::Lanes), Ok(Progress::Done));
    drop(keys);
    let keys = SledKeys::open(folder.path()).unwrap();
    assert_eq!(all(&keys), rows(&[("a", "1"), ("b", "1"), ("c", "1")]));
}

#[test]
fn a_rewriting_copies_many_rows_once() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SledKeys::open(folder.path()).unwrap();
    let value = Bytes::from(vec![7; 400]);
    let change = |n: u32| {
        let space = if n.is_multiple_of(2) { Space::Lanes } else { Space::Rows };
        Change { space, key: Bytes::copy_from_slice(&n.to_be_bytes()), value: Some(value.clone()) }
    };
    keys.commit((0..6_000).map(change).collect()).unwrap();
    let before = all(&keys);
    keys.compact(Space::Rows).unwrap();
    assert_eq!((all(&keys), before.len()), (before, 3_000));
    assert_eq!(keys.get(Space::Rows, &5_999_u32.to_be_bytes()), Ok(Some(value)));
}

#[test]
fn a_rewriting_that_was_cut_off_counts_only_once_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SledKeys::open(folder.path()).unwrap();
    keys.commit(put("a", "1")).unwrap();
    // Before the naming: half a copy lies beside the database.
    let half = Generation::open(&folder.path().join("generation-1"), Arc::new(DataSync)).unwrap();
    half.apply(&[("lb".into(), Some("2".into()))]).unwrap();
    drop((keys, half));
    let keys = SledKeys::open(folder.path()).unwrap();
    assert_eq!(all(&keys), rows(&[("a", "1")]));
    assert!(!folder.path().join("generation-1").exists());
    // After the naming: the old one was not removed yet.
    let whole = Generation::open(&folder.path().join("generation-1"), Arc::new(DataSync)).unwrap();
    whole.apply(&[("lb".into(), Some("2".into()))]).unwrap();
    whole.sync().unwrap();
    keys.folder.name(1).unwrap();
    drop((keys, whole));
    assert_eq!(all(&SledKeys::open(folder.path()).unwrap()), rows(&[("b", "2")]));
    assert!(!folder.path().join("generation-0").exists());
}

#[test]
fn a_store_that_is_gone_is_not_an_empty_one_and_a_folder_has_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SledKeys::open(folder.path()).unwrap();
    assert_eq!(SledKeys::open(folder.path()).err(), Some(EngineError::Failed));
    drop(keys);
    fs::remove_dir_all(folder.path().join("generation-0")).unwrap();
    assert_eq!(SledKeys::open(folder.path()).err(), Some(EngineError::Damaged));
    fs::write(folder.path().join("current"), "first").unwrap();
    assert_eq!(SledKeys::open(folder.path()).err(), Some(EngineError::Damaged));
}

#[test]
fn a_store_whose_name_is_lost_is_damage_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SledKeys::open(folder.path()).unwrap();
    keys.commit(put("a", "1")).unwrap();
    keys.compact(Space::Lanes).unwrap();
    drop(keys);
    let current = folder.path().join("current");
    for number in ["1", "0"] {
        fs::remove_file(&current).unwrap();
        assert_eq!(SledKeys::open(folder.path()).err(), Some(EngineError::Damaged));
        fs::write(&current, number).unwrap();
        let keys = SledKeys::open(folder.path()).unwrap();
        assert_eq!(all(&keys), rows(&[("a", "1")]));
        drop(keys);
        fs::rename(folder.path().join(format!("generation-{number}")), folder.path().join("generation-0"))
            .unwrap();
        fs::write(&current, "0").unwrap();
    }
}

#[test]
fn a_first_making_that_was_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("first.unfinished"), "").unwrap();
    fs::create_dir_all(folder.path().join("generation-0/blobs")).unwrap();
    let keys = SledKeys::open(folder.path()).unwrap();
    keys.commit(put("a", "1")).unwrap();
    drop(keys);
    assert!(!folder.path().join("first.unfinished").exists());
    // Cut off between the naming and the removal of the mark.
    fs::write(folder.path().join("first.unfinished"), "").unwrap();
    assert_eq!(all(&SledKeys::open(folder.path()).unwrap()), rows(&[("a", "1")]));
    assert!(!folder.path().join("first.unfinished").exists());
}
