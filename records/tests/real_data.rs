//! Files of other projects, read whole and compared with an independent look at each source: the same records, equal
//! in code, value, unit and time, none missing, none doubled. Prints the counts (`--nocapture`).
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sealcare_records::{FhirVersion, RecordError, RecordType, ZipFault};
use serde_json::Value;
use support::{Imported, read, test_data};

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn print(path: &Path, imported: &Imported) {
    let name = path.file_name().unwrap().to_string_lossy();
    println!("{name}: {:?}, skipped {:?}", imported.counts(), imported.skipped());
}

/// One attribute of an element's text, found by plain search.
fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let after = element.split_once(&format!(" {name}=\"")).map_or("", |(_, after)| after);
    after.split_once('"').map_or("", |(value, _)| value)
}

/// `code value unit start` of each heart rate and exercise record, and how many blood pressures, by plain search.
fn scan_export(xml: &str) -> (Vec<String>, usize, usize) {
    let flat = xml.replace(['\n', '\t'], " ");
    let body = flat.split_once("<HealthData locale").unwrap().1;
    let mut facts = Vec::new();
    for element in body.split("<Record ").skip(1) {
        let element = format!(" {}", element.split_once('>').unwrap().0.replace("&gt;", ""));
        let code = match attribute(&element, "type") {
            "HKQuantityTypeIdentifierHeartRate" => "8867-4 /min",
            "HKQuantityTypeIdentifierAppleExerciseTime" => "55411-3 min",
            _ => continue,
        };
        let start = attribute(&element, "startDate");
        let (date, time) = (&start[..10], &start[11..19]);
        let (hours, minutes) = (&start[20..23], &start[23..25]);
        facts.push(format!("{code} {} {date}T{time}{hours}:{minutes}", attribute(&element, "value")));
    }
    facts.sort();
    let pressures = body.matches("<Correlation type=\"HKCorrelationTypeIdentifierBloodPressure\"").count();
    let items = ["<Record ", "<Correlation ", "<Workout ", "<ActivitySummary "];
    let items: usize = items.iter().map(|item| body.matches(item).count()).sum();
    (facts, pressures, items)
}

/// The same facts, out of the imported FHIR.
fn imported_facts(imported: &Imported) -> Vec<String> {
    let mut facts: Vec<String> = imported
        .json()
        .filter(|json| json.get("valueQuantity").is_some())
        .map(|json| {
            let code = json["code"]["coding"][0]["code"].as_str().unwrap().to_owned();
            let start = json["effectivePeriod"]["start"].as_str().or(json["effectiveDateTime"].as_str());
            let (unit, value) = (json["valueQuantity"]["code"].as_str(), &json["valueQuantity"]["value"]);
            format!("{code} {} {value} {}", unit.unwrap(), start.unwrap())
        })
        .collect();
    facts.sort();
    facts
}

#[test]
fn apple_exports_equal_their_source() {
    let Some(folder) = test_data("apple-health") else { return };
    let exports = files(&folder, ".xml");
    assert!(exports.len() >= 4);
    for path in exports {
        let bytes = std::fs::read(&path).unwrap();
        let imported = read(&bytes).unwrap();
        print(&path, &imported);
        let (facts, pressures, items) = scan_export(&String::from_utf8(bytes).unwrap());
        assert_eq!(imported_facts(&imported), facts);
        let of = |kind| usize::try_from(imported.report.imported.get(&kind).copied().unwrap_or(0)).unwrap();
        assert_eq!(of(RecordType::BloodPressure), pressures);
        // Each item of the file is imported or counted; a correlation's two children are in it.
        let skipped: u64 = imported.report.skipped.values().sum();
        let accounted = usize::try_from(imported.report.records() + skipped).unwrap() + 2 * pressures;
        assert_eq!(accounted, items);
        assert!(imported.report.person.is_some());
    }
}

#[test]
fn an_apple_archive_equals_its_export() {
    let Some(folder) = test_data("apple-health") else { return };
    let zipped = read(&std::fs::read(folder.join("alxdrcirilo-export.zip")).unwrap()).unwrap();
    let plain = read(&std::fs::read(folder.join("alxdrcirilo-export.xml")).unwrap()).unwrap();
    assert_eq!(zipped.records, plain.records);
    assert_eq!((zipped.counts(), zipped.skipped()), (plain.counts(), plain.skipped()));
}

#[test]
fn hostile_archives_are_refused() {
    let Some(folder) = test_data("apple-health") else { return };
    let refused = |name: &str| read(&std::fs::read(folder.join(name)).unwrap()).err().unwrap();
    assert!(matches!(
        refused("adversarial-zip-slip.zip"),
        RecordError::Zip { entry: Some(_), fault: ZipFault::UnsafePath }
    ));
    let broken = refused("adversarial-broken-xml.zip");
    assert!(matches!(broken, RecordError::Xml { byte: 1.., .. }), "{broken}");
}

fn has_code(concept: &Value, codes: &[&str]) -> bool {
    let codings = concept["coding"].as_array().into_iter().flatten();
    codings.filter_map(|coding| coding["code"].as_str()).any(|code| codes.contains(&code))
}

/// The shared type of a Synthea resource, by a second and simpler rule.
fn shared_type(resource: &Value) -> Option<RecordType> {
    let categories = || resource["category"].as_array().into_iter().flatten();
    match resource["resourceType"].as_str()? {
        "Immunization" => Some(RecordType::Immunization),
        "Observation" if has_code(&resource["code"], &["8867-4"]) => Some(RecordType::HeartRate),
        "Observation" if has_code(&resource["code"], &["85354-9", "55284-4"]) => {
            Some(RecordType::BloodPressure)
        }
        "Observation" if categories().any(|category| has_code(category, &["laboratory"])) => {
            Some(RecordType::LabResult)
        }
        _ => None,
    }
}

#[test]
fn synthea_bundles_equal_their_source() {
    let Some(folder) = test_data("synthea") else { return };
    let bundles = files(&folder, ".json");
    assert!(bundles.len() >= 9);
    for path in bundles {
        let bytes = std::fs::read(&path).unwrap();
        let imported = read(&bytes).unwrap();
        print(&path, &imported);
        let source: Value = serde_json::from_slice(&bytes).unwrap();
        let entries = source["entry"].as_array().unwrap();
        let mut counts: BTreeMap<RecordType, u64> = BTreeMap::new();
        let mut expected: Vec<String> = Vec::new();
        for resource in entries.iter().map(|entry| &entry["resource"]) {
            if let Some(kind) = shared_type(resource) {
                *counts.entry(kind).or_default() += 1;
                expected.push(resource.to_string());
            }
        }
        let mut found: Vec<String> = imported.json().map(|json| json.to_string()).collect();
        expected.sort();
        found.sort();
        assert_eq!(imported.report.imported, counts);
        assert!(found == expected, "every resource is as its source wrote it");
        let ids: BTreeSet<&str> = imported.records.iter().map(|record| record.id().as_str()).collect();
        assert_eq!(ids.len(), imported.records.len());
        let skipped: u64 = imported.report.skipped.values().sum();
        assert_eq!(imported.report.records() + skipped, u64::try_from(entries.len()).unwrap());
    }
}

#[test]
fn decimals_of_a_real_bundle_keep_their_text() {
    let Some(folder) = test_data("synthea/2020") else { return };
    for path in files(&folder, ".json").into_iter().filter(|path| path.to_string_lossy().contains("Lean294"))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let compact: String = text.split_whitespace().collect();
        let imported = read(text.as_bytes()).unwrap();
        assert!(!imported.records.is_empty());
        for record in imported.records {
            let json = String::from_utf8(record.fhir_json()).unwrap();
            for number in json.split("\"value\":").skip(1) {
                let number = number.split([',', '}']).next().unwrap();
                assert!(compact.contains(&format!("\"value\":{number},")) || number.starts_with('"'));
            }
        }
    }
}

#[test]
fn published_r4_examples_are_not_taken_for_older_versions() {
    let Some(folder) = test_data("fhir-examples") else { return };
    let (mut imported_in_all, mut skipped_in_all) = (BTreeMap::new(), BTreeMap::new());
    for path in files(&folder, ".json") {
        match read(&std::fs::read(&path).unwrap()) {
            Ok(imported) => {
                for (kind, count) in imported.counts() {
                    *imported_in_all.entry(kind).or_insert(0) += count;
                }
                for (reason, count) in imported.skipped() {
                    *skipped_in_all.entry(reason).or_insert(0) += count;
                }
                if !imported.records.is_empty() {
                    print(&path, &imported);
                }
            }
            Err(RecordError::Version { version: FhirVersion::Dstu2 | FhirVersion::Stu3, .. }) => {
                panic!("{} is R4", path.display())
            }
            Err(other) => println!("{}: {other}", path.display()),
        }
    }
    println!("examples: {imported_in_all:?}, skipped {skipped_in_all:?}");
    assert!(imported_in_all["lab-result"] >= 6 && imported_in_all["immunization"] >= 4);
}
