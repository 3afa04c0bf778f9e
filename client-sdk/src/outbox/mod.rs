//! A grant's outbox: record changes become numbered bodies, bodies are sealed into batches, batches are deposited,
//! replies confirm them. Every step is one transaction of the vault, so that a crash between any two loses nothing
//! and doubles nothing:
//!
//! 1. [`bodies`]: body and number are fixed together, and kept until confirmed under seal.
//! 2. [`flight`]: a batch is sealed, and its bytes kept together with the advanced chain, before it is uploaded.
//! 3. [`settle`]: the relay's answer clears the batch, or says what to do instead.
//! 4. [`replies`]: a sealed reply deletes the bodies that it confirms.
//!
//! Another scope goes across all of it: [`coverage`] knows what was told under which, [`withdrawal`] empties what
//! is not to leave any more, [`repeats`] tells the rest of it again, and so what [`refusals`] finds refused under
//! another device's statement.
//!
//! Not here: the network (`sharing`), and what a bundle is good for (`bundle`).

pub(crate) mod bodies;
pub(crate) mod coverage;
pub(crate) mod flight;
mod refusals;
mod repeats;
pub(crate) mod replies;
pub(crate) mod settle;
pub(crate) mod withdrawal;

use sealcare_protocol::GrantId;
use sealcare_vault::WriteTransaction;

use crate::{
    error::{ClientError, Result},
    grant::{GrantRow, Outbox},
    store::{BODIES, FLIGHTS, REPEATS, REPLY_KEYS, SESSIONS},
};

/// Numbers that may be unconfirmed at a time.
pub(crate) const UNCONFIRMED_MAX: u64 = 1_024;

/// The key of a numbered row of a grant.
pub(crate) fn numbered(grant: &GrantId, number: u64) -> Vec<u8> {
    [&grant.as_bytes()[..], &number.to_be_bytes()].concat()
}

/// The number in such a key.
fn number_of(key: &[u8]) -> Result<u64> {
    let number = key.last_chunk().ok_or(ClientError::Kept("a numbered row"))?;
    Ok(u64::from_be_bytes(*number))
}

/// Begins anew as another sender: everything in scope is sent again, under new numbers. Applications upsert by
/// record id, so nothing is doubled.
pub(crate) fn renew_sender(tx: &mut WriteTransaction<'_>, id: &GrantId, row: &mut GrantRow) -> Result<()> {
    clear(tx, id)?;
    let last_deposit = row.outbox.last_deposit;
    row.outbox = Outbox { last_deposit, ..Outbox::new() };
    row.session = None;
    row.save(tx, id)
}

/// Deletes all that a grant has under its wrapping key, but for the link code.
pub(crate) fn clear(tx: &mut WriteTransaction<'_>, id: &GrantId) -> Result<()> {
    for space in [BODIES, FLIGHTS, SESSIONS, REPLY_KEYS, REPEATS] {
        tx.delete_prefix(space, id.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
