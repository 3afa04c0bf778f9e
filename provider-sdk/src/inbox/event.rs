//! What the application is told.

use std::fmt;

use sealcare_protocol::{GrantId, Scope, SenderId, Timestamp};
use sealcare_records::{Record, RecordId};

use crate::error::{ProviderError, Result};
use crate::grant::HoldReason;
use crate::inbox::coverage::covers;
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
        /// Names of types that are shared no longer.
        removed: Vec<String>,
        /// Names of types that are shared from now on; their records follow.
        added: Vec<String>,
        /// What is shared now. Destroy every record that it does not [cover](crate::covers): a type may have been
        /// removed, or the period may begin later. What lies under the grant's wrapping key is then moved under a
        /// new one by this crate, so that what was destroyed opens in no old page or copy of the vault.
        scope: Scope,
    },
    /// Nothing was heard for longer than a live app is silent: a notice, never an error.
    Stale,
    /// The lease ran out: nothing is shown until [`Self::Returned`].
    Lapsed,
    /// The patient's app is heard again after its lease ran out; what was hidden may be shown.
    Returned,
    /// Something is missing between what was received and what comes; the patient's app sends it again.
    Gap,
    /// A new installation of the patient's app begins in the middle, as after this vault was restored.
    UnknownSender,
    /// The patient's app is asked to send everything again.
    Resync,
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
    /// Nothing was heard for 90 days. As for a revocation.
    Ended,
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
            Self::Stale => "stale",
            Self::Lapsed => "lapsed",
            Self::Returned => "returned",
            Self::Gap => "gap",
            Self::UnknownSender => "unknown-sender",
            Self::Resync => "resync",
            Self::UnknownBundle => "unknown-bundle",
            Self::Refused { .. } => "refused",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
            Self::Ended => "ended",
        }
    }

    /// Whether the grant is over with it: the last event of its grant.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Revoked | Self::Rejected | Self::Ended)
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

    /// A deletion tells nothing and may take effect.
    fn is_covered(&self, scope: &Scope) -> bool {
        match self {
            Self::Upsert(record) => covers(scope, record),
            Self::Tombstone { .. } => true,
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
    pub(crate) fn from_kept(
        grant: &GrantId,
        kept: KeptDelivery,
        patient: ChartPatient,
        scope: &Scope,
    ) -> Result<Self> {
        let key = DeliveryKey { grant: *grant, sender: kept.sender(), sequence: kept.sequence };
        let changes = kept.changes.into_iter().map(RecordChange::from_kept).collect::<Result<Vec<_>>>()?;
        // The scope may have become narrower since it came.
        let changes = changes.into_iter().filter(|change| change.is_covered(scope)).collect();
        Ok(Self { key, patient, changes })
    }
}
