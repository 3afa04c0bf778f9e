//! The records of the story: read from files, and split into what is shared first and what comes later.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::PathBuf};

use anyhow::Context as _;
use sealcare_client::{RecordChange, RecordSource};
use sealcare_records::{Person, Record, RecordId, import};

use crate::search::Texts;

/// One record in this many is held back as new data, one at least and this many at most.
const LATER_SHARE: usize = 50;
const LATER_MAX: usize = 40;

/// What the files hold.
pub(crate) struct Input {
    /// Oldest first.
    pub(crate) records: Vec<Record>,
    /// Left out, by reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// Whom the files are about, where they say.
    pub(crate) person: Option<Person>,
}

impl Input {
    /// Reads `files`; a record that stands in two of them counts once, as it stands in the last.
    ///
    /// # Errors
    /// The first file that cannot be read, by its place among the files.
    pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut records: BTreeMap<RecordId, Record> = BTreeMap::new();
        let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
        let mut person = None;
        for (number, path) in files.iter().enumerate() {
            let place = || format!("file {} cannot be read", number + 1);
            let file = BufReader::new(File::open(path).with_context(place)?);
            let mut repeated = 0;
            let mut keep = |record: Record| {
                repeated += u64::from(records.insert(record.id().clone(), record).is_some());
                Ok::<_, std::convert::Infallible>(())
            };
            let report = import(file, &mut keep).with_context(place)?;
            for (reason, count) in report.skipped {
                *skipped.entry(reason.name().to_owned()).or_default() += count;
            }
            if repeated > 0 {
                *skipped.entry("repeated".to_owned()).or_default() += repeated;
            }
            person = person.or(report.person);
        }
        anyhow::ensure!(
            !records.is_empty(),
            "the files hold no heart rate, blood pressure, exercise, lab result or immunization"
        );
        let mut records: Vec<Record> = records.into_values().collect();
        records.sort_by_key(|record| (record.effective().end(), record.id().clone()));
        Ok(Self { records, skipped, person })
    }

    /// Splits off the newest records, which arrive later in the story.
    pub(crate) fn split(self) -> (Vec<Record>, Vec<Record>) {
        let mut records = self.records;
        let later = (records.len() / LATER_SHARE).clamp(1, LATER_MAX).min(records.len() - 1);
        let newest = records.split_off(records.len() - later);
        (records, newest)
    }

    /// Texts that must never be found at the relay.
    pub(crate) fn texts(&self, person: [&str; 2]) -> Texts {
        let mut texts = Texts::default();
        texts.every.extend(person.map(str::to_owned));
        texts.every.extend(person[0].split_whitespace().map(str::to_owned));
        texts
            .every
            .extend(["\"resourceType\":\"", "valueQuantity", "\"status\":\"final\""].map(str::to_owned));
        for record in &self.records {
            texts.sampled.insert(record.id().as_str().to_owned());
            collect(&serde_json::from_slice(&record.fhir_json()).unwrap_or_default(), &mut texts);
        }
        texts
    }
}

/// Lot numbers, references and names of what was measured.
fn collect(value: &serde_json::Value, texts: &mut Texts) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member.as_str()) {
                    ("lotNumber", Some(text)) => drop(texts.every.insert(text.to_owned())),
                    ("display" | "reference", Some(text)) => drop(texts.sampled.insert(text.to_owned())),
                    _ => collect(member, texts),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        _ => {}
    }
}

/// The story's records as an app's source would report them: what has not been read yet, from an anchor on.
pub(crate) struct StorySource {
    records: Vec<Record>,
}

impl StorySource {
    pub(crate) fn new(records: Vec<Record>) -> Self {
        Self { records }
    }
}

impl RecordSource for StorySource {
    fn id(&self) -> String {
        "story".to_owned()
    }

    fn read_changes(
        &mut self,
        _anchor: Option<&[u8]>,
        sink: &mut dyn FnMut(RecordChange) -> sealcare_client::Result<()>,
    ) -> sealcare_client::Result<Option<Vec<u8>>> {
        self.records.drain(..).try_for_each(|record| sink(RecordChange::Upsert(Box::new(record))))?;
        Ok(None)
    }
}
