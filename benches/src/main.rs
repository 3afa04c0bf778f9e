//! Sealcare's measurements: `cargo run --release -p sealcare-benches -- [seal|relay|storage|freeing|import|dense|all] [--json]`.
//!
//! Each figure is the median of some rounds with the least and the greatest, and each ratio is taken within a
//! round, where what is measured and what it is compared with run one after the other: a load from elsewhere
//! meets both. Nothing here asserts a time.
//!
//! Lives here: the command line. What is measured is in `seal`, `relay`, `storage`, `freeing`, `import` and `dense`; who acts in it is in
//! `clinic`, `patient`, `courier` and `population`; how figures are kept and printed is in `report`.

mod clinic;
mod courier;
mod dense;
mod disk;
mod envelopes;
mod freeing;
mod import;
mod patient;
mod population;
mod processor;
mod relay;
mod report;
mod seal;
mod storage;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use report::Report;

/// Grants of the large store, unless told otherwise.
const GRANTS: u32 = 100_000;

/// Measures Sealcare on this machine.
#[derive(Parser)]
#[command(name = "sealcare-benches", version)]
struct Cli {
    /// What to measure.
    #[arg(value_enum, default_value_t = Suite::All)]
    suite: Suite,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Rounds of each measurement; figures are medians over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Grants of the larger store that growth is measured with (1000000 takes some minutes and 5 GB).
    #[arg(long, default_value_t = GRANTS, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    grants: u32,
    /// Where stores and files are written; the disk under it is what is measured.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    disk: PathBuf,
}

#[derive(Clone, Copy, Eq, PartialEq, ValueEnum)]
enum Suite {
    /// Sealing and opening records.
    Seal,
    /// Deposits and delivery through a relay, over TLS on the loopback interface.
    Relay,
    /// The relay's store without a network.
    Storage,
    /// What a revocation gives back, on each storage engine.
    Freeing,
    /// An Apple Health export of 2 GB. Once; takes minutes.
    Import,
    /// A year of a heart rate each minute, from the file to the organization's confirmation. Once.
    Dense,
    /// All of them.
    All,
}

fn main() -> ExitCode {
    if let Some(status) = import::run_if_asked().or_else(courier::run_if_asked) {
        return status;
    }
    match measure(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealcare-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("sealcare-benches: built without --release: the figures say nothing");
    }
    let mut report = Report::new(cli.rounds);
    let includes = |suite| cli.suite == suite || cli.suite == Suite::All;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if includes(Suite::Seal) {
        seal::measure(&mut report).context("seal")?;
    }
    if includes(Suite::Relay) {
        runtime.block_on(relay::measure(&mut report, &cli.disk)).context("relay")?;
    }
    if includes(Suite::Storage) {
        runtime.block_on(storage::measure(&mut report, &cli.disk, cli.grants)).context("storage")?;
    }
    if includes(Suite::Freeing) {
        runtime.block_on(freeing::measure(&mut report, &cli.disk)).context("freeing")?;
    }
    if includes(Suite::Import) {
        import::measure(&mut report, &cli.disk).context("import")?;
    }
    if includes(Suite::Dense) {
        runtime.block_on(dense::measure(&mut report)).context("dense")?;
    }
    println!("{}", if cli.json { report.to_json() } else { report.to_text() });
    Ok(())
}
