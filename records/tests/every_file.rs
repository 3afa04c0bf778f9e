//! Every Apple Health and FHIR file of the test data, imported or refused for a stated reason, as the table in
//! `docs/IMPORT.md` says. To write the table anew: `SEALCARE_WRITE_DOCS=1 cargo test -p sealcare-records --test every_file`.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use support::{read, test_data};

const BEGIN: &str = "<!-- every file: begin -->\n";
const END: &str = "<!-- every file: end -->";
/// Folders of files that are Apple's or FHIR; `health-cards` holds keys, tokens and pictures beside its bundles.
const FOLDERS: [&str; 4] = ["apple-health", "fhir-examples", "health-cards", "synthea"];
const ENDINGS: [&str; 4] = ["json", "ndjson", "xml", "zip"];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn counts(counts: &[(&str, u64)]) -> String {
    let named: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if named.is_empty() { "–".to_owned() } else { named.join(", ") }
}

fn outcome(bytes: &[u8]) -> String {
    match read(bytes) {
        Ok(imported) => format!("{} | {}", counts(&imported.counts()), counts(&imported.skipped())),
        Err(refusal) => format!("refused | {refusal}"),
    }
}

fn table(root: &Path) -> String {
    let mut table = "| file | imported | left out, by reason |\n|---|---|---|\n".to_owned();
    for path in FOLDERS.iter().flat_map(|folder| files(&root.join(folder))) {
        let name = path.strip_prefix(root).unwrap().display();
        writeln!(table, "| {name} | {} |", outcome(&std::fs::read(&path).unwrap())).unwrap();
    }
    table
}

#[test]
fn every_file_is_imported_or_refused_as_the_table_says() {
    let Some(root) = test_data("") else { return };
    let found = table(&root);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/IMPORT.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = document.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("SEALCARE_WRITE_DOCS").is_some() {
        std::fs::write(&path, [head, BEGIN, &found, END, tail].concat()).unwrap();
        return;
    }
    let differing: Vec<_> =
        found.lines().filter(|line| !written.lines().any(|known| known == *line)).collect();
    assert!(differing.is_empty(), "not as docs/IMPORT.md says:\n{}", differing.join("\n"));
    assert_eq!(found.lines().count(), written.lines().count(), "the table lists files that are not there");
}
