//! Running other programs: cargo as this workspace wants it, and test output that is counted.
//!
//! Not here: which programs run in which order (`lint`, `suites`).

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How many tests a program said that it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Adds another program's numbers to these.
    pub(crate) fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The cargo that runs this chore, with `arguments`.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs `command` with its output passed through; whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let name = program_name(command);
    let status = command.status().with_context(|| format!("{name} did not start"))?;
    Ok(status.success())
}

/// Runs `command` in silence; whether it could be started and succeeded.
pub(crate) fn succeeds_quietly(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Runs a test program, passes its standard output through and counts what the test harness reports.
pub(crate) fn succeeds_counted(command: &mut Command) -> Result<(bool, Counts)> {
    let name = program_name(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("{name} did not start"))?;
    let output = child.stdout.take().expect("stdout was piped above");
    let mut counts = Counts::default();
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        counts.add(harness_counts(&String::from_utf8_lossy(&line)).unwrap_or_default());
        line.clear();
    }
    Ok((child.wait()?.success(), counts))
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn harness_counts(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |what: &str| {
        let part = numbers.split(';').find(|part| part.trim_end().ends_with(what))?;
        part.split_whitespace().next()?.parse().ok()
    };
    Some(Counts { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

fn program_name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_line_is_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        let counts = Counts { passed: 12, failed: 3, skipped: 1 };
        assert_eq!(harness_counts(line), Some(counts));
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in ["test a::b ... ok", "test result: ", "test result: ok. x passed; 0 failed"] {
            assert_eq!(harness_counts(line), None);
        }
    }
}
