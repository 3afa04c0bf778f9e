//! Writes a generated Apple Health export, `export.zip` or `export.xml` by the file's ending:
//! `cargo run --release -p sealcare-records --features test-util --example generate -- DAYS FILE`.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use sealcare_records::apple::generated::{Density, write_export};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [days, path] = &arguments[..] else { return Err("DAYS FILE".into()) };
    let days = days.parse()?;
    let mut file = BufWriter::new(File::create(path)?);
    if std::path::Path::new(path).extension().is_some_and(|ending| ending == "zip") {
        let mut archive = ZipWriter::new(file);
        let options = SimpleFileOptions::default().large_file(true);
        archive.start_file("apple_health_export/export.xml", options)?;
        let mut export = BufWriter::new(archive);
        write_export(&mut export, days, Density::Usual)?;
        export.into_inner()?.finish()?.flush()?;
    } else {
        write_export(&mut file, days, Density::Usual)?;
        file.flush()?;
    }
    Ok(())
}
