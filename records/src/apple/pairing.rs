//! Blood-pressure halves: matching top-level readings with their twins in correlations, and pairing those that have
//! none. Not here: reading values.

use std::collections::{BTreeMap, HashMap};

use super::draft::{Draft, SampleKind};
use super::held::{Held, Origins};
use crate::RecordError;

/// Memory for readings that wait, in bytes: 170,000 blood pressures, 15 a day for 30 years.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a waiting reading of a correlation takes.
const CHILD_BYTES: usize = 48;

/// What a reading turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Twin {
    /// Its twin was there before: the two are one reading.
    Found,
    /// None yet.
    Awaited,
}

/// The multiset of halves that wait for their twins.
#[derive(Default)]
pub(super) struct Pairing {
    children: HashMap<u128, u64>,
    /// By twin key and arrival.
    loose: BTreeMap<(u128, u64), Held>,
    origins: Origins,
    loose_bytes: usize,
    arrivals: u64,
}

/// What remains at the end of an export.
pub(super) enum Leftover {
    /// One systolic and one diastolic reading of the same source and time.
    Pair(Box<(Draft, Draft)>),
    /// This many readings that do not make one pair.
    Unpaired(u64),
}

impl Pairing {
    /// A half at top level.
    pub(super) fn add_top_level(&mut self, half: Draft) -> Result<Twin, RecordError> {
        let key = half.twin_key();
        if let Some(count) = self.children.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.children.remove(&key);
            }
            return Ok(Twin::Found);
        }
        let half = Held::new(half, &mut self.origins);
        self.loose_bytes += half.bytes();
        self.loose.insert((key, self.arrivals), half);
        self.arrivals += 1;
        self.check_bound().map(|()| Twin::Awaited)
    }

    /// A half inside a correlation.
    pub(super) fn add_child(&mut self, half: &Draft) -> Result<Twin, RecordError> {
        let key = half.twin_key();
        let newest = self.loose.range((key, 0)..=(key, u64::MAX)).next_back().map(|(place, _)| *place);
        if let Some(waiting) = newest.and_then(|place| self.loose.remove(&place)) {
            self.loose_bytes -= waiting.bytes();
            return Ok(Twin::Found);
        }
        *self.children.entry(key).or_default() += 1;
        self.check_bound().map(|()| Twin::Awaited)
    }

    /// The halves whose twin never came, in the order of the export.
    pub(super) fn into_leftovers(self) -> impl Iterator<Item = Leftover> {
        let Self { loose, origins, .. } = self;
        let mut waiting: Vec<_> = loose.into_iter().map(|((_, arrival), half)| (arrival, half)).collect();
        waiting.sort_unstable_by_key(|(arrival, _)| *arrival);
        let mut groups: BTreeMap<u64, Vec<Held>> = BTreeMap::new();
        let mut first_arrival: HashMap<u128, u64> = HashMap::new();
        for (arrival, half) in waiting {
            let group = *first_arrival.entry(half.draft(&origins).pair_key()).or_insert(arrival);
            groups.entry(group).or_default().push(half);
        }
        let drafts = move |halves: Vec<Held>| halves.iter().map(|half| half.draft(&origins)).collect();
        groups.into_values().map(move |halves| Leftover::of(drafts(halves)))
    }

    fn check_bound(&self) -> Result<(), RecordError> {
        let bytes = self.loose_bytes + self.origins.bytes() + self.children.len() * CHILD_BYTES;
        if bytes > HELD_BYTES_MAX { Err(RecordError::TooManyRecords) } else { Ok(()) }
    }
}

impl Leftover {
    fn of(halves: Vec<Draft>) -> Self {
        let count = u64::try_from(halves.len()).unwrap_or(u64::MAX);
        pair(halves).map_or(Self::Unpaired(count), |halves| Self::Pair(Box::new(halves)))
    }
}

/// The two halves, if there are exactly one of each.
pub(super) fn pair(halves: Vec<Draft>) -> Option<(Draft, Draft)> {
    let [first, second] = <[Draft; 2]>::try_from(halves).ok()?;
    match (first.kind, second.kind) {
        (SampleKind::Systolic, SampleKind::Diastolic) => Some((first, second)),
        (SampleKind::Diastolic, SampleKind::Systolic) => Some((second, first)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(kind: SampleKind, value: &str) -> Draft {
        let mut draft = Draft::new(kind);
        draft.set("value", value.to_owned());
        draft
    }

    #[test]
    fn twins_match_once_each_in_either_order() {
        let mut pairing = Pairing::default();
        assert_eq!(pairing.add_child(&half(SampleKind::Systolic, "118")).unwrap(), Twin::Awaited);
        assert_eq!(pairing.add_top_level(half(SampleKind::Systolic, "118")).unwrap(), Twin::Found);
        assert_eq!(pairing.add_top_level(half(SampleKind::Systolic, "118")).unwrap(), Twin::Awaited);
        assert_eq!(pairing.add_child(&half(SampleKind::Systolic, "118")).unwrap(), Twin::Found);
        assert_eq!(pairing.into_leftovers().count(), 0);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let mut pairing = Pairing::default();
        let taken = (0..).map(|n| {
            pairing.add_top_level(half(SampleKind::Systolic, &format!("{n}{}", "0".repeat(1_000_000))))
        });
        assert!(taken.take_while(Result::is_ok).count() < 70);
    }

    #[test]
    fn only_an_unambiguous_pair_is_paired() {
        let leftovers = |values: &[(SampleKind, &str)]| {
            let mut pairing = Pairing::default();
            for (kind, value) in values {
                pairing.add_top_level(half(*kind, value)).unwrap();
            }
            pairing.into_leftovers().collect::<Vec<_>>()
        };
        let (high, low) = (SampleKind::Systolic, SampleKind::Diastolic);
        assert!(matches!(leftovers(&[(low, "76"), (high, "118")])[..], [Leftover::Pair(..)]));
        assert!(matches!(leftovers(&[(low, "76"), (low, "77")])[..], [Leftover::Unpaired(2)]));
        assert!(matches!(
            leftovers(&[(low, "76"), (high, "118"), (high, "119")])[..],
            [Leftover::Unpaired(3)]
        ));
    }
}
