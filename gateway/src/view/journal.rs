//! The journal of the record view: numbers, in the order of the changes.

use sealcare_provider::GrantId;
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::damaged;
use super::rows::{COUNTERS, Change, JOURNAL, REMOVALS, encode, wrapping_key};
use crate::error::{GatewayError, Result};

/// Removals and ends that are remembered for followers that are behind; the oldest go.
pub(crate) const REMOVALS_MAX: u64 = 10_000;
/// Removals that one call forgets; the next one goes on.
const FORGOTTEN_MAX: usize = 10_000;
const NEXT: &[u8] = b"next change";

/// A change and whose it is.
#[derive(Deserialize, Serialize)]
pub(super) struct Entry {
    grant: String,
    pub(super) change: Change,
}

impl Entry {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(damaged("journal entry"))
    }

    pub(super) fn grant(&self) -> Result<GrantId> {
        GrantId::from_hex(&self.grant).map_err(|_| GatewayError::Damaged("journal entry"))
    }
}

/// The number that the next change gets: all changes up to now have lower ones.
///
/// # Errors
/// Those of the vault.
pub(crate) fn head(tx: &ReadTransaction<'_>) -> Result<u64> {
    let Some(bytes) = tx.get(COUNTERS, NEXT)? else { return Ok(0) };
    bytes.as_slice().try_into().map(u64::from_be_bytes).map_err(|_| GatewayError::Damaged("counter"))
}

/// Appends a change that is destroyed with its grant.
pub(super) fn append(tx: &mut WriteTransaction<'_>, grant: &GrantId, change: &Change) -> Result<u64> {
    let (number, entry) = next(tx, grant, change)?;
    tx.put_wrapped(&wrapping_key(grant), JOURNAL, &number.to_be_bytes(), &entry)?;
    Ok(number)
}

/// Appends the change that outlives its grant.
pub(super) fn append_last(tx: &mut WriteTransaction<'_>, grant: &GrantId, change: &Change) -> Result<u64> {
    let (number, entry) = next(tx, grant, change)?;
    tx.put(JOURNAL, &number.to_be_bytes(), &entry)?;
    Ok(number)
}

/// Takes back a change that another one replaces.
pub(super) fn withdraw(tx: &mut WriteTransaction<'_>, number: u64) -> Result<()> {
    Ok(tx.delete(JOURNAL, &number.to_be_bytes()).map(drop)?)
}

/// Forgets the oldest removals beyond the newest `kept`.
///
/// # Errors
/// Those of the vault.
pub(crate) fn trim(tx: &mut WriteTransaction<'_>, kept: u64) -> Result<()> {
    let surplus = tx.count(REMOVALS, &KeyRange::all())?.saturating_sub(kept);
    let surplus = usize::try_from(surplus).unwrap_or(FORGOTTEN_MAX).min(FORGOTTEN_MAX);
    if surplus == 0 {
        return Ok(());
    }
    for (number, _) in tx.scan(REMOVALS, &KeyRange::all(), surplus)? {
        tx.delete(JOURNAL, &number)?;
        tx.delete(REMOVALS, &number)?;
    }
    Ok(())
}

fn next(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    change: &Change,
) -> Result<(u64, Zeroizing<Vec<u8>>)> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        grant: String,
        change: &'a Change,
    }
    let number = head(tx)?;
    tx.put(COUNTERS, NEXT, &number.saturating_add(1).to_be_bytes())?;
    if !matches!(change, Change::Record { .. }) {
        tx.put(REMOVALS, &number.to_be_bytes(), &[])?;
    }
    Ok((number, encode(&Borrowed { grant: grant.to_hex(), change })))
}
