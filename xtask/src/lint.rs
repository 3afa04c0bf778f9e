//! `cargo xtask lint`: everything that judges the source without running it.
//!
//! Here: the steps and their commands. Not here: the rules (`edges`, `doc_links`, `source_rules`), the other suites (`suites`).

use std::env;
use std::process::Command;

use anyhow::Result;

use crate::commands::{cargo, succeeds, succeeds_quietly};
use crate::metadata::{self, Workspace};
use crate::report::{Outcome, Report};
use crate::{doc_links, edges, source_rules};

/// How much of the linting is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Extent {
    /// Crate edges, document links and source rules: no compiler, a second at most.
    Static,
    /// The above, then rustfmt, clippy and rustdoc.
    Whole,
}

/// Runs the lint alone; whether all of it held.
pub(crate) fn run(extent: Extent) -> Result<bool> {
    let workspace = metadata::read()?;
    let mut report = Report::default();
    run_static(&workspace, &mut report);
    if extent == Extent::Whole {
        run_compiled(&mut report);
    }
    print!("{report}");
    Ok(report.failures() == 0)
}

/// The steps that read metadata and files only.
pub(crate) fn run_static(workspace: &Workspace, report: &mut Report) {
    report.step("crate edges", || {
        let violations = edges::violations(&workspace.packages);
        Ok(judged(&violations))
    });
    report.step("document links", || Ok(judged(&doc_links::violations(&workspace.root)?)));
    report.step("source rules", || {
        let findings = source_rules::check(&workspace.root)?;
        for warning in &findings.warnings {
            eprintln!("warning: {warning}");
        }
        Ok(judged(&findings.errors))
    });
}

/// The steps that need rustfmt or the compiler.
pub(crate) fn run_compiled(report: &mut Report) {
    let mut format = cargo(&["fmt", "--all", "--check"]);
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    report.step("format", || component("rustfmt", &["fmt", "--version"], &mut format));
    report.step("clippy", || component("clippy", &["clippy", "--version"], &mut clippy));
    report.step("docs", || Ok(Outcome::of(succeeds(&mut docs())?)));
}

/// Runs `command` if the toolchain has the component that it needs, which cargo's `probe` shows.
fn component(name: &str, probe: &[&str], command: &mut Command) -> Result<Outcome> {
    if !succeeds_quietly(&mut cargo(probe)) {
        return Ok(Outcome::LeftOut(format!("rustup component add {name}")));
    }
    Ok(Outcome::of(succeeds(command)?))
}

fn docs() -> Command {
    let mut flags = env::var("RUSTDOCFLAGS").unwrap_or_default();
    flags.push_str(" -D warnings");
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", flags.trim_start());
    command
}

fn judged(violations: &[String]) -> Outcome {
    for violation in violations {
        eprintln!("error: {violation}");
    }
    Outcome::of(violations.is_empty())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_missing_component_is_left_out_with_how_to_get_it() {
        let outcome = component("rustfmt", &["no-such-component"], &mut cargo(&["--version"])).unwrap();
        assert_eq!(outcome, Outcome::LeftOut("rustup component add rustfmt".into()));
    }

    #[test]
    fn a_component_that_is_there_is_judged_by_its_command() {
        let judged = |arguments: &[&str]| {
            let mut command = cargo(arguments);
            component("rustfmt", &["--version"], command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
        };
        assert_eq!(judged(&["--version"]), Outcome::of(true));
        assert_eq!(judged(&["no-such-component"]), Outcome::of(false));
    }
}
