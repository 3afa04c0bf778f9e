//! Asking a relay about one deposit key after the other. Not here: what becomes of what it knows (`adoption`).

use sealcare_protocol::{DepositKey, RelayOrigin, Revocation};
use sealcare_transport::TransportError;
use sealcare_vault::{ReadTransaction, WriteTransaction};

use super::{
    SearchPlace, SearchProgress,
    state::{Answer, Decision, SecretAge, State},
};
use crate::{
    acceptance,
    account::Account,
    error::{ClientError, Result},
    grant::GrantRow,
    patient::Patient,
};

/// Keys that a relay is asked about in one pass.
const ASKED_MAX: u32 = 256;
/// Grants at one relay; none is looked for beyond.
const GRANTS_MAX: usize = 1_024;

/// The next key of a search.
enum Next {
    Ask(Box<DepositKey>),
    /// Nothing need be asked: the vault knows its grant.
    Kept,
    /// What was found is to be kept first.
    Full,
    End,
}

impl Patient {
    /// Asks until the search ends, but not for ever: a relay may lie. A thief's grants are stopped as soon as they are
    /// found, before anything else.
    pub(super) async fn ask_relay(
        &self,
        place: &SearchPlace,
        on_progress: &(dyn Fn(SearchProgress) + Send + Sync),
    ) -> Result<()> {
        let relay = place.relay.clone();
        if self.store.read(move |tx| grants_at(tx, &relay)).await? >= GRANTS_MAX {
            return Err(ClientError::TooManyGrants);
        }
        for _ in 0..ASKED_MAX {
            let (relay, age) = (place.relay.clone(), place.age);
            let next = self.store.read(move |tx| next(tx, &relay, age)).await?;
            let answer = match next {
                Next::End => return Ok(()),
                Next::Full => break,
                Next::Kept => Answer::Kept,
                Next::Ask(key) => self.ask(place, *key).await?,
            };
            let wanted = place.clone();
            let progress = self.store.write(move |tx| advance(tx, &wanted, answer)).await?;
            on_progress(progress);
        }
        Err(ClientError::SearchUnfinished)
    }

    async fn ask(&self, place: &SearchPlace, key: DepositKey) -> Result<Answer> {
        let seed = key.to_seed();
        match self.channel(&place.relay, key)?.grant_status().await {
            Err(TransportError::NotFound) => Ok(Answer::Unknown),
            Ok(report) => {
                if place.decision == Decision::Stop && !report.is_revoked {
                    let key = DepositKey::from_seed(&seed);
                    let revocation = Revocation::sign(&key, &report.organization);
                    self.channel(&place.relay, key)?.revoke_grant(&revocation).await?;
                }
                Ok(Answer::Found(report.organization))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn next(tx: &ReadTransaction<'_>, relay: &RelayOrigin, age: SecretAge) -> Result<Next> {
    let mut state = State::load(tx)?;
    let Some(search) = state.find(relay, age).filter(|search| !search.is_ended()) else {
        return Ok(Next::End);
    };
    if search.is_full() {
        return Ok(Next::Full);
    }
    let number = search.next;
    if age == SecretAge::Present && acceptance::used(tx, relay)?.contains(&number) {
        return Ok(Next::Kept);
    }
    let secret = Account::load(tx)?.into_secret(age)?;
    Ok(Next::Ask(Box::new(secret.deposit_key(relay, number))))
}

fn advance(tx: &mut WriteTransaction<'_>, place: &SearchPlace, answer: Answer) -> Result<SearchProgress> {
    let mut state = State::load(tx)?;
    let search = state.find(&place.relay, place.age).ok_or(ClientError::Kept("the search"))?;
    search.advance(answer, place.now);
    let (asked, waiting) = (search.next, search.found.len());
    state.save(tx)?;
    let kept = grants_at(tx, &place.relay)?;
    let found = u32::try_from(kept + waiting).unwrap_or(u32::MAX);
    Ok(SearchProgress { relay: place.relay.clone(), asked, found })
}

fn grants_at(tx: &ReadTransaction<'_>, relay: &RelayOrigin) -> Result<usize> {
    Ok(GrantRow::all(tx)?.iter().filter(|(_, row)| row.relay == *relay).count())
}
