//! Exports of any size for tests and measurements, the same bytes each time: the types, elements, order and sizes of
//! a real one of a person with a watch, with values that rise and fall. Not here: archives around them.

use std::io::{self, Write};

use jiff::ToSpan as _;
use jiff::civil::{DateTime, date};

/// The day on which every generated export begins.
const FIRST_DAY: (i16, i8, i8) = (2015, 1, 1);
/// Bytes that a day takes, about: 2 GB are nine years.
pub const DAY_BYTES: u64 = 607_000;
const DEVICE: &str = "&lt;&lt;HKDevice: 0x3012772a0&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,7, software:10.2&gt;";
const WATCH: &str = "Ana’s Apple Watch";
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout|ActivitySummary|ClinicalRecord)*)>
<!ATTLIST HealthData locale CDATA #REQUIRED>
]>
<HealthData locale="en_GB">
 <ExportDate value="2034-12-31 12:00:00 +0000"/>
 <Me HKCharacteristicTypeIdentifierDateOfBirth="1990-05-20" HKCharacteristicTypeIdentifierBiologicalSex="HKBiologicalSexFemale"/>
"#;

/// How often the watch measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Density {
    /// As a watch does by itself: a heart rate every five minutes.
    Usual,
    /// A heart rate each minute.
    EachMinute,
}

/// A type's records: so many on a day, evenly spread.
struct Series {
    kind: &'static str,
    unit: &'static str,
    a_day: u32,
    base: u32,
    spread: u32,
}

/// In the order in which the type's records stand in an export. Together 1,500 a day.
const SERIES: [Series; 7] = [
    series("HeartRate", "count/min", 288, 52, 70),
    series("StepCount", "count", 150, 5, 900),
    series("DistanceWalkingRunning", "km", 150, 1, 9),
    series("BasalEnergyBurned", "kcal", 300, 1, 30),
    series("ActiveEnergyBurned", "kcal", 580, 1, 20),
    series("AppleExerciseTime", "min", 30, 1, 1),
    series("HeartRateVariabilitySDNN", "ms", 2, 20, 90),
];

const fn series(kind: &'static str, unit: &'static str, a_day: u32, base: u32, spread: u32) -> Series {
    Series { kind, unit, a_day, base, spread }
}

/// How many records of the shared types an export of so many days holds.
pub fn shared_records(days: u32, density: Density) -> u64 {
    u64::from(days) * u64::from(density.heart_rates() + 30 + 1)
}

impl Density {
    /// Heart rates of a day.
    const fn heart_rates(self) -> u32 {
        match self {
            Self::Usual => 288,
            Self::EachMinute => 1_440,
        }
    }
}

/// Writes an `export.xml` of `days` days.
///
/// # Errors
/// Those of the writer.
pub fn write_export(out: &mut impl Write, days: u32, density: Density) -> io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    for series in &SERIES {
        for day in 0..days {
            let a_day = if series.kind == "HeartRate" { density.heart_rates() } else { series.a_day };
            write_day(out, series, a_day, day)?;
        }
    }
    for day in 0..days {
        write_pressure(out, day, "")?;
    }
    for day in 0..days {
        let time = clock(day, 8 * 3_600);
        let opening = "<Correlation type=\"HKCorrelationTypeIdentifierBloodPressure\" sourceName=\"Cuff\"";
        writeln!(out, " {opening} creationDate=\"{time}\" startDate=\"{time}\" endDate=\"{time}\">")?;
        write_pressure(out, day, " ")?;
        writeln!(out, " </Correlation>")?;
    }
    for day in 0..days {
        let date = &clock(day, 0)[..10];
        writeln!(out, " <ActivitySummary dateComponents=\"{date}\" appleExerciseTime=\"30\"/>")?;
    }
    out.write_all(b"</HealthData>\n")
}

fn write_day(out: &mut impl Write, series: &Series, a_day: u32, day: u32) -> io::Result<()> {
    let step = 86_400 / a_day;
    for at in 0..a_day {
        let (start, end) = (clock(day, at * step), clock(day, at * step + step / 2));
        let value = series.base + mixed(day, at, series.kind) % series.spread;
        write!(
            out,
            " <Record type=\"HKQuantityTypeIdentifier{}\" sourceName=\"{WATCH}\" sourceVersion=\"10.2\" \
             device=\"{DEVICE}\" unit=\"{}\" creationDate=\"{end}\" startDate=\"{start}\" endDate=\"{end}\" \
             value=\"{value}\"",
            series.kind, series.unit
        )?;
        if series.kind == "HeartRate" {
            let entry = "<MetadataEntry key=\"HKMetadataKeyHeartRateMotionContext\" value=\"0\"/>";
            write!(out, ">\n  {entry}\n </Record>\n")?;
        } else {
            out.write_all(b"/>\n")?;
        }
    }
    Ok(())
}

fn write_pressure(out: &mut impl Write, day: u32, indent: &str) -> io::Result<()> {
    let time = clock(day, 8 * 3_600);
    for (half, base) in [("Systolic", 105), ("Diastolic", 65)] {
        let value = base + mixed(day, base, half) % 30;
        writeln!(
            out,
            "{indent} <Record type=\"HKQuantityTypeIdentifierBloodPressure{half}\" sourceName=\"Cuff\" \
             sourceVersion=\"3\" unit=\"mmHg\" creationDate=\"{time}\" startDate=\"{time}\" endDate=\"{time}\" \
             value=\"{value}\"/>"
        )?;
    }
    Ok(())
}

/// A time as an export writes it.
fn clock(day: u32, second: u32) -> String {
    let (year, month, of_month) = FIRST_DAY;
    let midnight: DateTime = date(year, month, of_month).at(0, 0, 0, 0);
    let time = midnight.saturating_add(i64::from(day).days()).saturating_add(i64::from(second).seconds());
    time.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()
}

/// A number that looks like chance and is the same each time.
fn mixed(day: u32, at: u32, kind: &str) -> u32 {
    let kind = kind.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut hash = day.wrapping_mul(0x9e37_79b1) ^ at.wrapping_mul(0x85eb_ca77) ^ kind;
    hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
    hash ^ (hash >> 12)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{Record, SkipReason};

    #[test]
    fn an_export_has_what_it_says_and_the_size_it_says() {
        let mut xml = Vec::new();
        write_export(&mut xml, 3, Density::Usual).unwrap();
        let report = crate::apple::import_xml(&xml[..], &mut |_: Record| Ok::<_, Infallible>(())).unwrap();
        assert_eq!(report.records(), shared_records(3, Density::Usual));
        assert_eq!(report.skipped[&SkipReason::BloodPressureChild], 6);
        let day_bytes = u64::try_from(xml.len()).unwrap() / 3;
        assert!(day_bytes.abs_diff(DAY_BYTES) < DAY_BYTES / 20, "{day_bytes}");
    }
}
