//! Hostile and broken exports, each refused by name at its byte, at a bounded cost.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use sealcare_records::{RecordError, XmlFault};
use support::read;

const HEART_RATE: &str = r#"<Record type="HKQuantityTypeIdentifierHeartRate" unit="count/min" value="72" startDate="2024-06-15 08:00:00 +0000" endDate="2024-06-15 08:00:00 +0000""#;

fn health(items: &str) -> String {
    format!("<HealthData>{items}</HealthData>")
}

fn declared(declaration: &str, items: &str) -> String {
    format!("<!DOCTYPE HealthData [{declaration}]>{}", health(items))
}

/// `<!ENTITY a "aa…"><!ENTITY b "&a;&a;…">` and so on: a billion letters if it were expanded.
fn billion_laughs() -> String {
    let level = |name: u8, of: &str| format!("<!ENTITY {} \"{}\">", char::from(name), of.repeat(10));
    let levels: String =
        (b'b'..=b'j').map(|name| level(name, &format!("&{};", char::from(name - 1)))).collect();
    declared(&format!("<!ENTITY a \"laugh\">{levels}"), "&j;")
}

fn with_attributes(count: usize) -> String {
    let attributes: Vec<_> = (0..count).map(|at| format!(" a{at}=\"\"")).collect();
    health(&format!("{HEART_RATE}{}/>", attributes.concat()))
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn cases() -> Vec<(&'static str, Vec<u8>, u64, XmlFault)> {
    let external = declared("<!ENTITY file SYSTEM \"file:///etc/passwd\">", "&file;");
    let in_value = declared("<!ENTITY x \"y\">", "<Record type=\"&x;\"/>");
    let long = health(&format!("<Workout a=\"{}\"/>", "x".repeat(2_000_000)));
    let long_name = health(&format!("<{}/>", "x".repeat(2_000_000)));
    let comment = health(&format!("<!--{}-->", "x".repeat(2_000_000)));
    let doctype = declared(&"<!ELEMENT a EMPTY>".repeat(100_000), "");
    let deep = format!("<HealthData>{}", "<a>".repeat(100_000));
    let twice = health(r#"<Record type="HKQuantityTypeIdentifierHeartRate" value="1" value="2"/>"#);
    let latin = [&b"<HealthData><Record sourceName=\"Jos\xe9\"/>"[..], b"</HealthData>"].concat();
    let bad_reference = health(&format!("{HEART_RATE} sourceName=\"&#xD800;\"/>"));
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("entities that grow", text(&billion_laughs()), 451, XmlFault::Entity),
        ("an entity from a file", text(&external), 78, XmlFault::Entity),
        ("an entity in a value", text(&in_value), 51, XmlFault::Entity),
        ("an entity nobody declared", text(&health("&nbsp;")), 12, XmlFault::Entity),
        ("half of a letter", text(&bad_reference), 12, XmlFault::Entity),
        ("a huge attribute", text(&long), 12, XmlFault::ItemTooLarge),
        ("a huge name", text(&long_name), 12, XmlFault::ItemTooLarge),
        ("a huge comment", text(&comment), 12, XmlFault::ItemTooLarge),
        ("a huge document type", text(&doctype), 1, XmlFault::ItemTooLarge),
        ("ten thousand attributes", text(&with_attributes(10_000)), 12, XmlFault::TooManyAttributes),
        ("an attribute twice", text(&twice), 12, XmlFault::Syntax),
        ("depth", text(&deep), 105, XmlFault::TooDeep),
        ("cut in a tag", text("<HealthData><Record type=\"a\""), 12, XmlFault::Truncated),
        ("cut between tags", text("<HealthData><Workout>"), 21, XmlFault::Truncated),
        ("tags that cross", text("<HealthData></Workout>"), 12, XmlFault::Syntax),
        ("an attribute without quotes", text(&health("<Record type=a/>")), 12, XmlFault::Syntax),
        ("a tag in a value", text(&health("<Record type=\"a<b\"/>")), 12, XmlFault::Syntax),
        ("a tag in a value nobody reads", text(&health("<Workout a='<b>'></Workout>")), 12, XmlFault::Syntax),
        ("another document", text("<Bundle xmlns=\"http://hl7.org/fhir\"/>"), 0, XmlFault::NotAnExport),
        ("two roots", text("<HealthData/><HealthData/>"), 13, XmlFault::NotAnExport),
        ("a web page", text("<html><body>"), 0, XmlFault::NotAnExport),
        ("text behind the root", text("<HealthData/>more"), 13, XmlFault::Syntax),
        ("two bytes a letter", utf16("<?xml version=\"1.0\"?><HealthData/>"), 1, XmlFault::Encoding),
        (
            "another encoding, declared",
            text("<?xml version=\"1.0\" encoding=\"UTF-16\"?><HealthData/>"),
            0,
            XmlFault::Encoding,
        ),
        ("another encoding, undeclared", latin, 12, XmlFault::Encoding),
    ]
}

#[test]
fn hostile_documents_are_refused_by_name_and_place() {
    let mut wrong = Vec::new();
    for (name, bytes, at, fault) in cases() {
        match read(&bytes) {
            Err(RecordError::Xml { byte, fault: found }) if (byte, found) == (at, fault) => {}
            Err(other) => wrong.push(format!("{name}: {other}")),
            Ok(_) => wrong.push(format!("{name}: imported")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn as_many_attributes_as_real_ones_have_are_read() {
    assert_eq!(read(with_attributes(40).as_bytes()).unwrap().report.records(), 1);
}
