//! What files that are all of their sources can say about what they do not have. Not here: finding it (`absence`).

use std::collections::{BTreeMap, BTreeSet};

use sealcare_records::{ImportReport, RecordType, SourceName};

use crate::record_store::RecordRow;

/// By source, the types of which every file of it shows whatever the source has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Coverage(BTreeMap<SourceName, BTreeSet<RecordType>>);

impl Coverage {
    /// What files cover together: of two files of one source, a type only if both show all of it.
    pub(super) fn of(files: &[ImportReport]) -> Self {
        let mut coverage = Self::default();
        for (source, types) in files.iter().flat_map(|report| &report.coverage) {
            match coverage.0.get_mut(source) {
                Some(shown) => shown.retain(|kind| types.contains(kind)),
                None => drop(coverage.0.insert(source.clone(), types.clone())),
            }
        }
        coverage
    }

    /// Whether a file is of one of the record's sources, however much of it was read.
    pub(super) fn is_of(&self, row: &RecordRow) -> bool {
        row.sources.iter().any(|source| self.0.contains_key(source))
    }

    /// Whether the files speak for one of the record's sources.
    pub(super) fn covers_any(&self, row: &RecordRow) -> bool {
        row.sources.iter().any(|source| self.covers(&row.type_name, source))
    }

    /// Whether the files speak for each of the record's sources.
    pub(super) fn covers_all(&self, row: &RecordRow) -> bool {
        row.sources.iter().all(|source| self.covers(&row.type_name, source))
    }

    /// Whether the files show every record of this type that the source has.
    pub(crate) fn covers(&self, type_name: &str, source: &SourceName) -> bool {
        self.0.get(source).is_some_and(|types| types.iter().any(|kind| kind.name() == type_name))
    }
}
