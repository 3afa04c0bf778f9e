//! What a watch and a cuff record: heart rate around the clock, blood pressure, exercise.

use std::fmt::Write as _;

use jiff::{ToSpan as _, Zoned};
use rand::{RngExt as _, rngs::StdRng};

use super::BIRTH_DATE;

const WATCH: &str = r#"sourceName="Ana&#8217;s Watch" sourceVersion="11.2" device="&lt;&lt;HKDevice: 0x3021a4e60&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,1, software:11.2&gt;""#;
const CUFF: &str = r#"sourceName="Cuff" sourceVersion="4.1" device="&lt;&lt;HKDevice: 0x3021b8810&gt;, name:BPM, manufacturer:Withings, model:BPM Connect, hardware:1, software:2861&gt;""#;
/// Minutes between two heart-rate readings at rest.
const RESTING_INTERVAL: i64 = 30;

/// The export's XML over `days`.
pub(super) fn export(days: &[Zoned], rng: &mut StdRng) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<HealthData locale=\"en_US\">\n");
    if let Some(last) = days.last() {
        let _ = writeln!(xml, " <ExportDate value=\"{}\"/>", stamp(last));
    }
    let _ = writeln!(
        xml,
        " <Me HKCharacteristicTypeIdentifierDateOfBirth=\"{BIRTH_DATE}\" HKCharacteristicTypeIdentifierBiologicalSex=\"HKBiologicalSexFemale\"/>"
    );
    for (index, day) in days.iter().enumerate() {
        let progress = ratio(index, days.len());
        let bout = exercise(&mut xml, day, rng);
        heart_rate(&mut xml, day, bout, progress, rng);
        blood_pressure(&mut xml, day, progress, rng);
    }
    xml.push_str("</HealthData>\n");
    xml
}

#[allow(clippy::cast_precision_loss, reason = "a year has few days")]
fn ratio(index: usize, of: usize) -> f64 {
    index as f64 / of.max(1) as f64
}

fn stamp(at: &Zoned) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S %z").to_string()
}

/// A time of `day`, in minutes after midnight.
fn minute(day: &Zoned, minutes: i64) -> Zoned {
    day.saturating_add(minutes.minutes())
}

/// A bout of exercise on five days of seven; its first minute and its length.
fn exercise(xml: &mut String, day: &Zoned, rng: &mut StdRng) -> Option<(i64, i64)> {
    if !rng.random_bool(5.0 / 7.0) {
        return None;
    }
    let start = if rng.random_bool(0.6) { 7 * 60 } else { 18 * 60 } + rng.random_range(0..50);
    let length = rng.random_range(12..48);
    let (from, to) = (stamp(&minute(day, start)), stamp(&minute(day, start + length)));
    let _ = writeln!(
        xml,
        " <Record type=\"HKQuantityTypeIdentifierAppleExerciseTime\" {WATCH} unit=\"min\" creationDate=\"{to}\" startDate=\"{from}\" endDate=\"{to}\" value=\"{length}\"/>"
    );
    Some((start, length))
}

/// A reading each half hour, each five minutes while she exercises.
fn heart_rate(xml: &mut String, day: &Zoned, bout: Option<(i64, i64)>, progress: f64, rng: &mut StdRng) {
    let resting = (0..24 * 60 / RESTING_INTERVAL).map(|i| i * RESTING_INTERVAL);
    let moving = bout.into_iter().flat_map(|(start, length)| (start..start + length).step_by(5));
    let mut minutes: Vec<i64> = resting.chain(moving).collect();
    minutes.sort_unstable();
    minutes.dedup();
    for at in minutes {
        let beats = match bout {
            Some((start, length)) if (start..start + length).contains(&at) => rng.random_range(104..149),
            _ => resting_rate(at, progress, rng),
        };
        let time = stamp(&minute(day, at).saturating_add(rng.random_range(0..59).seconds()));
        let _ = writeln!(
            xml,
            " <Record type=\"HKQuantityTypeIdentifierHeartRate\" {WATCH} unit=\"count/min\" creationDate=\"{time}\" startDate=\"{time}\" endDate=\"{time}\" value=\"{beats}\"/>"
        );
    }
}

/// Lower at night, and slowly lower over a year of training.
fn resting_rate(minute: i64, progress: f64, rng: &mut StdRng) -> i64 {
    let base = if (6 * 60..23 * 60).contains(&minute) { 74 } else { 58 };
    let trained = if progress > 0.5 {
        4
    } else if progress > 0.25 {
        2
    } else {
        0
    };
    let jitter: i64 = rng.random_range(-6..=9);
    base - trained + jitter
}

/// A paired reading on three mornings of seven: raised at first, treated from the third month on. One in ten is typed in.
fn blood_pressure(xml: &mut String, day: &Zoned, progress: f64, rng: &mut StdRng) {
    if !rng.random_bool(3.0 / 7.0) {
        return;
    }
    let (systolic, diastolic) = if progress < 0.25 {
        (146, 92)
    } else if progress < 0.5 {
        (136, 86)
    } else {
        (126, 79)
    };
    let (systolic, diastolic) = (systolic + rng.random_range(-7..=7), diastolic + rng.random_range(-5..=5));
    let time = stamp(&minute(day, 7 * 60 + rng.random_range(0..45)));
    let typed =
        if rng.random_bool(0.1) { "<MetadataEntry key=\"HKWasUserEntered\" value=\"1\"/>" } else { "" };
    let child = |side: &str, value: i32| {
        format!(
            "<Record type=\"HKQuantityTypeIdentifierBloodPressure{side}\" {CUFF} unit=\"mmHg\" creationDate=\"{time}\" startDate=\"{time}\" endDate=\"{time}\" value=\"{value}\">{typed}</Record>"
        )
    };
    let (upper, lower) = (child("Systolic", systolic), child("Diastolic", diastolic));
    // As Apple writes them: inside the correlation, and again beside it.
    let _ = writeln!(
        xml,
        " <Correlation type=\"HKCorrelationTypeIdentifierBloodPressure\" {CUFF} creationDate=\"{time}\" startDate=\"{time}\" endDate=\"{time}\">{typed}{upper}{lower}</Correlation>\n {upper}\n {lower}"
    );
}
