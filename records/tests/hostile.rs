//! Damaged input of any kind ends in a clear error or a smaller import, never in a panic.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

mod support;

use std::io::{Cursor, Write};

use proptest::prelude::*;
use support::{fixture, read};

fn inputs() -> Vec<Vec<u8>> {
    let export = fixture("export.xml");
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("a/export.xml", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(&export).unwrap();
    let zipped = writer.finish().unwrap().into_inner();
    vec![export, zipped, fixture("bundle.json"), fixture("resources.ndjson")]
}

/// Reads, and looks at every record the way the rest of the system would.
fn survive(bytes: &[u8]) {
    if let Ok(imported) = read(bytes) {
        for record in imported.records {
            let _ = (record.summary(), record.label().len(), record.effective().is_since(1));
            let _ = record.with_subject("Patient/1").fhir_json();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 300 } else { 3_000 }))]

    #[test]
    fn a_cut_file_never_panics(which in 0..4usize, at in any::<prop::sample::Index>()) {
        let input = &inputs()[which];
        survive(&input[..at.index(input.len())]);
    }

    #[test]
    fn flipped_bits_never_panic(which in 0..4usize, flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..20)) {
        let mut input = inputs().swap_remove(which);
        for (at, bit) in flips {
            let at = at.index(input.len());
            input[at] ^= 1 << bit;
        }
        survive(&input);
    }

    #[test]
    fn spliced_pieces_never_panic(which in 0..4usize, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), length in 1..400usize) {
        let mut input = inputs().swap_remove(which);
        let (from, to) = (from.index(input.len()), to.index(input.len()));
        let piece = input[from..(from + length).min(input.len())].to_vec();
        input.splice(to..to, piece);
        survive(&input);
    }

    #[test]
    fn noise_never_panics(start in prop::sample::select(vec!["", "{", "PK\u{3}\u{4}", "<HealthData>", "{\"entry\":["]), noise in prop::collection::vec(any::<u8>(), 0..500)) {
        survive(&[start.as_bytes(), &noise].concat());
    }
}

#[test]
fn a_cut_export_is_an_error_at_every_byte() {
    let export = fixture("export.xml");
    let end = export.iter().rposition(|&byte| byte == b'>').unwrap();
    for at in 0..end {
        assert!(read(&export[..at]).is_err(), "cut at {at}");
    }
}
