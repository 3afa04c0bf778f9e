//! A record: an id, a type and a FHIR R4 resource whose content is the source's own.
//! Not here: how records are found in files (`apple`, `fhir`) or what their fields mean (`model`).

use serde_json::{Value, json};

use crate::json::{Object, object, text};
use crate::{Effective, Entry, Model, Provenance, RecordError, RecordId, RecordType};

/// Largest resource, in bytes of JSON. HS/1 carries at most this much, inflated, in one body.
pub const RESOURCE_BYTES_MAX: usize = 1024 * 1024;

/// One clinical fact, carried as a FHIR R4 resource.
#[derive(Clone, PartialEq)]
pub struct Record {
    id: RecordId,
    model: Model,
    resource: Object,
}

impl Record {
    /// Reads a FHIR R4 resource. Its type is decided by its content alone.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`], [`RecordError::Json`], or [`RecordError::NotShared`] with the reason if it is none
    /// of the five types or lacks what its type needs (value, known unit, time).
    pub fn from_fhir_json(json: &[u8], id: RecordId) -> Result<Self, RecordError> {
        if json.len() > RESOURCE_BYTES_MAX {
            return Err(RecordError::TooLarge);
        }
        let resource: Object = serde_json::from_slice(json)
            .map_err(|error| RecordError::Json { line: error.line(), column: error.column() })?;
        Self::from_resource(resource, id).map_err(RecordError::NotShared)
    }

    pub(crate) fn from_resource(resource: Object, id: RecordId) -> Result<Self, crate::SkipReason> {
        Ok(Self { id, model: Model::from_fhir(&resource)?, resource })
    }

    /// Makes a record from the typed model; the id becomes its FHIR identifier too.
    pub fn from_model(id: RecordId, model: Model) -> Self {
        let mut resource = model.to_fhir();
        let (system, value) = id.as_identifier();
        resource.insert("identifier".to_owned(), json!([{"system": system, "value": value}]));
        Self { id, model, resource }
    }

    /// Marks the record as made by the patient, with its app and device.
    #[must_use]
    pub fn with_provenance(mut self, provenance: &Provenance) -> Self {
        provenance.write_fhir(&mut self.resource);
        self
    }

    /// Makes `reference` (such as `Patient/17`) the person the record is about, also where the record names that
    /// person as its performer. Nothing else changes.
    #[must_use]
    pub fn with_subject(mut self, reference: &str) -> Self {
        let member = if self.record_type() == RecordType::Immunization { "patient" } else { "subject" };
        let before = object(&self.resource, member).and_then(|subject| text(subject, "reference"));
        let before = before.map(str::to_owned);
        if let Some(performers) = self.resource.get_mut("performer").and_then(Value::as_array_mut) {
            for performer in performers.iter_mut().filter_map(Value::as_object_mut) {
                let named = text(performer, "reference");
                let is_patient = named.is_none() && text(performer, "type") == Some("Patient");
                if is_patient || (named.is_some() && named == before.as_deref()) {
                    performer.insert("reference".to_owned(), json!(reference));
                }
            }
        }
        self.resource.insert(member.to_owned(), json!({"reference": reference}));
        self
    }

    /// The record's id.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// The record's type.
    pub fn record_type(&self) -> RecordType {
        self.model.record_type()
    }

    /// The typed view of the record.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The resource as compact JSON; decimals as the source wrote them.
    pub fn fhir_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.resource).expect("a JSON object with string keys serializes")
    }

    /// When the record holds.
    pub fn effective(&self) -> &Effective {
        self.model.effective()
    }

    /// What the record is, for people: `Heart rate`.
    pub fn label(&self) -> &str {
        self.model.label()
    }

    /// The record's value, for people: `72 /min`.
    pub fn summary(&self) -> String {
        self.model.summary()
    }

    /// Whether the source has withdrawn the record as a mistake.
    pub fn is_entered_in_error(&self) -> bool {
        text(&self.resource, "status") == Some("entered-in-error")
    }

    /// Whether a person typed the value in.
    pub fn entry(&self) -> Entry {
        Entry::from_fhir(&self.resource)
    }

    /// App and device, where the record names them.
    pub fn provenance(&self) -> Option<Provenance> {
        Provenance::from_fhir(&self.resource)
    }
}

/// Prints the type only.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("type", &self.record_type())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
