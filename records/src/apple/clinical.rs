//! What an export says about the clinical records that lie beside it: which FHIR version, from where.
//! Not here: the records (`archive`, `fhir`).

use std::collections::HashMap;

use super::export::Element;
use crate::{SkipReason, XmlFault};

/// Clinical records whose origin is remembered; a record above it is known by its content alone.
const LISTED_MAX: usize = 50_000;
/// Longest path or address remembered, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// The `ClinicalRecord` elements of an export.
#[derive(Default)]
pub(super) struct Listing {
    by_path: HashMap<String, Clinical>,
    count: u64,
    taken: u64,
}

#[derive(Default)]
struct Clinical {
    version: String,
    url: String,
}

/// What the export says about one file.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Declared {
    /// R4 as far as is said; with the address that the institution gave it.
    Readable(Option<String>),
    /// Another version of FHIR.
    Older(SkipReason),
}

impl Listing {
    /// Notes one element.
    pub(super) fn note(&mut self, element: &impl Element) -> Result<(), XmlFault> {
        self.count += 1;
        let (mut path, mut clinical) = (String::new(), Clinical::default());
        element.each_attribute(&mut |name, value| match name {
            "resourceFilePath" => path = value,
            "fhirVersion" => clinical.version = value,
            "sourceURL" => clinical.url = value,
            _ => {}
        })?;
        let path = path.trim_start_matches('/');
        let is_short =
            [path, &clinical.version, &clinical.url].iter().all(|text| text.len() <= TEXT_BYTES_MAX);
        if is_short && !path.is_empty() && self.by_path.len() < LISTED_MAX {
            self.by_path.insert(path.to_owned(), clinical);
        }
        Ok(())
    }

    /// A file of this path is there.
    pub(super) fn take(&mut self, path: &str) -> Declared {
        let Some(clinical) = self.by_path.remove(path) else { return Declared::Readable(None) };
        self.taken += 1;
        match clinical.version.split('.').next() {
            Some("1") => Declared::Older(SkipReason::FhirDstu2),
            Some("3") => Declared::Older(SkipReason::FhirStu3),
            _ => Declared::Readable(Some(clinical.url).filter(|url| !url.is_empty())),
        }
    }

    /// Elements whose file was not there.
    pub(super) fn left(&self) -> u64 {
        self.count.saturating_sub(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Attributes(&'static [(&'static str, &'static str)]);

    impl Element for Attributes {
        fn name(&self) -> &'static str {
            "ClinicalRecord"
        }
        fn attribute(&self, name: &str) -> Result<Option<String>, XmlFault> {
            Ok(self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        }
        fn each_attribute(&self, visit: &mut dyn FnMut(&str, String)) -> Result<(), XmlFault> {
            self.0.iter().for_each(|(key, value)| visit(key, (*value).to_owned()));
            Ok(())
        }
    }

    #[test]
    fn what_is_said_about_a_file_is_found_by_its_path_once() {
        let mut listing = Listing::default();
        let new = Attributes(&[
            ("resourceFilePath", "/clinical-records/a.json"),
            ("fhirVersion", "4.0.1"),
            ("sourceURL", "https://a.example/Observation/1"),
        ]);
        let old = Attributes(&[("resourceFilePath", "/clinical-records/b.json"), ("fhirVersion", "1.0.2")]);
        for element in [new, old, Attributes(&[])] {
            listing.note(&element).unwrap();
        }
        assert_eq!(listing.left(), 3);
        let url = Some("https://a.example/Observation/1".to_owned());
        assert_eq!(listing.take("clinical-records/a.json"), Declared::Readable(url));
        assert_eq!(listing.take("clinical-records/b.json"), Declared::Older(SkipReason::FhirDstu2));
        assert_eq!(listing.take("clinical-records/b.json"), Declared::Readable(None));
        assert_eq!(listing.left(), 1);
    }
}
