//! Numbering what comes again in one import, in the memory of its hashes alone: a repeat is known by a hash of its
//! fingerprint and its number, kept beside all others. Not here: what is fingerprinted.

use super::FingerprintSet;
use crate::RecordError;

/// The step between the numbers of one fingerprint: 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// How often each fingerprint came.
pub(super) struct Ordinals {
    seen: FingerprintSet,
    /// Fingerprints told apart, repeats among them.
    len_max: usize,
}

impl Ordinals {
    pub(super) fn new(len_max: usize) -> Self {
        Self { seen: FingerprintSet::default(), len_max }
    }

    /// How many with this fingerprint came before. Sixty-four bits stand for each; should two of different fingerprints
    /// collide, a number is passed over, the same in every import.
    ///
    /// # Errors
    /// [`RecordError::TooManyRecords`] above the bound.
    pub(super) fn next(&mut self, fingerprint: u128) -> Result<u64, RecordError> {
        let ordinal = self.first_free(fingerprint);
        self.seen.insert(numbered(fingerprint, ordinal));
        if self.seen.len() > self.len_max { Err(RecordError::TooManyRecords) } else { Ok(ordinal) }
    }

    /// By doubling, then halving: the thousandth repeat is found in a score of looks.
    fn first_free(&self, fingerprint: u128) -> u64 {
        let is_free = |ordinal| !self.seen.contains(numbered(fingerprint, ordinal));
        if is_free(0) {
            return 0;
        }
        let (mut taken, mut free) = (0, 1);
        while !is_free(free) {
            (taken, free) = (free, free * 2);
        }
        while free - taken > 1 {
            let middle = taken + (free - taken) / 2;
            if is_free(middle) {
                free = middle;
            } else {
                taken = middle;
            }
        }
        free
    }
}

/// What stands for a fingerprint that came `ordinal` times before: evenly distributed (the end of SplitMix64), and
/// for the first time half of the fingerprint.
fn numbered(fingerprint: u128, ordinal: u64) -> u64 {
    let high = u64::try_from(fingerprint >> 64).expect("the upper half of 128 bits");
    if ordinal == 0 {
        return high;
    }
    let low = u64::try_from(fingerprint & u128::from(u64::MAX)).expect("the lower half of 128 bits");
    let mixed = low.wrapping_add(ordinal.wrapping_mul(STEP));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::id::Fingerprint;

    fn fingerprint(number: u32) -> u128 {
        Fingerprint::new("number").number(i128::from(number)).digest()
    }

    #[test]
    fn they_agree_with_a_count_of_each() {
        let (mut ordinals, mut truth) = (Ordinals::new(usize::MAX), HashMap::<u32, u64>::new());
        for number in (0..20_000).map(|number| number % 7_000).chain(std::iter::repeat_n(3, 20_000)) {
            let count = truth.entry(number).or_default();
            assert_eq!(ordinals.next(fingerprint(number)).unwrap(), *count);
            *count += 1;
        }
    }

    #[test]
    fn every_record_doubled_takes_twice_the_memory_and_no_more() {
        let bytes = |times: usize| {
            let mut ordinals = Ordinals::new(usize::MAX);
            for number in (0..100_000).flat_map(|number| std::iter::repeat_n(number, times)) {
                ordinals.next(fingerprint(number)).unwrap();
            }
            ordinals.seen.bytes()
        };
        assert!(bytes(2) < 200_000 * 10, "{}", bytes(2));
    }

    #[test]
    fn repeats_count_towards_the_bound() {
        for numbers in [[0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 0]] {
            let mut ordinals = Ordinals::new(3);
            let taken = numbers.map(|number| ordinals.next(fingerprint(number)).is_ok());
            assert_eq!(taken, [true, true, true, false]);
        }
    }
}
