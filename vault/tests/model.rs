//! The vault behaves as an ordered map in memory does, through rollbacks and reopenings.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use proptest::prelude::*;
use sealcare_vault::{KeyRange, Space, Unlock, Vault, VaultError};

const SPACES: [Space; 2] = [Space::new(1, "one"), Space::new(2, "two")];

type Key = Vec<u8>;
/// (space, key) → value and the wrapping key it is under.
type Model = BTreeMap<(usize, Key), (Vec<u8>, Option<u8>)>;

#[derive(Clone, Debug)]
enum Change {
    Put(usize, Key, Vec<u8>),
    PutWrapped(u8, usize, Key, Vec<u8>),
    Delete(usize, Key),
    DeletePrefix(usize, Key),
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>),
    RollBack(Vec<Change>),
    CreateKey(u8),
    DestroyKey(u8),
    Reopen,
    Scan(usize, Bound<Key>, Bound<Key>, usize),
}

/// Few keys, so that bounds often hit one.
fn key() -> impl Strategy<Value = Key> {
    prop::collection::vec(prop::sample::select(vec![0, 0x7f, 0xff]), 0..3)
}

fn change() -> impl Strategy<Value = Change> {
    let value = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (0..2_usize, key(), value()).prop_map(|(space, key, value)| Change::Put(space, key, value)),
        (0..3_u8, 0..2_usize, key(), value())
            .prop_map(|(id, space, key, value)| { Change::PutWrapped(id, space, key, value) }),
        (0..2_usize, key()).prop_map(|(space, key)| Change::Delete(space, key)),
        (0..2_usize, key()).prop_map(|(space, key)| Change::DeletePrefix(space, key)),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Key>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(change(), 1..6).prop_map(Step::Commit),
        1 => prop::collection::vec(change(), 1..6).prop_map(Step::RollBack),
        2 => (0..3_u8).prop_map(Step::CreateKey),
        1 => (0..3_u8).prop_map(Step::DestroyKey),
        1 => Just(Step::Reopen),
        3 => (0..2_usize, bound(), bound(), 0..8_usize).prop_map(|(space, from, to, limit)| {
            Step::Scan(space, from, to, limit)
        }),
    ]
}

fn apply(vault: &Vault, changes: &[Change], last: Result<(), VaultError>) -> Result<(), VaultError> {
    vault.write(|tx| {
        for change in changes {
            match change {
                Change::Put(space, key, value) => tx.put(SPACES[*space], key, value)?,
                Change::PutWrapped(id, space, key, value) => {
                    tx.put_wrapped(&[*id], SPACES[*space], key, value)?;
                }
                Change::Delete(space, key) => drop(tx.delete(SPACES[*space], key)?),
                Change::DeletePrefix(space, prefix) => drop(tx.delete_prefix(SPACES[*space], prefix)?),
            }
        }
        last
    })
}

/// `None` where a wrapping key is missing: the transaction must fail and change nothing.
fn applied(model: &Model, keys: &BTreeSet<u8>, changes: &[Change]) -> Option<Model> {
    let mut model = model.clone();
    for change in changes {
        match change.clone() {
            Change::Put(space, key, value) => drop(model.insert((space, key), (value, None))),
            Change::PutWrapped(id, space, key, value) => {
                keys.get(&id)?;
                model.insert((space, key), (value, Some(id)));
            }
            Change::Delete(space, key) => drop(model.remove(&(space, key))),
            Change::DeletePrefix(space, prefix) => {
                model.retain(|(at, key), _| *at != space || !key.starts_with(&prefix));
            }
        }
    }
    Some(model)
}

fn is_within(key: &Key, from: &Bound<Key>, to: &Bound<Key>) -> bool {
    let above = match from {
        Bound::Unbounded => true,
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
    };
    let below = match to {
        Bound::Unbounded => true,
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
    };
    above && below
}

fn check_scan(vault: &Vault, model: &Model, space: usize, from: &Bound<Key>, to: &Bound<Key>, limit: usize) {
    let mut expected: Vec<_> = model
        .iter()
        .filter(|((at, key), _)| *at == space && is_within(key, from, to))
        .map(|((_, key), (value, _))| (key.clone(), value.clone()))
        .collect();
    let range = KeyRange::new(from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
    let plain = |rows: Vec<sealcare_vault::Row>| -> Vec<_> {
        rows.into_iter().map(|(key, value)| (key, value.to_vec())).collect()
    };
    let read = vault.read(|tx| {
        let count = tx.count(SPACES[space], &range)?;
        let up = plain(tx.scan(SPACES[space], &range, limit)?);
        Ok::<_, VaultError>((count, up, plain(tx.scan_descending(SPACES[space], &range, limit)?)))
    });
    let (count, up, down) = read.unwrap();
    assert_eq!(count, expected.len() as u64);
    assert_eq!(up, expected.iter().take(limit).cloned().collect::<Vec<_>>());
    expected.reverse();
    assert_eq!(down, expected.into_iter().take(limit).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_vault_is_an_ordered_map(steps in prop::collection::vec(step(), 1..25)) {
        let folder = tempfile::tempdir().unwrap();
        let (dir, unlock) = (folder.path().join("vault"), Unlock::SecretFile(folder.path().join("secret")));
        let mut vault = Vault::create(&dir, &unlock, &mut rand::rng()).unwrap();
        let (mut model, mut keys) = (Model::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Commit(changes) => {
                    let next = applied(&model, &keys, &changes);
                    prop_assert_eq!(apply(&vault, &changes, Ok(())).is_ok(), next.is_some());
                    model = next.unwrap_or(model);
                }
                Step::RollBack(changes) => {
                    prop_assert!(apply(&vault, &changes, Err(VaultError::NoWrappingKey)).is_err());
                }
                Step::CreateKey(id) => {
                    vault.create_wrapping_key(&[id]).unwrap();
                    keys.insert(id);
                }
                Step::DestroyKey(id) => {
                    vault.destroy_wrapping_key(&[id]).unwrap();
                    keys.remove(&id);
                    model.retain(|_, (_, wrapping)| *wrapping != Some(id));
                }
                Step::Reopen => {
                    drop(vault);
                    vault = Vault::open(&dir, &unlock).unwrap();
                }
                Step::Scan(space, from, to, limit) => check_scan(&vault, &model, space, &from, &to, limit),
            }
        }
        for space in 0..SPACES.len() {
            check_scan(&vault, &model, space, &Bound::Unbounded, &Bound::Unbounded, 10_000);
        }
        prop_assert_eq!(vault.verify(&SPACES).unwrap(), model.len() as u64);
    }
}
