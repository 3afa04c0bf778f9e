//! Where a file's records come from, as far as the file itself says. Not here: what is missing in a file that is all
//! of its source (the caller compares).

use serde::{Deserialize, Serialize};

use crate::id::Fingerprint;

const APPLE_HEALTH: &str = "apple-health";
const APPLE_CLINICAL: &str = "apple-health-clinical";

/// The name of a source of records, the same in each of its files. Tells nothing about whose it is.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct SourceName(String);

impl SourceName {
    /// The Health app, by whose exports all of its records are told.
    pub(crate) fn apple_health() -> Self {
        Self(APPLE_HEALTH.to_owned())
    }

    /// The clinical records that the Health app keeps: only its archives have them, `export.xml` alone does not.
    pub(crate) fn apple_clinical() -> Self {
        Self(APPLE_CLINICAL.to_owned())
    }

    /// A FHIR server, by the address that its resources' addresses begin with.
    pub(crate) fn server(base: &str) -> Self {
        Self(format!("fhir-{:032x}", Fingerprint::new("source").field(base).digest()))
    }

    /// An app or device that tells what changed, by the name it gives itself.
    pub fn app(id: &str) -> Self {
        Self(format!("app-{:032x}", Fingerprint::new("app").field(id).digest()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the records of one file have said so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum SourceSeen {
    #[default]
    Nothing,
    /// The file as a whole said it.
    Whole(SourceName),
    One(SourceName),
    /// Several, or a record that says none.
    Mixed,
}

impl SourceSeen {
    pub(crate) fn note(&mut self, name: Option<SourceName>) {
        *self = match (std::mem::take(self), name) {
            (Self::Whole(whole), _) => Self::Whole(whole),
            (Self::Nothing, Some(name)) => Self::One(name),
            (Self::One(before), Some(name)) if before == name => Self::One(before),
            _ => Self::Mixed,
        };
    }

    pub(crate) fn into_name(self) -> Option<SourceName> {
        match self {
            Self::Whole(name) | Self::One(name) => Some(name),
            Self::Nothing | Self::Mixed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_source_when_all_of_its_records_have_that_one() {
        let seen = |names: &[Option<&str>]| {
            let mut seen = SourceSeen::default();
            for name in names {
                seen.note(name.map(SourceName::server));
            }
            seen.into_name()
        };
        assert_eq!(seen(&[Some("a"), Some("a")]), Some(SourceName::server("a")));
        assert_ne!(seen(&[Some("a")]), seen(&[Some("b")]));
        for mixed in
            [&[][..], &[None], &[Some("a"), None], &[None, Some("a")], &[Some("a"), Some("b"), Some("b")]]
        {
            assert_eq!(seen(mixed), None);
        }
        let mut whole = SourceSeen::Whole(SourceName::apple_health());
        whole.note(Some(SourceName::server("a")));
        assert_eq!(whole.into_name(), Some(SourceName::apple_health()));
        assert!(!SourceName::server("https://clinic.example").as_str().contains("clinic"));
    }
}
