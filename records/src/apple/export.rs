//! The elements of an export and what becomes of each. Not here: XML (`document`).

use super::clinical::Listing;
use super::draft::{Draft, Finding, SampleKind};
use super::pairing::{Leftover, Pairing, Twin, pair};
use crate::id::{Fingerprint, hashed_id};
use crate::import::{Intake, RecordSink, SourceName};
use crate::{Entry, ImportError, Moment, Person, Record, RecordError, RecordType, SkipReason, XmlFault};

const PRESSURE_CORRELATION: &str = "HKCorrelationTypeIdentifierBloodPressure";

/// What the elements of an export become.
const TYPES: [RecordType; 3] = [RecordType::ExerciseMinutes, RecordType::HeartRate, PRESSURE];
const PRESSURE: RecordType = RecordType::BloodPressure;

/// Readings held of one correlation; a true one has two.
const CORRELATION_RECORDS_MAX: usize = 64;

/// An element's name and attributes, references resolved.
pub(super) trait Element {
    fn name(&self) -> &str;
    /// One attribute's value.
    fn attribute(&self, name: &str) -> Result<Option<String>, XmlFault>;
    /// Every attribute.
    fn each_attribute(&self, visit: &mut dyn FnMut(&str, String)) -> Result<(), XmlFault>;
}

/// What is open at depth 2.
enum Open {
    Nothing,
    Sample(Draft),
    Correlation(Correlation),
}

struct Correlation {
    halves: Vec<Draft>,
    /// The half whose element is still open.
    open: Option<Draft>,
    entry: Entry,
    is_overfull: bool,
}

/// An export being read, element by element.
pub(super) struct Export<'a, S> {
    intake: Intake<'a, S>,
    pairing: Pairing,
    open: Open,
    clinical: Listing,
}

impl<'a, S: RecordSink> Export<'a, S> {
    pub(super) fn new(intake: Intake<'a, S>) -> Self {
        Self { intake, pairing: Pairing::default(), open: Open::Nothing, clinical: Listing::default() }
    }

    pub(super) fn intake(&mut self) -> &mut Intake<'a, S> {
        &mut self.intake
    }

    /// An element begins; the root is at depth 1.
    pub(super) fn begin(&mut self, depth: usize, element: &impl Element) -> Result<(), XmlFault> {
        match depth {
            1 if element.name() == "HealthData" => {
                self.intake.whole_source(SourceName::apple_health(), &TYPES);
                Ok(())
            }
            1 => Err(XmlFault::NotAnExport),
            2 => self.begin_item(element),
            _ => self.begin_part(depth, element),
        }
    }

    /// An element ends.
    pub(super) fn end(&mut self, depth: usize) -> Result<(), ImportError<S::Error>> {
        match (depth, &mut self.open) {
            (3, Open::Correlation(correlation)) => {
                correlation.close_half();
                Ok(())
            }
            (2, _) => match std::mem::replace(&mut self.open, Open::Nothing) {
                Open::Nothing => Ok(()),
                Open::Sample(draft) => self.take_sample(draft),
                Open::Correlation(correlation) => self.take_correlation(correlation),
            },
            _ => Ok(()),
        }
    }

    /// The export is over: what waited for a twin is settled.
    pub(super) fn finish(mut self) -> Result<(Intake<'a, S>, Listing), ImportError<S::Error>> {
        for leftover in std::mem::take(&mut self.pairing).into_leftovers() {
            match leftover {
                Leftover::Unpaired(count) => {
                    self.intake.skip_of(PRESSURE, SkipReason::BloodPressureUnpaired, count);
                }
                Leftover::Pair(halves) => match halves.0.into_pressure(&halves.1) {
                    Ok(finding) => self.take(finding)?,
                    Err(reason) => self.intake.skip_of(PRESSURE, reason, 2),
                },
            }
        }
        Ok((self.intake, self.clinical))
    }

    fn begin_item(&mut self, element: &impl Element) -> Result<(), XmlFault> {
        match element.name() {
            "Record" => self.begin_record(element)?,
            "Correlation" if element.attribute("type")?.as_deref() == Some(PRESSURE_CORRELATION) => {
                self.open = Open::Correlation(Correlation::default());
            }
            "Workout" => self.intake.skip(SkipReason::Workout),
            "ActivitySummary" => self.intake.skip(SkipReason::ActivitySummary),
            "ClinicalRecord" => self.clinical.note(element)?,
            "Me" => self.note_person(element)?,
            "ExportDate" => self.note_date(element)?,
            _ => self.intake.skip(SkipReason::NotASharedType),
        }
        Ok(())
    }

    fn begin_record(&mut self, element: &impl Element) -> Result<(), XmlFault> {
        match read_draft(element)? {
            Some(draft) => self.open = Open::Sample(draft),
            None => self.intake.skip(SkipReason::NotASharedType),
        }
        Ok(())
    }

    /// A record in a correlation, or metadata of whatever is open.
    fn begin_part(&mut self, depth: usize, element: &impl Element) -> Result<(), XmlFault> {
        match (element.name(), depth, &mut self.open) {
            ("MetadataEntry", 3, Open::Sample(draft)) => annotate(draft, element),
            ("MetadataEntry", 3, Open::Correlation(correlation)) => {
                let is_manual = element.attribute("key")?.as_deref() == Some("HKWasUserEntered")
                    && element.attribute("value")?.as_deref() == Some("1");
                if is_manual {
                    correlation.entry = Entry::Manual;
                }
                Ok(())
            }
            ("MetadataEntry", 4, Open::Correlation(Correlation { open: Some(half), .. })) => {
                annotate(half, element)
            }
            ("Record", 3, Open::Correlation(correlation)) => {
                correlation.open = read_draft(element)?.filter(|draft| draft.kind.is_half());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_date(&mut self, element: &impl Element) -> Result<(), XmlFault> {
        let date = element.attribute("value")?.and_then(|text| Moment::from_apple(&text).ok());
        self.intake.made_at(date.map(|date| date.first().as_millisecond()));
        Ok(())
    }

    fn note_person(&mut self, element: &impl Element) -> Result<(), XmlFault> {
        let birth_date = element.attribute("HKCharacteristicTypeIdentifierDateOfBirth")?;
        let birth_date = birth_date.filter(|date| date.len() == 10);
        if birth_date.is_some() {
            let identity =
                Fingerprint::new("person").field(birth_date.as_deref().unwrap_or_default()).digest();
            self.intake.person(Person { name: None, birth_date }, identity);
        }
        Ok(())
    }

    fn take_sample(&mut self, draft: Draft) -> Result<(), ImportError<S::Error>> {
        if draft.kind.is_half() {
            if self.pairing.add_top_level(draft)? == Twin::Found {
                self.intake.skip(SkipReason::BloodPressureChild);
            }
            return Ok(());
        }
        let kind = draft.kind.record_type();
        match draft.into_finding() {
            Ok(finding) => self.take(finding),
            Err(reason) => {
                self.intake.skip_of(kind, reason, 1);
                Ok(())
            }
        }
    }

    fn take_correlation(&mut self, mut correlation: Correlation) -> Result<(), ImportError<S::Error>> {
        correlation.close_half();
        for half in &correlation.halves {
            if self.pairing.add_child(half)? == Twin::Found {
                self.intake.skip(SkipReason::BloodPressureChild);
            }
        }
        let halves = if correlation.is_overfull { None } else { pair(correlation.halves) };
        let finding =
            halves.ok_or(SkipReason::BloodPressureUnpaired).and_then(|(mut systolic, diastolic)| {
                if correlation.entry == Entry::Manual {
                    systolic.entry = Entry::Manual;
                }
                systolic.into_pressure(&diastolic)
            });
        match finding {
            Ok(finding) => self.take(finding),
            Err(reason) => {
                self.intake.skip_of(PRESSURE, reason, 1);
                Ok(())
            }
        }
    }

    fn take(&mut self, finding: Finding) -> Result<(), ImportError<S::Error>> {
        let Finding { model, provenance, fingerprint, uuid } = finding;
        let unused = match uuid {
            Some(uuid) if self.ordinal_of(&uuid)? == 0 => Some(uuid),
            _ => None,
        };
        let id = match unused {
            Some(uuid) => uuid,
            None => hashed_id(fingerprint, self.intake.ordinal(fingerprint)?),
        };
        self.intake.accept(Record::from_model(id, model).with_provenance(&provenance))
    }

    fn ordinal_of(&mut self, uuid: &crate::RecordId) -> Result<u64, RecordError> {
        self.intake.ordinal(Fingerprint::new("uuid").field(uuid.as_str()).digest())
    }
}

impl Default for Correlation {
    fn default() -> Self {
        Self { halves: Vec::new(), open: None, entry: Entry::Measured, is_overfull: false }
    }
}

impl Correlation {
    fn close_half(&mut self) {
        if let Some(half) = self.open.take() {
            if self.halves.len() < CORRELATION_RECORDS_MAX {
                self.halves.push(half);
            } else {
                self.is_overfull = true;
            }
        }
    }
}

fn read_draft(element: &impl Element) -> Result<Option<Draft>, XmlFault> {
    let kind = element.attribute("type")?;
    let Some(kind) = kind.as_deref().and_then(SampleKind::from_identifier) else { return Ok(None) };
    let mut draft = Draft::new(kind);
    element.each_attribute(&mut |name, value| draft.set(name, value))?;
    Ok(Some(draft))
}

fn annotate(draft: &mut Draft, element: &impl Element) -> Result<(), XmlFault> {
    let (key, value) = (element.attribute("key")?, element.attribute("value")?);
    draft.annotate(key.as_deref().unwrap_or_default(), value.as_deref().unwrap_or_default());
    Ok(())
}
