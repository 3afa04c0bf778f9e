//! `import`: records out of files, once all of the files were checked. What the files are is told by their content.

mod absence;

use std::{collections::BTreeMap, fmt, fs::File, io, path::PathBuf};

use sealcare_client::{Completeness, ImportReport, Imported, Patient, Progress};
use serde::Serialize;

use self::absence::AbsenceReport;

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
    /// Records that an interrupted import of the same files had taken before.
    went_on_after: u64,
    /// What complete files do not have any more; none if nothing.
    absent: Option<AbsenceReport>,
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
    let mut meter = MeterOfFiles::new("checking file", files.len(), context.output);
    let checked = patient.check(files, move |index, progress| meter.imported(index, progress)).await?;
    if !args.yes || args.completeness() == Completeness::Complete {
        check_subjects(&patient, checked.reports())?;
    }
    let taken_before = checked.taken_before().sum();
    let mut meter = MeterOfFiles::new("file", args.files.len(), context.output);
    let on_progress = move |index, progress| meter.imported(index, progress);
    let mut imported = patient.take(checked, args.completeness(), on_progress).await?;
    let absent = match imported.absence.take() {
        Some(absence) => Some(absence::settle(&patient, absence, args.deletions(), context.output).await?),
        None => None,
    };
    context.output.print(&Report::new(&imported, taken_before, absent))
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

fn check_subjects<'a>(patient: &Patient, reports: impl Iterator<Item = &'a ImportReport>) -> Result<()> {
    let person = patient.person();
    for (index, report) in reports.enumerate() {
        match Subject::of(report, person.name(), person.birth_date()) {
            Subject::OwnPerson => {}
            Subject::OtherPerson => return Err(Error::OtherPerson { number: index + 1 }),
            Subject::SeveralPeople => return Err(Error::SeveralPeople { number: index + 1 }),
        }
    }
    Ok(())
}

/// One progress bar after the other.
struct MeterOfFiles {
    doing: &'static str,
    of: usize,
    output: Output,
    running: Option<(usize, Meter)>,
}

impl MeterOfFiles {
    fn new(doing: &'static str, of: usize, output: Output) -> Self {
        Self { doing, of, output, running: None }
    }

    fn imported(&mut self, index: usize, progress: Progress) {
        let (_, meter) = match self.running.take() {
            Some((running, meter)) if running == index => self.running.insert((index, meter)),
            _ => {
                let name = format!("{} {} of {}", self.doing, index + 1, self.of);
                self.running.insert((index, Meter::of_file(&name, self.output)))
            }
        };
        meter.imported(progress);
    }
}

impl Report {
    fn new(imported: &Imported, went_on_after: u64, absent: Option<AbsenceReport>) -> Self {
        Self {
            files: imported.files.iter().map(FileReport::from).collect(),
            added: imported.changes.added,
            updated: imported.changes.updated,
            unchanged: imported.changes.unchanged,
            went_on_after,
            absent,
        }
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
        if self.went_on_after > 0 {
            writeln!(f, "Went on after {} of an interrupted import.", counted(self.went_on_after, "record"))?;
        }
        match &self.absent {
            Some(absent) if absent.deleted() > 0 => writeln!(f, "{absent}Deleted. Next: `sealcare share`."),
            Some(absent) if absent.is_empty() => writeln!(f, "{absent}Next: `sealcare share`."),
            Some(absent) => write!(
                f,
                "{absent}Nothing was deleted. If it is really gone, import again with --confirm-deletions.\n\
                 Next: `sealcare share`.\n"
            ),
            None => writeln!(f, "Next: `sealcare share`."),
        }
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
        let report =
            Report { files: vec![file], added: 1, updated: 0, unchanged: 1, went_on_after: 0, absent: None };
        let text = report.to_string();
        assert!(text.starts_with("File 1: 2 records\n"), "{text}");
        assert!(text.contains("2  heart-rate") && text.contains("1  workout"), "{text}");
        assert!(text.contains("1 new, 0 updated, 1 known before."), "{text}");
    }
}
