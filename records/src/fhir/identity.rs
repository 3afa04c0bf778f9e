//! The identity of a FHIR resource: the same in every import, never shared by two resources.
//! Not here: what a record's id looks like (`crate::id`).

use serde_json::Value;

use crate::RecordId;
use crate::id::{Fingerprint, hashed_id};
use crate::json::{Object, object, text};

/// The id for a resource that stood in an entry with this `fullUrl`.
pub(super) fn identify(resource: &Object, full_url: Option<&str>) -> RecordId {
    let id = text(resource, "id");
    if let Some(uuid) = id.and_then(RecordId::from_uuid) {
        return uuid;
    }
    let full_url = full_url.map(|url| url.split("/_history/").next().unwrap_or(url));
    if let Some(uuid) = full_url.and_then(RecordId::from_uuid) {
        return uuid;
    }
    let fingerprint = match (full_url.filter(|url| is_absolute(url)), id) {
        (Some(url), _) => Fingerprint::new("fhir url").field(url),
        (None, Some(id)) => relative(resource, id),
        (None, None) => Fingerprint::new("fhir content").field(&content(resource)),
    };
    hashed_id(fingerprint.digest(), 0)
}

/// The text of a resource, the same however its members were ordered.
pub(super) fn content(resource: &Object) -> String {
    serde_json::to_string(resource).expect("a JSON object with string keys serializes")
}

/// A relative id is unique within its server only, and which server that was is not known here. What an institution
/// says about its own resource beside the id does not change with corrections, as value and status do.
fn relative(resource: &Object, id: &str) -> Fingerprint {
    let member = |name: &str| resource.get(name).map(Value::to_string).unwrap_or_default();
    let subject = ["subject", "patient"]
        .into_iter()
        .find_map(|name| text(object(resource, name)?, "reference"))
        .unwrap_or_default();
    let mut hash = Fingerprint::new("fhir relative").field(id).field(subject);
    for name in ["resourceType", "identifier", "code", "vaccineCode"] {
        hash = hash.field(&member(name));
    }
    for (name, value) in resource.iter().filter(|(name, _)| is_time(name)) {
        hash = hash.field(name).field(&value.to_string());
    }
    hash
}

fn is_time(member: &str) -> bool {
    member.starts_with("effective") || member.starts_with("occurrence")
}

/// `urn:…`, or a URL with a host: names that mean the same everywhere.
fn is_absolute(url: &str) -> bool {
    url.starts_with("urn:") || url.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::into_object;
    use serde_json::json;

    const UUID: &str = "43faa257-cc85-47fb-86a8-dc9bbb727a68";

    #[test]
    fn a_uuid_is_the_id() {
        let resource = into_object(json!({"resourceType": "Observation", "id": UUID}));
        assert_eq!(identify(&resource, Some("https://a.example/Observation/1")).as_str(), UUID);
        let resource = into_object(json!({"resourceType": "Observation"}));
        assert_eq!(identify(&resource, Some(&format!("urn:uuid:{UUID}"))).as_str(), UUID);
    }

    #[test]
    fn equal_relative_ids_of_two_servers_stay_apart() {
        let at = |url| identify(&into_object(json!({"resourceType": "Observation", "id": "1"})), url);
        assert_ne!(at(Some("https://a.example/Observation/1")), at(Some("https://b.example/Observation/1")));
        let on = |day: &str| {
            let resource = json!({"resourceType": "Observation", "id": "1", "effectiveDateTime": day});
            identify(&into_object(resource), None)
        };
        assert_ne!(on("2020-01-01"), on("2020-01-02"));
        assert_eq!(on("2020-01-01"), on("2020-01-01"));
    }

    #[test]
    fn a_correction_keeps_its_id() {
        let with = |value: u8| {
            let resource = json!({"resourceType": "Observation", "id": "1", "valueInteger": value});
            identify(&into_object(resource), None)
        };
        assert_eq!(with(1), with(2));
        let versioned = |n: u8| {
            let url = format!("https://a.example/Observation/1/_history/{n}");
            identify(&into_object(json!({"id": "1"})), Some(&url))
        };
        assert_eq!(versioned(1), versioned(2));
    }
}
