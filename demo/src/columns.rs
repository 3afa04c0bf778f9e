//! Three columns, patient | relay | clinic, redrawn in place on a terminal and printed once elsewhere.

use console::{Style, Term, measure_text_width, truncate_str};

/// Where a cell stands.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Patient,
    Relay,
    Clinic,
}

const HEADINGS: [&str; 3] = ["patient", "relay", "clinic"];
/// The block is at most this wide, and at least wide enough for `72 /min`.
const WIDTH_MAX: usize = 120;
const WIDTH_MIN: usize = 48;

/// A block of rows that fills as things happen.
pub(crate) struct Columns {
    term: Term,
    rows: Vec<[String; 3]>,
    is_drawn: bool,
    is_silent: bool,
}

/// Whether anything is shown.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Show {
    Story,
    Nothing,
}

impl Columns {
    /// `rows` empty rows.
    pub(crate) fn new(rows: usize, show: Show) -> Self {
        let is_silent = show == Show::Nothing;
        Self { term: Term::stdout(), rows: vec![Default::default(); rows], is_drawn: false, is_silent }
    }

    /// Writes a cell; rows beyond the block are not shown.
    pub(crate) fn set(&mut self, row: usize, column: Column, text: impl Into<String>) {
        if let Some(cells) = self.rows.get_mut(row) {
            cells[column as usize] = text.into();
        }
        if self.term.is_term() {
            self.draw();
        }
    }

    /// The block as it stands, for what is not a terminal.
    pub(crate) fn finish(&mut self) {
        if !self.term.is_term() {
            self.draw();
        }
        self.is_drawn = false;
    }

    fn draw(&mut self) {
        if self.is_silent {
            return;
        }
        if self.is_drawn {
            let _ = self.term.clear_last_lines(self.rows.len() + 2);
        }
        let width = usize::from(self.term.size().1).clamp(WIDTH_MIN, WIDTH_MAX);
        // Three cells, two dividers with a space on either side, a space before and one column to spare.
        let cell = (width - 8) / 3;
        let bold = Style::new().bold();
        let heading = HEADINGS.map(|h| bold.apply_to(pad(h, cell)).to_string());
        self.print(&format!(" {} │ {} │ {}", heading[0], heading[1], heading[2]));
        let rule = "─".repeat(cell + 2);
        self.print(&format!("{}┼{rule}┼{}", "─".repeat(cell + 2), "─".repeat(cell + 1)));
        let dim = Style::new().dim();
        for [patient, relay, clinic] in &self.rows {
            let relay = dim.apply_to(pad(relay, cell));
            self.print(&format!(" {} │ {relay} │ {}", pad(patient, cell), pad(clinic, cell).trim_end()));
        }
        self.is_drawn = true;
    }

    fn print(&self, line: &str) {
        // A closed pipe ends the reader's interest, not the story.
        let _ = self.term.write_line(line);
    }
}

fn pad(text: &str, width: usize) -> String {
    let text = truncate_str(text, width, "…");
    let space = width.saturating_sub(measure_text_width(&text));
    format!("{text}{}", " ".repeat(space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_one_width() {
        assert_eq!(pad("72 /min", 10), "72 /min   ");
        assert_eq!(measure_text_width(&pad("a very long record indeed", 10)), 10);
    }
}
