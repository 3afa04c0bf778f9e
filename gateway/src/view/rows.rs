//! The rows of the record view and where they are. Space numbers are on disk for ever.

use std::collections::BTreeMap;

use sealcare_provider::{
    APPLICATION_SPACES_FROM, EventKind, GrantId, InboxEvent, Scope, Timestamp, covers, grant_wrapping_key,
};
use sealcare_records::{Record, RecordId};
use sealcare_vault::{KeyRange, ReadTransaction, Space, Vault, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::damaged;
use crate::error::{GatewayError, Result};

/// Grant ‖ blinded record id → record, under the grant's wrapping key.
pub(super) const RECORDS: Space = Space::new(APPLICATION_SPACES_FROM, "records");
/// Number → change, under the grant's wrapping key unless it is the grant's last.
pub(super) const JOURNAL: Space = Space::new(APPLICATION_SPACES_FROM + 1, "journal");
/// Number → nothing, for the changes that are no record: they are forgotten in time.
pub(super) const REMOVALS: Space = Space::new(APPLICATION_SPACES_FROM + 2, "removals");
/// Grant → how it ended.
const ENDED: Space = Space::new(APPLICATION_SPACES_FROM + 3, "ended grants");
/// Counters.
pub(super) const COUNTERS: Space = Space::new(APPLICATION_SPACES_FROM + 4, "view counters");

/// Grant → how many records of each type, under the grant's wrapping key.
const COUNTS: Space = Space::new(APPLICATION_SPACES_FROM + 5, "record counts");

/// Records that are looked through at a time, each up to 1 MiB.
pub(super) const SCAN_RECORDS_MAX: usize = 64;

/// A record as it is kept: its FHIR resource as text, never taken apart again.
#[derive(Deserialize, Serialize)]
pub(super) struct RecordRow {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) type_name: String,
    pub(super) resource: Box<RawValue>,
}

impl RecordRow {
    pub(super) fn new(number: u64, record: &Record) -> Result<Self> {
        let resource = serde_json::from_slice(&record.fhir_json()).map_err(damaged("record"))?;
        Ok(Self {
            number,
            id: record.id().as_str().to_owned(),
            type_name: record.record_type().name().to_owned(),
            resource,
        })
    }

    /// Whether a scope covers it.
    pub(super) fn is_covered(&self, scope: &Scope) -> Result<bool> {
        if scope.from.is_none() || !self.is_of_type_in(scope) {
            return Ok(self.is_of_type_in(scope));
        }
        let id = RecordId::new(self.id.clone()).map_err(|_| GatewayError::Damaged("record"))?;
        let record = Record::from_fhir_json(self.resource.get().as_bytes(), id);
        Ok(covers(scope, &record.map_err(|_| GatewayError::Damaged("record"))?))
    }

    /// Whether a scope has its type.
    fn is_of_type_in(&self, scope: &Scope) -> bool {
        scope.types.iter().any(|name| name.as_str() == self.type_name)
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(damaged("record"))
    }
}

/// A grant's records by the name of their type; no type has zero.
#[derive(Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Counts(pub(super) BTreeMap<String, u64>);

impl Counts {
    pub(super) fn load(tx: &ReadTransaction<'_>, grant: &GrantId) -> Result<Self> {
        let Some(row) = tx.get(COUNTS, grant.as_bytes())? else { return Ok(Self::default()) };
        serde_json::from_slice(&row).map_err(damaged("count of records"))
    }

    pub(super) fn store(&self, tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
        Ok(tx.put_wrapped(&wrapping_key(grant), COUNTS, grant.as_bytes(), &encode(self))?)
    }

    pub(super) fn add(&mut self, type_name: &str) {
        *self.0.entry(type_name.to_owned()).or_default() += 1;
    }

    pub(super) fn subtract(&mut self, type_name: &str) {
        if let Some(count) = self.0.get_mut(type_name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(type_name);
            }
        }
    }
}

/// A change of the view, as the journal keeps it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// A record is new or different: where it is.
    Record { key: String },
    /// A record is gone.
    Removed { id: String, type_name: String },
    /// Something else happened to the grant.
    Noted(Note),
    /// The grant is over.
    Ended(Ended),
}

impl Change {
    pub(super) fn record(key: &[u8]) -> Self {
        Self::Record { key: data_encoding::HEXLOWER.encode(key) }
    }
}

/// What happened to a grant besides its records: names only, nothing of a record.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Note {
    /// The event's name.
    pub(crate) name: String,
    /// When it was received, milliseconds since 1970.
    pub(crate) at: u64,
    /// Why it is held.
    pub(crate) held: Vec<String>,
    /// Why something was refused.
    pub(crate) refusal: Option<String>,
    /// Of a change of scope.
    pub(crate) scope: Option<ScopeNote>,
}

/// What is shared from now on, and how that differs from before.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct ScopeNote {
    /// Names of types that are shared no longer.
    pub(crate) removed: Vec<String>,
    /// Names of types that are shared from now on.
    pub(crate) added: Vec<String>,
    /// Names of all types that are shared.
    pub(crate) types: Vec<String>,
    /// Records before are not shared, milliseconds since 1970.
    pub(crate) from_ms: Option<u64>,
}

impl Note {
    pub(super) fn of(event: &InboxEvent) -> Self {
        let mut note =
            Self { name: event.kind.name().to_owned(), at: event.at.as_millis(), ..Self::default() };
        match &event.kind {
            EventKind::Held(reasons) => {
                note.held = reasons.iter().map(|reason| reason.name().to_owned()).collect();
            }
            EventKind::Refused { name } => note.refusal = Some(name.clone()),
            EventKind::ScopeChanged { removed, added, scope } => {
                note.scope = Some(ScopeNote {
                    removed: removed.clone(),
                    added: added.clone(),
                    types: scope.types.iter().map(|name| name.as_str().to_owned()).collect(),
                    from_ms: scope.from.map(Timestamp::as_millis),
                });
            }
            _ => {}
        }
        note
    }
}

/// How and when a grant ended.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Ended {
    /// `revoked` by the patient, `rejected` by staff, or `silent` for too long.
    pub(crate) cause: EndCause,
    /// When it was received, milliseconds since 1970.
    pub(crate) at: u64,
}

/// Who ended a grant.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EndCause {
    /// The patient.
    Revoked,
    /// Staff, who did not take it for the invited person's.
    Rejected,
    /// Nobody: nothing was heard for 90 days.
    Silent,
}

impl EndCause {
    /// The cause's name for people and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
            Self::Silent => "silent",
        }
    }
}

impl Ended {
    /// `None` for an event that ends nothing.
    pub(super) fn of(event: &InboxEvent) -> Option<Self> {
        let cause = match &event.kind {
            EventKind::Revoked => EndCause::Revoked,
            EventKind::Rejected => EndCause::Rejected,
            EventKind::Ended => EndCause::Silent,
            _ => return None,
        };
        Some(Self { cause, at: event.at.as_millis() })
    }
}

/// The grants that are over, in the order of their ids, at most 10,000.
///
/// # Errors
/// Those of the vault.
pub(crate) fn ended(tx: &ReadTransaction<'_>) -> Result<Vec<(GrantId, Ended)>> {
    let rows = tx.scan(ENDED, &KeyRange::all(), usize::MAX)?;
    let read = |key: &[u8], row: &[u8]| {
        let grant = GrantId::from_slice(key).map_err(|_| GatewayError::Damaged("grant"))?;
        Ok((grant, serde_json::from_slice(row).map_err(damaged("end of a grant"))?))
    };
    rows.iter().map(|(key, row)| read(key, row)).collect()
}

pub(super) fn put_ended(tx: &mut WriteTransaction<'_>, grant: &GrantId, ended: &Ended) -> Result<()> {
    Ok(tx.put(ENDED, grant.as_bytes(), &encode(ended))?)
}

pub(super) fn encode(row: &impl Serialize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(row).expect("rows have string keys and finite numbers only"))
}

/// The record's id is the source's and may be known elsewhere, so it is not on the disk in clear.
pub(super) fn record_key(vault: &Vault, grant: &GrantId, id: &RecordId) -> Vec<u8> {
    let scoped = [&grant.as_bytes()[..], id.as_str().as_bytes()].concat();
    [&grant.as_bytes()[..], &vault.blind(RECORDS, &scoped)].concat()
}

pub(super) fn wrapping_key(grant: &GrantId) -> Vec<u8> {
    grant_wrapping_key(grant)
}
