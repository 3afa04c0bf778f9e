//! A set of 64-bit fingerprints in little more than eight bytes each: an export of gigabytes has millions of records
//! to tell apart, and a hash table takes twice that, three times while it grows. Not here: what is fingerprinted.

/// Parts that grow one at a time, so that growing costs the memory of one part.
const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 8;
/// The newest fingerprints of a part, not sorted yet: one step of a linear search over two cache lines.
const FRESH_MAX: usize = 64;
/// A part grows by an eighth.
const GROWTH_DIVISOR: usize = 8;

/// Fingerprints that were seen. They must be evenly distributed, as hashes are.
pub struct FingerprintSet {
    parts: Vec<Part>,
    len: usize,
}

#[derive(Default)]
struct Part {
    /// Sorted, but for the newest ones at the end.
    fingerprints: Vec<u64>,
    fresh: usize,
}

impl Default for FingerprintSet {
    fn default() -> Self {
        Self { parts: std::iter::repeat_with(Part::default).take(PARTS).collect(), len: 0 }
    }
}

impl FingerprintSet {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it was inserted.
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.parts[part_of(fingerprint)].contains(fingerprint)
    }

    /// Memory that they take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.fingerprints.capacity() * 8).sum()
    }

    /// Inserts it, and says whether it is new.
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        let part = &mut self.parts[part_of(fingerprint)];
        if part.contains(fingerprint) {
            return false;
        }
        part.push(fingerprint);
        self.len += 1;
        true
    }
}

/// Never prints what is in it.
impl std::fmt::Debug for FingerprintSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FingerprintSet").field("len", &self.len).finish_non_exhaustive()
    }
}

fn part_of(fingerprint: u64) -> usize {
    usize::try_from(fingerprint >> (u64::BITS - PART_BITS)).expect("eight bits")
}

impl Part {
    fn contains(&self, fingerprint: u64) -> bool {
        let (sorted, fresh) = self.fingerprints.split_at(self.fingerprints.len() - self.fresh);
        sorted.binary_search(&fingerprint).is_ok() || fresh.contains(&fingerprint)
    }

    fn push(&mut self, fingerprint: u64) {
        if self.fingerprints.len() == self.fingerprints.capacity() {
            self.fingerprints.reserve_exact(FRESH_MAX.max(self.fingerprints.len() / GROWTH_DIVISOR));
        }
        self.fingerprints.push(fingerprint);
        self.fresh += 1;
        if self.fresh == FRESH_MAX {
            self.settle();
        }
    }

    /// Merges the newest fingerprints into the sorted ones, from the end.
    fn settle(&mut self) {
        let mut end = self.fingerprints.len();
        let mut sorted = end - self.fresh;
        let mut fresh = self.fingerprints[sorted..].to_vec();
        fresh.sort_unstable();
        while let Some(&largest) = fresh.last() {
            end -= 1;
            if sorted > 0 && self.fingerprints[sorted - 1] > largest {
                sorted -= 1;
                self.fingerprints[end] = self.fingerprints[sorted];
            } else {
                self.fingerprints[end] = largest;
                fresh.pop();
            }
        }
        self.fresh = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Evenly distributed, without a generator.
    fn mixed(number: u64) -> u64 {
        let mixed = (number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    #[test]
    fn it_agrees_with_a_hash_set() {
        let (mut set, mut truth) = (FingerprintSet::default(), HashSet::new());
        assert!(set.is_empty());
        for number in 0..60_000 {
            let fingerprint = mixed(number % 50_000);
            assert_eq!(set.insert(fingerprint), truth.insert(fingerprint));
        }
        for edge in [0, u64::MAX] {
            assert!(!set.contains(edge) && set.insert(edge) && set.contains(edge) && !set.insert(edge));
        }
        assert_eq!(set.len(), truth.len() + 2);
        assert!(truth.iter().all(|&fingerprint| set.contains(fingerprint)));
        assert!((50_000..60_000).all(|number| !set.contains(mixed(number))));
    }

    #[test]
    fn a_fingerprint_takes_little_more_than_its_bytes() {
        let mut set = FingerprintSet::default();
        for number in 0..300_000 {
            set.insert(mixed(number));
        }
        assert!(set.bytes() < 300_000 * 10, "{}", set.bytes());
    }
}
