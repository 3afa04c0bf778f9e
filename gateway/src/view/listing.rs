//! Pages of the record view, in the order of the journal: for listing what is there, and for following what comes.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use sealcare_provider::{GrantId, Organization, Scope, Timestamp};
use sealcare_vault::{KeyRange, ReadTransaction};

use super::journal::{Entry, head};
use super::rows::{Change, JOURNAL, RECORDS, RecordRow};
use crate::error::{GatewayError, Result};
use crate::handle::GrantHandle;
use crate::line::Line;

/// Changes that a page looks at.
const PAGE_CHANGES_MAX: usize = 256;
/// Bytes of lines after which a page ends, so that a page of large records stays small.
const PAGE_BYTES: usize = 1 << 20;

/// Some changes, and where the next page begins.
pub(crate) struct Page {
    /// In order.
    pub(crate) lines: Vec<Line>,
    /// The number to go on with.
    pub(crate) next: u64,
    /// Whether there was nothing more at that moment.
    pub(crate) is_last: bool,
}

/// The changes from number `from` on. Removals, notes and ends below `began` are left out, for who has listed nothing
/// before; so are records (but not removals) of grants that are not shown at `now` (held, lapsed).
///
/// # Errors
/// Those of the vault.
pub(crate) fn page(
    organization: &Organization,
    tx: &ReadTransaction<'_>,
    from: u64,
    began: u64,
    now: Timestamp,
) -> Result<Page> {
    let range = KeyRange::new(Bound::Included(&from.to_be_bytes()), Bound::Unbounded);
    let rows = tx.scan(JOURNAL, &range, PAGE_CHANGES_MAX)?;
    let mut reader = Reader { organization, tx, began, now, shown: HashMap::new() };
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for (at, (number, entry)) in rows.iter().enumerate() {
        let number = number.as_slice().try_into().map(u64::from_be_bytes);
        let number = number.map_err(|_| GatewayError::Damaged("journal entry"))?;
        if let Some(line) = reader.line(number, &Entry::decode(entry)?)? {
            bytes += line.len();
            lines.push(line);
        }
        let is_full = bytes >= PAGE_BYTES || at + 1 == PAGE_CHANGES_MAX;
        if is_full {
            return Ok(Page { lines, next: number.saturating_add(1), is_last: false });
        }
    }
    Ok(Page { lines, next: head(tx)?.max(from), is_last: true })
}

struct Reader<'a, 'v> {
    organization: &'a Organization,
    tx: &'a ReadTransaction<'v>,
    began: u64,
    now: Timestamp,
    shown: HashMap<GrantId, Option<Arc<Scope>>>,
}

impl Reader<'_, '_> {
    fn line(&mut self, number: u64, entry: &Entry) -> Result<Option<Line>> {
        let grant = entry.grant()?;
        let handle = GrantHandle::of(&grant);
        match &entry.change {
            Change::Removed { .. } | Change::Noted(_) | Change::Ended(_) if number < self.began => Ok(None),
            Change::Ended(ended) => Ok(Some(Line::ended(handle, ended.cause.name()))),
            Change::Noted(note) => Ok(Some(Line::noted(handle, note))),
            // Told whether the grant is shown or not, or a follower would keep the record: it shows nothing of it.
            Change::Removed { id, type_name } => Ok(Some(Line::removed(handle, type_name, id))),
            Change::Record { key } => {
                let Some(scope) = self.shown_scope(&grant)? else { return Ok(None) };
                let key = data_encoding::HEXLOWER.decode(key.as_bytes());
                let key = key.map_err(|_| GatewayError::Damaged("journal entry"))?;
                let row = self.tx.get(RECORDS, &key)?.ok_or(GatewayError::Damaged("journal entry"))?;
                let row = RecordRow::decode(&row)?;
                // What was removed is about to be wiped.
                let is_shared = row.is_covered(&scope)?;
                Ok(is_shared.then(|| Line::record(handle, &row.type_name, &row.id, &row.resource)))
            }
        }
    }

    /// What a grant shares; `None` for one that is not shown.
    fn shown_scope(&mut self, grant: &GrantId) -> Result<Option<Arc<Scope>>> {
        if let Some(known) = self.shown.get(grant) {
            return Ok(known.clone());
        }
        let scope = match self.organization.grant_in(self.tx, grant, self.now) {
            Ok(grant) if grant.status.is_shown() => Some(Arc::new(grant.scope)),
            Ok(_) | Err(sealcare_provider::ProviderError::UnknownGrant) => None,
            Err(error) => return Err(error.into()),
        };
        self.shown.insert(*grant, scope.clone());
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GRANT, NOW, World, heart_rate, tombstone};
    use super::*;

    /// How many lines there are for who has followed from the beginning, while the grant shares as in `scope`.
    fn lines(world: &World, scope: Option<Scope>) -> usize {
        let count = |tx: &ReadTransaction<'_>| {
            let shown = HashMap::from([(GRANT, scope.map(Arc::new))]);
            let mut reader = Reader { organization: &world.organization, tx, began: 0, now: NOW, shown };
            let rows = tx.scan(JOURNAL, &KeyRange::all(), usize::MAX)?;
            let lines = rows.iter().map(|(_, entry)| reader.line(0, &Entry::decode(entry)?));
            Ok::<_, GatewayError>(lines.collect::<Result<Vec<_>>>()?.iter().flatten().count())
        };
        world.vault.read(count).unwrap()
    }

    #[test]
    fn a_record_from_before_a_later_beginning_is_hidden_from_the_commit_on() {
        let world = World::new();
        world.deliver(vec![heart_rate("a", "72")]);
        // It is of 2025-01-01T08:00:00Z.
        for (from, listed) in [(None, 1), (Some(1_735_718_400_000), 1), (Some(1_735_718_400_001), 0)] {
            let types = ["heart-rate".parse().unwrap()].into();
            let scope = Scope { types, from: from.map(Timestamp::from_millis) };
            assert_eq!(lines(&world, Some(scope)), listed);
        }
    }

    #[test]
    fn a_removal_is_told_while_the_grant_is_not_shown() {
        let world = World::new();
        world.deliver(vec![heart_rate("a", "72"), heart_rate("b", "73")]);
        assert_eq!(lines(&world, None), 0);
        world.deliver(vec![tombstone("a")]);
        assert_eq!(lines(&world, None), 1);
    }
}
