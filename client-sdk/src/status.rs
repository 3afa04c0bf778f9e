//! What a patient sees of the grants: from the vault alone, nothing is asked of a relay.

use std::collections::{BTreeMap, BTreeSet};

use sealcare_protocol::{Domain, GrantId, OrganizationId, RelayOrigin, ShortCode, Timestamp};

use crate::{
    account::Account,
    error::Result,
    grant::{GrantKeys, GrantRow, Phase},
    patient::Patient,
    recovery::RecoveryState,
};

/// A grant, as far as this installation knows.
#[derive(Clone, Debug)]
pub struct GrantStatus {
    /// Which.
    pub grant: GrantId,
    /// To whom.
    pub domain: Domain,
    /// To whom, for ever.
    pub organization: OrganizationId,
    /// Through whom.
    pub relay: RelayOrigin,
    /// Since when.
    pub created: Timestamp,
    /// Where it is in its life.
    pub state: GrantState,
    /// Whether the organization has taken what was chosen last: accepted, another scope, a pause, its end.
    pub statement: StatementState,
    /// Of a grant that was found with the recovery sheet or on another device, until it shares as chosen there. Of one
    /// that comes from a backup, until it is known what was chosen last.
    pub recovery: Option<RecoveryState>,
    /// Names of the shared types. While [`Self::recovery`] waits: of those that were chosen, as far as it was told.
    pub types: BTreeSet<String>,
    /// Records that begin before are not shared; while [`Self::recovery`] waits as for [`Self::types`].
    pub from: Option<Timestamp>,
    /// To compare with staff, where the invitation came on paper.
    pub short_code: ShortCode,
    /// Record changes on their way: packed, not confirmed under seal.
    pub records_pending: u64,
    /// Record changes that the organization confirmed under seal.
    pub records_confirmed: u64,
    /// Records that are larger than a body and stay here.
    pub records_too_large: u64,
    /// Bodies that the organization refused, by reason, of the latest 64.
    pub refusals: BTreeMap<String, u64>,
    /// Whether staff must still match the grant to a person.
    pub is_held: bool,
    /// When clinicians looked, the latest 100.
    pub views: Vec<Timestamp>,
    /// When the organization's newest word was read here.
    pub heard: Option<Timestamp>,
    /// When something was deposited last.
    pub last_deposit: Option<Timestamp>,
}

/// Where a grant is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GrantState {
    /// It shares; the organization has not answered yet.
    Unanswered,
    /// It shares.
    Active,
    /// The patient has paused it, or it is not known yet what was chosen last (see [`GrantStatus::recovery`]).
    Paused,
    /// Stopped; the organization has not confirmed.
    RevocationPending,
    /// Stopped; the organization confirmed at this time, by its clock.
    Revoked {
        /// When.
        at: Timestamp,
    },
    /// Not stopped by the patient: nothing was heard for 90 days, and the organization confirmed at this time, by
    /// its clock, that it destroyed its copy.
    Ended {
        /// When.
        at: Timestamp,
    },
}

impl GrantState {
    /// When the organization confirmed that it destroyed what it had of the grant, by its clock: nothing follows.
    pub fn confirmed_at(self) -> Option<Timestamp> {
        match self {
            Self::Revoked { at } | Self::Ended { at } => Some(at),
            Self::Unanswered | Self::Active | Self::Paused | Self::RevocationPending => None,
        }
    }
}

/// Whether the organization has taken the patient's newest statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatementState {
    /// Not heard yet.
    Pending,
    /// It stands.
    Confirmed,
    /// A later one stands, which does not prove to be the patient's. Here at most what both allow is shared; any
    /// choice made here replaces it.
    Overruled,
}

impl Patient {
    /// Every grant that ever was, in the order of their ids.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn status(&self) -> Result<Vec<GrantStatus>> {
        let load = |tx: &sealcare_vault::ReadTransaction<'_>| {
            let account = Account::load(tx)?;
            Ok(GrantRow::all(tx)?.into_iter().map(|(id, row)| status(&account, id, row)).collect())
        };
        self.store.read(load).await
    }
}

fn status(account: &Account, id: GrantId, row: GrantRow) -> GrantStatus {
    let state = match (row.phase, row.flow, &row.heard) {
        (Phase::Active, ..) if !row.is_flowing() => GrantState::Paused,
        (Phase::Active, _, None) => GrantState::Unanswered,
        (Phase::Active, _, Some(_)) => GrantState::Active,
        (Phase::Revoking, ..) => GrantState::RevocationPending,
        (Phase::Revoked(at), ..) => GrantState::Revoked { at: Timestamp::from_millis(at) },
        (Phase::Ended(at), ..) => GrantState::Ended { at: Timestamp::from_millis(at) },
    };
    let mut refusals = BTreeMap::new();
    for (_, reason) in row.heard.iter().flat_map(|heard| &heard.refusals) {
        *refusals.entry(reason.clone()).or_default() += 1;
    }
    let statement = match &row {
        row if row.recovery.is_some() => StatementState::Pending,
        row if row.is_overruled() => StatementState::Overruled,
        row if row.is_statement_confirmed() => StatementState::Confirmed,
        _ => StatementState::Pending,
    };
    let short_code = match row.keys {
        GrantKeys::Present => ShortCode::derive(&id, &row.identity(&account.secret).grant_key.public()),
        GrantKeys::Former { short_code } => short_code,
    };
    let scope =
        row.recovery.as_ref().map_or_else(|| row.scope(), |awaited| awaited.offered().unwrap_or_default());
    let views = row.heard.iter().flat_map(|heard| &heard.views_ms);
    GrantStatus {
        grant: id,
        short_code,
        recovery: row.recovery.as_ref().map(|awaited| awaited.state(row.heard.as_ref())),
        state,
        statement,
        types: scope.types.iter().map(|name| name.as_str().to_owned()).collect(),
        from: scope.from,
        records_pending: row.outbox.records_pending,
        records_confirmed: row.outbox.records_confirmed,
        records_too_large: row.outbox.records_too_large,
        refusals,
        is_held: row.heard.as_ref().is_some_and(|heard| heard.is_held),
        views: views.map(|millis| Timestamp::from_millis(*millis)).collect(),
        heard: row.heard.as_ref().map(|heard| heard.at),
        last_deposit: row.outbox.last_deposit,
        domain: row.domain,
        organization: row.organization,
        relay: row.relay,
        created: row.created,
    }
}
