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
/// Found grants of a relay that wait to be kept; more are asked about once these are.
const FOUND_MAX: usize = 64;
/// Until a found grant that could not be kept is tried again; doubled each time.
const RETRY_FIRST: Duration = Duration::from_mins(1);
const RETRIES_DOUBLED_MAX: u32 = 16;
const RETRY_MAX: Duration = Duration::from_hours(24);
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
    /// Of a former secret's search: whether it is the one after which that secret is given up.
    #[serde(default)]
    pub(crate) look: FormerLook,
}

/// Which of the looks under a former secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FormerLook {
    #[default]
    Early,
    /// It was begun when nothing was left to stop.
    Last,
}

/// A deposit key that the relay knows a grant of.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Found {
    pub(crate) number: u32,
    /// As the relay says.
    #[serde(with = "kept::hex")]
    pub(crate) organization: OrganizationId,
    /// How often it could not be kept.
    #[serde(default)]
    failures: u32,
    /// It is not tried again before.
    #[serde(default, with = "kept::maybe_millis")]
    retry: Option<Timestamp>,
}

/// Who wants the search.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Urgency {
    /// A pass: what is not due yet is left.
    Usual,
    /// The person.
    Asked,
}

impl Found {
    pub(crate) fn new(number: u32, organization: OrganizationId) -> Self {
        Self { number, organization, failures: 0, retry: None }
    }

    /// Leaves it for a while, each time a longer one.
    pub(crate) fn put_off(&mut self, now: Timestamp) {
        let doubled = RETRY_FIRST.saturating_mul(1 << self.failures.min(RETRIES_DOUBLED_MAX));
        self.failures = self.failures.saturating_add(1);
        self.retry = Some(now.plus(doubled.min(RETRY_MAX)));
    }

    /// Whether it is to be kept now.
    pub(crate) fn is_due(&self, now: Timestamp, urgency: Urgency) -> bool {
        let is_over = |retry: Timestamp| retry <= now || retry.since(now) > RETRY_MAX;
        urgency == Urgency::Asked || self.retry.is_none_or(is_over)
    }
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
        let (found, look) = (Vec::new(), FormerLook::Early);
        Self { relay, age, decision, next: 0, unknown: 0, unknown_max, ended: None, found, look }
    }

    /// Whether it has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it has ended, and everything that was found is kept.
    pub(crate) fn is_done(&self) -> bool {
        self.is_ended() && self.found.is_empty()
    }

    /// Whether no more may be found before what was is kept.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= FOUND_MAX
    }

    /// Searches under a former secret from the beginning: whoever has it may have accepted something meanwhile.
    pub(crate) fn begin_again(&mut self, look: FormerLook) {
        (self.next, self.unknown, self.ended, self.look) = (0, 0, None, look);
    }

    /// Goes past the key that was asked about.
    pub(crate) fn advance(&mut self, answer: Answer, now: Timestamp) {
        let number = self.next;
        self.unknown = if answer == Answer::Unknown { self.unknown + 1 } else { 0 };
        if let Answer::Found(organization) = answer {
            self.found.push(Found::new(number, organization));
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

    fn is_look_due(&self, now: Timestamp, urgency: Urgency) -> bool {
        let is_over = |ended| urgency == Urgency::Asked || now.since(ended) >= LOOK_EVERY || ended > now;
        self.found.is_empty() && self.ended.is_some_and(is_over)
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
pub(crate) fn due(
    tx: &mut WriteTransaction<'_>,
    now: Timestamp,
    urgency: Urgency,
) -> Result<Vec<SearchPlace>> {
    let mut state = State::load(tx)?;
    for relay in relays_in_use(tx, urgency)? {
        if state.find(&relay, SecretAge::Present).is_none() {
            let mut search = RelaySearch::of_sheet(relay, SecretAge::Present, Decision::Keep);
            // The installation that accepts a grant has just asked about the numbers before it.
            search.ended = Some(now);
            state.searches.push(search);
        }
    }
    for search in state.searches.iter_mut().filter(|search| search.is_look_due(now, urgency)) {
        match search.age {
            SecretAge::Present => search.look_again(acceptance::first_free(tx, &search.relay)?),
            SecretAge::Former => search.begin_again(search.look),
        }
    }
    state.save(tx)?;
    let due = state.searches.iter().filter(|search| !search.is_done());
    let place = |search: &RelaySearch| SearchPlace {
        relay: search.relay.clone(),
        age: search.age,
        decision: search.decision,
        now,
        urgency,
    };
    Ok(due.map(place).collect())
}

/// Where something may be found; who asks wants to know of relays with stopped grants too.
fn relays_in_use(tx: &ReadTransaction<'_>, urgency: Urgency) -> Result<BTreeSet<RelayOrigin>> {
    let rows = GrantRow::all(tx)?.into_iter().map(|(_, row)| row);
    let is_in_use = |row: &GrantRow| urgency == Urgency::Asked || row.phase == Phase::Active;
    let in_use = rows.filter(|row| row.keys == GrantKeys::Present && is_in_use(row));
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
            let due = fixture.patient.store.write(move |tx| due(tx, now, Urgency::Usual)).await.unwrap();
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
        let asked = move |tx: &mut WriteTransaction<'_>| due(tx, day, Urgency::Asked);
        let asked = fixture.patient.store.write(asked).await.unwrap();
        assert_eq!(asked.len(), 1, "who asks waits for no day");
    }

    #[test]
    fn what_cannot_be_kept_is_tried_after_ever_longer_waits() {
        let mut found = Found::new(0, OrganizationId::from_bytes([1; 32]));
        let is_due = |found: &Found, after| found.is_due(NOW.plus(after), Urgency::Usual);
        assert!(is_due(&found, Duration::ZERO));
        for minutes in [1, 2, 4] {
            found.put_off(NOW);
            let wait = Duration::from_mins(minutes);
            let just_before = wait.saturating_sub(Duration::from_millis(1));
            assert!(!is_due(&found, just_before) && is_due(&found, wait));
            assert!(found.is_due(NOW, Urgency::Asked));
        }
        (0..100).for_each(|_| found.put_off(NOW));
        assert!(is_due(&found, RETRY_MAX));
    }
}
