//! The command line of `sealcare-relay`: what can be said, and who carries it out. Not here: what the commands do
//! (`server`, [`operator`]).

use std::{
    ffi::OsString,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use sealcare_protocol::RootFingerprint;

use crate::{
    config::{Config, Overrides},
    error::{Error, Result},
    operator::{self, OrganizationCommand, Output},
    server,
    store::embedded::EngineName,
    telemetry,
};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64;

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
        command: OrganizationArgs,
        #[command(flatten)]
        place: Place,
    },
    /// Write organizations, grants, spent tickets and revocations of the running relay into a new file, and no
    /// ciphertext. The relay goes on meanwhile.
    Backup {
        /// A file that is not there yet; only this user will be able to read it.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Make the store of an empty data folder from a backup. The file is checked whole before anything is written.
    Restore {
        /// What `backup` has written.
        file: PathBuf,
        /// The engine of the new store, as `store` in the configuration will say.
        #[arg(long, value_name = "ENGINE", default_value_t)]
        store: EngineName,
        /// A new folder, or an empty one. There is no default: it becomes a relay's.
        #[arg(long, value_name = "DIR", env = "SEALCARE_RELAY_DATA")]
        data: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// At which relay, and how the answer is printed.
#[derive(Args)]
struct Place {
    /// The relay's data folder.
    #[arg(long, value_name = "DIR", env = "SEALCARE_RELAY_DATA", global = true, default_value = ".")]
    data: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

impl Place {
    fn output(&self) -> Output {
        output(self.json)
    }
}

fn output(json: bool) -> Output {
    if json { Output::Json } else { Output::Text }
}

#[derive(Subcommand)]
enum OrganizationArgs {
    /// List all organizations.
    List,
    /// Let an organization receive, or receive again. Its people read its root fingerprint to you; without
    /// `--fingerprint` the relay's is shown and you are asked.
    Approve {
        /// The organization's domain, `host[:port]`.
        domain: String,
        /// The root fingerprint that its people have read to you, 64 hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        fingerprint: Option<RootFingerprint>,
    },
    /// Stop deposits to an organization and delivery until it is approved again. Nothing is lost, patients can still
    /// stop, and their app says that the relay's operator is why.
    Suspend {
        /// The organization's domain, `host[:port]`.
        domain: String,
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
        Command::Organization { command, place } => {
            tell(runtime.block_on(decide(&place.data, command, place.output())))
        }
        Command::Backup { file, place } => {
            tell(runtime.block_on(operator::back_up(&place.data, &file, place.output())))
        }
        Command::Restore { file, store, data, json } => {
            tell(operator::restore(&data, store, &file, output(json)))
        }
    }
}

fn tell(answer: Result<String>) -> Result<()> {
    println!("{}", answer?);
    Ok(())
}

async fn decide(data: &Path, command: OrganizationArgs, output: Output) -> Result<String> {
    let command = match command {
        OrganizationArgs::List => OrganizationCommand::List,
        OrganizationArgs::Suspend { domain } => OrganizationCommand::Suspend { domain },
        OrganizationArgs::Approve { domain, fingerprint } => {
            let fingerprint = match fingerprint {
                Some(fingerprint) => fingerprint,
                None => compared(&domain, operator::fingerprint(data, &domain).await?)?,
            };
            return operator::approve(data, &domain, fingerprint, output).await;
        }
    };
    operator::run(data, command, output).await
}

/// Shows the fingerprint that the relay knows, and asks whether it is the one that people read out.
fn compared(domain: &str, fingerprint: RootFingerprint) -> Result<RootFingerprint> {
    if !io::stdin().is_terminal() {
        return Err(Error::Admin(format!(
            "nobody is there to ask; compare the root fingerprint with the organization's people, then give it with \
             `--fingerprint`; the relay has {fingerprint}"
        )));
    }
    eprint!(
        "root fingerprint of {domain}:\n  {fingerprint}\nis this what its people have read to you? [y/N] "
    );
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer);
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(fingerprint),
        _ => Err(Error::Admin("not approved".into())),
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
