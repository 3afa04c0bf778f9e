//! What ran, how long it took, and the table at the end.
//!
//! Not here: which steps there are (`lint`, `suites`), what may be left out (`left_out`).

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::commands::Counts;

/// How one step ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It held; a test program adds how many tests it counted.
    Passed(Counts),
    /// It did not hold; a test program adds how many tests it counted.
    Failed(Counts),
    /// It did not run, and this is how to get it.
    LeftOut(String),
}

impl Outcome {
    /// The outcome of a step that is one check.
    pub(crate) fn of(held: bool) -> Self {
        Self::counted(held, Counts::default())
    }

    /// The outcome of a test program, with its own numbers.
    pub(crate) fn counted(held: bool, counts: Counts) -> Self {
        if held { Self::Passed(counts) } else { Self::Failed(counts) }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "FAILED",
            Self::LeftOut(_) => "left out",
        }
    }
}

/// One step that was run or left out.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    elapsed: Duration,
}

/// All steps so far, in order; `Display` is the closing table.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

impl Report {
    /// Announces, times and records one step. A step that could not do its work at all has failed.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = work().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Outcome::of(false)
        });
        let elapsed = start.elapsed();
        println!("=== {name}: {} ({:.1} s)", outcome.word(), elapsed.as_secs_f64());
        self.steps.push(Step { name, outcome, elapsed });
    }

    /// Turns every left-out step that `is_excused` does not know into a failure.
    pub(crate) fn require(&mut self, is_excused: impl Fn(&str) -> bool) {
        for step in &mut self.steps {
            if matches!(step.outcome, Outcome::LeftOut(_)) && !is_excused(step.name) {
                println!("{} was left out, and xtask/left-out.toml does not name it", step.name);
                step.outcome = Outcome::Failed(Counts::default());
            }
        }
    }

    /// How many steps failed.
    pub(crate) fn failures(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).count()
    }

    /// The tests that the steps counted; a step that counts none is one test itself.
    pub(crate) fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        for step in &self.steps {
            totals.add(match &step.outcome {
                Outcome::Passed(counts) if *counts == Counts::default() => {
                    Counts { passed: 1, ..Counts::default() }
                }
                Outcome::Passed(counts) => *counts,
                // A program can fail without a failed test: it did not compile, or it crashed.
                Outcome::Failed(counts) => Counts { failed: counts.failed.max(1), ..*counts },
                Outcome::LeftOut(_) => Counts { skipped: 1, ..Counts::default() },
            });
        }
        totals
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<24} {:<9} {:>8}  tests", "step", "outcome", "seconds")?;
        for step in &self.steps {
            let seconds = step.elapsed.as_secs_f64();
            write!(f, "{:<24} {:<9} {seconds:>8.1}  ", step.name, step.outcome.word())?;
            match &step.outcome {
                Outcome::Passed(counts) | Outcome::Failed(counts) if *counts == Counts::default() => {
                    writeln!(f)?;
                }
                Outcome::Passed(counts) => writeln!(f, "{}", counts.passed)?,
                Outcome::Failed(counts) => {
                    writeln!(f, "{} of {} failed", counts.failed, counts.passed + counts.failed)?;
                }
                Outcome::LeftOut(how) => writeln!(f, "{how}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<(&'static str, Outcome)>) -> Report {
        let mut report = Report::default();
        for (name, outcome) in outcomes {
            report.step(name, || Ok(outcome));
        }
        report
    }

    #[test]
    fn totals_count_tests_and_bare_steps() {
        let counts = Counts { passed: 5, failed: 0, skipped: 2 };
        let report = report(vec![
            ("tests", Outcome::Passed(counts)),
            ("format", Outcome::of(true)),
            ("clippy", Outcome::of(false)),
            ("oracle", Outcome::LeftOut("install it".into())),
        ]);
        assert_eq!(report.totals(), Counts { passed: 6, failed: 1, skipped: 3 });
        assert_eq!(report.failures(), 1);
        assert!(report.to_string().contains("install it"));
    }

    #[test]
    fn a_program_that_crashes_counts_as_a_failure() {
        let counts = Counts { passed: 5, failed: 0, skipped: 0 };
        let report = report(vec![("tests", Outcome::Failed(counts))]);
        assert_eq!(report.totals().failed, 1);
    }

    #[test]
    fn a_step_that_cannot_work_has_failed_and_the_run_goes_on() {
        let mut report = Report::default();
        report.step("broken", || anyhow::bail!("no such file"));
        report.step("format", || Ok(Outcome::of(true)));
        assert_eq!((report.failures(), report.totals().passed), (1, 1));
    }

    #[test]
    fn only_excused_steps_may_be_left_out() {
        let left_out = || Outcome::LeftOut("how".into());
        let mut report = report(vec![("known", left_out()), ("forgotten", left_out())]);
        report.require(|name| name == "known");
        assert_eq!(report.failures(), 1);
        assert_eq!(report.totals().skipped, 1);
    }
}
