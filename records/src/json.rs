//! Reading members of FHIR's JSON objects. Not here: what they mean.

use serde_json::{Map, Value};

/// A FHIR resource, or a part of one.
pub(crate) type Object = Map<String, Value>;

/// A non-empty string member.
pub(crate) fn text<'a>(object: &'a Object, member: &str) -> Option<&'a str> {
    object.get(member)?.as_str().filter(|text| !text.is_empty())
}

/// An object member.
pub(crate) fn object<'a>(object: &'a Object, member: &str) -> Option<&'a Object> {
    object.get(member)?.as_object()
}

/// The objects in an array member; none if it is absent or something else.
pub(crate) fn objects<'a>(object: &'a Object, member: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
    object.get(member).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The object in a value that was built as one.
pub(crate) fn into_object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
