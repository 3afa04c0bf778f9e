//! The one way into a sink: counts what is taken and skipped, reports progress, tells records apart.
//! Not here: parsing.

use std::collections::{BTreeSet, HashSet};

use super::ordinals::Ordinals;
use super::{ImportReport, Meter, Progress, RecordSink, SkipReason, SourceName, SourceSeen};
use crate::{ImportError, Person, Record, RecordError, RecordType};

/// Records told apart in one import, repeats among them; each costs about nine bytes.
const FINGERPRINTS_MAX: usize = 50_000_000;

/// Bytes between two reports of progress.
const PROGRESS_BYTES: u64 = 1024 * 1024;

/// Different people counted in one file.
const PEOPLE_MAX: usize = 1_000;

/// A running import.
pub(crate) struct Intake<'a, S> {
    sink: &'a mut S,
    report: ImportReport,
    meter: Meter,
    bytes_total: Option<u64>,
    bytes_reported: u64,
    records: u64,
    people: HashSet<u128>,
    ordinals: Ordinals,
    source: SourceSeen,
    /// The source after the file's own, once it has begun.
    further: Option<SourceName>,
    /// Types of which all of the running source was taken so far.
    covered: BTreeSet<RecordType>,
}

impl<'a, S: RecordSink> Intake<'a, S> {
    pub(crate) fn new(sink: &'a mut S, meter: Meter, bytes_total: Option<u64>) -> Self {
        Self {
            sink,
            report: ImportReport::default(),
            meter,
            bytes_total,
            bytes_reported: 0,
            records: 0,
            people: HashSet::new(),
            ordinals: Ordinals::new(FINGERPRINTS_MAX),
            source: SourceSeen::default(),
            further: None,
            covered: RecordType::ALL.into(),
        }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn accept(&mut self, record: Record) -> Result<(), ImportError<S::Error>> {
        *self.report.imported.entry(record.record_type()).or_default() += 1;
        self.records += 1;
        self.sink.accept(record).map_err(ImportError::Sink)
    }

    /// Something was left out that, if it is a record, may be of any type.
    pub(crate) fn skip(&mut self, reason: SkipReason) {
        self.skip_many(reason, 1);
    }

    pub(crate) fn skip_many(&mut self, reason: SkipReason, count: u64) {
        self.report.skip(reason, count);
        if count > 0 && reason.leaves_open() {
            self.covered.clear();
        }
    }

    /// As [`Self::skip_many`], of one type.
    pub(crate) fn skip_of(&mut self, kind: RecordType, reason: SkipReason, count: u64) {
        self.report.skip(reason, count);
        if count > 0 && reason.leaves_open() {
            self.covered.remove(&kind);
        }
    }

    /// As [`Self::skip_many`], of a source that the file does not show.
    pub(crate) fn skip_elsewhere(&mut self, reason: SkipReason, count: u64) {
        self.report.skip(reason, count);
    }

    /// Notes where a record comes from; with none, the file is no one source's.
    pub(crate) fn source(&mut self, name: Option<SourceName>) {
        self.source.note(name);
    }

    /// Notes that the whole file is of one source, whatever its records say, and which types that source has.
    pub(crate) fn whole_source(&mut self, name: SourceName, types: &[RecordType]) {
        self.source = SourceSeen::Whole(name);
        self.covered = types.iter().copied().collect();
    }

    /// What follows is of another source, which may have any type.
    pub(crate) fn begin_source(&mut self, name: SourceName) {
        self.end_source();
        self.sink.begin_source(&name);
        self.further = Some(name);
        self.covered = RecordType::ALL.into();
    }

    fn end_source(&mut self) {
        let covered = std::mem::take(&mut self.covered);
        if let Some(name) = self.further.take().or_else(|| self.source.clone().into_name()) {
            self.report.coverage.insert(name, covered);
        }
    }

    /// Notes when the file was made, in milliseconds since 1970.
    pub(crate) fn made_at(&mut self, made_ms: Option<i64>) {
        self.report.made_ms = made_ms;
    }

    /// Notes a person the file names; `identity` tells people apart.
    pub(crate) fn person(&mut self, person: Person, identity: u128) {
        if self.people.len() < PEOPLE_MAX {
            self.people.insert(identity);
        }
        self.report.person.get_or_insert(person);
    }

    /// How many records with this fingerprint came before in this import.
    pub(crate) fn ordinal(&mut self, fingerprint: u128) -> Result<u64, RecordError> {
        self.ordinals.next(fingerprint)
    }

    /// Between two items: the parser holds nothing, progress may be due.
    pub(crate) fn begin_item(&mut self) {
        self.meter.begin_item();
        if self.meter.bytes() - self.bytes_reported >= PROGRESS_BYTES {
            self.report_progress();
        }
    }

    pub(crate) fn finish(mut self) -> ImportReport {
        self.report_progress();
        self.end_source();
        self.report.source = self.source.into_name();
        self.report.people = u64::try_from(self.people.len()).unwrap_or(u64::MAX);
        self.report
    }

    fn report_progress(&mut self) {
        self.bytes_reported = self.meter.bytes();
        let (bytes_read, bytes_total) = (self.bytes_reported, self.bytes_total);
        self.sink.progress(Progress { bytes_read, bytes_total, records: self.records });
    }
}
