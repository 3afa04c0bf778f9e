//! The commands, one file each. Not here: how they are written on the command line (`args`).

mod accept;
mod doctor;
mod grants;
mod import;
mod init;
mod pause;
mod recover;
mod recovered;
mod revoke;
mod scope;
mod share;
mod sheet;
mod status;
mod tell;
mod typed_sheet;

use crate::{
    args::{Command, CommandLine},
    context::Context,
    error::Result,
    output::Output,
};

/// Runs the command of `line`.
///
/// # Errors
/// Whatever kept it from being done; then nothing is changed unless the command says otherwise.
pub(crate) async fn run(line: CommandLine, output: Output) -> Result<()> {
    let context = Context::new(&line.options, output)?;
    match line.command {
        Command::Init(args) => init::run(&context, args).await,
        Command::Import(args) => import::run(&context, args).await,
        Command::Accept(args) => accept::run(&context, args).await,
        Command::Grants => grants::run(&context).await,
        Command::Share(args) => share::run(&context, args).await,
        Command::Status => status::run(&context).await,
        Command::Scope(args) => scope::run(&context, args).await,
        Command::Pause(args) => pause::pause(&context, args).await,
        Command::Resume(args) => pause::resume(&context, args).await,
        Command::Sheet(args) => sheet::run(&context, args).await,
        Command::Recover(args) => recover::run(&context, args).await,
        Command::Revoke(args) => revoke::run(&context, args).await,
        Command::Doctor(args) => doctor::run(&context, args).await,
    }
}
