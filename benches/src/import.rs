//! An Apple Health export of 2 GB in a zip archive, imported by the patient's program in a process of its own: its
//! greatest memory, its time, what it leaves on the disk; and the same file once more.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sealcare_records::apple::generated::{DAY_BYTES, Density, shared_records, write_export};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::report::Report;

/// Says that this program is to be the patient's.
const ROLE: &str = "SEALCARE_BENCH_PATIENT";
const EXPORT_BYTES: u64 = 2_000_000_000;
const PASSPHRASE: &str = "correct horse battery";
/// Between two looks at the memory of the process; the figure that is read only grows.
const PACE: Duration = Duration::from_millis(10);
const KIB: f64 = 1_024.0;

/// Is the patient's program, if this process was started as it.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    std::env::var_os(ROLE)?;
    Some(sealcare::main_from(std::env::args_os().skip(1)))
}

/// Measures it once; it takes minutes and some gigabytes of `disk`.
pub(crate) fn measure(report: &mut Report, disk: &Path) -> anyhow::Result<()> {
    report.begin("an Apple Health export of 2 GB, imported by the program");
    let folder = tempfile::tempdir_in(disk).context("a folder for the account")?;
    let days = u32::try_from(EXPORT_BYTES / DAY_BYTES)?;
    let export = folder.path().join("export.zip");
    let xml_bytes = generate(&export, days)?;
    let init = ["init", "--name", "Ana Silva", "--birth-date", "1990-05-20"];
    finish(start(folder.path(), &init)?).context("init")?;
    let import = ["import", export.to_str().context("a path in Unicode")?];
    for name in ["first import", "the same file again"] {
        let begun = Instant::now();
        let peak_kib = finish(start(folder.path(), &import)?).context(name)?;
        let secs = begun.elapsed().as_secs_f64();
        report.add(&format!("{name}, peak memory"), "MiB", float(peak_kib)? / KIB);
        report.add(&format!("{name}, time"), "s", secs);
        let records = float(shared_records(days, Density::Usual))?;
        report.add(&format!("{name}, records of shared types"), "/s", records / secs);
    }
    report.add("export, XML", "MB", float(xml_bytes / 1_000)? / 1_000.0);
    report.add("export, archive", "MB", float(export.metadata()?.len())? / 1e6);
    report.add("records of shared types", "", float(shared_records(days, Density::Usual))?);
    report.add(
        "the account's folder",
        "MB",
        float(bytes_in(&folder.path().join("home"))? / 1_000)? / 1_000.0,
    );
    report.end();
    Ok(())
}

/// Returns the size of the XML.
fn generate(path: &Path, days: u32) -> anyhow::Result<u64> {
    let mut archive = ZipWriter::new(BufWriter::new(File::create(path)?));
    let options = SimpleFileOptions::default().large_file(true);
    archive.start_file("apple_health_export/export.xml", options)?;
    let mut export = BufWriter::new(archive);
    write_export(&mut export, days, Density::Usual)?;
    export.into_inner()?.finish()?.flush()?;
    let mut archive = zip::ZipArchive::new(File::open(path)?)?;
    Ok(archive.by_index(0)?.size())
}

fn start(folder: &Path, args: &[&str]) -> anyhow::Result<Child> {
    let passphrase = folder.join("passphrase");
    fs::write(&passphrase, PASSPHRASE)?;
    let mut program = Command::new(std::env::current_exe()?);
    program.env_clear().env(ROLE, "1").args(args).arg("--home").arg(folder.join("home"));
    program.arg("--passphrase-file").arg(passphrase).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(program.spawn()?)
}

/// Waits for the end; returns the greatest memory in KiB.
fn finish(mut program: Child) -> anyhow::Result<u64> {
    let mut peak_kib = 0;
    loop {
        peak_kib = peak(program.id()).max(peak_kib);
        if let Some(status) = program.try_wait()? {
            anyhow::ensure!(status.success(), "the program ended with {status}");
            return Ok(peak_kib);
        }
        std::thread::sleep(PACE);
    }
}

/// `VmHWM` of proc(5); 0 once the process has ended, or where there is none.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn bytes_in(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_in(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn float(value: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(value)?))
}
