//! When a record holds: FHIR's dates, date-times and periods, with their text kept and their instants known.
//! Not here: the clock (nothing in this crate asks what time it is).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, ToSpan};
use serde_json::{Value, json};

use crate::RecordError;
use crate::json::{Object, object, text};

/// A FHIR date, dateTime or instant: the text, and the first and last instant it can mean.
#[derive(Clone, Eq, PartialEq)]
pub struct Moment {
    text: String,
    first: Timestamp,
    last: Timestamp,
}

impl Moment {
    /// Reads `YYYY`, `YYYY-MM`, `YYYY-MM-DD` (all three taken in UTC) or a full dateTime with its offset.
    ///
    /// # Errors
    /// [`RecordError::Time`] for anything else, a dateTime without an offset among them.
    pub fn from_fhir(text: &str) -> Result<Self, RecordError> {
        let (first, last) = match text.len() {
            4 | 7 | 10 => date_bounds(text),
            _ => instant(text).map(|at| (at, at)),
        }
        .ok_or(RecordError::Time)?;
        Ok(Self { text: text.to_owned(), first, last })
    }

    /// Reads the form in Apple's export, `2024-01-02 03:04:05 +0200`, to FHIR's `2024-01-02T03:04:05+02:00`.
    ///
    /// # Errors
    /// [`RecordError::Time`] for anything else.
    pub fn from_apple(text: &str) -> Result<Self, RecordError> {
        let is_shaped = text.is_ascii()
            && text.len() == 25
            && text.as_bytes()[10] == b' '
            && text.as_bytes()[19] == b' '
            && matches!(text.as_bytes()[20], b'+' | b'-');
        if !is_shaped {
            return Err(RecordError::Time);
        }
        let (date, time, hours, minutes) = (&text[..10], &text[11..19], &text[20..23], &text[23..]);
        Self::from_fhir(&format!("{date}T{time}{hours}:{minutes}"))
    }

    /// The FHIR text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first instant that the text can mean.
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// The last instant that the text can mean; a date means the whole day.
    pub fn last(&self) -> Timestamp {
        self.last
    }
}

/// Hides when: with a name, a time is enough to find a person.
impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Moment(..)")
    }
}

/// FHIR's dateTime: seconds are required by R4 but left out by some, the offset never may be.
fn instant(text: &str) -> Option<Timestamp> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let clock = shape.strip_prefix("0000-00-00T00:00")?;
    let clock = clock.strip_prefix(":00").unwrap_or(clock);
    let zone = match clock.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches('0');
            (1..=9).contains(&(fraction.len() - zone.len())).then_some(zone)?
        }
        None => clock,
    };
    matches!(zone, "Z" | "+00:00" | "-00:00").then(|| text.parse().ok()).flatten()
}

/// First and last instant of a year, month or day in UTC.
fn date_bounds(text: &str) -> Option<(Timestamp, Timestamp)> {
    let is_shaped = text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if !is_shaped {
        return None;
    }
    let part = |range| text.get(range).map_or(Some(1), |digits: &str| digits.parse::<i8>().ok());
    let start = Date::new(text[..4].parse().ok()?, part(5..7)?, part(8..10)?).ok()?;
    let step = match text.len() {
        4 => 1.year(),
        7 => 1.month(),
        _ => 1.day(),
    };
    let at = |date: Date| Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok();
    let last = at(start.checked_add(step).ok()?)?.checked_sub(SignedDuration::from_millis(1)).ok()?;
    Some((at(start)?, last))
}

/// When a record holds: a moment or a period that may be open at one end.
#[derive(Clone, Eq, PartialEq)]
pub enum Effective {
    /// One moment.
    At(Moment),
    /// A period with a known start.
    From(Moment, Option<Moment>),
    /// A period of which only the end is known.
    Until(Moment),
    /// A time in words, such as `childhood`, which no instant can stand for.
    InWords(String),
}

/// Hides when, as a moment does.
impl std::fmt::Debug for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Effective(..)")
    }
}

impl Effective {
    /// A period, or a moment if both ends are the same.
    pub fn between(start: Moment, end: Moment) -> Self {
        if start == end { Self::At(start) } else { Self::From(start, Some(end)) }
    }

    /// The first instant, if it is known.
    pub fn start(&self) -> Option<Timestamp> {
        match self {
            Self::At(moment) | Self::From(moment, _) => Some(moment.first),
            Self::Until(_) | Self::InWords(_) => None,
        }
    }

    /// The last instant, if it is known.
    pub fn end(&self) -> Option<Timestamp> {
        match self {
            Self::At(moment) | Self::Until(moment) | Self::From(_, Some(moment)) => Some(moment.last),
            Self::From(_, None) | Self::InWords(_) => None,
        }
    }

    /// Whether all of it lies at or after an instant (milliseconds since 1970), as a scope's `from` asks.
    /// Everything does at 0; later, what has no known start does not.
    pub fn is_since(&self, from_ms: u64) -> bool {
        let is_after = |start: Timestamp| i128::from(start.as_millisecond()) >= i128::from(from_ms);
        from_ms == 0 || self.start().is_some_and(is_after)
    }

    /// The FHIR text of the start, else of the end; the words where it is in words.
    pub fn as_str(&self) -> &str {
        match self {
            Self::At(moment) | Self::From(moment, _) | Self::Until(moment) => &moment.text,
            Self::InWords(words) => words,
        }
    }

    /// Reads `<prefix>DateTime`, `<prefix>Instant`, `<prefix>Period` or `<prefix>String` of a resource.
    pub(crate) fn from_fhir(resource: &Object, prefix: &str) -> Option<Self> {
        let moment = |suffix: &str| {
            text(resource, &format!("{prefix}{suffix}")).and_then(|text| Moment::from_fhir(text).ok())
        };
        if let Some(at) = moment("DateTime").or_else(|| moment("Instant")) {
            return Some(Self::At(at));
        }
        if let Some(words) = text(resource, &format!("{prefix}String")) {
            return Some(Self::InWords(words.to_owned()));
        }
        let period = object(resource, &format!("{prefix}Period"))?;
        let end = |member| text(period, member).and_then(|text| Moment::from_fhir(text).ok());
        match (end("start"), end("end")) {
            (Some(start), end) => Some(Self::From(start, end)),
            (None, Some(end)) => Some(Self::Until(end)),
            (None, None) => None,
        }
    }

    /// Writes `<prefix>DateTime`, `<prefix>Period` or `<prefix>String`.
    pub(crate) fn write_fhir(&self, resource: &mut Object, prefix: &str) {
        let (suffix, value): (&str, Value) = match self {
            Self::At(at) => ("DateTime", json!(at.text)),
            Self::From(start, Some(end)) => ("Period", json!({"start": start.text, "end": end.text})),
            Self::From(start, None) => ("Period", json!({"start": start.text})),
            Self::Until(end) => ("Period", json!({"end": end.text})),
            Self::InWords(words) => ("String", json!(words)),
        };
        resource.insert(format!("{prefix}{suffix}"), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_times_become_fhir_times() {
        let moment = Moment::from_apple("2024-01-02 03:04:05 +0200").unwrap();
        assert_eq!(moment.as_str(), "2024-01-02T03:04:05+02:00");
        assert_eq!(moment.first().to_string(), "2024-01-02T01:04:05Z");
        for text in ["", "2024-01-02T03:04:05+0200", "2024-13-02 03:04:05 +0200", "2024-01-02 03:04:05 +02é0"]
        {
            assert!(Moment::from_apple(text).is_err(), "{text}");
        }
    }

    #[test]
    fn partial_dates_span_their_whole_length() {
        let month = Moment::from_fhir("2024-02").unwrap();
        assert_eq!(month.first().to_string(), "2024-02-01T00:00:00Z");
        assert_eq!(month.last().to_string(), "2024-02-29T23:59:59.999Z");
        assert!(Moment::from_fhir("2024").is_ok() && Moment::from_fhir("1999-07-02").is_ok());
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        for text in
            ["2024-01-02T03:04:05", "2024-1-2", "2024-02-30", "20240102", "2024-01-02 03:04:05Z", "é24-01"]
        {
            assert!(Moment::from_fhir(text).is_err(), "{text}");
        }
        for text in ["2021-11-10T16:48:57.246958-08:00", "2015-02-07T13:28:17Z", "2015-02-07T13:28+01:00"] {
            assert!(Moment::from_fhir(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn scope_compares_the_start() {
        let at = |text| Effective::At(Moment::from_fhir(text).unwrap());
        assert!(at("1970-01-01T00:00:02Z").is_since(2_000));
        assert!(!at("1970-01-01T00:00:01Z").is_since(2_000));
        assert!(at("1968-10-20").is_since(0) && !at("1968-10-20").is_since(1));
        assert!(!Effective::Until(Moment::from_fhir("2024").unwrap()).is_since(1));
    }
}
