//! Measures the vault on this disk: values a second in transactions of 1,000, reads, and durable commits.

use std::time::{Duration, Instant};

use sealcare_vault::{KeyRange, Space, Unlock, Vault, VaultError};

const VALUES: Space = Space::new(1, "values");
const TRANSACTIONS: u64 = 50;
const VALUES_EACH: u64 = 1_000;
const COMMITS: u64 = 1_000;
const VALUE_BYTES: usize = 1_024;

fn main() -> Result<(), VaultError> {
    let action = "make a folder";
    let folder = tempfile::tempdir().map_err(|source| VaultError::File { action, source })?;
    let unlock = Unlock::SecretFile(folder.path().join("secret"));
    let vault = Vault::create(&folder.path().join("vault"), &unlock, &mut rand::rng())?;
    vault.create_wrapping_key(b"wrapping")?;
    let value = [7; VALUE_BYTES];
    let total = TRANSACTIONS * VALUES_EACH;

    let put = measure(|| {
        (0..TRANSACTIONS).try_for_each(|batch| {
            vault.write(|tx| {
                (0..VALUES_EACH).try_for_each(|value_at| {
                    tx.put(
                        VALUES,
                        &vault.blind(VALUES, &(batch * VALUES_EACH + value_at).to_be_bytes()),
                        &value,
                    )
                })
            })
        })
    })?;
    report("put, 1,000 in a transaction", total, put);
    let wrapped = measure(|| {
        (0..TRANSACTIONS).try_for_each(|batch| {
            vault.write(|tx| {
                (0..VALUES_EACH).try_for_each(|value_at| {
                    let key = (batch * VALUES_EACH + value_at).to_be_bytes();
                    tx.put_wrapped(b"wrapping", VALUES, &key, &value)
                })
            })
        })
    })?;
    report("put wrapped in order, 1,000 in a transaction", total, wrapped);
    let get = measure(|| {
        vault.read(|tx| {
            (0..total).try_for_each(|at| tx.get(VALUES, &vault.blind(VALUES, &at.to_be_bytes())).map(drop))
        })
    })?;
    report("get", total, get);
    let scan = measure(|| {
        let mut range = KeyRange::all();
        loop {
            let rows = vault.read(|tx| tx.scan(VALUES, &range, 1_000))?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range = range.after(last);
        }
    })?;
    report("scan", 2 * total, scan);
    let commits = measure(|| {
        (0..COMMITS).try_for_each(|at| vault.write(|tx| tx.put(VALUES, &at.to_be_bytes(), &value)))
    })?;
    report("durable commit of one value", COMMITS, commits);
    Ok(())
}

fn measure(work: impl FnOnce() -> Result<(), VaultError>) -> Result<Duration, VaultError> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn report(what: &str, count: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let count = count as f64;
    println!("{what}: {:.0}/s, {:.2} us each", count / seconds, seconds * 1e6 / count);
}
