//! Project chores: `cargo xtask lint` and `cargo xtask test`.
//!
//! Here: the command line. Not here: what each chore does (`lint`, `suites`).

mod commands;
mod doc_links;
mod edges;
mod left_out;
mod lint;
mod metadata;
mod oracles;
mod programs;
mod report;
mod rust_text;
mod source_rules;
mod suites;

use std::process::ExitCode;

use anyhow::Result;
use lexopt::prelude::{Long, Short, Value};

use crate::programs::Installing;
use crate::suites::Completeness;

/// Exit status of a command line that makes no sense (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;

const HELP: &str = "\
Sealcare's project chores

Usage: cargo xtask lint [--edges]
       cargo xtask test [--no-install] [--require-all]

lint            crate edges, document links, source rules, rustfmt, clippy and docs, all with warnings denied
  --edges       only what needs no compiler: edges, links and source rules

test            every suite, each a named step, and a table of what ran and what was left out
  --no-install  never install a program; a suite that needs one is left out by name
  --require-all fail on anything left out that xtask/left-out.toml does not name with a reason

Exit status: 0 all held, 1 something failed, 64 wrong usage.
";

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
enum Chore {
    Help,
    Lint(lint::Extent),
    Test(Installing, Completeness),
}

fn main() -> ExitCode {
    let chore = match parse(lexopt::Parser::from_env()) {
        Ok(chore) => chore,
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: lexopt::Parser) -> Result<Chore, lexopt::Error> {
    let mut chore = match arguments.next()? {
        Some(Value(name)) if name == "lint" => Chore::Lint(lint::Extent::Whole),
        Some(Value(name)) if name == "test" => Chore::Test(Installing::Allowed, Completeness::BestEffort),
        None | Some(Long("help") | Short('h')) => return Ok(Chore::Help),
        Some(other) => return Err(other.unexpected()),
    };
    while let Some(argument) = arguments.next()? {
        match (&mut chore, argument) {
            (_, Long("help") | Short('h')) => return Ok(Chore::Help),
            (Chore::Lint(extent), Long("edges")) => *extent = lint::Extent::Static,
            (Chore::Test(installing, _), Long("no-install")) => *installing = Installing::Refused,
            (Chore::Test(_, completeness), Long("require-all")) => {
                *completeness = Completeness::Required;
            }
            (_, other) => return Err(other.unexpected()),
        }
    }
    Ok(chore)
}

/// Runs `chore`; `false` where a rule or a suite failed.
fn run(chore: Chore) -> Result<bool> {
    match chore {
        Chore::Help => {
            print!("{HELP}");
            Ok(true)
        }
        Chore::Lint(extent) => lint::run(extent),
        Chore::Test(installing, completeness) => suites::run(installing, completeness),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Chore, lexopt::Error> {
        parse(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn flags_of_one_chore_are_refused_by_the_other() {
        assert!(matches!(parsed(&["lint", "--edges"]), Ok(Chore::Lint(lint::Extent::Static))));
        assert!(parsed(&["lint", "--require-all"]).is_err());
        assert!(parsed(&["test", "--edges"]).is_err());
        assert!(parsed(&["tset"]).is_err());
    }

    #[test]
    fn test_flags_combine() {
        let chore = parsed(&["test", "--require-all", "--no-install"]);
        assert!(matches!(chore, Ok(Chore::Test(Installing::Refused, Completeness::Required))));
    }
}
