//! What a found grant waits for: the organization's sealed reply with what the patient chose on the other device, and,
//! unless the patient has said so before, a decision about it. An installation that comes from a backup waits for the
//! same reply, since what it knows may have been taken back. Until then nothing but silent signs of life goes.

use std::collections::BTreeSet;

use sealcare_protocol::{GrantId, Scope, Terms, Timestamp, TypeName};
use sealcare_vault::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::state::Decision;
use crate::{
    choice,
    error::{ClientError, Result},
    grant::{Flow, GrantRow},
    kept,
    outbox::withdrawal,
    patient::Patient,
    store::Store,
};

/// Of a found grant, until it shares as chosen.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Awaited {
    decision: Decision,
    offer: Option<OfferRow>,
    #[serde(default)]
    own: OwnTerms,
}

/// What scope and flow in the grant's own row are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum OwnTerms {
    /// Nothing: the grant was found.
    #[default]
    None,
    /// What the patient chose once, perhaps not last: the installation comes from a backup.
    Earlier,
}

/// What the account itself stated last.
#[derive(Clone, Deserialize, Serialize)]
struct OfferRow {
    revision: u64,
    flow: Flow,
    #[serde(with = "kept::types")]
    types: BTreeSet<TypeName>,
    #[serde(with = "kept::maybe_millis")]
    from: Option<Timestamp>,
}

/// Where a found grant is on its way back.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RecoveryState {
    /// The organization has not told yet what the patient chose.
    Unanswered,
    /// It has told something that does not prove to be the patient's word: it must be chosen anew.
    Unproven,
    /// It has told what the patient chose; [`Patient::keep_offered`] takes it, any other choice replaces it.
    Offered(OfferedTerms),
}

/// What the patient chose for a grant before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfferedTerms {
    /// Names of the shared types.
    pub types: BTreeSet<String>,
    /// Records that begin before are not shared.
    pub from: Option<Timestamp>,
    /// Whether it was paused.
    pub is_paused: bool,
}

impl Awaited {
    pub(crate) fn new(decision: Decision) -> Self {
        Self { decision, offer: None, own: OwnTerms::None }
    }

    /// What the patient chose, as far as it was told.
    pub(crate) fn offered(&self) -> Option<Scope> {
        let offer = self.offer.as_ref()?;
        Some(Scope { types: offer.types.clone(), from: offer.from })
    }

    /// Where the grant is, whose organization was heard or not.
    pub(crate) fn state(&self, heard: Option<&crate::grant::Heard>) -> RecoveryState {
        match (&self.offer, heard) {
            (Some(offer), _) => RecoveryState::Offered(OfferedTerms {
                types: offer.types.iter().map(|name| name.as_str().to_owned()).collect(),
                from: offer.from,
                is_paused: offer.flow == Flow::Paused,
            }),
            (None, Some(_)) => RecoveryState::Unproven,
            (None, None) => RecoveryState::Unanswered,
        }
    }
}

/// Holds a grant of an installation that comes from a backup, until its organization has told what the patient chose
/// last. The caller keeps `row`.
pub(crate) fn doubt(row: &mut GrantRow) {
    let (decision, own) = match &row.recovery {
        Some(awaited) => (awaited.decision, awaited.own),
        None => (Decision::Keep, OwnTerms::Earlier),
    };
    row.recovery = Some(Awaited { decision, offer: None, own });
    row.heard = None;
}

/// A sealed reply was read: what this installation chose once stands against what the reply tells, and is stated again
/// where that is older. The caller keeps `row`.
pub(crate) fn end_doubt(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    row: &mut GrantRow,
    stored_revision: u64,
) -> Result<()> {
    let is_doubted = |awaited: &mut Awaited| awaited.own == OwnTerms::Earlier;
    if row.recovery.take_if(is_doubted).is_some() && stored_revision < row.revision {
        withdrawal::succeed_session(tx, id, row)?;
    }
    Ok(())
}

/// Takes the account's own word for a found grant: at once if the patient has said so, otherwise as an offer.
pub(crate) fn take(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    row: &mut GrantRow,
    own: Option<Terms>,
) -> Result<()> {
    let Some(awaited) = &mut row.recovery else { return Ok(()) };
    // Revision 0 is silence, a recovered device's own.
    let Some(Terms { revision, state, scope }) = own.filter(|own| own.revision > 0) else { return Ok(()) };
    if awaited.offer.as_ref().is_some_and(|kept| kept.revision > revision) {
        return Ok(());
    }
    let offer = OfferRow { revision, flow: state.into(), types: scope.types, from: scope.from };
    awaited.offer = Some(offer);
    if awaited.decision == Decision::Keep { follow(tx, store, id, row) } else { Ok(()) }
}

/// Shares as offered. The caller keeps `row`.
fn follow(tx: &mut WriteTransaction<'_>, store: &Store, id: &GrantId, row: &mut GrantRow) -> Result<()> {
    let Some(offer) = row.recovery.take().and_then(|awaited| awaited.offer) else {
        return Err(ClientError::NothingOffered);
    };
    row.revision = offer.revision;
    choice::restate(tx, store, id, row, Scope { types: offer.types, from: offer.from }, offer.flow)
}

impl Patient {
    /// Shares a found grant as the patient chose on the other device.
    ///
    /// # Errors
    /// [`ClientError::NothingOffered`], [`ClientError::UnknownGrant`], [`ClientError::Revoked`], and those of the vault.
    pub async fn keep_offered(&self, grant: GrantId) -> Result<()> {
        let store = self.store.clone();
        self.store
            .write(move |tx| {
                let mut row = GrantRow::load_active(tx, &grant)?;
                follow(tx, &store, &grant, &mut row)?;
                row.save(tx, &grant)
            })
            .await?;
        self.interrupt();
        Ok(())
    }
}
