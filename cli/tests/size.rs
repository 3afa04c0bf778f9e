//! An import at size: memory stays bounded however large the export is.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]
#![cfg(target_os = "linux")] // where a process's greatest memory is told

mod program;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    process::Child,
    time::Duration,
};

use program::Machine;
use sealcare_records::apple::generated::{DAY_BYTES, Density, shared_records, write_export};
use zip::{ZipWriter, write::SimpleFileOptions};

/// 64 MB of XML.
const EXPORT_BYTES: u64 = 64_000_000;
/// What the import may take; the export alone is as large.
const IMPORT_KIB_MAX: u64 = 56 * 1024;
/// Well below what opening the account takes for a moment, to stretch the passphrase, and above what is left then.
const STRETCHING_KIB: u64 = 56 * 1024;
const PACE: Duration = Duration::from_millis(5);

fn generate(path: &Path, days: u32) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    archive.start_file("apple_health_export/export.xml", SimpleFileOptions::default()).unwrap();
    let mut export = BufWriter::new(archive);
    write_export(&mut export, days, Density::Usual).unwrap();
    export.into_inner().unwrap().finish().unwrap().flush().unwrap();
}

/// A figure of a process that runs.
fn figure(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Runs to the end; returns the greatest memory since the account was opened, in KiB.
fn watch(mut program: Child) -> u64 {
    let (mut is_stretching, mut peak) = (false, None);
    while program.try_wait().unwrap().is_none() {
        let resident = figure(program.id(), "VmRSS:");
        if peak.is_none() && is_stretching && (1..STRETCHING_KIB).contains(&resident) {
            // Forgets the peak so far (proc(5)).
            std::fs::write(format!("/proc/{}/clear_refs", program.id()), "5").unwrap();
            peak = Some(0);
        }
        is_stretching |= resident > STRETCHING_KIB;
        peak = peak.map(|peak| figure(program.id(), "VmHWM:").max(peak));
        // Not to wait for anything: the figure only grows, and is looked at again and again until the end.
        std::thread::sleep(PACE);
    }
    assert!(program.wait().unwrap().success());
    peak.expect("the account was seen being opened")
}

#[test]
fn an_export_of_64_megabytes_is_imported_in_less_memory_than_it_is_long() {
    let machine = Machine::with_account();
    let file = machine.folder.path().join("export.zip");
    let days = u32::try_from(EXPORT_BYTES / DAY_BYTES).unwrap();
    generate(&file, days);
    let peak = watch(machine.command(&["import", "--yes", file.to_str().unwrap()]).spawn().unwrap());
    let records = machine.json(&["status"])["records"].as_object().unwrap().clone();
    let count: u64 = records.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(count, shared_records(days, Density::Usual));
    assert!(peak < IMPORT_KIB_MAX, "{peak} KiB");
    println!("{peak} KiB for {EXPORT_BYTES} bytes of export");
}
