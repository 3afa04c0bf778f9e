//! `cargo xtask test`: every suite in order, and what became of each.
//!
//! Everything is built once, in the development profile, for all workspace members together, so that no
//! suite builds the dependencies a second time. Not here: linting (`lint`), the other HPKE
//! implementations (`oracles`).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::commands::{cargo, succeeds, succeeds_counted, succeeds_quietly};
use crate::left_out::LeftOut;
use crate::lint;
use crate::metadata::{self, Workspace};
use crate::oracles;
use crate::programs::{Installing, Program};
use crate::report::{Outcome, Report};

/// Where the real files are that some tests read.
const DATA_VARIABLE: &str = "SEALCARE_TEST_DATA";

/// Lets processes live in later days: without it the stories of months and years pass without having been played.
const FAKETIME: Program = Program { probe: &["faketime", "-f", "+31d", "true"], packages: &["faketime"] };

/// Whether a run may go without a suite that nobody excused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Completeness {
    BestEffort,
    Required,
}

/// Runs every suite; whether all of them held.
pub(crate) fn run(installing: Installing, completeness: Completeness) -> Result<bool> {
    let workspace = metadata::read()?;
    let excused = LeftOut::read(&workspace.root)?;
    let mut report = Report::default();
    lint::run_static(&workspace, &mut report);
    lint::run_compiled(&mut report);
    report.step("later days", || later_days(installing));
    run_tests(&workspace, &mut report);
    report.step("hpke: python", || oracles::python(&workspace, installing));
    report.step("hpke: node", || oracles::node(&workspace, installing));
    report.step("cargo deny", deny);
    if completeness == Completeness::Required {
        report.require(|suite| excused.names(suite));
    }
    print!("{report}");
    let totals = report.totals();
    println!("\n{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
    Ok(report.failures() == 0)
}

/// Whether the stories of later days, which are among the tests, can be played here.
fn later_days(installing: Installing) -> Result<Outcome> {
    Ok(if FAKETIME.ensure(installing)? { Outcome::of(true) } else { Outcome::LeftOut(FAKETIME.advice()) })
}

/// The suites that run our own programs.
fn run_tests(workspace: &Workspace, report: &mut Report) {
    // Binaries and tests in one command: cargo resolves features once for both.
    let mut build = cargo(&["build", "--workspace", "--bins", "--lib", "--tests", "--examples"]);
    report.step("build", || Ok(Outcome::of(succeeds(&mut build)?)));

    let data = real_data();
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    // The tests of real files pass here without any: they are counted once, and run once, below.
    tests.env_remove(DATA_VARIABLE);
    report.step("tests", || {
        let (held, counts) = succeeds_counted(&mut tests)?;
        Ok(Outcome::counted(held, counts))
    });
    report.step("real data", || real_data_tests(data.as_deref()));
    report.step("demo", || demo(workspace, &[], has_told_its_story));
    report.step("demo with a flipped bit", || demo(workspace, &["--break".into()], has_refused));
    report.step("demo on real files", || match &data {
        Some(folder) => demo(workspace, &demo_files(folder)?, has_told_its_story),
        None => Ok(Outcome::LeftOut(data_advice())),
    });
}

/// The folder of real files, absolute, because tests run in their own crate's folder.
fn real_data() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os(DATA_VARIABLE)?);
    folder.join("apple-health").is_dir().then(|| fs::canonicalize(&folder).ok())?
}

fn data_advice() -> String {
    format!("set {DATA_VARIABLE} to a folder of real files (README, Development)")
}

/// The test programs that read real files. Their tests were counted among all, so this is one check, which a
/// program without tests does not pass.
fn real_data_tests(data: Option<&Path>) -> Result<Outcome> {
    let Some(folder) = data else {
        return Ok(Outcome::LeftOut(data_advice()));
    };
    let mut tests = cargo(&["test", "--workspace", "--test", "real_data*"]);
    let (held, counts) = succeeds_counted(tests.env(DATA_VARIABLE, folder))?;
    Ok(Outcome::of(held && counts.passed > 0))
}

/// The files that the demo is shown: two Apple Health exports and a synthetic hospital's bundle.
fn demo_files(data: &Path) -> Result<Vec<PathBuf>> {
    let apple = data.join("apple-health");
    let mut files = vec![apple.join("rinoshiyo-sample_export.xml"), apple.join("alxdrcirilo-export.xml")];
    let bundles = data.join("synthea").join("2020");
    for entry in fs::read_dir(bundles).context("cannot read the synthea bundles")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("Lean294") {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Runs the demo; it passes if it exits with 0 and `holds` is true of the object that `--json` promises.
fn demo(workspace: &Workspace, arguments: &[PathBuf], holds: fn(&Value) -> bool) -> Result<Outcome> {
    let program = workspace.target.join("debug").join("sealcare-demo");
    let output = Command::new(program)
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("the demo did not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let story =
        serde_json::from_str(text.trim()).context("the demo printed something else than an object")?;
    Ok(Outcome::of(output.status.success() && holds(&story)))
}

/// Whether everything that was shared was opened, and nothing was found at the relay or left after the stop.
fn has_told_its_story(story: &Value) -> bool {
    story["records_opened"].as_u64().is_some_and(|opened| opened > 0)
        && story["records_opened"] == story["records_shared"]
        && story["plaintext_found_at_relay"].as_u64() == Some(0)
        && story["revocation_confirmed"].as_bool() == Some(true)
        && story["opened_after_revocation"].as_u64() == Some(0)
}

/// Whether the envelope that the relay altered was refused by name.
fn has_refused(story: &Value) -> bool {
    story["refused_by"].as_str().is_some_and(|name| !name.is_empty())
}

/// Bans, licences and sources; advisories need the network and belong to a schedule, not to a test.
fn deny() -> Result<Outcome> {
    if !succeeds_quietly(&mut cargo(&["deny", "--version"])) {
        return Ok(Outcome::LeftOut("cargo install --locked cargo-deny".into()));
    }
    Ok(Outcome::of(succeeds(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_demos_object_is_judged_by_its_contents() {
        let story = json!({
            "records_shared": 3, "records_opened": 3, "plaintext_found_at_relay": 0,
            "revocation_confirmed": true, "opened_after_revocation": 0,
        });
        assert!(has_told_its_story(&story));
        for (field, wrong) in [
            ("records_opened", json!(2)),
            ("plaintext_found_at_relay", json!(1)),
            ("revocation_confirmed", json!(false)),
            ("opened_after_revocation", json!(1)),
            ("opened_after_revocation", Value::Null),
        ] {
            let mut other = story.clone();
            other[field] = wrong;
            assert!(!has_told_its_story(&other), "{field}");
        }
        let nothing = json!({"records_shared": 0, "records_opened": 0});
        assert!(!has_told_its_story(&nothing));
    }

    #[test]
    fn a_flipped_bit_needs_a_named_refusal() {
        assert!(has_refused(&json!({"refused_by": "data-open"})));
        assert!(!has_refused(&json!({"refused_by": ""})) && !has_refused(&json!({})));
    }
}
