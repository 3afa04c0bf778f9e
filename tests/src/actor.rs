//! The programs of a story, each its own process: this one binary, and `SEALCARE_ACTOR` says which. Not here: what
//! they do, which is the crates' own.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;
use sealcare_relay::{
    Config,
    config::Overrides,
    operator::{self, OrganizationCommand, Output},
    telemetry,
};
use sealcare_tests::world::Role;

/// As `sealcare-relay serve`, whose command line is the binary's own.
#[derive(Parser)]
#[command(no_binary_name = true)]
enum Relay {
    Serve(Box<Overrides>),
    Approve { domain: String, data: std::path::PathBuf },
}

fn main() -> ExitCode {
    let role = std::env::var(Role::VARIABLE).ok();
    let args = std::env::args_os().skip(1);
    match role.as_deref().and_then(Role::of_name) {
        Some(Role::Patient) => sealcare::main_from(args),
        Some(Role::Gateway) => sealcare_gateway::main_from(args),
        Some(Role::Relay) => match relay(args.collect()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sealcare-relay: {error:#}");
                ExitCode::FAILURE
            }
        },
        None => {
            eprintln!("actor: {} names no role", Role::VARIABLE);
            ExitCode::FAILURE
        }
    }
}

fn relay(args: Vec<OsString>) -> anyhow::Result<()> {
    let line = Relay::try_parse_from(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match line {
        Relay::Serve(overrides) => {
            let config = Config::load(*overrides)?;
            telemetry::log_to(&config)?;
            runtime.block_on(sealcare_relay::run(config, std::future::pending()))?;
        }
        Relay::Approve { domain, data } => {
            let command = OrganizationCommand::Approve { domain };
            println!("{}", runtime.block_on(operator::run(&data, command, Output::Json))?);
        }
    }
    Ok(())
}
