//! Handing waiting events to the application, exactly once for what it keeps in the same transaction.

use std::collections::HashSet;

use sealcare_protocol::{GrantId, Timestamp};
use sealcare_vault::{KeyRange, WriteTransaction};

use crate::error::{ProviderError, Result};
use crate::grant::{Binding, StatementRow};
use crate::inbox::event::{Delivery, EventKind, InboxEvent};
use crate::inbox::queue::{self, Entry, KeptEvent, PAGE_EVENTS_MAX};
use crate::kept::{self, Kept};
use crate::organization::Organization;
use crate::spaces::{BINDINGS, QUEUE, TOMBSTONES};
use crate::{revocation, wipe};

impl Organization {
    /// Hands every waiting event to `apply`, in order, and returns how many there were. What `apply` writes and
    /// that the event is done commit together, so that for state in this vault each counts exactly once.
    ///
    /// If `apply` fails, what it wrote for that event is undone, the grant's later events wait with it, and
    /// other grants go on. `apply` may be called again for an event whose transaction was undone.
    ///
    /// # Errors
    /// The first error of `apply` ([`ProviderError::application`]), after everything else was handed over; those
    /// of the vault.
    pub fn process(
        &self,
        mut apply: impl FnMut(&mut WriteTransaction<'_>, &InboxEvent) -> Result<()>,
    ) -> Result<usize> {
        let mut stuck = Stuck::default();
        let mut done = 0;
        loop {
            let Some(page) = self.page(&mut stuck)? else { break };
            let together = self
                .vault
                .write(|tx| page.iter().map(|key| take(tx, key, &mut apply)).sum::<Result<usize>>());
            done += match together {
                Ok(count) => count,
                Err(error) if error.needs_reopening() => return Err(error),
                Err(_) => self.process_singly(&page, &mut stuck, &mut apply)?,
            };
        }
        self.link.set_stuck(std::mem::take(&mut stuck.grants));
        if done > 0 {
            self.vault.write(queue::settle_counts)?;
            // A revocation that was taken up can be confirmed now, and a wipe can end.
            self.announce_replies();
            self.finish_wipes()?;
        }
        stuck.first_error.map_or(Ok(done), Err)
    }

    /// One transaction an event, to find the ones that fail.
    fn process_singly(
        &self,
        page: &[Vec<u8>],
        stuck: &mut Stuck,
        apply: &mut impl FnMut(&mut WriteTransaction<'_>, &InboxEvent) -> Result<()>,
    ) -> Result<usize> {
        let mut done = 0;
        for key in page {
            let mut grant = None;
            let taken = self.vault.write(|tx| {
                grant = grant_of(tx, key)?;
                if grant.is_some_and(|grant| stuck.grants.contains(&grant)) {
                    return Ok(0);
                }
                take(tx, key, apply)
            });
            match taken {
                Ok(count) => done += count,
                Err(error) if error.needs_reopening() => return Err(error),
                Err(error) => {
                    stuck.grants.extend(grant);
                    stuck.first_error.get_or_insert(error);
                }
            }
        }
        Ok(done)
    }

    /// The keys of the next events, but for those that wait behind one that failed; `None` at the end.
    fn page(&self, stuck: &mut Stuck) -> Result<Option<Vec<Vec<u8>>>> {
        // In a writing transaction, for a destruction between two reads could close what is waiting.
        let rows = self.vault.write(|tx| {
            let range = stuck.after.as_ref().map_or(KeyRange::all(), |key| KeyRange::all().after(key));
            Ok::<_, ProviderError>(tx.scan(QUEUE, &range, PAGE_EVENTS_MAX)?)
        })?;
        let Some((last, _)) = rows.last() else { return Ok(None) };
        stuck.after = Some(last.clone());
        let free = rows.into_iter().filter(|(_, row)| stuck.is_free(row));
        Ok(Some(free.map(|(key, _)| key).collect()))
    }
}

impl Entry {
    /// The wipe that goes on when this is taken up.
    const fn wipe(&self) -> Option<u64> {
        match &self.event {
            KeptEvent::ScopeChanged(change) => change.wipe,
            _ => None,
        }
    }
}

/// What could not be taken up in this round.
#[derive(Default)]
struct Stuck {
    grants: HashSet<GrantId>,
    after: Option<Vec<u8>>,
    first_error: Option<ProviderError>,
}

impl Stuck {
    fn is_free(&self, row: &[u8]) -> bool {
        let is_stuck = |entry: Entry| self.grants.contains(&GrantId::from_bytes(entry.grant));
        self.grants.is_empty() || !Entry::decode(row).is_ok_and(is_stuck)
    }
}

fn grant_of(tx: &WriteTransaction<'_>, key: &[u8]) -> Result<Option<GrantId>> {
    let entry: Option<Entry> = kept::get(tx, QUEUE, key)?;
    Ok(entry.map(|entry| GrantId::from_bytes(entry.grant)))
}

/// Applies one event and deletes it; 0 if it is gone or must not be seen any more.
fn take(
    tx: &mut WriteTransaction<'_>,
    key: &[u8],
    apply: &mut impl FnMut(&mut WriteTransaction<'_>, &InboxEvent) -> Result<()>,
) -> Result<usize> {
    let Some(entry) = kept::get::<Entry>(tx, QUEUE, key)? else { return Ok(0) };
    queue::take_away(tx, &GrantId::from_bytes(entry.grant), key)?;
    let wipe = entry.wipe();
    let Some(event) = event(tx, entry)? else { return Ok(0) };
    apply(tx, &event)?;
    if event.kind.is_end() {
        revocation::mark_applied(tx, &event.grant)?;
    }
    if let Some(number) = wipe {
        wipe::mark_applied(tx, &event.grant, number)?;
    }
    Ok(1)
}

/// The event as the application sees it; `None` for what a revocation overtook.
fn event(tx: &WriteTransaction<'_>, entry: Entry) -> Result<Option<InboxEvent>> {
    let grant = GrantId::from_bytes(entry.grant);
    let is_over = matches!(entry.event, KeptEvent::Revoked | KeptEvent::Rejected | KeptEvent::Ended);
    if !is_over && tx.get(TOMBSTONES, grant.as_bytes())?.is_some() {
        return Ok(None);
    }
    let kind = match entry.event {
        KeptEvent::Records(kept) => {
            let binding: Option<Binding> = kept::get(tx, BINDINGS, grant.as_bytes())?;
            let patient = binding.ok_or(ProviderError::Damaged("binding"))?.patient;
            let statement = StatementRow::load(tx, &grant)?.ok_or(ProviderError::Damaged("statement"))?;
            let scope = statement.statement()?.scope;
            let delivery = Delivery::from_kept(&grant, kept, patient, &scope)?;
            if delivery.changes.is_empty() {
                return Ok(None);
            }
            EventKind::Records(delivery)
        }
        KeptEvent::Held(reasons) => EventKind::Held(reasons),
        KeptEvent::Admitted => EventKind::Admitted,
        KeptEvent::Paused => EventKind::Paused,
        KeptEvent::Resumed => EventKind::Resumed,
        KeptEvent::ScopeChanged(change) => {
            let scope = change.scope()?;
            EventKind::ScopeChanged { removed: change.removed, added: change.added, scope }
        }
        KeptEvent::Stale => EventKind::Stale,
        KeptEvent::Lapsed => EventKind::Lapsed,
        KeptEvent::Returned => EventKind::Returned,
        KeptEvent::Gap => EventKind::Gap,
        KeptEvent::UnknownSender => EventKind::UnknownSender,
        KeptEvent::Resync => EventKind::Resync,
        KeptEvent::UnknownBundle => EventKind::UnknownBundle,
        KeptEvent::Refused { name } => EventKind::Refused { name },
        KeptEvent::Revoked => EventKind::Revoked,
        KeptEvent::Rejected => EventKind::Rejected,
        KeptEvent::Ended => EventKind::Ended,
    };
    Ok(Some(InboxEvent { grant, at: Timestamp::from_millis(entry.at), kind }))
}
