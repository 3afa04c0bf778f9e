//! The whole Sealcare story in one command: a patient's data is sealed, relayed, opened at a clinic, and stopped.
//!
//! Lives here: who plays (`cast`, `role`), what is told (`story`, `columns`), what is checked (`report`, `search`),
//! and a patient who does not exist (`synthetic`). Not here: anything that an app, gateway or relay does.

mod args;
mod cast;
mod clinic;
mod columns;
mod input;
mod pki;
mod report;
mod role;
mod search;
mod story;
mod synthetic;

use std::process::ExitCode;

use clap::Parser as _;
use sealcare_protocol::{Clock as _, SystemClock};

use crate::{args::Args, input::Input};

/// Wrong command line.
const EXIT_USAGE: u8 = 64;
/// Files that cannot be read.
const EXIT_DATA: u8 = 65;
/// Stopped by the person.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    if let Some(exit) = role::run() {
        return exit;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // A closed pipe is no reason to fail differently.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let input = match read(&args) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("sealcare-demo: {error:#}");
            return ExitCode::from(EXIT_DATA);
        }
    };
    match tell(&args, input) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("sealcare-demo: the story broke off: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Completes at SIGINT or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! { _ = tokio::signal::ctrl_c() => {} _ = terminate.recv() => {} }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn read(args: &Args) -> anyhow::Result<Input> {
    if !args.files.is_empty() {
        return Input::read(&args.files);
    }
    let folder = tempfile::Builder::new().prefix("sealcare-demo-").tempdir()?;
    let now = i64::try_from(SystemClock.now().as_millis())?;
    Input::read(&synthetic::write(folder.path(), jiff::Timestamp::from_millisecond(now)?)?)
}

fn tell(args: &Args, input: Input) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let story = story::tell(args, input);
    // Whatever the story started and wrote goes with it, also when it is interrupted.
    let told = runtime.block_on(async {
        tokio::select! { report = story => Some(report), () = interrupted() => None }
    });
    let Some(report) = told.transpose()? else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    let is_good = if args.flip { report.refused() } else { report.held() };
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
