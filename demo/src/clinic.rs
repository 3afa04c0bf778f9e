//! The clinic's side of the story: what `sealcare-gateway records --follow` prints, held against what was shared.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use anyhow::Context as _;
use sealcare_records::{Record, RecordId, RecordType};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

use crate::{cast::Cast, role};

/// Without a record for this long something is wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// Follows the gateway's records.
pub(crate) struct Clinic {
    lines: Lines<BufReader<ChildStdout>>,
    _program: Child,
    expected: Vec<Record>,
    /// By the resource as the clinic must have it; built once its name for the patient is known.
    by_resource: HashMap<Vec<u8>, (RecordId, RecordType)>,
    /// The resources that were opened, a line each.
    pub(crate) opened: Vec<String>,
    /// Opened and equal, by type.
    pub(crate) by_type: BTreeMap<String, u64>,
    /// Opened and equal to nothing that was shared, or opened twice.
    pub(crate) altered: u64,
}

impl Clinic {
    /// Starts to follow; `expected` is all that will be shared.
    pub(crate) fn follow(cast: &Cast, expected: Vec<Record>) -> anyhow::Result<Self> {
        let mut program = role::gateway_stream(&cast.gateway("records", &["--follow"]))?;
        let stdout = program.stdout.take().context("the gateway's output is not piped")?;
        Ok(Self {
            lines: BufReader::new(stdout).lines(),
            _program: program,
            expected,
            by_resource: HashMap::new(),
            opened: Vec::new(),
            by_type: BTreeMap::new(),
            altered: 0,
        })
    }

    /// Opened and equal, in all.
    pub(crate) fn matched(&self) -> u64 {
        self.by_type.values().sum()
    }

    /// The next opened record, where it equals one that was shared.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<RecordId>> {
        let line =
            timeout(PATIENCE, self.lines.next_line()).await.context("no record came for a minute")??;
        let line = line.context("the gateway stopped telling its records")?;
        self.judge(line)
    }

    /// Takes a resource that the clinic has; tells which record it equals.
    pub(crate) fn judge(&mut self, line: String) -> anyhow::Result<Option<RecordId>> {
        let found = self.find(&line)?;
        self.opened.push(line);
        let Some((id, record_type)) = found else {
            self.altered += 1;
            return Ok(None);
        };
        *self.by_type.entry(record_type.name().to_owned()).or_default() += 1;
        Ok(Some(id))
    }

    fn find(&mut self, line: &str) -> anyhow::Result<Option<(RecordId, RecordType)>> {
        if self.by_resource.is_empty() {
            self.expect_for(&subject(line)?);
        }
        // As the records' own crate writes it, so that only content counts.
        let resource: Value =
            serde_json::from_str(line).context("the gateway printed something else than JSON")?;
        Ok(self.by_resource.remove(&serde_json::to_vec(&resource)?))
    }

    fn expect_for(&mut self, subject: &str) {
        for record in self.expected.drain(..) {
            let (id, record_type) = (record.id().clone(), record.record_type());
            self.by_resource.insert(record.with_subject(subject).fhir_json(), (id, record_type));
        }
    }
}

/// The clinic's name for the patient.
fn subject(line: &str) -> anyhow::Result<String> {
    let resource: Value =
        serde_json::from_str(line).context("the gateway printed something else than JSON")?;
    let reference = ["subject", "patient"].iter().find_map(|member| resource[member]["reference"].as_str());
    Ok(reference.context("an opened resource has no subject")?.to_owned())
}
