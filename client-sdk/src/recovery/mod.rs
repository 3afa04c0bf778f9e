//! A lost, second or stolen device: from the recovery sheet back to every grant. Each step is one transaction, so that
//! what a crash cuts off is gone on with by the next pass:
//!
//! 1. [`state`]: what is looked for, and how far the search has come.
//! 2. [`search`]: deposit keys 0, 1, 2 … are asked about at each relay until none is known any more.
//! 3. [`adoption`]: a found grant's organization is checked at its own domain, and the grant is kept.
//! 4. [`offer`]: the organization's sealed reply brings what the patient chose on the lost device.
//!
//! The same search lets each device of an account find what another one has accepted: once a day every relay in use is
//! asked about the next deposit key. One key and not twenty, since a new grant always takes the first one that is
//! free, and a relay that saw twenty unused keys asked about together would know that they are one person's.
//!
//! Not here: the sheet (`sheet`), the stop of a stolen phone's grants once they are kept (`revocation`).

mod adoption;
pub(crate) mod offer;
mod search;
pub(crate) mod state;
mod theft;

use std::time::Duration;

use sealcare_protocol::{AccountSecret, GrantId, Person, RelayOrigin, Timestamp};
use sealcare_vault::{ReadTransaction, WriteTransaction};

pub use offer::{OfferedTerms, RecoveryState};
pub use theft::SheetMatch;

use crate::{
    account::Account,
    error::{ClientError, Result},
    grant::{GrantKeys, GrantRow},
    patient::{Patient, PatientBuilder},
    sheet::{self, RecoverySheet},
};
use state::{Decision, FormerLook, RelaySearch, SecretAge, State, Urgency};

/// How long one relay is searched in one pass.
const SEARCH_TIME_MAX: Duration = Duration::from_mins(1);

/// What becomes of the grants that are found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recovery {
    /// Sharing goes on as the patient chose before, as soon as each organization has told it under the account's mark.
    Keep,
    /// Nothing is shared of a grant before the patient has decided about it.
    Ask,
    /// All are stopped for ever. The sheet's secret is kept only until that is confirmed; another one is for the
    /// future, and needs another sheet.
    Stolen,
}

/// How far a search is with a relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchProgress {
    /// Which relay.
    pub relay: RelayOrigin,
    /// Deposit keys that it was asked about.
    pub asked: u32,
    /// Grants that it knew.
    pub found: u32,
}

/// What a search did.
#[derive(Debug, Default)]
pub struct SearchReport {
    /// Grants that are new on this installation.
    pub found: Vec<GrantId>,
    /// What keeps the search from its end; the next one goes on there.
    pub failures: Vec<SearchFailure>,
}

/// Why a relay could not be searched to its end, or a grant that it knows could not be kept.
#[derive(Debug)]
pub struct SearchFailure {
    /// Which relay.
    pub relay: RelayOrigin,
    /// Why.
    pub error: ClientError,
}

impl Recovery {
    fn search(self) -> (SecretAge, Decision) {
        match self {
            Self::Keep => (SecretAge::Present, Decision::Keep),
            Self::Ask => (SecretAge::Present, Decision::Ask),
            Self::Stolen => (SecretAge::Former, Decision::Stop),
        }
    }
}

impl PatientBuilder {
    /// Makes the account of `sheet` again in a vault that holds none, and opens it. [`Patient::search`] finds its
    /// grants; the records are to be imported again.
    ///
    /// # Errors
    /// [`ClientError::SheetWithoutRelay`], [`ClientError::AccountExists`], and those of the vault.
    pub async fn recover(self, person: Person, sheet: &RecoverySheet, how: Recovery) -> Result<Patient> {
        if sheet.relays().is_empty() {
            return Err(ClientError::SheetWithoutRelay);
        }
        let (secret, relays) = (AccountSecret::from_bytes(sheet.secret.as_bytes()), sheet.relays().to_vec());
        let kept = person.clone();
        self.begin(person, move |tx| begin(tx, &kept, &secret, &relays, how)).await
    }
}

fn begin(
    tx: &mut WriteTransaction<'_>,
    person: &Person,
    secret: &AccountSecret,
    relays: &[RelayOrigin],
    how: Recovery,
) -> Result<()> {
    let (age, decision) = how.search();
    Account::recover(tx, person, secret, age)?;
    if age == SecretAge::Present {
        sheet::note(tx, relays)?;
    }
    let searches = relays.iter().map(|relay| RelaySearch::of_sheet(relay.clone(), age, decision));
    State { searches: searches.collect() }.save(tx)
}

impl Patient {
    /// Goes on with whatever search is not at its end, and keeps the grants that were found. [`Patient::share`] does
    /// so too. May be called at any time, as often as one likes.
    ///
    /// # Errors
    /// Those of the vault; what one relay or organization refuses is in the report.
    pub async fn search(&self, on_progress: &(dyn Fn(SearchProgress) + Send + Sync)) -> Result<SearchReport> {
        let _one = self.passes.lock().await;
        self.search_alone(Urgency::Asked, on_progress).await
    }

    /// As [`Patient::search`], for a pass that holds the lock already.
    pub(crate) async fn search_alone(
        &self,
        urgency: Urgency,
        on_progress: &(dyn Fn(SearchProgress) + Send + Sync),
    ) -> Result<SearchReport> {
        let now = self.clock.now();
        // What is left to look for before a former secret is given up belongs to this search.
        self.store.write(forget_former).await?;
        let searches = self.store.write(move |tx| state::due(tx, now, urgency)).await?;
        let mut report = SearchReport::default();
        for place in searches {
            let search = self.search_relay(&place, on_progress, &mut report);
            match tokio::time::timeout(SEARCH_TIME_MAX, search).await {
                Ok(done) => done?,
                Err(_) => report.failures.push(failure(&place.relay, ClientError::SearchUnfinished)?),
            }
        }
        self.store.write(forget_former).await?;
        Ok(report)
    }

    async fn search_relay(
        &self,
        place: &SearchPlace,
        on_progress: &(dyn Fn(SearchProgress) + Send + Sync),
        report: &mut SearchReport,
    ) -> Result<()> {
        if let Err(error) = self.ask_relay(place, on_progress).await {
            report.failures.push(failure(&place.relay, error)?);
        }
        self.adopt_found(place, report).await
    }
}

/// The vault's own failures end everything.
fn failure(relay: &RelayOrigin, error: ClientError) -> Result<SearchFailure> {
    match error {
        ClientError::Vault(_) | ClientError::Kept(_) | ClientError::Stopped => Err(error),
        error => Ok(SearchFailure { relay: relay.clone(), error }),
    }
}

/// Relays that are searched under the account's present secret.
pub(crate) fn own_relays(tx: &ReadTransaction<'_>) -> Result<Vec<RelayOrigin>> {
    let searches = State::load(tx)?.searches.into_iter();
    Ok(searches.filter(|search| search.age == SecretAge::Present).map(|search| search.relay).collect())
}

/// Deletes the former secret once nothing is left to stop with it, and a last search that was begun then has found
/// nothing more: its thief may have accepted something since the one before.
pub(crate) fn forget_former(tx: &mut WriteTransaction<'_>) -> Result<()> {
    if !Account::has_former(tx)? {
        return Ok(());
    }
    let mut state = State::load(tx)?;
    let is_former = |search: &RelaySearch| search.age == SecretAge::Former;
    let is_searched = state.searches.iter().filter(|search| is_former(search)).all(RelaySearch::is_done);
    let is_pending = |row: &GrantRow| row.keys != GrantKeys::Present && row.phase.confirmed_at().is_none();
    if !is_searched {
        return Ok(());
    }
    let is_stopped = !GrantRow::all(tx)?.iter().any(|(_, row)| is_pending(row));
    let mut former = state.searches.iter_mut().filter(|search| is_former(search));
    if !is_stopped {
        former.for_each(|search| search.look = FormerLook::Early);
        return state.save(tx);
    }
    if former.any(|search| search.look != FormerLook::Last) {
        let former = state.searches.iter_mut().filter(|search| is_former(search));
        former.for_each(|search| search.begin_again(FormerLook::Last));
        return state.save(tx);
    }
    state.searches.retain(|search| !is_former(search));
    state.save(tx)?;
    Account::forget_former(tx)
}

/// Which search is meant.
#[derive(Clone, Debug)]
pub(crate) struct SearchPlace {
    pub(crate) relay: RelayOrigin,
    pub(crate) age: SecretAge,
    pub(crate) decision: Decision,
    pub(crate) now: Timestamp,
    pub(crate) urgency: Urgency,
}
