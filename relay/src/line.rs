//! The command line of `sealcare-relay`: what can be said, and who carries it out. Not here: what the commands do
//! (`server`, [`operator`]).

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, Overrides},
    error::{Error, Result},
    operator::{self, OrganizationCommand, Output},
    server, telemetry,
};

/// The relay: stores sealed envelopes for organizations, and can open none.
#[derive(Parser)]
#[command(name = "sealcare-relay", version, about, no_binary_name = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve patients and organizations until stopped (SIGINT, SIGTERM).
    Serve(Box<Overrides>),
    /// List organizations, approve or suspend one, at the relay in a data folder.
    Organization {
        #[command(subcommand)]
        command: OrganizationCommand,
        /// The relay's data folder.
        #[arg(long, value_name = "DIR", env = "SEALCARE_RELAY_DATA", global = true, default_value = ".")]
        data: PathBuf,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
    },
}

/// How long threads that block may go on after everything else has ended.
const THREADS_WITHIN: Duration = Duration::from_secs(1);

/// Runs `sealcare-relay` with these arguments, the program's name left out, and returns its exit status: 0 done, 1
/// failed, 64 bad usage or configuration, 75 the folder or the address is taken.
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
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
            eprintln!("sealcare-relay: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn execute(cli: Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Listen)?;
    match cli.command {
        Command::Serve(overrides) => {
            let config = Config::load(*overrides)?;
            telemetry::log_to(&config)?;
            let ended = runtime.block_on(server::run(config, stop_signal()));
            // Files may be in the middle of a rewrite, which a restart does anew: nothing waits for that.
            runtime.shutdown_timeout(THREADS_WITHIN);
            ended
        }
        Command::Organization { command, data, json } => {
            let output = if json { Output::Json } else { Output::Text };
            let text = runtime.block_on(operator::run(&data, command, output))?;
            println!("{text}");
            Ok(())
        }
    }
}

/// Completes at SIGINT or SIGTERM.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
