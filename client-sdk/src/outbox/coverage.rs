//! What a scope covers, and what an organization was told of under which scope: after a change, what is newly
//! covered is told, and what it may have had is taken back. Not here: packing (`bodies`), emptying (`withdrawal`).

use std::collections::BTreeSet;

use sealcare_protocol::{Scope, Timestamp, TypeName};
use serde::{Deserialize, Serialize};

use crate::{
    grant::{GrantRow, Outbox},
    kept,
};

/// Scopes of the past that are told apart; more are taken as one that covers what any did.
const SCOPES_MAX: usize = 32;
/// Stretches of versions that are told apart; more are taken as told of what all were.
const TOLD_MAX: usize = 16;

/// A scope, and the version of the record changes that bounds where it held.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct ScopeAt {
    pub(crate) version: u64,
    #[serde(with = "kept::types")]
    types: BTreeSet<TypeName>,
    #[serde(with = "kept::maybe_millis")]
    from: Option<Timestamp>,
}

impl ScopeAt {
    pub(crate) fn new(version: u64, scope: Scope) -> Self {
        Self { version, types: scope.types, from: scope.from }
    }

    fn covers(&self, type_name: &str, start_ms: Option<u64>) -> bool {
        covers(&self.types, self.from, type_name, start_ms)
    }

    fn intersect(&mut self, scope: &Scope) {
        self.types.retain(|name| scope.types.contains(name));
        self.from = self.from.max(scope.from);
    }

    fn unite(&mut self, other: Self) {
        self.types.extend(other.types);
        self.from = self.from.min(other.from);
        self.version = self.version.min(other.version);
    }
}

/// Whether a record of a type that begins at `start_ms` is covered. One that begins at no known instant is covered
/// by a scope of all times only.
pub(crate) fn covers(
    types: &BTreeSet<TypeName>,
    from: Option<Timestamp>,
    type_name: &str,
    start_ms: Option<u64>,
) -> bool {
    let from = from.map_or(0, Timestamp::as_millis);
    let is_since = from == 0 || start_ms.is_some_and(|start| start >= from);
    is_since && types.iter().any(|name| name.as_str() == type_name)
}

/// Whether `new` leaves out something that `old` covered.
pub(crate) fn is_narrower(old: &Scope, new: &Scope) -> bool {
    !old.types.is_subset(&new.types) || new.from > old.from
}

/// What both cover.
pub(crate) fn intersection(one: &Scope, other: &Scope) -> Scope {
    Scope { types: one.types.intersection(&other.types).cloned().collect(), from: one.from.max(other.from) }
}

impl GrantRow {
    pub(crate) fn covers(&self, type_name: &str, start_ms: Option<u64>) -> bool {
        covers(&self.types, self.from, type_name, start_ms)
    }

    /// Whether the organization may have a record whose newest change is `version`: some scope covered it before
    /// that change.
    pub(crate) fn may_have_had(&self, version: u64, type_name: &str, start_ms: Option<u64>) -> bool {
        if self.scopes.is_empty() {
            return version > self.accepted_version && self.covers(type_name, start_ms);
        }
        self.scopes.iter().any(|past| version > past.version && past.covers(type_name, start_ms))
    }

    /// Takes another scope from the record change `newest` on: notes what the grant covered until now, and what of
    /// the changes that were told is to be told again or for the first time.
    pub(crate) fn rescope(&mut self, new: Scope, newest: u64) {
        let old = self.scope();
        if self.scopes.is_empty() {
            self.scopes.push(ScopeAt::new(self.accepted_version, old.clone()));
        }
        if !self.scopes.iter().any(|past| !is_narrower(&new, &Scope::from(past.clone()))) {
            self.scopes.push(ScopeAt::new(newest, new.clone()));
        }
        if self.scopes.len() > SCOPES_MAX {
            let united = self.scopes.drain(..).reduce(|mut one, other| {
                one.unite(other);
                one
            });
            self.scopes.extend(united);
        }
        self.outbox.rescope(old, &new);
        (self.types, self.from) = (new.types, new.from);
    }
}

impl From<ScopeAt> for Scope {
    fn from(at: ScopeAt) -> Self {
        Self { types: at.types, from: at.from }
    }
}

impl Outbox {
    /// Whether the change `version`, above `scanned`, was told under an earlier scope that covered such a record.
    pub(crate) fn was_told(&self, version: u64, type_name: &str, start_ms: Option<u64>) -> bool {
        let told = self.told.iter().find(|told| version <= told.version);
        told.is_some_and(|told| told.covers(type_name, start_ms))
    }

    /// All changes up to `version` are in bodies now.
    pub(crate) fn advance(&mut self, version: u64) {
        self.scanned = version;
        self.told.retain(|told| told.version > version);
    }

    /// What is no more covered counts as never told: the organization has destroyed it. What was not covered
    /// before is still to be told, from the first change on.
    fn rescope(&mut self, old: Scope, new: &Scope) {
        let mut told = std::mem::take(&mut self.told);
        if self.scanned > 0 {
            told.insert(0, ScopeAt::new(self.scanned, old));
        }
        for at in &mut told {
            at.intersect(new);
        }
        while told.len() > TOLD_MAX {
            let first = Scope::from(told.remove(0));
            told[0].intersect(&first);
        }
        self.scanned = 0;
        let is_short = |at: &&ScopeAt| Scope::from((*at).clone()) != *new;
        let whole = told.iter().position(|at| is_short(&at)).unwrap_or(told.len());
        if let Some(last) = told.drain(..whole).next_back() {
            self.scanned = last.version;
        }
        self.told = told;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(types: &str, from: Option<u64>) -> Scope {
        let types = types.split_whitespace().map(|name| name.parse().unwrap()).collect();
        Scope { types, from: from.map(Timestamp::from_millis) }
    }

    fn outbox(scanned: u64) -> Outbox {
        Outbox { scanned, ..Outbox::new() }
    }

    #[test]
    fn a_narrower_scope_tells_nothing_twice() {
        let mut outbox = outbox(10);
        outbox.rescope(scope("a b", None), &scope("a", None));
        assert_eq!((outbox.scanned, outbox.told.len()), (10, 0));
        outbox.rescope(scope("a", None), &scope("a", Some(5)));
        assert_eq!((outbox.scanned, outbox.told.len()), (10, 0));
    }

    #[test]
    fn a_wider_scope_tells_only_what_is_newly_covered() {
        let mut outbox = outbox(10);
        outbox.rescope(scope("a", None), &scope("a b", None));
        assert_eq!(outbox.scanned, 0);
        assert!(outbox.was_told(10, "a", None) && !outbox.was_told(10, "b", None));
        assert!(!outbox.was_told(11, "a", None), "never looked at");
        outbox.advance(10);
        assert!(outbox.told.is_empty());
    }

    #[test]
    fn a_change_in_the_middle_of_telling_keeps_both_stretches_apart() {
        let mut outbox = outbox(10);
        outbox.rescope(scope("a", None), &scope("a b", None));
        outbox.advance(4);
        outbox.rescope(scope("a b", None), &scope("a b c", None));
        let told = |version, name| outbox.was_told(version, name, None);
        assert_eq!([told(4, "b"), told(5, "b"), told(5, "a"), told(4, "c")], [true, false, true, false]);
        outbox.rescope(scope("a b c", None), &scope("b", None));
        assert_eq!(outbox.scanned, 4, "the first stretch has all of b");
        assert!(!outbox.was_told(5, "b", None));
    }

    #[test]
    fn a_type_that_was_removed_and_comes_back_is_told_again() {
        let mut outbox = outbox(10);
        outbox.rescope(scope("a b", None), &scope("a", None));
        outbox.rescope(scope("a", None), &scope("a b", None));
        assert_eq!(outbox.scanned, 0);
        assert!(outbox.was_told(10, "a", None) && !outbox.was_told(10, "b", None));
    }

    #[test]
    fn an_earlier_period_is_told_and_the_later_is_not_repeated() {
        let mut outbox = outbox(10);
        outbox.rescope(scope("a", Some(100)), &scope("a", Some(50)));
        assert!(outbox.was_told(1, "a", Some(100)) && !outbox.was_told(1, "a", Some(99)));
    }

    #[test]
    fn stretches_are_bounded_and_then_claim_less() {
        let mut outbox = outbox(1_000);
        let name = |number: u8| format!("t{}", char::from(b'a' + number));
        let mut types = "a".to_owned();
        for number in 0..25 {
            let before = scope(&types, None);
            types = format!("{types} {}", name(number));
            outbox.rescope(before, &scope(&types, None));
            outbox.advance(u64::from(25 - number));
        }
        assert!(outbox.told.len() <= TOLD_MAX, "{}", outbox.told.len());
    }
}
