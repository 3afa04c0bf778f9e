//! Wiping what a narrowed scope no longer covers. The statement's commit notes that a wipe is due; what waits for
//! the application is stripped right after; once the application has destroyed what it has, everything that stays
//! moves under a new wrapping key and the former one is destroyed, so that what was removed opens in no old page or
//! copy of the database. Each step repeats until it is done. Not here: the end of a whole grant (`revocation`).

use sealcare_protocol::{GrantId, Scope};
use sealcare_records::{Record, RecordId};
use sealcare_vault::{KeyRange, Space, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::error::{ProviderError, Result};
use crate::grant::StatementRow;
use crate::inbox::covers;
use crate::inbox::queue::{Entry, KeptChange, KeptEvent, PAGE_EVENTS_MAX};
use crate::kept::{self, Kept};
use crate::organization::Organization;
use crate::spaces::{COUNTERS, HELD, QUEUE, WIPES, grant_wrapping_key};

const NEXT: &[u8] = b"next wipe";

/// What is left to do of a grant's newest wipe.
#[derive(Deserialize, Serialize)]
struct WipeRow {
    number: u64,
    /// Nothing that waits for the application holds what was removed.
    is_stripped: bool,
    /// The application has destroyed what it had.
    is_applied: bool,
}

impl Kept for WipeRow {
    const NAME: &'static str = "wipe";
}

/// Notes that a grant's scope has become narrower, and returns the wipe's number.
pub(crate) fn begin(tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<u64> {
    let number = kept::count_up(tx, COUNTERS, NEXT)?;
    let row = WipeRow { number, is_stripped: false, is_applied: false };
    kept::put(tx, WIPES, grant.as_bytes(), &row)?;
    Ok(number)
}

/// The application has taken up the wipe of this number.
pub(crate) fn mark_applied(tx: &mut WriteTransaction<'_>, grant: &GrantId, number: u64) -> Result<()> {
    match kept::get::<WipeRow>(tx, WIPES, grant.as_bytes())? {
        Some(row) if row.number == number => {
            kept::put(tx, WIPES, grant.as_bytes(), &WipeRow { is_applied: true, ..row })
        }
        _ => Ok(()),
    }
}

impl Organization {
    /// Strips what waits for the application of what was removed. A grant of which that fails holds up no other, and is
    /// tried again with the next call; nothing removed is handed over meanwhile.
    ///
    /// # Errors
    /// Only when nothing more can be kept.
    pub(crate) fn strip_removed(&self) -> Result<()> {
        for (grant, row) in self.wipes()?.into_iter().filter(|(_, row)| !row.is_stripped) {
            match self.strip_grant(&grant, row.number) {
                Err(error) if error.needs_reopening() => return Err(error),
                Err(error) => tracing::error!(%error, "what a scope removed could not be taken out yet"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn strip_grant(&self, grant: &GrantId, number: u64) -> Result<()> {
        self.strip(HELD, &KeyRange::prefix(grant.as_bytes()), grant)?;
        self.strip(QUEUE, &KeyRange::all(), grant)?;
        self.settle_wipe(grant, number, |tx, row| {
            kept::put(tx, WIPES, grant.as_bytes(), &WipeRow { is_stripped: true, ..row })
        })
    }

    /// Ends the wipes that the application has taken up. One that fails holds up no other, and is tried again.
    pub(crate) fn finish_wipes(&self) -> Result<()> {
        self.strip_removed()?;
        let mut first_error = None;
        for (grant, row) in self.wipes()? {
            if !(row.is_applied && row.is_stripped) {
                continue;
            }
            let renewed = self.vault.renew_wrapping_key(&grant_wrapping_key(&grant));
            let ended = renewed.map_err(ProviderError::from).and_then(|()| {
                self.settle_wipe(&grant, row.number, |tx, _| {
                    Ok(tx.delete(WIPES, grant.as_bytes()).map(drop)?)
                })
            });
            match ended {
                Err(error) if error.needs_reopening() => return Err(error),
                Err(error) => drop(first_error.get_or_insert(error)),
                Ok(()) => {}
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn wipes(&self) -> Result<Vec<(GrantId, WipeRow)>> {
        let rows = self.vault.read(|tx| tx.scan(WIPES, &KeyRange::all(), usize::MAX))?;
        let decode = |key: &[u8], row: &[u8]| Ok((GrantId::from_slice(key)?, WipeRow::decode(row)?));
        let good = rows.iter().filter_map(|(key, row)| {
            let log = |error: &ProviderError| tracing::error!(%error, "a row of the wipes is damaged");
            decode(key, row).inspect_err(log).ok()
        });
        Ok(good.collect())
    }

    /// Unless another wipe began meanwhile, or the grant is over.
    fn settle_wipe(
        &self,
        grant: &GrantId,
        number: u64,
        settle: impl FnOnce(&mut WriteTransaction<'_>, WipeRow) -> Result<()>,
    ) -> Result<()> {
        self.vault.write(|tx| match kept::get::<WipeRow>(tx, WIPES, grant.as_bytes())? {
            Some(row) if row.number == number => settle(tx, row),
            _ => Ok(()),
        })
    }

    /// Page by page, so that others may write in between.
    fn strip(&self, space: Space, range: &KeyRange, grant: &GrantId) -> Result<()> {
        let mut range = range.clone();
        loop {
            let last = self.vault.write(|tx| strip_page(tx, space, &range, grant))?;
            let Some(last) = last else { return Ok(()) };
            range = range.after(&last);
        }
    }
}

/// Returns the last key that was looked at, if there was one.
fn strip_page(
    tx: &mut WriteTransaction<'_>,
    space: Space,
    range: &KeyRange,
    grant: &GrantId,
) -> Result<Option<Vec<u8>>> {
    let page = tx.scan(space, range, PAGE_EVENTS_MAX)?;
    let (Some((last, _)), Some(mut statement)) = (page.last(), StatementRow::load(tx, grant)?) else {
        return Ok(None);
    };
    let scope = statement.statement()?.scope;
    for (key, row) in &page {
        // A row that cannot be read is never handed over either; it is not known to be this grant's.
        let Ok(mut entry) = Entry::decode(row) else { continue };
        if entry.grant != *grant.as_bytes() || !strip_entry(&mut entry, &scope)? {
            continue;
        }
        let stripped = entry.encode();
        if space == HELD {
            let fewer = row.len().saturating_sub(stripped.len());
            statement.kept_back_fewer(u64::try_from(fewer).unwrap_or(0));
        }
        tx.put_wrapped(&grant_wrapping_key(grant), space, key, &stripped)?;
    }
    if space == HELD {
        statement.store(tx, grant)?;
    }
    Ok(Some(last.clone()))
}

/// Whether anything was taken out. A delivery of nothing stays, and is not handed over.
fn strip_entry(entry: &mut Entry, scope: &Scope) -> Result<bool> {
    let KeptEvent::Records(delivery) = &mut entry.event else { return Ok(false) };
    let before = delivery.changes.len();
    let changes = std::mem::take(&mut delivery.changes);
    for change in changes {
        if is_covered(&change, scope)? {
            delivery.changes.push(change);
        }
    }
    Ok(delivery.changes.len() < before)
}

/// A deletion tells nothing and may take effect.
fn is_covered(change: &KeptChange, scope: &Scope) -> Result<bool> {
    let Some(fhir) = &change.fhir else { return Ok(true) };
    let damaged = |_| ProviderError::Damaged("record");
    let id = RecordId::new(change.id.clone()).map_err(damaged)?;
    let record = Record::from_fhir_json(fhir.as_bytes(), id).map_err(damaged)?;
    Ok(covers(scope, &record))
}
