//! Hostile archives, each refused by name, with the entry where there is one, at a bounded cost.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use std::io::{Cursor, Write};

use sealcare_records::{RecordError, ZipFault};
use support::{fixture, read};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const EXPORT: &str = "apple_health_export/export.xml";
const CLINICAL: &str = "apple_health_export/clinical-records/a.json";

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    archive_by(CompressionMethod::Deflated, files)
}

fn archive_by(method: CompressionMethod, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The export, and one more file before it.
fn beside(name: &str, content: &[u8]) -> Vec<u8> {
    archive(&[(name, content), (EXPORT, &fixture("export.xml"))])
}

/// Where a signature stands, from the end.
fn find(bytes: &[u8], signature: &[u8]) -> usize {
    bytes.windows(signature.len()).rposition(|window| window == signature).unwrap()
}

/// As [`beside`], with two bytes of the first entry's line in the list changed.
fn with_listed(at: usize, value: u16) -> Vec<u8> {
    let mut bytes = beside(CLINICAL, b"{}");
    let line = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[line + at..line + at + 2].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn duplicate() -> Vec<u8> {
    let mut bytes =
        archive(&[(EXPORT, b"<HealthData/>"), ("apple_health_export/export.xmk", b"<HealthData/>")]);
    while let Some(at) = bytes.windows(6).position(|window| window == b"rt.xmk") {
        bytes[at + 5] = b'l';
    }
    bytes
}

fn link() -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("apple_health_export/link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    writer.start_file(EXPORT, SimpleFileOptions::default()).unwrap();
    writer.write_all(b"<HealthData/>").unwrap();
    writer.finish().unwrap().into_inner()
}

/// Two lines of the list for the same bytes.
fn overlapping() -> Vec<u8> {
    let mut bytes = archive(&[(EXPORT, &fixture("export.xml")), (CLINICAL, b"{}")]);
    let (second, at) = (find(&bytes, b"PK\x01\x02"), 42);
    bytes[second + at..second + at + 4].copy_from_slice(&[0; 4]);
    bytes
}

fn many_entries(count: usize, name_bytes: usize) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for number in 0..count {
        writer.start_file(format!("{number:0name_bytes$}"), stored).unwrap();
    }
    writer.start_file(EXPORT, stored).unwrap();
    writer.write_all(b"<HealthData/>").unwrap();
    writer.finish().unwrap().into_inner()
}

/// The end of a zip64 archive that claims `entries` in a list of `bytes` at `at`.
fn zip64_claim(entries: u64, bytes: u64, at: u64) -> Vec<u8> {
    zip64_with(entries, bytes, at, 0)
}

/// As [`zip64_claim`], with bytes that nobody reads behind the claim.
fn zip64_with(entries: u64, bytes: u64, at: u64, more: usize) -> Vec<u8> {
    let mut archive = archive(&[(EXPORT, b"<HealthData/>")]);
    let end = find(&archive, b"PK\x05\x06");
    let end64 = u64::try_from(end).unwrap();
    let size = 44 + u64::try_from(more).unwrap();
    let mut record = [&b"PK\x06\x06"[..], &size.to_le_bytes(), &[45, 0, 45, 0], &[0; 8]].concat();
    for number in [entries, entries, bytes, at] {
        record.extend_from_slice(&number.to_le_bytes());
    }
    record.resize(record.len() + more, 0);
    let locator = [&b"PK\x06\x07"[..], &[0; 4], &end64.to_le_bytes(), &1u32.to_le_bytes()].concat();
    let mut tail = archive.split_off(end);
    tail[8..20].fill(0xff);
    [archive, record, locator, tail].concat()
}

fn flipped_value() -> Vec<u8> {
    let mut bytes = archive_by(CompressionMethod::Stored, &[(EXPORT, &fixture("export.xml"))]);
    let value = find(&bytes, b"value=\"64\"");
    bytes[value + 7] = b'9';
    bytes
}

fn bomb() -> Vec<u8> {
    let comment = format!("<!--{}-->", " ".repeat(10_000));
    archive(&[(EXPORT, format!("<HealthData>{}</HealthData>", comment.repeat(2_000)).as_bytes())])
}

fn cases() -> Vec<(&'static str, Vec<u8>, Option<usize>, ZipFault)> {
    let export = fixture("export.xml");
    let zeros = vec![b' '; 900_000];
    let whole = archive(&[(EXPORT, &export)]);
    let nested = archive(&[("apple_health_export/export.zip", &whole)]);
    let mut truncated = whole.clone();
    truncated.truncate(whole.len() - 30);
    let far = u64::MAX / 2;
    vec![
        ("up", beside("../../tmp/x", b""), Some(0), ZipFault::UnsafePath),
        ("up and back", beside("a/../../x", b""), Some(0), ZipFault::UnsafePath),
        ("from the root", beside("/etc/x", b""), Some(0), ZipFault::UnsafePath),
        ("up with backslashes", beside("..\\x", b""), Some(0), ZipFault::UnsafePath),
        ("a drive", beside("C:/x", b""), Some(0), ZipFault::UnsafePath),
        ("a name that ends early", beside("a\0b", b""), Some(0), ZipFault::UnsafePath),
        ("a symbolic link", link(), Some(0), ZipFault::Link),
        ("a bomb", bomb(), Some(0), ZipFault::Bomb),
        ("a bomb of a clinical record", beside(CLINICAL, &zeros), Some(0), ZipFault::Bomb),
        ("an archive in the archive", nested, None, ZipFault::NoExport),
        ("empty", archive(&[]), None, ZipFault::NoExport),
        ("another archive", archive(&[("a/readme.txt", b"")]), None, ZipFault::NoExport),
        (
            "two exports",
            archive(&[("a/export.xml", &export), ("b/export.xml", &export)]),
            Some(1),
            ZipFault::SeveralExports,
        ),
        ("two files of one name", duplicate(), None, ZipFault::DuplicateName),
        ("one file listed twice", overlapping(), None, ZipFault::Overlap),
        ("encrypted", with_listed(8, 1), Some(0), ZipFault::Encrypted),
        ("another compression", with_listed(10, 14), Some(0), ZipFault::Compression),
        ("thousands of entries", many_entries(50_000, 8), None, ZipFault::TooManyEntries),
        ("long names", many_entries(30_000, 200), None, ZipFault::TooManyEntries),
        ("a list of more entries than bytes", zip64_claim(1 << 40, 1_000, 0), None, ZipFault::Damaged),
        ("a list beyond the end", zip64_claim(1 << 40, far, 0), None, ZipFault::Damaged),
        ("a list at the end of numbers", zip64_claim(1, far, far + 2), None, ZipFault::Damaged),
        ("a cut file", truncated, None, ZipFault::Damaged),
        ("a value that only the checksum tells", flipped_value(), Some(0), ZipFault::Damaged),
    ]
}

#[test]
fn hostile_archives_are_refused_by_name_and_place() {
    for (name, bytes, entry, fault) in cases() {
        match read(&bytes) {
            Err(RecordError::Zip { entry: at, fault: found }) => {
                assert_eq!((at, found), (entry, fault), "{name}");
            }
            Err(other) => panic!("{name}: {other}"),
            Ok(_) => panic!("{name}: imported"),
        }
    }
}

#[test]
fn a_claim_of_zip64_that_is_true_is_believed() {
    let bytes = zip64_claim(1, 0, 0);
    assert!(read(&bytes).is_err());
    let plain = archive(&[(EXPORT, b"<HealthData/>")]);
    let list = find(&plain, b"PK\x01\x02");
    let size = find(&plain, b"PK\x05\x06") - list;
    let (size, list) = (u64::try_from(size).unwrap(), u64::try_from(list).unwrap());
    assert_eq!(read(&zip64_claim(1, size, list)).unwrap().report.records(), 0);
    let refused = |more| {
        matches!(
            read(&zip64_with(1, size, list, more)),
            Err(RecordError::Zip { entry: None, fault: ZipFault::Damaged })
        )
    };
    assert!(refused(1) && refused(100_000), "a claim that could stand anywhere is not");
}

#[test]
fn the_place_is_in_the_text() {
    let error = read(&beside("../x", b"")).err().unwrap();
    assert_eq!(error.to_string(), "zip archive refused at entry 0: a file name leads out of the archive");
}
