//! The story, step by step.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use sealcare_client::{ClientError, GrantId, PassOutcome, Patient, Person, RevocationState, TransportError};
use sealcare_records::Record;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::ChildStdout,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    args::Args,
    cast::Cast,
    clinic::Clinic,
    columns::{Column, Columns, Show},
    input::{Input, StorySource},
    report::Report,
    role::{self, Conduct},
    search::Needles,
    synthetic,
};

/// Until the other side must have done its part.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Rows of the columns: a record of each type, and one that comes later.
const SAMPLES: usize = 6;

/// Plays the story with `input`.
pub(crate) async fn tell(args: &Args, input: Input) -> anyhow::Result<Report> {
    let mut story = Story::begin(args, input).await?;
    story.share_first().await?;
    if args.flip {
        story.show_refusal().await?;
    } else {
        story.receive().await?;
        story.share_more().await?;
        story.search()?;
        story.stop().await?;
        story.try_after_stop().await?;
    }
    story.end(args.out.as_deref())
}

struct Story {
    show: Show,
    cast: Cast,
    patient: Patient,
    grant: GrantId,
    clinic: Clinic,
    relay_sees: tokio::io::Lines<BufReader<ChildStdout>>,
    first: Vec<Record>,
    later: Vec<Record>,
    samples: Vec<Record>,
    columns: Columns,
    needles: Needles,
    report: Report,
}

impl Story {
    async fn begin(args: &Args, input: Input) -> anyhow::Result<Self> {
        let show = if args.json { Show::Nothing } else { Show::Story };
        let conduct = if args.flip { Conduct::FlipsOneBit } else { Conduct::Honest };
        let person = person(&input)?;
        let mut cast = Cast::start(conduct).await?;
        say(show, &format!("relay   https://localhost:{}, its own process, TLS", cast.relay_port));
        say(show, &format!("clinic  {}, its own process, registered and approved", cast.domain));
        let invitation = cast.invite(&person).await?;
        let patient = cast.patient(&person).await?;
        let accepted = Cast::accept(&patient, invitation).await?;
        say(show, &format!("patient accepted the invitation; short code {}\n", accepted.short_code));
        let stdout = cast.relay.stdout.take().context("the relay's output is not piped")?;
        let needles = Needles::new(&input.texts([person.name(), person.birth_date()]))?;
        let report = Report {
            records_shared: input.records.len() as u64,
            skipped: input.skipped.clone(),
            ..Report::default()
        };
        let clinic = Clinic::follow(&cast, input.records.clone())?;
        let (first, later) = input.split();
        let samples = samples(&first, &later);
        Ok(Self {
            show,
            cast,
            patient,
            grant: accepted.id,
            clinic,
            relay_sees: BufReader::new(stdout).lines(),
            first,
            later,
            columns: Columns::new(samples.len(), show),
            samples,
            needles,
            report,
        })
    }

    /// The patient shares; staff compare the short code and admit the grant.
    async fn share_first(&mut self) -> anyhow::Result<()> {
        let first = std::mem::take(&mut self.first);
        say(self.show, &format!("{} records are sealed to the clinic's key of today", first.len()));
        let is_later = |record: &&Record| self.later.iter().any(|later| later.id() == record.id());
        for (row, record) in self.samples.iter().enumerate().filter(|(_, record)| !is_later(record)) {
            self.columns.set(row, Column::Patient, told(record));
        }
        self.patient.read(StorySource::new(first)).await?;
        share_all(&self.patient).await?;
        self.admit().await
    }

    async fn admit(&self) -> anyhow::Result<()> {
        let mine = self.patient.status().await?;
        let code = mine.first().context("the patient has no grant")?.short_code.to_string();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let held = role::gateway(&self.cast.gateway("held", &["--json"])).await?;
            if held.contains(&code) {
                break;
            }
            anyhow::ensure!(Instant::now() < deadline, "the grant did not reach the clinic");
            sleep(LOOK_AGAIN).await;
        }
        role::gateway(&self.cast.gateway("admit", &[&code])).await?;
        Ok(())
    }

    /// Takes what the clinic opens until it has all that was shared so far.
    async fn receive(&mut self) -> anyhow::Result<()> {
        let target = self.report.records_shared - self.later.len() as u64;
        let mut sealed = String::new();
        while self.clinic.matched() + self.clinic.altered < target {
            let opened = self.clinic.next().await?;
            sealed = self.newest_at_relay().await?.unwrap_or(sealed);
            let Some(id) = opened else { continue };
            if let Some(row) = self.samples.iter().position(|sample| *sample.id() == id) {
                self.columns.set(row, Column::Relay, &*sealed);
                self.columns.set(row, Column::Clinic, told(&self.samples[row]));
            }
        }
        Ok(())
    }

    /// What the relay has handed over last, if it has since.
    async fn newest_at_relay(&mut self) -> anyhow::Result<Option<String>> {
        let mut newest = None;
        while let Ok(line) = timeout_at(Instant::now(), self.relay_sees.next_line()).await {
            let Some(line) = line? else { break };
            if let Some((bytes, hex)) = line.split_once(' ') {
                newest = Some(format!("{bytes} B  {hex}…"));
            }
        }
        Ok(newest)
    }

    /// New data appears at the patient's, and arrives by itself.
    async fn share_more(&mut self) -> anyhow::Result<()> {
        let later = std::mem::take(&mut self.later);
        for record in &later {
            if let Some(row) = self.samples.iter().position(|sample| sample.id() == record.id()) {
                self.columns.set(row, Column::Patient, told(record));
            }
        }
        let count = later.len();
        self.patient.read(StorySource::new(later)).await?;
        share_all(&self.patient).await?;
        self.receive().await?;
        self.columns.finish();
        self.report.records_opened = self.clinic.matched();
        self.report.records_altered = self.clinic.altered;
        self.report.by_type = self.clinic.by_type.clone();
        say(self.show, &format!("\n{count} new records came later and arrived by themselves"));
        say(
            self.show,
            &format!(
                "opened at the clinic: {} of {}, each equal to what was shared",
                self.report.records_opened, self.report.records_shared
            ),
        );
        Ok(())
    }

    /// Looks for the patient in all that the relay has.
    fn search(&mut self) -> anyhow::Result<()> {
        let hits = self.cast.relay_search(|places| places.search(&self.needles))??;
        self.report.plaintext_found_at_relay = hits;
        say(
            self.show,
            &format!(
                "searched the relay's disk, log and memory for names, lot numbers, identifiers, JSON: {hits} found"
            ),
        );
        Ok(())
    }

    /// The patient stops; the clinic destroys and confirms.
    async fn stop(&mut self) -> anyhow::Result<()> {
        self.cast.back_up_phone()?;
        say(self.show, "\nthe patient stops sharing …");
        let deadline = Instant::now() + PATIENCE;
        let confirmed = loop {
            match self.patient.revoke(self.grant).await? {
                RevocationState::Confirmed { .. } => break true,
                RevocationState::Pending if Instant::now() >= deadline => break false,
                RevocationState::Pending => sleep(LOOK_AGAIN).await,
            }
        };
        self.report.revocation_confirmed = confirmed;
        let left = role::gateway(&self.cast.gateway("records", &[])).await?;
        self.report.opened_after_revocation = left.lines().count() as u64;
        if self.report.opened_after_revocation == 0 {
            (0..self.samples.len()).for_each(|row| self.columns.set(row, Column::Relay, ""));
            (0..self.samples.len()).for_each(|row| self.columns.set(row, Column::Clinic, ""));
        }
        self.columns.finish();
        let word = if confirmed { "confirmed by the clinic's signature" } else { "NOT confirmed" };
        say(
            self.show,
            &format!(
                "\nthe stop is {word}; records left at the clinic: {}",
                self.report.opened_after_revocation
            ),
        );
        Ok(())
    }

    /// A phone restored from a backup of before the stop tries to send everything again.
    async fn try_after_stop(&mut self) -> anyhow::Result<()> {
        let restored = self.cast.restored_patient().await?;
        let shared = restored.share(&|_| ()).await?;
        let outcome = shared.into_iter().next().context("the restored phone has no grant")?.outcome;
        let is_refused = matches!(
            outcome,
            Err(ClientError::Revoked | ClientError::Transport(TransportError::GrantRevoked))
                | Ok(PassOutcome::RevocationPending | PassOutcome::Revoked)
        );
        self.report.deposit_after_revocation_refused = is_refused.then(|| "grant-revoked".to_owned());
        let word =
            if self.report.deposit_after_revocation_refused.is_some() { "refused" } else { "NOT refused" };
        say(self.show, &format!("a phone restored from a backup tries to send it all again: {word}"));
        Ok(())
    }

    /// With `--break`: the name under which the clinic refused.
    async fn show_refusal(&mut self) -> anyhow::Result<()> {
        say(self.show, "the relay flips one bit of the first envelope …");
        let deadline = Instant::now() + PATIENCE;
        let name = loop {
            let status: serde_json::Value =
                serde_json::from_str(&role::gateway(&self.cast.gateway("status", &["--json"])).await?)?;
            let refusals = status["refused_by"].as_object().context("the gateway tells no refusals")?;
            // The envelopes after it are missing one before them; the first cause is the one that did not open.
            if let Some(name) =
                refusals.keys().find(|name| *name != "data-gap" && *name != "data-unknown-session")
            {
                break name.clone();
            }
            anyhow::ensure!(Instant::now() < deadline, "the clinic refused nothing");
            sleep(LOOK_AGAIN).await;
        };
        // All that the clinic has now, held against what was shared.
        for line in role::gateway(&self.cast.gateway("records", &[])).await?.lines() {
            self.clinic.judge(line.to_owned())?;
        }
        self.report.records_opened = self.clinic.matched();
        self.report.records_altered = self.clinic.altered;
        say(
            self.show,
            &format!(
                "the clinic refused it: {name}; opened of {}: {}",
                self.report.records_shared, self.report.records_opened
            ),
        );
        self.report.refused_by = Some(name);
        Ok(())
    }

    fn end(self, out: Option<&Path>) -> anyhow::Result<Report> {
        if let Some(folder) = out {
            std::fs::create_dir_all(folder)?;
            let mut lines = self.clinic.opened.join("\n");
            lines.push('\n');
            std::fs::write(folder.join("opened.ndjson"), lines)?;
        }
        let next = "\nTry next:
  cargo run --release -p sealcare-demo -- --break                  a relay that flips one bit
  cargo run --release -p sealcare-demo -- export.zip               your own Apple Health export
  cargo run --release -p sealcare -- --help                        the patient's command line";
        say(self.show, next);
        Ok(self.report)
    }
}

/// Shares until nothing waits for the clinic's word.
async fn share_all(patient: &Patient) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shared = patient.share(&|_| ()).await?;
        match shared.into_iter().next().context("the patient has no grant")?.outcome? {
            PassOutcome::Waiting { .. } if Instant::now() < deadline => sleep(LOOK_AGAIN).await,
            PassOutcome::Waiting { .. } => anyhow::bail!("the clinic does not confirm"),
            _ => return Ok(()),
        }
    }
}

/// Whom the story is about: the synthetic patient, or whom the files name.
fn person(input: &Input) -> anyhow::Result<Person> {
    let named = input.person.as_ref();
    let name = named.and_then(|p| p.name.as_deref()).unwrap_or(synthetic::NAME);
    let birth_date = named.and_then(|p| p.birth_date.as_deref()).unwrap_or(synthetic::BIRTH_DATE);
    Ok(Person::new(name, birth_date).or_else(|_| Person::new(synthetic::NAME, synthetic::BIRTH_DATE))?)
}

/// The newest record of each type, and the newest of what comes later.
fn samples(first: &[Record], later: &[Record]) -> Vec<Record> {
    let mut samples: Vec<Record> = Vec::new();
    for record in first.iter().rev() {
        if samples.iter().all(|sample| sample.record_type() != record.record_type()) {
            samples.push(record.clone());
        }
    }
    samples.sort_by_key(Record::record_type);
    samples.extend(later.last().cloned());
    samples.truncate(SAMPLES);
    samples
}

fn told(record: &Record) -> String {
    format!("{}  {}", record.summary(), record.label())
}

fn say(show: Show, line: &str) {
    if show == Show::Story {
        println!("{line}");
    }
}
