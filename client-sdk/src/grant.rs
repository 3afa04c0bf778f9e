//! A grant as this installation keeps it: to whom, what, how far its outbox has come. Not here: its bodies, session
//! and keys, which lie under the grant's wrapping key (`outbox`).

use std::collections::BTreeSet;

use sealcare_protocol::{
    AccountSecret, Domain, GrantId, GrantIdentity, GrantState, OrganizationId, RelayOrigin, Scope, SenderId,
    SessionId, ShortCode, Timestamp, TypeName,
};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::{
    error::{ClientError, Result},
    kept,
    outbox::coverage::ScopeAt,
    recovery::offer::Awaited,
    store::{GRANTS, load, save},
};

/// Grants that are listed.
const GRANTS_MAX: usize = 10_000;

/// Everything about a grant but its secrets.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct GrantRow {
    #[serde(with = "kept::text")]
    pub(crate) relay: RelayOrigin,
    #[serde(with = "kept::text")]
    pub(crate) domain: Domain,
    #[serde(with = "kept::hex")]
    pub(crate) organization: OrganizationId,
    pub(crate) deposit_number: u32,
    pub(crate) phase: Phase,
    #[serde(with = "kept::millis")]
    pub(crate) created: Timestamp,
    #[serde(with = "kept::types")]
    pub(crate) types: BTreeSet<TypeName>,
    #[serde(with = "kept::maybe_millis")]
    pub(crate) from: Option<Timestamp>,
    /// Whether data flows.
    #[serde(default)]
    pub(crate) flow: Flow,
    /// Record changes up to this version were made before the grant: what was deleted by then it never saw.
    #[serde(default)]
    pub(crate) accepted_version: u64,
    /// Every scope so far, with the version of the record changes at which it began. Empty until the first change.
    #[serde(default)]
    pub(crate) scopes: Vec<ScopeAt>,
    /// Of the newest statement. Only the person's choice raises it: a session that is repeated repeats it too.
    pub(crate) revision: u64,
    /// When the kept bundle was verified.
    #[serde(with = "kept::millis")]
    pub(crate) bundle_verified: Timestamp,
    pub(crate) bundle_need: BundleNeed,
    pub(crate) outbox: Outbox,
    pub(crate) session: Option<SessionRow>,
    pub(crate) heard: Option<Heard>,
    /// Under which of the account's secrets.
    #[serde(default)]
    pub(crate) keys: GrantKeys,
    /// Of a grant that was found with the recovery sheet or on another device, until it shares as chosen there. Of one
    /// that comes from a backup, until it is known what was chosen last.
    #[serde(default)]
    pub(crate) recovery: Option<Awaited>,
}

/// Under which of the account's secrets a grant's keys are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GrantKeys {
    #[default]
    Present,
    /// The one that a thief may have: only the stop is signed with it, and it is gone once that is confirmed.
    Former {
        #[serde(with = "kept::text")]
        short_code: ShortCode,
    },
}

/// Where a grant is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Active,
    /// Stopped here; the organization has not confirmed.
    Revoking,
    /// Confirmed at this time (milliseconds since 1970), by the organization's clock.
    Revoked(u64),
    /// Nobody stopped it, and the organization confirmed at this time that it destroyed all: nothing was heard for
    /// too long.
    Ended(u64),
}

impl Phase {
    /// When the organization confirmed that it has nothing of the grant any more.
    pub(crate) fn confirmed_at(self) -> Option<Timestamp> {
        match self {
            Self::Active | Self::Revoking => None,
            Self::Revoked(at) | Self::Ended(at) => Some(Timestamp::from_millis(at)),
        }
    }
}

/// Whether data flows.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Flow {
    #[default]
    Active,
    /// Paused by the patient: inits go, as a sign of life, and nothing else.
    Paused,
}

impl From<Flow> for GrantState {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Active => Self::Active,
            Flow::Paused => Self::Paused,
        }
    }
}

impl From<GrantState> for Flow {
    fn from(state: GrantState) -> Self {
        match state {
            GrantState::Active => Self::Active,
            GrantState::Paused => Self::Paused,
        }
    }
}

/// Whether the kept bundle will do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BundleNeed {
    Usual,
    Fresh,
}

/// How far the grant's sender has come.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Outbox {
    #[serde(with = "kept::hex")]
    pub(crate) sender: SenderId,
    /// Record changes up to this version are in bodies, as far as the scope covers them.
    pub(crate) scanned: u64,
    /// Above `scanned`: up to which version the changes are in bodies as far as an earlier scope covered them.
    #[serde(default)]
    pub(crate) told: Vec<ScopeAt>,
    /// The number of the next body.
    pub(crate) next: u64,
    /// Bodies below were confirmed under seal.
    pub(crate) confirmed_below: u64,
    /// Bodies below were sealed at least once.
    pub(crate) sealed_below: u64,
    /// Bodies below were sealed under an earlier statement than the newest.
    #[serde(default)]
    pub(crate) restated_below: u64,
    pub(crate) records_pending: u64,
    pub(crate) records_confirmed: u64,
    /// Records above what a body holds.
    pub(crate) records_too_large: u64,
    #[serde(with = "kept::maybe_millis")]
    pub(crate) last_deposit: Option<Timestamp>,
}

/// The current session, without its chain.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(crate) struct SessionRow {
    #[serde(with = "kept::hex")]
    pub(crate) id: SessionId,
    pub(crate) base: u64,
    #[serde(with = "kept::millis")]
    pub(crate) started: Timestamp,
    /// Inits in a row that no reply came to.
    pub(crate) unanswered: u32,
    /// Since when the relay has let go of what was not confirmed.
    #[serde(with = "kept::maybe_millis")]
    pub(crate) gone_since: Option<Timestamp>,
    /// Resends in a row.
    pub(crate) resends: u32,
    pub(crate) succession: SessionNeed,
}

/// Whether the session must be succeeded before its time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionNeed {
    None,
    Successor,
}

/// The newest sealed reply.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Heard {
    #[serde(with = "kept::millis")]
    pub(crate) at: Timestamp,
    pub(crate) stored_revision: u64,
    pub(crate) is_held: bool,
    /// Number and reason.
    pub(crate) refusals: Vec<(u64, String)>,
    pub(crate) views_ms: Vec<u64>,
}

impl Outbox {
    /// A sender that has sent nothing.
    pub(crate) fn new() -> Self {
        Self {
            sender: SenderId::random(&mut rand::rng()),
            scanned: 0,
            told: Vec::new(),
            next: 0,
            confirmed_below: 0,
            sealed_below: 0,
            restated_below: 0,
            records_pending: 0,
            records_confirmed: 0,
            records_too_large: 0,
            last_deposit: None,
        }
    }
}

impl GrantRow {
    pub(crate) fn scope(&self) -> Scope {
        Scope { types: self.types.clone(), from: self.from }
    }

    /// Whether records go: the patient has not paused them, and it is known what was chosen last.
    pub(crate) fn is_flowing(&self) -> bool {
        self.flow == Flow::Active && self.recovery.is_none()
    }

    /// Whether another statement stands at the organization than the one of this installation.
    pub(crate) fn is_overruled(&self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.stored_revision > self.revision)
    }

    /// Whether the organization has said that the newest statement stands.
    pub(crate) fn is_statement_confirmed(&self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.stored_revision == self.revision)
    }

    /// The grant's names and keys.
    pub(crate) fn identity(&self, account: &AccountSecret) -> GrantIdentity {
        let deposit = account.deposit_key(&self.relay, self.deposit_number);
        GrantIdentity::derive(account, &self.organization, &deposit)
    }

    pub(crate) fn load(tx: &ReadTransaction<'_>, id: &GrantId) -> Result<Self> {
        load(tx, GRANTS, id.as_bytes())?.ok_or(ClientError::UnknownGrant)
    }

    /// As [`Self::load`], unless the grant was stopped meanwhile.
    pub(crate) fn load_active(tx: &ReadTransaction<'_>, id: &GrantId) -> Result<Self> {
        let row = Self::load(tx, id)?;
        if row.phase == Phase::Active { Ok(row) } else { Err(ClientError::Revoked) }
    }

    pub(crate) fn save(&self, tx: &mut WriteTransaction<'_>, id: &GrantId) -> Result<()> {
        save(tx, GRANTS, id.as_bytes(), self)
    }

    pub(crate) fn all(tx: &ReadTransaction<'_>) -> Result<Vec<(GrantId, Self)>> {
        let rows = tx.scan(GRANTS, &KeyRange::all(), GRANTS_MAX)?;
        let parse = |(key, bytes): &sealcare_vault::Row| {
            let row = serde_json::from_slice(bytes).map_err(|_| ClientError::Kept(GRANTS.name()))?;
            Ok((GrantId::from_slice(key)?, row))
        };
        rows.iter().map(parse).collect()
    }
}
