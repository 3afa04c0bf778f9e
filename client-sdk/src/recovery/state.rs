//! How far the searches for grants have come, as kept. Not here: what is asked (`search`).

use std::{collections::BTreeSet, time::Duration};

use sealcare_protocol::{OrganizationId, RelayOrigin, Timestamp};
use sealcare_vault::{ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::SearchPlace;
use crate::{
    acceptance,
    error::Result,
    grant::{GrantKeys, GrantRow, Phase},
    kept,
    store::{ACCOUNT, load, save},
};

/// Deposit keys in a row that a relay does not know, after which none follows: for an account that is recovered.
const UNKNOWN_OF_SHEET: u32 = 20;
/// The same for the daily look: a device takes the first free key, so that the first one that is free ends it.
const UNKNOWN_OF_LOOK: u32 = 1;
/// Between two looks for what another device of the account has accepted.
const LOOK_EVERY: Duration = Duration::from_hours(24);
const STATE: &[u8] = b"recovery";

/// Every search that was begun.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) searches: Vec<RelaySearch>,
}

/// The search at one relay under one secret.
#[derive(Deserialize, Serialize)]
pub(crate) struct RelaySearch {
    #[serde(with = "kept::text")]
    pub(crate) relay: RelayOrigin,
    pub(crate) age: SecretAge,
    /// What becomes of what is found.
    pub(crate) decision: Decision,
    /// The number of the deposit key that is asked about next.
    pub(crate) next: u32,
    /// How many before it were unknown.
    unknown: u32,
    /// How many unknown ones end the search.
    unknown_max: u32,
    /// When it ended.
    #[serde(with = "kept::maybe_millis")]
    ended: Option<Timestamp>,
    /// Known to the relay, and not kept as grants yet.
    pub(crate) found: Vec<Found>,
}

/// A deposit key that the relay knows a grant of.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Found {
    pub(crate) number: u32,
    /// As the relay says.
    #[serde(with = "kept::hex")]
    pub(crate) organization: OrganizationId,
}

/// Under which of the account's secrets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SecretAge {
    Present,
    /// The one that a thief may have.
    Former,
}

/// What becomes of a found grant.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    Keep,
    Ask,
    Stop,
}

impl State {
    pub(crate) fn load(tx: &ReadTransaction<'_>) -> Result<Self> {
        Ok(load(tx, ACCOUNT, STATE)?.unwrap_or_default())
    }

    pub(crate) fn save(&self, tx: &mut WriteTransaction<'_>) -> Result<()> {
        save(tx, ACCOUNT, STATE, self)
    }

    pub(crate) fn find(&mut self, relay: &RelayOrigin, age: SecretAge) -> Option<&mut RelaySearch> {
        self.searches.iter_mut().find(|search| search.relay == *relay && search.age == age)
    }
}

impl RelaySearch {
    /// From number 0 on, as a sheet demands.
    pub(crate) fn of_sheet(relay: RelayOrigin, age: SecretAge, decision: Decision) -> Self {
        let unknown_max = UNKNOWN_OF_SHEET;
        Self { relay, age, decision, next: 0, unknown: 0, unknown_max, ended: None, found: Vec::new() }
    }

    /// Whether it has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it has ended, and everything that was found is kept.
    pub(crate) fn is_done(&self) -> bool {
        self.is_ended() && self.found.is_empty()
    }

    /// Goes past the key that was asked about.
    pub(crate) fn advance(&mut self, answer: Answer, now: Timestamp) {
        let number = self.next;
        self.unknown = if answer == Answer::Unknown { self.unknown + 1 } else { 0 };
        if let Answer::Found(organization) = answer {
            self.found.push(Found { number, organization });
        }
        match number.checked_add(1) {
            Some(next) if self.unknown < self.unknown_max => self.next = next,
            _ => self.ended = Some(now),
        }
    }

    fn look_again(&mut self, next: u32) {
        (self.next, self.unknown, self.unknown_max, self.ended) = (next, 0, UNKNOWN_OF_LOOK, None);
        // What another device has accepted, the patient has chosen there.
        self.decision = Decision::Keep;
    }

    fn is_look_due(&self, now: Timestamp) -> bool {
        let is_own = self.age == SecretAge::Present && self.found.is_empty();
        is_own && self.ended.is_some_and(|ended| now.since(ended) >= LOOK_EVERY || ended > now)
    }
}

/// What is known of a deposit key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Unknown,
    /// The relay's word that it has a grant to this organization.
    Found(OrganizationId),
    /// This vault has its grant, or is about to.
    Kept,
}

/// The searches that are not done, those that begin with the daily look included.
pub(crate) fn due(tx: &mut WriteTransaction<'_>, now: Timestamp) -> Result<Vec<SearchPlace>> {
    let mut state = State::load(tx)?;
    for relay in relays_in_use(tx)? {
        if state.find(&relay, SecretAge::Present).is_none() {
            let mut search = RelaySearch::of_sheet(relay, SecretAge::Present, Decision::Keep);
            // The installation that accepts a grant has just asked about the numbers before it.
            search.ended = Some(now);
            state.searches.push(search);
        }
    }
    for search in state.searches.iter_mut().filter(|search| search.is_look_due(now)) {
        search.look_again(acceptance::first_free(tx, &search.relay)?);
    }
    state.save(tx)?;
    let due = state.searches.iter().filter(|search| !search.is_done());
    let place = |search: &RelaySearch| SearchPlace {
        relay: search.relay.clone(),
        age: search.age,
        decision: search.decision,
        now,
    };
    Ok(due.map(place).collect())
}

fn relays_in_use(tx: &ReadTransaction<'_>) -> Result<BTreeSet<RelayOrigin>> {
    let rows = GrantRow::all(tx)?.into_iter().map(|(_, row)| row);
    let in_use = rows.filter(|row| row.keys == GrantKeys::Present && row.phase == Phase::Active);
    Ok(in_use.map(|row| row.relay).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, NOW};

    fn relay() -> RelayOrigin {
        "https://localhost:1".parse().unwrap()
    }

    fn search() -> RelaySearch {
        RelaySearch::of_sheet(relay(), SecretAge::Present, Decision::Ask)
    }

    #[test]
    fn twenty_unknown_keys_in_a_row_end_a_search() {
        let mut search = search();
        let organization = OrganizationId::from_bytes([1; 32]);
        for _ in 0..19 {
            search.advance(Answer::Unknown, NOW);
        }
        search.advance(Answer::Found(organization), NOW);
        for _ in 0..19 {
            search.advance(Answer::Unknown, NOW);
        }
        search.advance(Answer::Kept, NOW);
        for _ in 0..19 {
            search.advance(Answer::Unknown, NOW);
            assert!(!search.is_ended());
        }
        search.advance(Answer::Unknown, NOW);
        assert!(search.is_ended() && !search.is_done(), "what was found is still to be kept");
        assert_eq!((search.next, search.found[0].number), (59, 19));
    }

    #[tokio::test]
    async fn the_next_key_is_asked_about_once_a_day() {
        let fixture = Fixture::new().await; // whose grant has key 0
        let look = async |now: Timestamp| {
            let due = fixture.patient.store.write(move |tx| due(tx, now)).await.unwrap();
            let next = move |tx: &ReadTransaction<'_>| Ok(State::load(tx)?.searches[0].next);
            (due.len(), fixture.patient.store.read(next).await.unwrap())
        };
        assert_eq!(look(NOW).await.0, 0, "the acceptance itself has just asked");
        assert_eq!(look(NOW.plus(LOOK_EVERY.checked_sub(Duration::from_millis(1)).unwrap())).await.0, 0);
        let day = NOW.plus(LOOK_EVERY);
        assert_eq!(look(day).await, (1, 1));
        let end = move |tx: &mut WriteTransaction<'_>| {
            let mut state = State::load(tx)?;
            state.searches[0].advance(Answer::Unknown, day);
            state.save(tx)
        };
        fixture.patient.store.write(end).await.unwrap();
        assert_eq!(look(day).await.0, 0, "one unknown key ends a look");
    }
}
