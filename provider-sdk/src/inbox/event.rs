//! What the application is told.

use std::fmt;

use sealcare_protocol::{GrantId, SenderId, Timestamp};
use sealcare_records::{Record, RecordId};

use crate::error::{ProviderError, Result};
use crate::grant::HoldReason;
use crate::inbox::queue::{KeptChange, KeptDelivery};
use crate::invitation::ChartPatient;

/// Something that happened to a grant.
#[derive(Debug)]
pub struct InboxEvent {
    /// Which grant.
    pub grant: GrantId,
    /// When it was received.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// Records came, within the grant's scope.
    Records(Delivery),
    /// Staff must look before anything more is delivered.
    Held(Vec<HoldReason>),
    /// Staff have looked; what was kept back follows.
    Admitted,
    /// The patient paused.
    Paused,
    /// The patient goes on.
    Resumed,
    /// The patient changed what is shared.
    ScopeChanged {
        /// Names of types that are shared no longer: destroy what is there of them.
        removed: Vec<String>,
    },
    /// Something is missing between what was received and what comes; the patient's app sends it again.
    Gap,
    /// The patient's app used a bundle that this organization does not remember publishing.
    UnknownBundle,
    /// Something was refused for ever.
    Refused {
        /// Why, such as `data-out-of-scope`.
        name: String,
    },
    /// The patient stopped. What lies under the grant's wrapping key is destroyed by this crate; destroy
    /// whatever else there is.
    Revoked,
    /// Staff rejected the grant. As for a revocation.
    Rejected,
}

impl EventKind {
    /// The event's name for logs and JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Records(_) => "records",
            Self::Held(_) => "held",
            Self::Admitted => "admitted",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::ScopeChanged { .. } => "scope-changed",
            Self::Gap => "gap",
            Self::UnknownBundle => "unknown-bundle",
            Self::Refused { .. } => "refused",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
        }
    }
}

/// Identifies a delivery for ever: for applications that keep their state elsewhere, and must commit this key
/// together with the effect.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeliveryKey {
    /// Whose grant.
    pub grant: GrantId,
    /// Which installation of the patient's app.
    pub sender: SenderId,
    /// Its number.
    pub sequence: u64,
}

/// Record changes that came together.
#[derive(Debug)]
pub struct Delivery {
    /// Once per key.
    pub key: DeliveryKey,
    /// Whose they are in the chart.
    pub patient: ChartPatient,
    /// In the order in which they happened.
    pub changes: Vec<RecordChange>,
}

/// A record's new state. Apply it by the record's id within its grant.
#[allow(clippy::large_enum_variant, reason = "nearly every change is an upsert")]
pub enum RecordChange {
    /// It is this now.
    Upsert(Record),
    /// It is gone.
    Tombstone {
        /// Which record.
        id: RecordId,
        /// The name of its type, as the sender declared it.
        type_name: String,
    },
}

impl RecordChange {
    /// Which record.
    pub fn id(&self) -> &RecordId {
        match self {
            Self::Upsert(record) => record.id(),
            Self::Tombstone { id, .. } => id,
        }
    }

    fn from_kept(kept: KeptChange) -> Result<Self> {
        let damaged = |_| ProviderError::Damaged("record");
        let id = RecordId::new(kept.id).map_err(damaged)?;
        match kept.fhir {
            Some(fhir) => Record::from_fhir_json(fhir.as_bytes(), id).map(Self::Upsert).map_err(damaged),
            None => Ok(Self::Tombstone { id, type_name: kept.type_name }),
        }
    }
}

impl fmt::Debug for RecordChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upsert(_) => "Upsert",
            Self::Tombstone { .. } => "Tombstone",
        })
    }
}

impl Delivery {
    pub(crate) fn from_kept(grant: &GrantId, kept: KeptDelivery, patient: ChartPatient) -> Result<Self> {
        let key = DeliveryKey { grant: *grant, sender: kept.sender(), sequence: kept.sequence };
        let changes = kept.changes.into_iter().map(RecordChange::from_kept).collect::<Result<_>>()?;
        Ok(Self { key, patient, changes })
    }
}
