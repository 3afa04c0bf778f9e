//! `import`: records out of files, all of the files or none. What the files are is told by their content.

use std::{collections::BTreeMap, convert::Infallible, fmt, fs::File, io, path::PathBuf};

use sealcare_client::{ClientError, ImportReport, Imported, Patient};
use sealcare_records::{ImportError, Progress, Record, WithProgress};
use serde::Serialize;

use crate::{
    args::Import,
    context::Context,
    error::{Error, Result},
    output::{Output, counted},
    progress::Meter,
    subject::Subject,
};

/// What an import did.
#[derive(Debug, Serialize)]
struct Report {
    files: Vec<FileReport>,
    /// Records that were not there before.
    added: u64,
    /// Records whose content was another before.
    updated: u64,
    /// Records that were there already.
    unchanged: u64,
}

/// What was in one file, in the order of the arguments.
#[derive(Debug, Serialize)]
struct FileReport {
    imported: BTreeMap<&'static str, u64>,
    skipped: BTreeMap<&'static str, u64>,
    /// How many different people the file names.
    people: u64,
}

pub(super) async fn run(context: &Context, args: Import) -> Result<()> {
    let files = open_all(&args.files)?;
    let patient = context.open().await?;
    if !args.yes {
        for (index, file) in files.iter().enumerate() {
            check_subject(&patient, file, index, files.len(), context.output)?;
        }
    }
    let mut meter = MeterOfFiles::new(files.len(), context.output);
    let imported = patient.import(files, move |index, progress| meter.imported(index, progress)).await?;
    context.output.print(&Report::from(imported))
}

fn open_all(paths: &[PathBuf]) -> Result<Vec<File>> {
    let open = |(index, path): (usize, &PathBuf)| {
        open_regular(path).map_err(|error| Error::InputFile { number: index + 1, kind: error.kind() })
    };
    paths.iter().enumerate().map(open).collect()
}

fn open_regular(path: &PathBuf) -> io::Result<File> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.is_file() { File::open(path) } else { Err(io::ErrorKind::NotSeekable.into()) }
}

/// Reads the whole file and keeps nothing: what is wrong with it is known before anything is taken.
fn check_subject(patient: &Patient, file: &File, index: usize, of: usize, output: Output) -> Result<()> {
    let mut meter = MeterOfFiles::new(of, output);
    let ignore = |_: Record| Ok::<_, Infallible>(());
    let mut sink = WithProgress::new(ignore, |progress| meter.imported(index, progress));
    let report = sealcare_records::import(file, &mut sink).map_err(|error| match error {
        ImportError::Record(error) => ClientError::Import { file: index, error },
        _ => ClientError::Source,
    })?;
    let person = patient.person();
    match Subject::of(&report, person.name(), person.birth_date()) {
        Subject::OwnPerson => Ok(()),
        Subject::OtherPerson => Err(Error::OtherPerson { number: index + 1 }),
        Subject::SeveralPeople => Err(Error::SeveralPeople { number: index + 1 }),
    }
}

/// One progress bar after the other.
struct MeterOfFiles {
    of: usize,
    output: Output,
    running: Option<(usize, Meter)>,
}

impl MeterOfFiles {
    fn new(of: usize, output: Output) -> Self {
        Self { of, output, running: None }
    }

    fn imported(&mut self, index: usize, progress: Progress) {
        let (_, meter) = match self.running.take() {
            Some((running, meter)) if running == index => self.running.insert((index, meter)),
            _ => {
                let name = format!("file {} of {}", index + 1, self.of);
                self.running.insert((index, Meter::of_file(&name, self.output)))
            }
        };
        meter.imported(progress);
    }
}

impl From<Imported> for Report {
    fn from(imported: Imported) -> Self {
        let files = imported.files.iter().map(FileReport::from).collect();
        let changes = imported.changes;
        Self { files, added: changes.added, updated: changes.updated, unchanged: changes.unchanged }
    }
}

impl From<&ImportReport> for FileReport {
    fn from(report: &ImportReport) -> Self {
        Self {
            imported: report.imported.iter().map(|(kind, count)| (kind.name(), *count)).collect(),
            skipped: report.skipped.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
            people: report.people,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.files.iter().enumerate() {
            let records = file.imported.values().sum();
            writeln!(f, "File {}: {}", index + 1, counted(records, "record"))?;
            write_counts(f, &file.imported)?;
            if !file.skipped.is_empty() {
                writeln!(f, "  not shared, by reason:")?;
                write_counts(f, &file.skipped)?;
            }
        }
        writeln!(f, "{} new, {} updated, {} known before.", self.added, self.updated, self.unchanged)?;
        writeln!(f, "Next: `sealcare share`.")
    }
}

fn write_counts(f: &mut fmt::Formatter<'_>, counts: &BTreeMap<&'static str, u64>) -> fmt::Result {
    counts.iter().try_for_each(|(name, count)| writeln!(f, "  {count:>9}  {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(open_all(std::slice::from_ref(&file)).unwrap().len(), 1);
        for bad in [folder.path().to_owned(), folder.path().join("none"), file.join("below")] {
            let refused = open_all(&[file.clone(), bad]).unwrap_err();
            assert!(matches!(refused, Error::InputFile { number: 2, .. }));
        }
    }

    #[test]
    fn a_report_counts_by_file_and_in_all() {
        let file =
            FileReport { imported: [("heart-rate", 2)].into(), skipped: [("workout", 1)].into(), people: 1 };
        let text = Report { files: vec![file], added: 1, updated: 0, unchanged: 1 }.to_string();
        assert!(text.starts_with("File 1: 2 records\n"), "{text}");
        assert!(text.contains("2  heart-rate") && text.contains("1  workout"), "{text}");
        assert!(text.contains("1 new, 0 updated, 1 known before."), "{text}");
    }
}
