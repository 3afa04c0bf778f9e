//! A reading that waits for its twin, in as little memory as its text allows: thousands wait at a time, from few
//! sources. Not here: what it waits for (`pairing`).

use std::collections::HashMap;

use super::draft::{Draft, SampleKind};
use crate::id::Fingerprint;
use crate::{Entry, RecordId};

/// Between the texts of one reading; no attribute of XML 1.0 can hold it.
const SEPARATOR: char = '\u{1f}';
/// What a held reading takes beside its text: itself, its place in a map, its allocation.
const HELD_OVERHEAD_BYTES: usize = 160;

/// A draft without what it shares with others.
pub(super) struct Held {
    origin: usize,
    kind: SampleKind,
    entry: Entry,
    uuid: Option<RecordId>,
    /// Start, end, value.
    text: Box<str>,
}

/// What drafts share: where they come from, each once.
#[derive(Default)]
pub(super) struct Origins {
    known: HashMap<u128, usize>,
    list: Vec<Origin>,
    bytes: usize,
}

struct Origin {
    source: String,
    source_version: String,
    device: String,
    unit: String,
}

impl Held {
    pub(super) fn new(draft: Draft, origins: &mut Origins) -> Self {
        let text = [&*draft.start, &draft.end, &draft.value].join(&SEPARATOR.to_string());
        let origin = Origin {
            source: draft.source,
            source_version: draft.source_version,
            device: draft.device,
            unit: draft.unit,
        };
        Self {
            origin: origins.place(origin),
            kind: draft.kind,
            entry: draft.entry,
            uuid: draft.uuid,
            text: text.into_boxed_str(),
        }
    }

    /// The draft that it was.
    pub(super) fn draft(&self, origins: &Origins) -> Draft {
        let mut texts = self.text.split(SEPARATOR).map(str::to_owned);
        let mut next = || texts.next().unwrap_or_default();
        let origin = &origins.list[self.origin];
        Draft {
            kind: self.kind,
            source: origin.source.clone(),
            source_version: origin.source_version.clone(),
            device: origin.device.clone(),
            unit: origin.unit.clone(),
            start: next(),
            end: next(),
            value: next(),
            uuid: self.uuid.clone(),
            entry: self.entry,
        }
    }

    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        HELD_OVERHEAD_BYTES + self.text.len() + self.uuid.as_ref().map_or(0, |id| id.as_str().len())
    }
}

impl Origins {
    /// Memory that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn place(&mut self, origin: Origin) -> usize {
        let texts = [&origin.source, &origin.source_version, &origin.device, &origin.unit];
        let key = texts.into_iter().fold(Fingerprint::new("origin"), |hash, text| hash.field(text)).digest();
        if let Some(&place) = self.known.get(&key) {
            return place;
        }
        self.bytes += HELD_OVERHEAD_BYTES + texts.into_iter().map(String::len).sum::<usize>();
        self.list.push(origin);
        self.known.insert(key, self.list.len() - 1);
        self.list.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_comes_back_as_it_was_and_shares_its_origin() {
        let mut origins = Origins::default();
        let draft = |value: &str| {
            let mut draft = Draft::new(SampleKind::Systolic);
            let attributes = [
                ("sourceName", "Cuff"),
                ("sourceVersion", "3"),
                ("device", "d"),
                ("unit", "mmHg"),
                ("value", value),
                ("startDate", "s"),
                ("endDate", ""),
            ];
            for (name, value) in attributes {
                draft.set(name, value.to_owned());
            }
            draft.annotate("HKWasUserEntered", "1");
            draft
        };
        let (first, second) = (Held::new(draft("118"), &mut origins), Held::new(draft("119"), &mut origins));
        assert_eq!(origins.list.len(), 1);
        assert!(first.bytes() > HELD_OVERHEAD_BYTES && origins.bytes() > HELD_OVERHEAD_BYTES);
        for (held, value) in [(first, "118"), (second, "119")] {
            let back = held.draft(&origins);
            assert_eq!((&*back.value, back.entry), (value, Entry::Manual));
            assert_eq!(
                (back.twin_key(), back.pair_key()),
                (draft(value).twin_key(), draft(value).pair_key())
            );
        }
    }
}
