//! Stories of files, by the command: broken and hostile ones are refused whole and by place, a large one that was cut
//! off goes on, an export brings its clinical records.

use std::io::{Cursor, Write as _};

use sealcare_records::apple::generated::{Density, shared_records, write_export};
use sealcare_tests::{cast::Cast, world::immunization_fhir};
use zip::{ZipWriter, write::SimpleFileOptions};

const EXPORT: &str = "apple_health_export/export.xml";
/// About 12 MB.
const DAYS: u32 = 20;

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn generated(days: u32) -> Vec<u8> {
    let mut export = Vec::new();
    write_export(&mut export, days, Density::Usual).unwrap();
    export
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_where_it_was() {
    let cast = Cast::start().await;
    let rosa = cast.phone("rosa").await;
    let export = cast.file("export.xml", generated(DAYS));
    rosa.is_killed_after(5 << 20, &["import", "--yes", &export]).await;
    let report = rosa.tells(&["import", "--yes", &export]).await;
    assert!(report["went_on_after"].as_u64().unwrap() > 0, "{report}");
    let counts = rosa.tells(&["status"]).await["records"].take();
    let all: u64 = counts.as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(all, shared_records(DAYS, Density::Usual));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exports_clinical_records_are_shared_like_all_others() {
    let cast = Cast::start().await;
    let (rosa, _) = cast.sharing_phone("rosa").await;
    let (export, shot) = (generated(0), immunization_fhir(1, "XK-77"));
    let entries = [
        (EXPORT, &export[..]),
        ("apple_health_export/clinical-records/Immunization-1.json", shot.as_bytes()),
    ];
    rosa.does(&["import", "--yes", &cast.file("export.zip", archive(&entries))]).await;
    rosa.shares_all(1).await;
    cast.sees(&["XK-77"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_and_hostile_files_are_refused_whole_and_by_place() {
    let cast = Cast::start().await;
    let rosa = cast.phone("rosa").await;
    let good = generated(1);
    let (cut, broken) = (&good[..good.len() / 2], [&good, &b"</HealthData>"[..]].concat());
    let bomb = vec![b' '; 64 << 20];
    for (content, place) in [
        (cut.to_vec(), "byte"),
        (broken, "byte"),
        (archive(&[("../export.xml", &good)]), "entry 0"),
        (archive(&[(EXPORT, &bomb)]), "byte"),
        (archive(&[(EXPORT, &good)])[..20_000].to_vec(), "archive"),
        (b"not an export".to_vec(), "file"),
    ] {
        let told = rosa.is_refused(&["import", "--yes", &cast.file("hostile", content)]).await;
        assert!(told.contains(place), "{place}: {told}");
    }
    assert_eq!(rosa.tells(&["status"]).await["records"]["heart-rate"], 0, "nothing of them was taken");
}
