//! What a found grant waits for: the organization's sealed reply with what the patient chose on the other device, and,
//! unless the patient has said so before, a decision about it. Until then nothing but silent signs of life goes.

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
    patient::Patient,
    store::Store,
};

/// Of a found grant, until it shares as chosen.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Awaited {
    decision: Decision,
    offer: Option<OfferRow>,
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
        Self { decision, offer: None }
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
