//! What the tests of this crate share: importing into memory, and where test data lies.
#![allow(dead_code)] // each test file is its own crate and uses a part of this

use std::convert::Infallible;
use std::io::Cursor;
use std::path::PathBuf;

use sealcare_records::{ImportError, ImportReport, Record, RecordError, import};

/// Everything an import gave.
pub(crate) struct Imported {
    pub(crate) records: Vec<Record>,
    pub(crate) report: ImportReport,
}

impl Imported {
    /// Imported records by type name.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.report.imported.iter().map(|(kind, count)| (kind.name(), *count)).collect()
    }

    /// What was skipped, by reason's name.
    pub(crate) fn skipped(&self) -> Vec<(&'static str, u64)> {
        self.report.skipped.iter().map(|(reason, count)| (reason.name(), *count)).collect()
    }

    pub(crate) fn json(&self) -> impl Iterator<Item = serde_json::Value> {
        self.records.iter().map(|record| serde_json::from_slice(&record.fhir_json()).expect("our own json"))
    }
}

/// Imports bytes of any format.
pub(crate) fn read(bytes: &[u8]) -> Result<Imported, RecordError> {
    let mut records = Vec::new();
    let report = import(Cursor::new(bytes), &mut |record| {
        records.push(record);
        Ok::<_, Infallible>(())
    });
    match report {
        Ok(report) => Ok(Imported { records, report }),
        Err(ImportError::Record(error)) => Err(error),
        Err(_) => unreachable!("the sink takes everything"),
    }
}

/// A committed fixture.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(path).expect("a committed fixture")
}

/// The folder of larger test data, or `None` (said aloud) where it is absent.
pub(crate) fn test_data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SEALCARE_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = root.join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no test data (set SEALCARE_TEST_DATA to its folder)");
    None
}
