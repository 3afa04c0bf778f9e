//! The record view: what patients share now, kept in the vault under each grant's own wrapping key, so that a
//! revocation destroys it whole. Written in the inbox's transaction, hence exactly once.
//!
//! Every change has a number. A record lies under (grant, blinded record id) and knows its number; the journal
//! leads from numbers to what changed, and is the order in which records are listed and followed. What else happens
//! to a grant is noted there too, for who follows.
//!
//! What a narrowed scope no longer covers is deleted here; the inbox then renews the grant's wrapping key, so that it
//! opens in no old page or copy of the vault either.
//!
//! Not here: receiving (`sealcare-provider`), and how a listing is printed (`records`).

mod journal;
mod listing;
mod rows;

use std::collections::BTreeMap;

use sealcare_provider::{ChartPatient, EventKind, GrantId, InboxEvent, ProviderError, RecordChange};
use sealcare_records::Record;
use sealcare_vault::{KeyRange, ReadTransaction, Vault, WriteTransaction};

use crate::error::{GatewayError, Result};
use rows::{Change, Counts, RECORDS, RecordRow, record_key};

pub(crate) use journal::{REMOVALS_MAX, head, trim};
pub(crate) use listing::{Page, page};
pub(crate) use rows::{Ended, Note, ended};

/// Applies an event of the inbox, inside its transaction.
///
/// # Errors
/// Those of the vault, as the inbox wants them.
pub(crate) fn apply(
    vault: &Vault,
    tx: &mut WriteTransaction<'_>,
    event: &InboxEvent,
) -> Result<(), ProviderError> {
    let grant = &event.grant;
    let applied = match &event.kind {
        EventKind::Records(delivery) => change(vault, tx, grant, |writer| {
            delivery.changes.iter().try_for_each(|change| writer.change(&delivery.patient, change))
        }),
        EventKind::ScopeChanged { scope, .. } => change(vault, tx, grant, |writer| {
            writer.note(event)?;
            writer.for_each(
                |writer, key, row| {
                    if row.is_covered(scope)? { Ok(()) } else { writer.remove(key, &row) }
                },
            )
        }),
        // Whoever passed over them while they were hidden has yet to see them.
        EventKind::Admitted | EventKind::Returned => change(vault, tx, grant, |writer| {
            writer.note(event)?;
            writer.for_each(Writer::list_again)
        }),
        _ => match Ended::of(event) {
            Some(ended) => end(tx, grant, ended),
            // After a restoration, of a grant whose next session has yet to come: there is no key to keep it under.
            None if !tx.has_wrapping_key(&rows::wrapping_key(grant))? => Ok(()),
            None => journal::append(tx, grant, &Change::Noted(Note::of(event))).map(drop),
        },
    };
    applied.map_err(ProviderError::application)
}

/// How many records of each type a grant has in the view.
///
/// # Errors
/// Those of the vault.
pub(crate) fn count_by_type(tx: &ReadTransaction<'_>, grant: &GrantId) -> Result<BTreeMap<String, u64>> {
    Ok(Counts::load(tx, grant)?.0)
}

/// Runs `work` and keeps the counts that it changed.
fn change(
    vault: &Vault,
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    work: impl FnOnce(&mut Writer<'_, '_>) -> Result<()>,
) -> Result<()> {
    let counts = Counts::load(tx, grant)?;
    let mut writer = Writer { vault, tx, grant, counts };
    work(&mut writer)?;
    let Writer { tx, counts, .. } = writer;
    counts.store(tx, grant)
}

/// The inbox destroyed the wrapping key, and with it every row; what is left to say is that it is over.
fn end(tx: &mut WriteTransaction<'_>, grant: &GrantId, ended: Ended) -> Result<()> {
    tx.delete_prefix(RECORDS, grant.as_bytes())?;
    rows::put_ended(tx, grant, &ended)?;
    journal::append_last(tx, grant, &Change::Ended(ended)).map(drop)
}

/// Changes one grant's part of the view.
struct Writer<'a, 'v> {
    vault: &'a Vault,
    tx: &'a mut WriteTransaction<'v>,
    grant: &'a GrantId,
    counts: Counts,
}

impl Writer<'_, '_> {
    fn change(&mut self, patient: &ChartPatient, change: &RecordChange) -> Result<()> {
        let key = record_key(self.vault, self.grant, change.id());
        let before = self.tx.get(RECORDS, &key)?.map(|row| RecordRow::decode(&row)).transpose()?;
        match (change, before) {
            (RecordChange::Upsert(record), before) => {
                if let Some(before) = before {
                    self.withdraw(&before)?;
                }
                self.put(&key, patient, record)
            }
            (RecordChange::Tombstone { .. }, Some(before)) => self.remove(&key, &before),
            // A record that never came, or is gone already, is no news.
            (RecordChange::Tombstone { .. }, None) => Ok(()),
        }
    }

    fn note(&mut self, event: &InboxEvent) -> Result<()> {
        journal::append(self.tx, self.grant, &Change::Noted(Note::of(event))).map(drop)
    }

    /// Every record of the grant, in the order of the rows.
    fn for_each(&mut self, mut work: impl FnMut(&mut Self, &[u8], RecordRow) -> Result<()>) -> Result<()> {
        let mut range = KeyRange::prefix(self.grant.as_bytes());
        loop {
            let page = self.tx.scan(RECORDS, &range, rows::SCAN_RECORDS_MAX)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            range = range.after(last);
            for (key, row) in &page {
                work(self, key, RecordRow::decode(row)?)?;
            }
        }
    }

    /// At the journal's end, as if it had come now.
    fn list_again(&mut self, key: &[u8], row: RecordRow) -> Result<()> {
        journal::withdraw(self.tx, row.number)?;
        let number = journal::append(self.tx, self.grant, &Change::record(key))?;
        let row = RecordRow { number, ..row };
        Ok(self.tx.put_wrapped(&rows::wrapping_key(self.grant), RECORDS, key, &row.encode())?)
    }

    fn put(&mut self, key: &[u8], patient: &ChartPatient, record: &Record) -> Result<()> {
        let number = journal::append(self.tx, self.grant, &Change::record(key))?;
        let record = record.clone().with_subject(&patient.reference());
        let row = RecordRow::new(number, &record)?;
        self.counts.add(&row.type_name);
        Ok(self.tx.put_wrapped(&rows::wrapping_key(self.grant), RECORDS, key, &row.encode())?)
    }

    fn remove(&mut self, key: &[u8], row: &RecordRow) -> Result<()> {
        self.withdraw(row)?;
        self.tx.delete(RECORDS, key)?;
        let change = Change::Removed { id: row.id.clone(), type_name: row.type_name.clone() };
        journal::append(self.tx, self.grant, &change).map(drop)
    }

    fn withdraw(&mut self, row: &RecordRow) -> Result<()> {
        self.counts.subtract(&row.type_name);
        journal::withdraw(self.tx, row.number)
    }
}

/// For a value that this program put there.
fn damaged(what: &'static str) -> impl Fn(serde_json::Error) -> GatewayError {
    move |_| GatewayError::Damaged(what)
}

#[cfg(test)]
mod tests;
