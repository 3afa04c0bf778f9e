//! What this process knows right now of its relay, and of grants whose items or events wait: in memory only. Not here:
//! the connection itself (`subscriber`), and what is durable of it (`silence`).

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealcare_protocol::GrantId;

use crate::subscriber::LinkState;

/// Of one organization, shared between its subscriber, its application and its sweeps.
#[derive(Default)]
pub(crate) struct Link(Mutex<Known>);

#[derive(Default)]
struct Known {
    has_caught_up: bool,
    is_clock_disputed: bool,
    halted: HashSet<GrantId>,
    stuck: HashSet<GrantId>,
}

impl Link {
    /// Where the subscription stands; live, the relay agrees with this clock too.
    pub(crate) fn stand(&self, state: LinkState) {
        let mut known = self.known();
        known.has_caught_up = state == LinkState::Live;
        if known.has_caught_up {
            known.is_clock_disputed = false;
        }
    }

    /// The relay says that this clock is wrong.
    pub(crate) fn dispute_clock(&self) {
        self.known().is_clock_disputed = true;
    }

    /// Whether everything that the relay had has come, and the subscription goes on.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.known().has_caught_up
    }

    /// Whether the relay said last that this clock is wrong.
    pub(crate) fn is_clock_disputed(&self) -> bool {
        self.known().is_clock_disputed
    }

    /// Grants of which the relay holds items that could not be taken in.
    pub(crate) fn halted(&self) -> HashSet<GrantId> {
        self.known().halted.clone()
    }

    /// Sets them.
    pub(crate) fn set_halted(&self, halted: HashSet<GrantId>) {
        self.known().halted = halted;
    }

    /// Grants whose next event the application could not take up when it tried last.
    pub(crate) fn stuck(&self) -> HashSet<GrantId> {
        self.known().stuck.clone()
    }

    /// Sets them.
    pub(crate) fn set_stuck(&self, stuck: HashSet<GrantId>) {
        self.known().stuck = stuck;
    }

    /// A panic between two changes leaves it whole.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
