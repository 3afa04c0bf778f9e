//! One `Record` element as it was written, and how it becomes a record. Not here: which elements are looked at
//! (`export`), and which halves of a blood pressure belong together (`pairing`).

use super::device;
use crate::id::Fingerprint;
use crate::model::{BloodPressure, ExerciseMinutes, HeartRate};
use crate::{
    Decimal, Effective, Entry, Model, Moment, Provenance, RecordId, RecordType, SkipReason, SourceDevice,
    Unit,
};

/// The samples that are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SampleKind {
    HeartRate,
    Exercise,
    Systolic,
    Diastolic,
}

impl SampleKind {
    pub(super) fn from_identifier(identifier: &str) -> Option<Self> {
        [Self::HeartRate, Self::Exercise, Self::Systolic, Self::Diastolic]
            .into_iter()
            .find(|kind| kind.identifier() == identifier)
    }

    const fn identifier(self) -> &'static str {
        match self {
            Self::HeartRate => "HKQuantityTypeIdentifierHeartRate",
            Self::Exercise => "HKQuantityTypeIdentifierAppleExerciseTime",
            Self::Systolic => "HKQuantityTypeIdentifierBloodPressureSystolic",
            Self::Diastolic => "HKQuantityTypeIdentifierBloodPressureDiastolic",
        }
    }

    const fn unit(self) -> Unit {
        match self {
            Self::HeartRate => Unit::PerMinute,
            Self::Exercise => Unit::Minute,
            Self::Systolic | Self::Diastolic => Unit::MillimetreOfMercury,
        }
    }

    /// What a reading becomes, by itself or with its other half.
    pub(super) const fn record_type(self) -> RecordType {
        match self {
            Self::HeartRate => RecordType::HeartRate,
            Self::Exercise => RecordType::ExerciseMinutes,
            Self::Systolic | Self::Diastolic => RecordType::BloodPressure,
        }
    }

    pub(super) const fn is_half(self) -> bool {
        matches!(self, Self::Systolic | Self::Diastolic)
    }
}

/// A `Record` element's attributes and what its `MetadataEntry` children say.
pub(super) struct Draft {
    pub(super) kind: SampleKind,
    pub(super) source: String,
    pub(super) source_version: String,
    pub(super) device: String,
    pub(super) unit: String,
    pub(super) value: String,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) uuid: Option<RecordId>,
    pub(super) entry: Entry,
}

/// A model with what its id and origin are made from.
pub(super) struct Finding {
    pub(super) model: Model,
    pub(super) provenance: Provenance,
    pub(super) fingerprint: u128,
    pub(super) uuid: Option<RecordId>,
}

/// The type that a blood pressure has in its identity, with or without a correlation.
const PRESSURE_IDENTIFIER: &str = "HKCorrelationTypeIdentifierBloodPressure";

impl Draft {
    pub(super) fn new(kind: SampleKind) -> Self {
        Self {
            kind,
            source: String::new(),
            source_version: String::new(),
            device: String::new(),
            unit: String::new(),
            value: String::new(),
            start: String::new(),
            end: String::new(),
            uuid: None,
            entry: Entry::Measured,
        }
    }

    /// Takes one attribute of the element.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match name {
            "sourceName" => self.source = value,
            "sourceVersion" => self.source_version = value,
            "device" => self.device = value,
            "unit" => self.unit = value,
            "value" => self.value = value,
            "startDate" => self.start = value,
            "endDate" => self.end = value,
            _ => {}
        }
    }

    /// Takes one metadata entry.
    pub(super) fn annotate(&mut self, key: &str, value: &str) {
        match key {
            "HKWasUserEntered" if value == "1" => self.entry = Entry::Manual,
            "HKExternalUUID" => self.uuid = RecordId::from_uuid(value),
            _ => {}
        }
    }

    /// What a reading in a correlation and its twin at top level have in common.
    pub(super) fn twin_key(&self) -> u128 {
        [self.kind.identifier(), &self.source, &self.start, &self.end, &self.unit, &self.value]
            .into_iter()
            .fold(Fingerprint::new("twin"), Fingerprint::field)
            .digest()
    }

    /// What two loose halves of one blood pressure have in common.
    pub(super) fn pair_key(&self) -> u128 {
        let device = device::identity(&device::parse(&self.device));
        [&self.source, &device, &self.start, &self.end]
            .into_iter()
            .fold(Fingerprint::new("pair"), |hash, field| hash.field(field))
            .digest()
    }

    /// A heart rate or exercise record.
    pub(super) fn into_finding(self) -> Result<Finding, SkipReason> {
        let value = self.decimal()?;
        let (start, end) = self.times()?;
        let fingerprint = self.fingerprint(self.kind.identifier(), &start, &end, value.as_str());
        let model = match self.kind {
            SampleKind::HeartRate => {
                Model::HeartRate(HeartRate { rate: value, effective: Effective::between(start, end) })
            }
            SampleKind::Exercise => Model::Exercise(ExerciseMinutes {
                minutes: value,
                effective: Effective::From(start, Some(end)),
            }),
            SampleKind::Systolic | SampleKind::Diastolic => return Err(SkipReason::BloodPressureUnpaired),
        };
        Ok(Finding { model, fingerprint, uuid: self.uuid.clone(), provenance: self.into_provenance() })
    }

    /// A blood pressure of two halves; time and origin are the systolic one's.
    pub(super) fn into_pressure(mut self, diastolic: &Self) -> Result<Finding, SkipReason> {
        let (high, low) = (self.decimal()?, diastolic.decimal()?);
        let (start, end) = self.times()?;
        let fingerprint = self.fingerprint(PRESSURE_IDENTIFIER, &start, &end, &format!("{high}/{low}"));
        if diastolic.entry == Entry::Manual {
            self.entry = Entry::Manual;
        }
        let effective = Effective::between(start, end);
        let model = BloodPressure { systolic: Some(high), diastolic: Some(low), effective };
        Ok(Finding {
            model: Model::BloodPressure(model),
            fingerprint,
            uuid: self.uuid.clone(),
            provenance: self.into_provenance(),
        })
    }

    fn decimal(&self) -> Result<Decimal, SkipReason> {
        if self.value.is_empty() {
            return Err(SkipReason::NoValue);
        }
        let value = self.value.parse().map_err(|_| SkipReason::InvalidValue)?;
        let unit = Unit::from_healthkit(&self.unit);
        if unit == Some(self.kind.unit()) { Ok(value) } else { Err(SkipReason::UnknownUnit) }
    }

    fn times(&self) -> Result<(Moment, Moment), SkipReason> {
        let read = |text| Moment::from_apple(text).map_err(|_| SkipReason::NoEffectiveTime);
        Ok((read(&self.start)?, read(&self.end)?))
    }

    fn fingerprint(&self, identifier: &str, start: &Moment, end: &Moment, value: &str) -> u128 {
        Fingerprint::new("apple")
            .field(identifier)
            .field(&self.source)
            .field(&device::identity(&device::parse(&self.device)))
            .number(start.first().as_nanosecond())
            .number(end.first().as_nanosecond())
            .field(value)
            .digest()
    }

    fn into_provenance(self) -> Provenance {
        let device =
            if self.device.is_empty() { SourceDevice::default() } else { device::parse(&self.device) };
        let some = |text: String| (!text.is_empty()).then_some(text);
        Provenance {
            app: some(self.source),
            app_version: some(self.source_version),
            device,
            entry: self.entry,
        }
    }
}
