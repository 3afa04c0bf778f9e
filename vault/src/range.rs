//! Spaces, ranges of keys, and the bounds on what a row may be. Not here: how rows are sealed (`seal`) or read
//! and written (`transaction`).

use std::ops::Bound;

/// Bytes in a row's key, at most.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Bytes in a value, at most.
pub const VALUE_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes in a wrapping key's id, at most.
pub const WRAPPING_ID_BYTES_MAX: usize = 256;
/// Values that one scan returns, at most; go on with [`KeyRange::after`].
pub const SCAN_VALUES_MAX: usize = 10_000;

/// A named set of rows, such as grants or records. The number is on disk and must stay the same for ever; the
/// name appears in errors only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Space {
    number: u16,
    name: &'static str,
}

impl Space {
    /// A space, usually a `const`. Each number belongs to one space of a program.
    pub const fn new(number: u16, name: &'static str) -> Self {
        Self { number, name }
    }

    /// The name, for people.
    pub const fn name(self) -> &'static str {
        self.name
    }

    pub(crate) const fn number(self) -> u16 {
        self.number
    }
}

/// A contiguous range of keys, in the order of their bytes.
#[derive(Clone, Eq, PartialEq)]
pub struct KeyRange {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Every key of a space.
    pub const fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// The keys between two bounds; empty where they cross.
    pub fn new(from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        Self { from: from.map(<[u8]>::to_vec), to: to.map(<[u8]>::to_vec) }
    }

    /// The keys that begin with `prefix`, itself included.
    pub fn prefix(prefix: &[u8]) -> Self {
        let to = match prefix.iter().rposition(|byte| *byte != u8::MAX) {
            None => Bound::Unbounded,
            Some(last) => {
                let mut end = prefix[..=last].to_vec();
                end[last] += 1;
                Bound::Excluded(end)
            }
        };
        Self { from: Bound::Included(prefix.to_vec()), to }
    }

    /// What remains of this range above `key`: the next page of a scan that ended there.
    #[must_use]
    pub fn after(self, key: &[u8]) -> Self {
        Self { from: Bound::Excluded(key.to_vec()), to: self.to }
    }

    /// What remains of this range below `key`: the next page of a descending scan that ended there.
    #[must_use]
    pub fn before(self, key: &[u8]) -> Self {
        Self { from: self.from, to: Bound::Excluded(key.to_vec()) }
    }

    /// The lowest key of the range, and whether the key itself is outside.
    pub(crate) fn lower(&self) -> (&[u8], Edge) {
        match &self.from {
            Bound::Unbounded => (&[], Edge::Included),
            Bound::Included(key) => (key, Edge::Included),
            Bound::Excluded(key) => (key, Edge::Excluded),
        }
    }

    /// The highest key of the range, if there is one.
    pub(crate) fn upper(&self) -> Option<(&[u8], Edge)> {
        match &self.to {
            Bound::Unbounded => None,
            Bound::Included(key) => Some((key, Edge::Included)),
            Bound::Excluded(key) => Some((key, Edge::Excluded)),
        }
    }
}

/// Keys may tell more than a log should hold.
impl std::fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRange(..)")
    }
}

/// Whether a bound belongs to its range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Edge {
    Included,
    Excluded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        let range = KeyRange::prefix(b"ab");
        assert_eq!(range.lower(), (&b"ab"[..], Edge::Included));
        assert_eq!(range.upper(), Some((&b"ac"[..], Edge::Excluded)));
    }

    #[test]
    fn a_prefix_of_highest_bytes_carries_or_is_open() {
        assert_eq!(KeyRange::prefix(&[7, 255, 255]).upper(), Some((&[8][..], Edge::Excluded)));
        assert_eq!(KeyRange::prefix(&[255, 255]).upper(), None);
        assert_eq!(KeyRange::prefix(b"").upper(), None);
    }

    #[test]
    fn debug_text_holds_no_key() {
        assert_eq!(format!("{:?}", KeyRange::prefix(b"grant")), "KeyRange(..)");
    }
}
