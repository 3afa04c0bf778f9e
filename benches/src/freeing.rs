//! What a revocation gives back, on each embedded engine: a grant with 100,000 envelopes of 1 KiB ends beside
//! patients who go on.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::anyhow;
use clap::ValueEnum as _;
use sealcare_relay::store::embedded::EngineName;

use crate::{
    disk,
    population::{Population, calm},
    report::{Report, real},
};

/// Envelopes of the grant that is revoked.
const REVOKED_ENVELOPES: u64 = 100_000;
/// Envelopes of the patients who stay.
const STAYING_ENVELOPES: usize = 20_000;
const GRANTS: u32 = 1_000;
const PRODUCERS: usize = 64;
/// Between two looks at how much the files hold.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Measures it in stores under `disk`.
pub(crate) async fn measure(report: &mut Report, disk: &Path) -> anyhow::Result<()> {
    report
        .begin("freeing: revocation of a grant with 100,000 envelopes of 1 KiB (108 MB), 20,000 others stay");
    for engine in EngineName::value_variants() {
        let folder = tempfile::tempdir_in(disk)?;
        let mut population = Population::settle(folder.path(), *engine, GRANTS).await?;
        population.deposit(PRODUCERS, STAYING_ENVELOPES).await?;
        for _ in 0..report.rounds().min(GRANTS) {
            revoke(report, *engine, folder.path(), &mut population).await?;
        }
    }
    report.end();
    Ok(())
}

async fn revoke(
    report: &mut Report,
    engine: EngineName,
    store: &Path,
    population: &mut Population,
) -> anyhow::Result<()> {
    let mark = population.fill_last(REVOKED_ENVELOPES).await?;
    anyhow::ensure!(disk::holds(store, &mark)?, "ciphertext is not found where it lies");
    calm().await;
    let before = disk::occupied(store)?;
    let watch = Watch::begin(store);
    let freed = population.revoke_last().await?;
    let peak = watch.end()?;
    let after = disk::occupied(store)?;
    let left = disk::holds(store, &mark)?;
    let mut add = |name: &str, unit, value| report.add(&format!("{engine}: {name}"), unit, value);
    add("answered after", "ms", freed.answered.as_secs_f64() * 1e3);
    add("rows deleted after", "ms", freed.deleted.as_secs_f64() * 1e3);
    add("bytes gone from the files after", "ms", freed.gone.as_secs_f64() * 1e3);
    add("store before", "MB", real(before) / 1e6);
    add("store at most meanwhile", "MB", real(peak.max(before)) / 1e6);
    add("store after", "MB", real(after) / 1e6);
    add("ciphertext found afterwards", "1 = yes", f64::from(u8::from(left)));
    Ok(())
}

/// Looks again and again at how much the files of a folder hold.
struct Watch {
    most: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn begin(folder: &Path) -> Self {
        let (most, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, over, folder): (_, _, PathBuf) = (most.clone(), is_over.clone(), folder.to_owned());
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                // A file may go while its folder is read; the next look comes soon.
                seen.fetch_max(disk::occupied(&folder).unwrap_or(0), Ordering::AcqRel);
                thread::sleep(LOOK_EVERY);
            }
        });
        Self { most, is_over, thread }
    }

    fn end(self) -> anyhow::Result<u64> {
        self.is_over.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the watch over the disk panicked"))?;
        Ok(self.most.load(Ordering::Acquire))
    }
}
