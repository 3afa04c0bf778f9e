//! Zip archives: the true form of an Apple export, and hostile ones.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use std::io::{Cursor, Write};

use sealcare_records::RecordType;
use support::{fixture, read};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn export_with(items: &str) -> Vec<u8> {
    format!("<HealthData>{items}</HealthData>").into_bytes()
}

fn clinical(path: &str, version: &str, url: &str) -> String {
    format!("<ClinicalRecord fhirVersion=\"{version}\" sourceURL=\"{url}\" resourceFilePath=\"/{path}\"/>")
}

const GLUCOSE: &str = r#"{"resourceType":"Observation","id":"7","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"2339-0"}]},"effectiveDateTime":"2024-01-02","valueQuantity":{"value":98.60,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}"#;

#[test]
fn an_archive_reads_as_its_export() {
    let export = fixture("export.xml");
    let bytes = archive(&[
        ("apple_health_export/export_cda.xml", b"<ClinicalDocument/>"),
        ("__MACOSX/apple_health_export/._export.xml", b"\0\x05"),
        ("apple_health_export/workout-routes/route_1.gpx", b"<gpx/>"),
        ("apple_health_export/export.xml", &export),
    ]);
    let (zipped, plain) = (read(&bytes).unwrap(), read(&export).unwrap());
    assert_eq!(zipped.records, plain.records);
    assert_eq!((zipped.counts(), zipped.skipped()), (plain.counts(), plain.skipped()));
}

#[test]
fn clinical_records_are_read_as_any_fhir() {
    let paths =
        ["r4", "old", "shaped-old", "broken", "missing"].map(|name| format!("clinical-records/{name}.json"));
    let url = "https://clinic.example/fhir/Observation/7";
    let items: String = [
        clinical(&paths[0], "4.0.1", url),
        clinical(&paths[1], "1.0.2", ""),
        clinical(&paths[2], "4.0.1", ""),
        clinical(&paths[3], "4.0.1", ""),
        clinical(&paths[4], "4.0.1", ""),
    ]
    .concat();
    let in_folder = paths.each_ref().map(|path| format!("apple_health_export/{path}"));
    let bytes = archive(&[
        (&in_folder[0], GLUCOSE.as_bytes()),
        (&in_folder[1], GLUCOSE.as_bytes()),
        (&in_folder[2], br#"{"resourceType":"Immunization","wasNotGiven":false}"#),
        (&in_folder[3], b"{"),
        ("apple_health_export/export.xml", &export_with(&items)),
    ]);
    let imported = read(&bytes).unwrap();
    assert_eq!(imported.counts(), [("lab-result", 1)]);
    assert_eq!(imported.skipped(), [("clinical-record", 1), ("fhir-dstu2", 2), ("malformed", 1)]);
    assert_eq!(imported.records[0].summary(), "98.60 mg/dL");
    // The same result, fetched from the institution's own server.
    let bundle =
        format!(r#"{{"resourceType":"Bundle","entry":[{{"fullUrl":"{url}","resource":{GLUCOSE}}}]}}"#);
    assert_eq!(read(bundle.as_bytes()).unwrap().records[0].id(), imported.records[0].id());
}

#[test]
fn an_institutions_address_is_no_records_identity() {
    let paths = ["a", "b"].map(|name| format!("clinical-records/{name}.json"));
    let items = paths.each_ref().map(|path| clinical(path, "4.0.1", "https://clinic.example/fhir"));
    let other = GLUCOSE.replace("\"id\":\"7\"", "\"id\":\"8\"");
    let bytes = archive(&[
        (&format!("a/{}", paths[0]), GLUCOSE.as_bytes()),
        (&format!("a/{}", paths[1]), other.as_bytes()),
        ("a/export.xml", &export_with(&items.concat())),
    ]);
    let imported = read(&bytes).unwrap();
    assert_eq!(imported.records.len(), 2);
    assert_ne!(imported.records[0].id(), imported.records[1].id());
    assert!(imported.records.iter().all(|record| record.record_type() == RecordType::LabResult));
}

#[test]
fn an_export_named_in_another_language_is_found() {
    let bytes = archive(&[
        ("apple_health_export/Exportar.xml", &fixture("export.xml")),
        ("apple_health_export/export_cda.xml", b"<ClinicalDocument/>"),
    ]);
    assert_eq!(read(&bytes).unwrap().report.records(), 9);
}
