//! A patient who does not exist: a year of heart rate, blood pressure and exercise as an Apple Health
//! export, labs and immunizations as a FHIR bundle. Drawn from a seed, so that two runs on one day agree.
//!
//! The story imports these files as it would a person's own; nothing here is known to any other part.

mod clinic;
mod watch;

use std::{fs, io, path::PathBuf};

use jiff::{Timestamp, ToSpan as _, Zoned, tz::TimeZone};
use rand::{SeedableRng as _, rngs::StdRng};

/// Days of readings.
const DAYS: i32 = 365;
const SEED: u64 = 0x5ea1_ca2e;

/// The synthetic patient's name, as the story's chart has it.
pub(crate) const NAME: &str = "Ana Ferreira Lima";
/// The synthetic patient's date of birth.
pub(crate) const BIRTH_DATE: &str = "1961-04-12";

/// Writes `export.xml` and `records.json` for the year before `now` into `folder`.
pub(crate) fn write(folder: &std::path::Path, now: Timestamp) -> io::Result<Vec<PathBuf>> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let today = now.to_zoned(TimeZone::UTC).start_of_day().map_err(io::Error::other)?;
    let export = folder.join("export.xml");
    fs::write(&export, watch::export(&days(&today, DAYS)?, &mut rng))?;
    let bundle = folder.join("records.json");
    fs::write(&bundle, clinic::bundle(&today, &mut rng)?)?;
    Ok(vec![export, bundle])
}

/// The `count` days before `today`, oldest first.
fn days(today: &Zoned, count: i32) -> io::Result<Vec<Zoned>> {
    (1..=count).rev().map(|ago| today.checked_sub(ago.days()).map_err(io::Error::other)).collect()
}
