//! Progress of long work, drawn on standard error and only on a terminal. Not here: results (`output`).

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealcare_records::Progress;

use crate::output::Output;

/// Between two frames of a spinner.
const FRAME: Duration = Duration::from_millis(120);

/// A line that tells how far something is. Vanishes when dropped.
#[derive(Debug)]
pub(crate) struct Meter(ProgressBar);

impl Meter {
    /// For reading a file called `name`.
    pub(crate) fn of_file(name: &str, output: Output) -> Self {
        let bar = bar(output);
        bar.set_style(style("{prefix} {wide_bar} {bytes}/{total_bytes} {msg} {eta}"));
        bar.set_prefix(name.to_owned());
        Self(bar)
    }

    /// For work of unknown length.
    pub(crate) fn of_work(text: &'static str, output: Output) -> Self {
        let bar = bar(output);
        bar.set_style(style("{spinner} {msg}"));
        bar.set_message(text);
        bar.enable_steady_tick(FRAME);
        Self(bar)
    }

    /// How far an import is.
    pub(crate) fn imported(&self, progress: Progress) {
        if let Some(total) = progress.bytes_total {
            self.0.set_length(total);
        }
        self.0.set_position(progress.bytes_read);
        self.0.set_message(format!("{} records", progress.records));
    }

    /// What is being done now.
    pub(crate) fn say(&self, text: String) {
        self.0.set_message(text);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn bar(output: Output) -> ProgressBar {
    let is_seen = output == Output::Text && io::stderr().is_terminal();
    let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(None, target)
}

fn style(template: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template of this file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_well_formed_and_nothing_is_drawn_for_programs() {
        let meter = Meter::of_file("export.zip", Output::Json);
        meter.imported(Progress { bytes_read: 5, bytes_total: Some(10), records: 2 });
        assert!(meter.0.is_hidden());
        assert_eq!((meter.0.position(), meter.0.length()), (5, Some(10)));
        Meter::of_work("sealing", Output::Json).say("more".into());
    }
}
