//! A process that commits in a loop is killed again and again: what it acknowledged is there, whole, and what it
//! destroyed is gone.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealcare_vault::{KeyRange, Space, Unlock, Vault, VaultError};

const LEFT: Space = Space::new(1, "left");
const RIGHT: Space = Space::new(2, "right");
const WRAPPED: Space = Space::new(3, "wrapped");
const PLACE: &str = "SEALCARE_VAULT_CRASH_TEST";
const KILLS: usize = 15;
/// A wrapping key is destroyed this many rounds after it was made.
const WRAPPING_ROUNDS: u64 = 3;

fn open(place: &Path) -> Vault {
    let (dir, unlock) = (place.join("vault"), Unlock::SecretFile(place.join("secret")));
    if Vault::exists(&dir) {
        Vault::open(&dir, &unlock).unwrap()
    } else {
        Vault::create(&dir, &unlock, &mut rand::rng()).unwrap()
    }
}

fn round(vault: &Vault, number: u64) -> Result<(), VaultError> {
    let key = number.to_be_bytes();
    vault.create_wrapping_key(&key)?;
    vault.write(|tx| {
        tx.put(LEFT, &key, &vec![1; 3_000])?;
        tx.put_wrapped(&key, WRAPPED, &key, b"until destroyed")?;
        tx.put(RIGHT, &key, &vec![2; 3_000])
    })?;
    match number.checked_sub(WRAPPING_ROUNDS) {
        Some(earlier) => vault.destroy_wrapping_key(&earlier.to_be_bytes()),
        None => Ok(()),
    }
}

fn numbers(vault: &Vault, space: Space) -> BTreeSet<u64> {
    let rows = vault.read(|tx| tx.scan(space, &KeyRange::all(), 10_000)).unwrap();
    rows.into_iter().map(|(key, _)| u64::from_be_bytes(key.try_into().unwrap())).collect()
}

#[test]
#[ignore = "a process of its own, run and killed by the test below"]
fn committing_process() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let vault = open(&PathBuf::from(place));
    let first = numbers(&vault, LEFT).last().map_or(0, |last| last + 1);
    for number in first.. {
        round(&vault, number).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

/// Runs the process until it has acknowledged `lines` rounds, kills it, and returns all that it acknowledged.
fn run_and_kill(place: &Path, lines: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "committing_process", "--ignored", "--nocapture"])
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    for line in out.lines() {
        let line = line.unwrap();
        acknowledged.extend(line.strip_prefix("acknowledged ").map(|number| number.parse::<u64>().unwrap()));
        if acknowledged.len() == lines {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    acknowledged
}

#[test]
fn what_was_acknowledged_survives_kills_whole() {
    let place = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for kill in 0..KILLS {
        acknowledged.extend(run_and_kill(place.path(), 1 + kill * 7 % 23));
        let vault = open(place.path());
        let left = numbers(&vault, LEFT);
        assert!(acknowledged.is_subset(&left), "an acknowledged round is missing");
        assert_eq!(left, numbers(&vault, RIGHT), "half a transaction is there");
        let last = *acknowledged.last().unwrap();
        let destroyed = |number: &u64| number + WRAPPING_ROUNDS <= last;
        let wrapped = numbers(&vault, WRAPPED);
        assert!(!wrapped.iter().any(destroyed), "a destroyed row is there");
        assert!(
            acknowledged
                .iter()
                .filter(|number| !destroyed(number))
                .all(|number| { wrapped.contains(number) || left.contains(&(number + WRAPPING_ROUNDS)) })
        );
        vault.verify(&[LEFT, RIGHT, WRAPPED]).unwrap();
        let files = std::fs::read_dir(place.path().join("vault/wrapping")).unwrap();
        for file in files {
            assert_eq!(file.unwrap().path().extension().unwrap(), "key", "something was left half done");
        }
    }
    assert!(acknowledged.len() > KILLS);
}
