//! Zip archives: the true form of an Apple export, and hostile ones.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use std::io::{Cursor, Write};

use sealcare_records::{RecordError, ZipFault};
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

fn fault(bytes: &[u8]) -> ZipFault {
    match read(bytes) {
        Err(RecordError::Zip(fault)) => fault,
        Err(other) => panic!("a refusal of the archive, not {other}"),
        Ok(_) => panic!("a refusal of the archive"),
    }
}

#[test]
fn an_archive_reads_as_its_export_and_counts_clinical_records() {
    let export = fixture("export.xml");
    let bytes = archive(&[
        ("apple_health_export/export_cda.xml", b"<ClinicalDocument/>"),
        ("__MACOSX/apple_health_export/._export.xml", b"\0\x05"),
        ("apple_health_export/clinical-records/Observation-1.json", b"{}"),
        ("apple_health_export/clinical-records/Observation-2.json", b"{}"),
        ("apple_health_export/export.xml", &export),
    ]);
    let (zipped, plain) = (read(&bytes).unwrap(), read(&export).unwrap());
    assert_eq!(zipped.records, plain.records);
    assert!(zipped.skipped().contains(&("clinical-record", 2)));
}

#[test]
fn an_export_named_in_another_language_is_found() {
    let bytes = archive(&[
        ("apple_health_export/Exportar.xml", &fixture("export.xml")),
        ("apple_health_export/export_cda.xml", b"<ClinicalDocument/>"),
    ]);
    assert_eq!(read(&bytes).unwrap().report.records(), 9);
}

#[test]
fn archives_without_one_export_are_refused() {
    let export = fixture("export.xml");
    assert_eq!(fault(&archive(&[])), ZipFault::NoExport);
    assert_eq!(fault(&archive(&[("a/readme.txt", b"")])), ZipFault::NoExport);
    assert_eq!(
        fault(&archive(&[("a/export.xml", &export), ("b/export.xml", &export)])),
        ZipFault::SeveralExports
    );
}

#[test]
fn a_name_that_leads_out_is_refused_even_if_unused() {
    for name in ["../../tmp/x", "a/../../x", "/etc/x", "..\\x"] {
        let bytes = archive(&[(name, b"x"), ("apple_health_export/export.xml", &fixture("export.xml"))]);
        assert_eq!(fault(&bytes), ZipFault::UnsafePath, "{name}");
    }
}

#[test]
fn a_bomb_is_stopped() {
    let comment = format!("<!--{}-->", " ".repeat(10_000));
    let export = format!("<HealthData>{}</HealthData>", comment.repeat(2_000)).into_bytes();
    assert_eq!(fault(&archive(&[("apple_health_export/export.xml", &export)])), ZipFault::Bomb);
}

#[test]
fn damage_is_refused_not_half_read() {
    let bytes = archive(&[("apple_health_export/export.xml", &fixture("export.xml"))]);
    assert_eq!(fault(&bytes[..bytes.len() - 30]), ZipFault::Damaged);
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("a/export.xml", stored).unwrap();
    writer.write_all(&fixture("export.xml")).unwrap();
    let mut flipped = writer.finish().unwrap().into_inner();
    let value = flipped.windows(10).position(|window| window == b"value=\"64\"").unwrap();
    flipped[value + 7] = b'9';
    assert_eq!(fault(&flipped), ZipFault::Damaged, "only the checksum tells");
}
