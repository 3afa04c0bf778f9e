//! A patient: keys of one grant, and sessions sealed under them. Not here: its channel to a relay (`relay`).

use std::collections::BTreeSet;

use sealcare_protocol::{
    AccountSecret, Clock as _, DepositKey, GrantIdentity, GrantState, LinkCode, Person, Scope, SealedInit,
    SenderId, SessionStart, Statement, SystemClock, Terms,
};

use crate::clinic::Clinic;

/// What is shared.
pub(crate) const TYPE: &str = "heart-rate";

/// Someone who shares with a clinic.
pub(crate) struct Patient {
    pub(crate) deposit_key: DepositKey,
    pub(crate) grant: GrantIdentity,
}

impl Patient {
    /// Draws the keys of a grant to `clinic`.
    pub(crate) fn of(clinic: &Clinic) -> Self {
        let rng = &mut rand::rng();
        let deposit_key = DepositKey::random(rng);
        let grant = GrantIdentity::derive(&AccountSecret::random(rng), &clinic.id(), &deposit_key);
        Self { deposit_key, grant }
    }

    /// Seals the start of a session.
    pub(crate) fn start_session(&self, clinic: &Clinic) -> anyhow::Result<SealedInit> {
        let (now, rng) = (SystemClock.now(), &mut rand::rng());
        let terms = Terms {
            revision: Statement::next_revision(0, now),
            state: GrantState::Active,
            scope: Scope { types: BTreeSet::from([TYPE.parse()?]), from: None },
        };
        let person = Person::new("Ana Lima", "1980-02-29")?;
        let statement = self.grant.statement(terms, person, Some(LinkCode::random(rng)));
        let sender = SenderId::random(rng);
        let start = SessionStart { grant: &self.grant, bundle: &clinic.bundle, sender, base: 0 };
        Ok(start.seal(statement, now, rng)?)
    }
}
