//! Figures: medians with the least and the greatest, as text and as JSON, beside the machine's load.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use serde_json::json;

/// All that was measured.
pub(crate) struct Report {
    rounds: u32,
    sections: Vec<Section>,
}

/// One group of figures.
struct Section {
    title: &'static str,
    load_before: Option<f64>,
    load_after: Option<f64>,
    /// In the order of their first values.
    names: Vec<(String, &'static str)>,
    values: BTreeMap<String, Vec<f64>>,
}

/// The least, the middle and the greatest of some values.
struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

impl Report {
    /// An empty report of measurements with `rounds` rounds each.
    pub(crate) fn new(rounds: u32) -> Self {
        Self { rounds, sections: Vec::new() }
    }

    /// How often each measurement is to be made.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Begins a group; what is added next belongs to it.
    pub(crate) fn begin(&mut self, title: &'static str) {
        self.end();
        eprintln!("measuring: {title}");
        self.sections.push(Section {
            title,
            load_before: load(),
            load_after: None,
            names: Vec::new(),
            values: BTreeMap::new(),
        });
    }

    /// Notes the load at the group's end.
    pub(crate) fn end(&mut self) {
        if let Some(section) = self.sections.last_mut().filter(|section| section.load_after.is_none()) {
            section.load_after = load();
        }
    }

    /// Adds one round's value of a figure.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        let section = self.sections.last_mut().expect("a group was begun");
        if !section.values.contains_key(name) {
            section.names.push((name.to_owned(), unit));
        }
        section.values.entry(name.to_owned()).or_default().push(value);
    }

    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            let load = |load: Option<f64>| load.map_or_else(|| "?".to_owned(), |load| format!("{load:.2}"));
            // Writing to a string does not fail, here and below.
            let _ = writeln!(
                text,
                "\n{} (load {} before, {} after)\n  {:66} {:>12}  {:>12} {:>12}",
                section.title,
                load(section.load_before),
                load(section.load_after),
                "",
                "median",
                "min",
                "max"
            );
            for (name, unit) in &section.names {
                let Some(spread) = section.spread(name) else { continue };
                let label = format!("{name}, {unit}");
                let [median, least, greatest] = [spread.median, spread.least, spread.greatest].map(readable);
                let _ = writeln!(text, "  {label:66} {median:>12}  {least:>12} {greatest:>12}");
            }
        }
        text
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> String {
        let sections = self.sections.iter().map(|section| {
            let figures = section.names.iter().filter_map(|(name, unit)| {
                let Spread { least, median, greatest } = section.spread(name)?;
                let rounds = section.values.get(name).map_or(0, Vec::len);
                Some(json!({
                    "name": name, "unit": unit, "min": least, "median": median, "max": greatest,
                    "rounds": rounds,
                }))
            });
            json!({
                "section": section.title,
                "load_before": section.load_before,
                "load_after": section.load_after,
                "figures": figures.collect::<Vec<_>>(),
            })
        });
        json!({ "rounds": self.rounds, "sections": sections.collect::<Vec<_>>() }).to_string()
    }
}

impl Section {
    fn spread(&self, name: &str) -> Option<Spread> {
        let mut values = self.values.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Some(Spread { least, median, greatest })
    }
}

fn readable(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => grouped(value),
        middle if middle >= 20.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Thousands apart, as people read them.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Processes that were running or waited in the last minute, on average; none where the system does not say.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// `count` as a number to calculate with.
#[allow(clippy::cast_precision_loss, reason = "counts and bytes here are far below 2^52")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_its_middle_value_between_the_least_and_the_greatest() {
        let mut report = Report::new(4);
        report.begin("group");
        for value in [4.0, 1.0, 3.0] {
            report.add("odd", "s", value);
        }
        for value in [4.0, 1.0, 3.0, 2.0] {
            report.add("even", "s", value);
        }
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let figures = &json["sections"][0]["figures"];
        let of = |index: usize| ["min", "median", "max"].map(|key| figures[index][key].to_string());
        assert_eq!(of(0), ["1.0", "3.0", "4.0"]);
        assert_eq!(of(1), ["1.0", "2.5", "4.0"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(-123_456.4), "-123,456");
        assert_eq!(grouped(1_000.0), "1,000");
    }
}
