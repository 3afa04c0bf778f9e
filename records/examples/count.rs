//! Counts what a health file holds: `cargo run --release -p sealcare-records --example count -- FILE`.

use std::convert::Infallible;
use std::fs::File;
use std::io::BufReader;

use sealcare_records::{Record, import};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args_os().skip(1) {
        let mut json_bytes = 0;
        let report = import(BufReader::new(File::open(path)?), &mut |record: Record| {
            json_bytes += record.fhir_json().len();
            Ok::<_, Infallible>(())
        })?;
        for (kind, count) in &report.imported {
            println!("{kind:24} {count:>9}");
        }
        for (reason, count) in &report.skipped {
            println!("skipped {reason:24} {count:>9}");
        }
        println!("{json_bytes} bytes of FHIR");
    }
    Ok(())
}
