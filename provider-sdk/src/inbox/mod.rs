//! The inbox: what the relay delivers is checked in the protocol's order and committed in one transaction, then
//! the relay may forget it. Events wait in the vault until the application has taken them up ([`process`]).
//!
//! Not here: the network ([`crate::Subscriber`]), and the checks themselves (`sealcare-protocol`).
//!
//! [`process`]: crate::Organization::process

mod coverage;
mod data;
mod event;
mod init;
mod process;
pub(crate) mod queue;
mod state;

use std::collections::HashSet;

use sealcare_protocol::{EnvelopeHeader, GrantId, InitRefusal, Timestamp, receive_init};
use sealcare_transport::{Content, Item};
use sealcare_vault::WriteTransaction;

pub use coverage::covers;
pub use event::{Delivery, DeliveryKey, EventKind, InboxEvent, RecordChange};

use crate::error::{ProviderError, Result};
use crate::kept;
use crate::organization::Organization;
use crate::spaces::{BINDINGS, COUNTERS, grant_wrapping_key};
use state::VaultState;

/// Grants whose items this organization could not store: nothing of theirs but their end is processed until it starts
/// anew, so that their order holds.
#[derive(Debug, Default)]
pub struct Halted(HashSet<GrantId>);

impl Halted {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Passes over everything but ends: of these items' grants nothing more is received.
    pub(crate) fn pass_over(&mut self, items: &[Item]) {
        self.0.extend(items.iter().filter(|item| !is_end(item)).map(|item| item.grant));
    }

    pub(crate) fn grants(&self) -> &HashSet<GrantId> {
        &self.0
    }

    fn lets_pass(&self, item: &Item) -> bool {
        is_end(item) || !self.0.contains(&item.grant)
    }

    fn of(&self, item: &Item) -> Settlement {
        if self.lets_pass(item) { Settlement::Settled } else { Settlement::Unsettled }
    }
}

/// An end needs no order: nothing of its grant counts any more.
const fn is_end(item: &Item) -> bool {
    matches!(item.content, Content::Revocation(_))
}

/// What became of an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// It is accounted for, durably: accepted, or refused for ever. The relay may forget it.
    Settled,
    /// It could not be stored; the relay must keep it.
    Unsettled,
}

impl Organization {
    /// Takes in a batch: the answer holds one settlement for each item, in order. All that is settled is durable. A
    /// grant that is stuck at the application is halted when too many of its events wait; ends are always taken in.
    ///
    /// # Errors
    /// [`ProviderError::Full`] if too many events wait and the batch has more than ends; the vault's, once it takes
    /// nothing at all any more.
    pub fn receive(&self, items: &[Item], halted: &mut Halted, now: Timestamp) -> Result<Vec<Settlement>> {
        self.prepare(items, now)?;
        self.halt_stuck(items, halted)?;
        let at_once = self.vault.write(|tx| {
            let mut live = items.iter().filter(|item| halted.lets_pass(item));
            live.try_for_each(|item| self.settle(tx, item, now))
        });
        let settlements = match at_once {
            Ok(()) => items.iter().map(|item| halted.of(item)).collect(),
            Err(error) if error.needs_reopening() => return Err(error),
            Err(_) => self.receive_singly(items, halted, now)?,
        };
        self.link.set_halted(halted.grants().clone());
        self.finish_destructions()?;
        self.strip_removed()?;
        self.announce_events();
        self.announce_replies();
        Ok(settlements)
    }

    fn halt_stuck(&self, items: &[Item], halted: &mut Halted) -> Result<()> {
        let stuck = self.link.stuck();
        self.vault.read(|tx| {
            for item in items.iter().filter(|item| stuck.contains(&item.grant)) {
                if queue::is_stuck_full(tx, &item.grant)? && halted.0.insert(item.grant) {
                    tracing::error!("a grant is halted: too many of its events wait for the application");
                }
            }
            let is_live = |item: &Item| !is_end(item) && halted.lets_pass(item);
            if items.iter().any(is_live) && queue::is_full(tx, &stuck)? {
                Err(ProviderError::Full)
            } else {
                Ok(())
            }
        })
    }

    /// One transaction an item, so that a failure halts its own grant only.
    fn receive_singly(&self, items: &[Item], halted: &mut Halted, now: Timestamp) -> Result<Vec<Settlement>> {
        let mut settlements = Vec::with_capacity(items.len());
        for item in items {
            let mut settlement = halted.of(item);
            if halted.lets_pass(item) {
                match self.vault.write(|tx| self.settle(tx, item, now)) {
                    Ok(()) => {}
                    Err(error) if error.needs_reopening() => return Err(error),
                    Err(error) => {
                        tracing::error!(%error, "a grant is halted: an item of it could not be stored");
                        halted.0.insert(item.grant);
                        settlement = Settlement::Unsettled;
                    }
                }
            }
            settlements.push(settlement);
        }
        Ok(settlements)
    }

    /// A wrapping key cannot be made within a transaction. So the first init of a grant is checked twice: here,
    /// where nothing is recorded but that key, and where it is committed.
    fn prepare(&self, items: &[Item], now: Timestamp) -> Result<()> {
        for item in items {
            let Content::Envelope(envelope) = &item.content else { continue };
            if !matches!(EnvelopeHeader::parse(envelope), Some(EnvelopeHeader::Init(_))) {
                continue;
            }
            let wrapping = grant_wrapping_key(&item.grant);
            let is_good = self.vault.read(|tx| {
                if tx.has_wrapping_key(&wrapping)? {
                    return Ok::<_, ProviderError>(false);
                }
                let state = VaultState { tx, now };
                Ok(receive_init(&state, &self.id, &item.grant, envelope, now)?.is_ok())
            });
            // A failure of the store shows again in the transaction, and halts that grant only.
            if is_good.unwrap_or(false) {
                self.vault.create_wrapping_key(&wrapping)?;
            }
        }
        Ok(())
    }

    fn settle(&self, tx: &mut WriteTransaction<'_>, item: &Item, now: Timestamp) -> Result<()> {
        match &item.content {
            Content::Envelope(envelope) => match EnvelopeHeader::parse(envelope) {
                Some(EnvelopeHeader::Data(header)) => {
                    data::settle(tx, &item.grant, &header.session, envelope, now)
                }
                Some(EnvelopeHeader::Init(header)) => {
                    init::settle(tx, &self.id, &item.grant, header, envelope, now)
                }
                _ => refuse(tx, &item.grant, InitRefusal::Version.name(), now),
            },
            Content::Revocation(revocation) => {
                crate::revocation::settle(tx, &self.id, &item.grant, revocation.clone(), now)
            }
        }
    }

    /// How often each refusal was met, by its name.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn refusals(&self) -> Result<std::collections::BTreeMap<String, u64>> {
        let prefix = sealcare_vault::KeyRange::prefix(REFUSED);
        self.vault.read(|tx| {
            let rows = tx.scan(COUNTERS, &prefix, usize::MAX)?;
            let named = |key: &[u8]| String::from_utf8_lossy(&key[REFUSED.len()..]).into_owned();
            rows.iter().map(|(key, count)| Ok((named(key), kept::number(count)?))).collect()
        })
    }
}

const REFUSED: &[u8] = b"refused ";

/// Counts a refusal by name.
pub(crate) fn count_refused(tx: &mut WriteTransaction<'_>, name: &'static str) -> Result<()> {
    kept::count_up(tx, COUNTERS, &[REFUSED, name.as_bytes()].concat()).map(drop)
}

/// Records a permanent refusal by name. Of a grant that is not known only the count is kept: anyone could
/// otherwise fill the queue.
pub(crate) fn refuse(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    name: &'static str,
    now: Timestamp,
) -> Result<()> {
    count_refused(tx, name)?;
    if tx.get(BINDINGS, grant.as_bytes())?.is_some() {
        queue::put(tx, grant, now, &queue::KeptEvent::Refused { name: name.to_owned() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
