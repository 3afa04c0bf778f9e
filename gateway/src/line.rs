//! A line of the record view: what `records` prints, one for each change.
//!
//! Plain, a line is a FHIR resource and only records have one. With `--events` every line is an object:
//! `{"event":"record","grant":…,"type":…,"record":…,"resource":{…}}`, `{"event":"removed","grant":…,"type":…,
//! "record":…}`, `{"event":"ended","grant":…,"cause":"revoked"}` (or `rejected`, or `silent` for 90 days), and between
//! what was there and what comes, `{"event":"caught-up"}`. What else happens to a grant has its event's name and time:
//! `{"event":"paused","grant":…,"at_ms":…}`, and so `resumed`, `held` (with `held`, the reasons), `admitted`, `stale`,
//! `lapsed`, `returned`, `gap`, `resync`, `unknown-sender`, `unknown-bundle`, `refused` (with `refusal`) and
//! `scope-changed` (with `removed`, `added`, `types` and `from_ms`; a `removed` line for each record follows). Records
//! that were hidden come again after `admitted` and `returned`; whoever keeps a copy hides it after `held` and `lapsed`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::error::{GatewayError, Result};
use crate::handle::GrantHandle;
use crate::view::Note;

/// What `records` prints of the changes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LineForm {
    /// FHIR resources only.
    Resources,
    /// Every change, wrapped.
    Events,
}

/// One change, as JSON text without line breaks.
pub(crate) struct Line(Zeroizing<String>);

#[derive(Default, Deserialize, Serialize)]
struct Event<'a> {
    #[serde(rename = "event")]
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Cow<'a, str>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    type_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_ms: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    fn named(name: &'a str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn of(name: &'a str, grant: GrantHandle) -> Self {
        Self { grant: Some(grant.to_string().into()), ..Self::named(name) }
    }
}

impl Line {
    /// A record is new or different.
    pub(crate) fn record(grant: GrantHandle, type_name: &str, id: &str, resource: &RawValue) -> Self {
        let (type_name, record) = (Some(type_name.into()), Some(id.into()));
        Self::new(&Event { type_name, record, resource: Some(resource), ..Event::of("record", grant) })
    }

    /// A record is gone.
    pub(crate) fn removed(grant: GrantHandle, type_name: &str, id: &str) -> Self {
        let (type_name, record) = (Some(type_name.into()), Some(id.into()));
        Self::new(&Event { type_name, record, ..Event::of("removed", grant) })
    }

    /// A grant is over and its records with it.
    pub(crate) fn ended(grant: GrantHandle, cause: &str) -> Self {
        Self::new(&Event { cause: Some(cause.into()), ..Event::of("ended", grant) })
    }

    /// Something else happened to a grant.
    pub(crate) fn noted(grant: GrantHandle, note: &Note) -> Self {
        let scope = note.scope.as_ref();
        Self::new(&Event {
            at_ms: Some(note.at),
            held: note.held.clone(),
            refusal: note.refusal.as_deref().map(Cow::from),
            removed: scope.map(|scope| scope.removed.clone()),
            added: scope.map(|scope| scope.added.clone()),
            types: scope.map(|scope| scope.types.clone()),
            from_ms: scope.and_then(|scope| scope.from_ms),
            ..Event::of(&note.name, grant)
        })
    }

    /// Everything that was there has been listed.
    pub(crate) fn caught_up() -> Self {
        Self::new(&Event::named("caught-up"))
    }

    fn new(event: &Event<'_>) -> Self {
        Self(Zeroizing::new(serde_json::to_string(event).expect("an event has string keys only")))
    }

    /// From a running gateway.
    ///
    /// # Errors
    /// [`GatewayError::Damaged`] unless it is an event.
    pub(crate) fn from_text(text: &str) -> Result<Self> {
        parse(text)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// As text in a form; `None` where the form has none.
    ///
    /// # Errors
    /// [`GatewayError::Damaged`], which a line that was made here never is.
    pub(crate) fn text(&self, form: LineForm) -> Result<Option<&str>> {
        match form {
            LineForm::Events => Ok(Some(&self.0)),
            LineForm::Resources => Ok(parse(&self.0)?.resource.map(RawValue::get)),
        }
    }

    /// As a JSON value.
    ///
    /// # Errors
    /// [`GatewayError::Damaged`], which a line that was made here never is.
    pub(crate) fn raw(&self) -> Result<&RawValue> {
        serde_json::from_str(&self.0).map_err(|_| GatewayError::Damaged("line"))
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn parse(text: &str) -> Result<Event<'_>> {
    serde_json::from_str(text).map_err(|_| GatewayError::Damaged("line"))
}

/// A record is in it.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealcare_provider::GrantId;

    #[test]
    fn a_record_is_its_resource_as_it_was_written_or_an_event() {
        let grant = GrantHandle::of(&GrantId::from_bytes([1; 32]));
        let resource = RawValue::from_string(r#"{"value":98.60}"#.into()).unwrap();
        let line = Line::record(grant, "heart-rate", "r1", &resource);
        assert_eq!(line.text(LineForm::Resources).unwrap(), Some(r#"{"value":98.60}"#));
        let event = format!(
            r#"{{"event":"record","grant":"{grant}","type":"heart-rate","record":"r1","resource":{{"value":98.60}}}}"#
        );
        assert_eq!(line.text(LineForm::Events).unwrap(), Some(event.as_str()));
        assert!(!format!("{line:?}").contains("98"));
    }

    #[test]
    fn removals_and_ends_are_events_only() {
        let grant = GrantHandle::of(&GrantId::from_bytes([1; 32]));
        for line in
            [Line::removed(grant, "heart-rate", "r1"), Line::ended(grant, "revoked"), Line::caught_up()]
        {
            assert_eq!(line.text(LineForm::Resources).unwrap(), None);
            assert!(
                line.text(LineForm::Events).unwrap().is_some_and(|text| text.starts_with(r#"{"event":"#))
            );
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert!(Line::from_text("{}").is_err());
        assert!(Line::from_text("nonsense").is_err());
    }
}
