//! Instants for people and for programs. Not here: the clock.

use std::time::Duration;

use sealcare_client::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// RFC 3339 in UTC, to the millisecond; empty for an instant that no calendar has.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).ok();
    let instant = millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    instant.map(|instant| instant.to_string()).unwrap_or_default()
}

/// The day in UTC, `YYYY-MM-DD`.
pub(crate) fn date(at: Timestamp) -> String {
    let mut text = rfc3339(at);
    text.truncate("YYYY-MM-DD".len());
    text
}

/// The first instant of a day in UTC; none before 1970.
pub(crate) fn parse_date(text: &str) -> Option<Timestamp> {
    let day: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == "YYYY-MM-DD".len())?;
    let start = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    u64::try_from(start.timestamp().as_millisecond()).ok().map(Timestamp::from_millis)
}

/// How long before `now`, roughly.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let secs = now.since(at).as_secs();
    match secs {
        0..MINUTE => "just now".to_owned(),
        MINUTE..HOUR => format!("{} min ago", secs / MINUTE),
        HOUR..DAY => format!("{} h ago", secs / HOUR),
        _ => format!("{} d ago", secs / DAY),
    }
}

/// The time between two passes that are `every` apart, of which `share` (0 to 1) was drawn: between half and one
/// and a half times as long, so that a relay cannot tell devices by their beat.
pub(crate) fn jittered(every: Duration, share: f64) -> Duration {
    every.mul_f64(0.5 + share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_utc() {
        assert_eq!(rfc3339(Timestamp::from_millis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp::from_millis(u64::MAX)), "");
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let day = parse_date("2023-11-14").unwrap();
        assert_eq!(rfc3339(day), "2023-11-14T00:00:00Z");
        assert_eq!(date(day.plus(Duration::from_hours(23))), "2023-11-14");
        for bad in ["1969-12-31", "2023-02-29", "2023", "2023-11-14T00:00", "yesterday"] {
            assert!(parse_date(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_age_is_told_roughly() {
        let now = Timestamp::from_millis(1_000_000_000);
        for (secs, text) in [(0, "just now"), (61, "1 min ago"), (7_300, "2 h ago"), (90_000, "1 d ago")] {
            assert_eq!(ago(now.minus(Duration::from_secs(secs)), now), text);
        }
        assert_eq!(ago(now.plus(Duration::from_secs(90)), now), "just now");
    }

    #[test]
    fn passes_keep_no_beat() {
        let every = Duration::from_mins(1);
        assert_eq!(jittered(every, 0.0), Duration::from_secs(30));
        assert_eq!(jittered(every, 1.0), Duration::from_secs(90));
    }
}
