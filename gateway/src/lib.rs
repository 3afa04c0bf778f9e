//! The organization's daemon: serves its keys at its domain, stays subscribed at the relay, keeps what patients
//! share for viewing, streams it as FHIR NDJSON, and wipes a grant's data when the patient stops.
//!
//! Lives here: the command line ([`main_from`]), configuration ([`config`]), the daemon ([`serve`]), the HTTPS
//! listener, the control socket between the daemon and the other commands, and the record view.
//!
//! Not here: keys, invitations, the inbox and its checks (`sealcare-provider`); what a record means
//! (`sealcare-records`); how values are sealed on disk (`sealcare-vault`). Nothing is written into a chart.
//!
//! **Everything of a grant lies under the grant's wrapping key, the view included: a revocation destroys it
//! before it is confirmed. A change of the view commits with the event that caused it, so that each counts
//! exactly once. The vault's secret is never in the data folder, the roots never in the vault. Nothing but the
//! bundle and a health check is served to the network.**

mod args;
mod backup;
mod commands;
pub mod config;
mod control;
mod desk;
mod error;
mod founding;
mod handle;
mod home;
mod line;
mod listener;
mod output;
mod records;
mod report;
mod rotation;
mod secret_text;
mod serve;
mod telemetry;
mod upkeep;
mod view;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;

pub use config::Config;
pub use error::{GatewayError, Result};
pub use handle::GrantHandle;
pub use home::Home;
pub use serve::serve;

/// Runs the command line `args`, which begins after the program's name, and returns its exit status. Everything
/// that `sealcare-gateway` does, in the caller's process; `serve` ends at SIGINT or SIGTERM.
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match args::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and succeed; everything else is bad usage.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealcare-gateway: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn execute(cli: args::Cli) -> Result<()> {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().map_err(GatewayError::file("start"))?;
    let outcome = runtime.block_on(commands::run(cli));
    // A deadline that waits for a stuck disk is none.
    runtime.shutdown_background();
    outcome
}
