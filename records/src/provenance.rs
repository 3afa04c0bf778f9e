//! Where a patient-generated record comes from: the app, the device, and whether a person typed it in; and how
//! that is written into an Observation.
//!
//! An Observation made by the patient carries the patient as performer (the reference is filled in by
//! [`crate::Record::with_subject`]), a contained Device under `#device`, and, when typed in, the method
//! `urn:sealcare:observation-method|manual-entry`. In the Device, the device's own name is a `deviceName` of type
//! `user-friendly-name`, the app's is one of type `other`; versions are typed `app`, `hardware` and `software`.
//!
//! Not here: Apple's device string (`apple::device`).

use serde_json::{Value, json};

use crate::code::{METHOD_MANUAL, SYSTEM_METHOD};
use crate::json::{Object, objects, text};

const DEVICE_ID: &str = "device";

/// How a value came to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A device measured it, or the source does not say.
    Measured,
    /// A person typed it in.
    Manual,
}

/// The device that measured, as far as the source tells.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct SourceDevice {
    /// What its owner calls it.
    pub name: Option<String>,
    /// Who makes it.
    pub manufacturer: Option<String>,
    /// The maker's model.
    pub model: Option<String>,
    /// Hardware version.
    pub hardware: Option<String>,
    /// Software version.
    pub software: Option<String>,
}

/// Never prints what it says.
impl std::fmt::Debug for SourceDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceDevice(..)")
    }
}

/// Where a patient-generated record comes from.
#[derive(Clone, Eq, PartialEq)]
pub struct Provenance {
    /// The app that reported the record.
    pub app: Option<String>,
    /// That app's version.
    pub app_version: Option<String>,
    /// The device that measured it.
    pub device: SourceDevice,
    /// Measured, or typed in.
    pub entry: Entry,
}

/// Never prints what it says.
impl std::fmt::Debug for Provenance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provenance(..)")
    }
}

impl Provenance {
    pub(crate) fn write_fhir(&self, observation: &mut Object) {
        observation.insert("performer".to_owned(), json!([{"type": "Patient"}]));
        if let Some(device) = self.device_resource() {
            observation.insert("contained".to_owned(), json!([device]));
            observation.insert("device".to_owned(), json!({"reference": format!("#{DEVICE_ID}")}));
        }
        if self.entry == Entry::Manual {
            let coding = json!({"system": SYSTEM_METHOD, "code": METHOD_MANUAL, "display": "Manual entry"});
            observation.insert("method".to_owned(), json!({"coding": [coding], "text": "Entered by hand"}));
        }
    }

    fn device_resource(&self) -> Option<Value> {
        let mut names = Vec::new();
        push_some(&mut names, "name", self.device.name.as_ref(), &json!("user-friendly-name"));
        push_some(&mut names, "name", self.app.as_ref(), &json!("other"));
        let mut versions = Vec::new();
        push_some(&mut versions, "value", self.app_version.as_ref(), &json!({"text": "app"}));
        push_some(&mut versions, "value", self.device.hardware.as_ref(), &json!({"text": "hardware"}));
        push_some(&mut versions, "value", self.device.software.as_ref(), &json!({"text": "software"}));
        let mut device = Object::new();
        for (member, list) in [("deviceName", names), ("version", versions)] {
            if !list.is_empty() {
                device.insert(member.to_owned(), json!(list));
            }
        }
        for (member, value) in
            [("manufacturer", &self.device.manufacturer), ("modelNumber", &self.device.model)]
        {
            if let Some(value) = value {
                device.insert(member.to_owned(), json!(value));
            }
        }
        if device.is_empty() {
            return None;
        }
        device.insert("resourceType".to_owned(), json!("Device"));
        device.insert("id".to_owned(), json!(DEVICE_ID));
        Some(Value::Object(device))
    }

    /// Reads back what was written; `None` if the resource names neither device nor app.
    pub(crate) fn from_fhir(observation: &Object) -> Option<Self> {
        let device = objects(observation, "contained").find(|r| text(r, "resourceType") == Some("Device"))?;
        let typed = |list: &str, member: &str, matches: &dyn Fn(&Object) -> bool| {
            objects(device, list)
                .find(|item| matches(item))
                .and_then(|item| text(item, member))
                .map(str::to_owned)
        };
        let name = |kind: &str| typed("deviceName", "name", &|item| text(item, "type") == Some(kind));
        let version = |kind: &str| {
            typed("version", "value", &|item| {
                item.get("type").and_then(|kind| kind.get("text")).and_then(Value::as_str) == Some(kind)
            })
        };
        Some(Self {
            app: name("other"),
            app_version: version("app"),
            device: SourceDevice {
                name: name("user-friendly-name"),
                manufacturer: text(device, "manufacturer").map(str::to_owned),
                model: text(device, "modelNumber").map(str::to_owned),
                hardware: version("hardware"),
                software: version("software"),
            },
            entry: Entry::from_fhir(observation),
        })
    }
}

impl Entry {
    pub(crate) fn from_fhir(observation: &Object) -> Self {
        let is_manual = observation.get("method").and_then(Value::as_object).is_some_and(|method| {
            objects(method, "coding").any(|coding| {
                text(coding, "system") == Some(SYSTEM_METHOD) && text(coding, "code") == Some(METHOD_MANUAL)
            })
        });
        if is_manual { Self::Manual } else { Self::Measured }
    }
}

fn push_some(list: &mut Vec<Value>, member: &str, value: Option<&String>, kind: &Value) {
    if let Some(value) = value {
        list.push(json!({member: value, "type": kind}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance() -> Provenance {
        Provenance {
            app: Some("Health".to_owned()),
            app_version: Some("17.2".to_owned()),
            device: SourceDevice {
                name: Some("Apple Watch".to_owned()),
                manufacturer: Some("Apple Inc.".to_owned()),
                model: Some("Watch".to_owned()),
                hardware: Some("Watch6,7".to_owned()),
                software: Some("10.2".to_owned()),
            },
            entry: Entry::Manual,
        }
    }

    #[test]
    fn provenance_reads_back() {
        let mut observation = Object::new();
        provenance().write_fhir(&mut observation);
        assert_eq!(Provenance::from_fhir(&observation), Some(provenance()));
    }

    #[test]
    fn an_unknown_origin_makes_no_device() {
        let unknown = Provenance {
            app: None,
            app_version: None,
            device: SourceDevice::default(),
            entry: Entry::Measured,
        };
        let mut observation = Object::new();
        unknown.write_fhir(&mut observation);
        assert_eq!(Value::Object(observation), json!({"performer": [{"type": "Patient"}]}));
    }
}
