//! The person whom a file says its records are about. Not here: who the app's patient is; the caller compares.

use serde::{Deserialize, Serialize};

use crate::json::{Object, objects, text};

/// Longest name kept, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A person as a file names them.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Person {
    /// Full name, at most 256 bytes.
    pub name: Option<String>,
    /// Birth date, `YYYY-MM-DD` (or a part of it).
    pub birth_date: Option<String>,
}

impl Person {
    pub(crate) fn from_fhir(patient: &Object) -> Self {
        let named = objects(patient, "name")
            .find(|name| text(name, "use") == Some("official"))
            .or_else(|| objects(patient, "name").next());
        Self {
            name: named.and_then(full_name).filter(|name| name.len() <= NAME_BYTES_MAX),
            birth_date: text(patient, "birthDate").filter(|date| date.len() <= 10).map(str::to_owned),
        }
    }
}

fn full_name(name: &Object) -> Option<String> {
    if let Some(whole) = text(name, "text") {
        return Some(whole.to_owned());
    }
    let given = name.get("given").and_then(serde_json::Value::as_array).into_iter().flatten();
    let parts: Vec<&str> = given.filter_map(serde_json::Value::as_str).chain(text(name, "family")).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Never prints who it is.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Person(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::into_object;
    use serde_json::json;

    #[test]
    fn the_official_name_is_taken() {
        let patient = into_object(json!({
            "name": [{"use": "maiden", "family": "Old"}, {"use": "official", "given": ["Ana", "Maria"], "family": "Silva"}],
            "birthDate": "1990-05-20"
        }));
        let person = Person::from_fhir(&patient);
        assert_eq!(person.name.as_deref(), Some("Ana Maria Silva"));
        assert_eq!(person.birth_date.as_deref(), Some("1990-05-20"));
        assert_eq!(format!("{person:?}"), "Person(..)");
    }
}
