//! The relay's store on its embedded engines, without a network: durable deposits beside plain appending, and
//! what more grants cost. What a revocation gives back is in `freeing`.

use std::path::Path;

use clap::ValueEnum as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sealcare_relay::store::embedded::EngineName;

use crate::{
    courier::Commits,
    disk,
    envelopes::ENVELOPE_BYTES,
    population::{Population, Took, calm},
    report::{Report, real},
};

/// Producers that wait for the store at a time.
const PRODUCERS: usize = 64;
/// Deposits in a round.
const DEPOSITS: usize = 20_000;
/// Grants of the smaller store.
const FEW_GRANTS: u32 = 1_000;

/// Measures all of it in stores under `disk`; growth up to `grants` grants.
pub(crate) async fn measure(report: &mut Report, disk: &Path, grants: u32) -> anyhow::Result<()> {
    let metrics = PrometheusBuilder::new().install_recorder()?;
    report.begin("storage: durable deposits (1 KiB, one by one, 64 producers)");
    for engine in EngineName::value_variants() {
        durable_deposits(report, disk, *engine, &metrics).await?;
    }
    report.end();
    growth(report, disk, grants).await
}

async fn durable_deposits(
    report: &mut Report,
    disk: &Path,
    engine: EngineName,
    metrics: &PrometheusHandle,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(disk)?;
    let mut population = Population::settle(&folder.path().join("data"), engine, FEW_GRANTS).await?;
    population.fetch().await?;
    let name = |what: &str| format!("{engine}: {what}");
    for _ in 0..report.rounds() {
        let before = Commits::parse(&metrics.render());
        let took = population.deposit(PRODUCERS, DEPOSITS).await?;
        let group = Commits::parse(&metrics.render()).group_since(before);
        let target = folder.path().to_owned();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 512 envelopes")]
        let group_bytes = group.round() as usize * ENVELOPE_BYTES;
        let total = DEPOSITS * ENVELOPE_BYTES;
        let append = move || disk::append_synced(&target, group_bytes, total);
        let plain = tokio::task::spawn_blocking(append).await??;
        let rate = real(DEPOSITS as u64) / took.wall.as_secs_f64();
        let plain_rate = real(DEPOSITS as u64) / plain.as_secs_f64();
        report.add(&name("durable deposits"), "envelopes/s", rate);
        report.add(&name("CPU of a deposit, producers included"), "us", micros(&took, DEPOSITS as u64));
        report.add(&name("envelopes in a group commit"), "envelopes", group);
        report.add(&name("append + fdatasync of such groups"), "envelopes/s", plain_rate);
        report.add(&name("durable deposits / append + fdatasync"), "ratio", rate / plain_rate);
        population.fetch().await?;
        population.acknowledge().await?;
        calm().await;
    }
    Ok(())
}

async fn growth(report: &mut Report, disk: &Path, grants: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(disk)?;
    eprintln!("preparing: {grants} grants");
    let mut many = Population::settle(&folder.path().join("many"), EngineName::Fjall, grants).await?;
    let mut few = Population::settle(&folder.path().join("few"), EngineName::Fjall, FEW_GRANTS).await?;
    many.fetch().await?;
    few.fetch().await?;
    calm().await;
    report.begin("storage: growth (CPU of a deposit and of a fetch, two stores in turn)");
    for _ in 0..report.rounds() {
        let [few_took, many_took] = [&mut few, &mut many].map(turn);
        let (few_took, many_took) = (few_took.await?, many_took.await?);
        for (name, grants, (deposit, fetch)) in [("fewer", FEW_GRANTS, few_took), ("more", grants, many_took)]
        {
            report.add(&format!("deposit with {name} grants ({grants})"), "us", deposit);
            report.add(&format!("fetch with {name} grants ({grants})"), "us", fetch);
        }
        report.add("deposit: more / fewer grants", "ratio", many_took.0 / few_took.0);
        report.add("fetch: more / fewer grants", "ratio", many_took.1 / few_took.1);
    }
    report.end();
    Ok(())
}

/// Deposits and fetches; CPU of each for one envelope, in microseconds.
async fn turn(population: &mut Population) -> anyhow::Result<(f64, f64)> {
    let deposited = population.deposit(PRODUCERS, DEPOSITS).await?;
    let (fetched, count) = population.fetch().await?;
    anyhow::ensure!(count == DEPOSITS as u64, "fetched something else than was deposited");
    Ok((micros(&deposited, count), micros(&fetched, count)))
}

fn micros(took: &Took, count: u64) -> f64 {
    took.processor.as_secs_f64() * 1e6 / real(count)
}
