//! A year of dense data: a heart rate each minute, 30 exercise minutes and a blood pressure a day, imported, packed,
//! sealed, deposited at a relay over TLS, opened by an organization and confirmed under seal. How many envelopes and
//! bytes that is, and how many passes under the limit of unconfirmed numbers.

use std::{
    io::{Cursor, Seek as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sealcare_records::apple::generated::{Density, shared_records, write_export};
use sealcare_tests::world::World;

use crate::report::Report;

/// Days of the year that is shared.
const DAYS: u32 = 365;
/// Between two passes; what waits is the organization's work, not this.
const PACE: Duration = Duration::from_millis(200);
/// Passes after which it is said that it does not end.
const PASSES_MAX: u32 = 3_000;

/// Measures it once: nothing but the times could differ.
pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    report.begin("a year of dense data, shared");
    let world = World::new().await;
    let (clinic, ana) = (world.clinic("clinic").await, world.patient("ana").await);
    let (envelopes, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, sized) = (Arc::clone(&envelopes), Arc::clone(&bytes));
    world.courier.does(move |envelope| {
        counted.fetch_add(1, Ordering::Relaxed);
        sized.fetch_add(u64::try_from(envelope.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        envelope
    });
    let records = shared_records(DAYS, Density::EachMinute);
    let start = Instant::now();
    ana.import(vec![export()?], |_, _| ()).await?;
    report.add("import of the export, in all", "s", start.elapsed().as_secs_f64());
    ana.accepts(clinic.invites(), &[]).await;
    let start = Instant::now();
    let passes = share_all(&ana, records).await?;
    report.add("sharing until all is confirmed under seal", "s", start.elapsed().as_secs_f64());
    let (envelopes, bytes) = (envelopes.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
    for (name, unit, value) in [
        ("records", "", records),
        ("envelopes, session inits among them", "", envelopes),
        ("sealed bytes", "B", bytes),
        ("passes", "", u64::from(passes)),
    ] {
        report.add(name, unit, float(value)?);
    }
    report.add("sealed bytes a record", "B", float(bytes)? / float(records)?);
    report.end();
    Ok(())
}

fn export() -> anyhow::Result<Cursor<Vec<u8>>> {
    let mut file = Cursor::new(Vec::new());
    write_export(&mut file, DAYS, Density::EachMinute)?;
    file.flush()?;
    file.rewind()?;
    Ok(file)
}

/// Passes until everything is confirmed; returns how many.
async fn share_all(ana: &sealcare_tests::world::App, records: u64) -> anyhow::Result<u32> {
    let mut pace = tokio::time::interval(PACE);
    for pass in 1..=PASSES_MAX {
        pace.tick().await;
        for shared in ana.share(&|_| ()).await? {
            shared.outcome?;
        }
        let status = ana.status().await?;
        let grant = status.first().context("the grant")?;
        anyhow::ensure!(grant.refusals.is_empty(), "a body was refused");
        if grant.records_pending == 0 && grant.records_confirmed >= records {
            return Ok(pass);
        }
    }
    anyhow::bail!("not confirmed after {PASSES_MAX} passes")
}

fn float(value: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(value)?))
}
