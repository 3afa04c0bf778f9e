//! What becomes of each resource in a file. Not here: finding the resources (`document`, `lines`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{identity, version};
use crate::id::Fingerprint;
use crate::import::{Intake, RecordSink, SourceName};
use crate::json::{Object, text};
use crate::model::record_type;
use crate::{FhirVersion, ImportError, Person, RESOURCE_BYTES_MAX, Record, RecordError, SkipReason};

/// An entry of a Bundle, as far as it is read.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, rename = "fullUrl")]
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

/// The resources of a file, one after the other.
pub(crate) struct Resources<'a, S> {
    pub(crate) intake: Intake<'a, S>,
    /// Entries or lines begun.
    pub(super) entries: u64,
}

impl<'a, S: RecordSink> Resources<'a, S> {
    pub(crate) fn new(intake: Intake<'a, S>) -> Self {
        Self { intake, entries: 0 }
    }

    /// Takes one entry of a Bundle, as raw JSON.
    pub(super) fn take_entry(&mut self, entry: &str) -> Result<(), ImportError<S::Error>> {
        self.entries += 1;
        let Ok(entry) = serde_json::from_str::<Entry<'_>>(entry) else {
            self.intake.skip(SkipReason::Malformed);
            return Ok(());
        };
        match entry.resource {
            None => {
                self.intake.skip(SkipReason::NoResource);
                Ok(())
            }
            Some(resource) => self.take_json(resource.get(), entry.full_url.as_deref()),
        }
    }

    /// Takes the file of one resource among many of other origin: where it is not R4 it alone is left out.
    pub(crate) fn take_clinical(
        &mut self,
        json: &[u8],
        full_url: Option<&str>,
    ) -> Result<(), ImportError<S::Error>> {
        self.entries += 1;
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let Ok(resource) = serde_json::from_slice::<Object>(json) else {
            self.intake.skip(SkipReason::Malformed);
            return Ok(());
        };
        match version::detect(&resource) {
            None => {
                let full_url = full_url.filter(|url| server_of(url, &resource).is_some());
                self.take(resource, full_url)
            }
            Some(FhirVersion::Dstu2) => {
                self.intake.skip(SkipReason::FhirDstu2);
                Ok(())
            }
            Some(FhirVersion::Stu3) => {
                self.intake.skip(SkipReason::FhirStu3);
                Ok(())
            }
        }
    }

    /// Takes one resource, as JSON.
    pub(super) fn take_json(
        &mut self,
        json: &str,
        full_url: Option<&str>,
    ) -> Result<(), ImportError<S::Error>> {
        if json.len() > RESOURCE_BYTES_MAX {
            self.intake.skip(SkipReason::TooLarge);
            return Ok(());
        }
        if let Ok(resource) = serde_json::from_str::<Object>(json) {
            return self.take(resource, full_url);
        }
        self.intake.skip(SkipReason::Malformed);
        Ok(())
    }

    /// Takes one resource.
    pub(super) fn take(
        &mut self,
        resource: Object,
        full_url: Option<&str>,
    ) -> Result<(), ImportError<S::Error>> {
        if let Some(version) = version::detect(&resource) {
            return Err(RecordError::Version { version, entry: self.entries.saturating_sub(1) }.into());
        }
        if text(&resource, "resourceType") == Some("Patient") {
            let person = Person::from_fhir(&resource);
            let name = person.name.as_deref().unwrap_or_default();
            let birth_date = person.birth_date.as_deref().unwrap_or_default();
            let identity = Fingerprint::new("person").field(name).field(birth_date).digest();
            self.intake.person(person, identity);
        }
        let server = full_url.and_then(|url| server_of(url, &resource)).map(SourceName::server);
        let kind = record_type(&resource);
        match self.record(resource, full_url)? {
            Ok(record) => {
                self.intake.source(server);
                self.intake.accept(record)
            }
            Err(reason) => {
                match kind {
                    Ok(kind) => self.intake.skip_of(kind, reason, 1),
                    Err(_) => self.intake.skip(reason),
                }
                Ok(())
            }
        }
    }

    /// The record in a resource, or why there is none.
    fn record(
        &mut self,
        resource: Object,
        full_url: Option<&str>,
    ) -> Result<Result<Record, SkipReason>, RecordError> {
        // A mistake needs no value, so it is known by its status first.
        let is_withdrawn = text(&resource, "status") == Some("entered-in-error");
        if is_withdrawn && record_type(&resource).is_ok() {
            return Ok(Err(SkipReason::EnteredInError));
        }
        let id = identity::identify(&resource, full_url);
        let fingerprint =
            Fingerprint::new("seen").field(id.as_str()).field(&identity::content(&resource)).digest();
        let record = match Record::from_resource(resource, id) {
            Ok(record) => record,
            Err(reason) => return Ok(Err(reason)),
        };
        let is_repeated = self.intake.ordinal(fingerprint)? > 0;
        Ok(if is_repeated { Err(SkipReason::Repeated) } else { Ok(record) })
    }
}

/// What the resource's own address begins with; none for an address that is not its own but, say, its institution's.
fn server_of<'a>(url: &'a str, resource: &Object) -> Option<&'a str> {
    let (kind, id) = (text(resource, "resourceType")?, text(resource, "id")?);
    let url = url.split("/_history/").next()?;
    let server = url.strip_suffix(id)?.strip_suffix('/')?.strip_suffix(kind)?.strip_suffix('/')?;
    server.contains("://").then_some(server)
}
