//! `sealcare`, the patient's command line: the reference app on `sealcare-client`.
//!
//! Lives here: the command line and its help (`args`), the account's folder (`home`), the commands (`commands`),
//! results for people and programs (`output`), errors with what to do next (`error`, `advice`), exit statuses
//! (`exit`). Not here: sharing itself (`sealcare-client`), reading files (`sealcare-records`).
//!
//! No error holds a record, a name, a path, a key or a raw id; results on standard output may name what the person
//! asked for.

mod advice;
mod args;
mod choice;
mod commands;
mod context;
mod error;
mod exit;
mod grant_name;
mod home;
mod output;
mod progress;
mod question;
mod request;
mod subject;
mod times;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    args::CommandLine,
    error::{Error, Result},
    exit::Exit,
    output::Output,
};

/// Runs one command line, given without the program's name, and returns its exit status. Results go to standard
/// output, errors to standard error.
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(args) {
        Ok(line) => line,
        Err(error) => {
            // Help and version go to standard output and succeed; everything else is wrong usage.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
        }
    };
    let output = if line.options.json { Output::Json } else { Output::Text };
    match execute(line, output) {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            report(&error, output);
            error.exit().into()
        }
    }
}

fn execute(line: CommandLine, output: Output) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Start)?;
    runtime.block_on(commands::run(line, output))
}

/// Prints why a command failed, and what to do. A closed standard error is nobody's concern.
fn report(error: &Error, output: Output) {
    let advice = error.advice();
    let text = match (output, advice) {
        (Output::Json, _) => {
            let body = serde_json::json!({ "error": error.to_string(), "advice": advice, "status": error.exit().status() });
            body.to_string()
        }
        (Output::Text, Some(advice)) => format!("sealcare: {error}\n{advice}"),
        (Output::Text, None) => format!("sealcare: {error}"),
    };
    let _ = writeln!(io::stderr().lock(), "{text}");
}
