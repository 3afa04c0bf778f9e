//! The events that wait for the application, in order, and those of held grants that are kept back.

use std::collections::HashSet;

use sealcare_protocol::{GrantId, Scope, SenderId, Timestamp, TypeName};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::error::{ProviderError, Result};
use crate::grant::HoldReason;
use crate::kept::{self, Kept};
use crate::spaces::{COUNTERS, HELD, QUEUE, WAITING, grant_wrapping_key};

/// Events that wait at most before nothing more is received; those of grants that are stuck are not counted.
pub(crate) const WAITING_MAX: u64 = 10_000;
/// Events of a stuck grant that wait at most before nothing more of it is received.
pub(crate) const STUCK_WAITING_MAX: u64 = 1_000;
/// Bytes of records that are kept back of a held grant.
pub(crate) const KEPT_BACK_BYTES_MAX: u64 = 64 << 20;
/// Events that are taken up at a time; each may hold a megabyte.
pub(crate) const PAGE_EVENTS_MAX: usize = 16;

const NEXT: &[u8] = b"next event";

/// An event and where it belongs, as kept.
#[derive(Deserialize, Serialize)]
pub(crate) struct Entry {
    #[serde(with = "kept::hex")]
    pub(crate) grant: [u8; 32],
    pub(crate) at: u64,
    pub(crate) event: KeptEvent,
}

impl Kept for Entry {
    const NAME: &'static str = "event";
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeptEvent {
    Records(KeptDelivery),
    Held(Vec<HoldReason>),
    Admitted,
    Paused,
    Resumed,
    ScopeChanged(KeptScopeChange),
    Stale,
    Lapsed,
    Returned,
    Gap,
    UnknownSender,
    Resync,
    UnknownBundle,
    Refused { name: String },
    Revoked,
    Rejected,
    Ended,
}

/// What is shared from now on, and how it differs from before.
#[derive(Deserialize, Serialize)]
pub(crate) struct KeptScopeChange {
    pub(crate) removed: Vec<String>,
    pub(crate) added: Vec<String>,
    types: Vec<String>,
    from: Option<u64>,
    /// Of the wipe that the application's taking up lets go on, if it became narrower.
    pub(crate) wipe: Option<u64>,
}

impl KeptScopeChange {
    pub(crate) fn new(before: &Scope, after: &Scope, wipe: Option<u64>) -> Self {
        let name = |name: &TypeName| name.as_str().to_owned();
        Self {
            removed: before.types.difference(&after.types).map(name).collect(),
            added: after.types.difference(&before.types).map(name).collect(),
            types: after.types.iter().map(name).collect(),
            from: after.from.map(Timestamp::as_millis),
            wipe,
        }
    }

    pub(crate) fn scope(&self) -> Result<Scope> {
        let types = self.types.iter().map(|name| name.parse()).collect::<Result<_, _>>();
        let types = types.map_err(|_| ProviderError::Damaged("scope"))?;
        Ok(Scope { types, from: self.from.map(Timestamp::from_millis) })
    }
}

#[derive(Deserialize, Serialize)]
pub(crate) struct KeptDelivery {
    #[serde(with = "kept::hex")]
    sender: [u8; 16],
    pub(crate) sequence: u64,
    pub(crate) changes: Vec<KeptChange>,
}

impl KeptDelivery {
    pub(crate) fn new(sender: &SenderId, sequence: u64, changes: Vec<KeptChange>) -> Self {
        Self { sender: *sender.as_bytes(), sequence, changes }
    }

    pub(crate) fn sender(&self) -> SenderId {
        SenderId::from_bytes(self.sender)
    }
}

/// One record's new state: FHIR JSON, or nothing for a tombstone.
#[derive(Deserialize, Serialize)]
pub(crate) struct KeptChange {
    pub(crate) id: String,
    pub(crate) type_name: String,
    pub(crate) fhir: Option<String>,
}

/// Appends an event.
pub(crate) fn put(
    tx: &mut WriteTransaction<'_>,
    grant: &GrantId,
    at: Timestamp,
    event: &KeptEvent,
) -> Result<()> {
    let number = kept::count_up(tx, COUNTERS, NEXT)?;
    kept::count_up(tx, WAITING, grant.as_bytes())?;
    let entry = encode(grant, at, event);
    // Records die with their grant, waiting or not.
    if matches!(event, KeptEvent::Records(_)) {
        Ok(tx.put_wrapped(&grant_wrapping_key(grant), QUEUE, &number.to_be_bytes(), &entry)?)
    } else {
        Ok(tx.put(QUEUE, &number.to_be_bytes(), &entry)?)
    }
}

/// Appends an encoded event of a held grant, to be kept back.
pub(crate) fn hold_back(tx: &mut WriteTransaction<'_>, grant: &GrantId, entry: &[u8]) -> Result<()> {
    let number = kept::count_up(tx, COUNTERS, NEXT)?;
    let key = [&grant.as_bytes()[..], &number.to_be_bytes()].concat();
    Ok(tx.put_wrapped(&grant_wrapping_key(grant), HELD, &key, entry)?)
}

/// Appends an entry that was kept back.
pub(crate) fn release(tx: &mut WriteTransaction<'_>, grant: &GrantId, entry: &[u8]) -> Result<()> {
    let number = kept::count_up(tx, COUNTERS, NEXT)?;
    kept::count_up(tx, WAITING, grant.as_bytes())?;
    Ok(tx.put_wrapped(&grant_wrapping_key(grant), QUEUE, &number.to_be_bytes(), entry)?)
}

/// Takes an event away that was taken up.
pub(crate) fn take_away(tx: &mut WriteTransaction<'_>, grant: &GrantId, key: &[u8]) -> Result<()> {
    tx.delete(QUEUE, key)?;
    match waiting_of(tx, grant)? {
        0 | 1 => tx.delete(WAITING, grant.as_bytes())?,
        more => tx.put(WAITING, grant.as_bytes(), &(more - 1).to_be_bytes()).map(|()| true)?,
    };
    Ok(())
}

/// Counts anew when nothing waits: what was destroyed with its grant's key was not taken away.
pub(crate) fn settle_counts(tx: &mut WriteTransaction<'_>) -> Result<()> {
    if tx.count(QUEUE, &KeyRange::all())? == 0 {
        tx.delete_range(WAITING, &KeyRange::all())?;
    }
    Ok(())
}

fn waiting_of(tx: &ReadTransaction<'_>, grant: &GrantId) -> Result<u64> {
    tx.get(WAITING, grant.as_bytes())?.map_or(Ok(0), |count| kept::number(&count))
}

/// Whether nothing more may come: of what is not stuck there is too much.
pub(crate) fn is_full(tx: &ReadTransaction<'_>, stuck: &HashSet<GrantId>) -> Result<bool> {
    let mut waiting = tx.count(QUEUE, &KeyRange::all())?;
    if waiting >= WAITING_MAX {
        for grant in stuck {
            waiting = waiting.saturating_sub(waiting_of(tx, grant)?);
        }
    }
    Ok(waiting >= WAITING_MAX)
}

/// Whether nothing more of a stuck grant may come.
pub(crate) fn is_stuck_full(tx: &ReadTransaction<'_>, grant: &GrantId) -> Result<bool> {
    Ok(waiting_of(tx, grant)? >= STUCK_WAITING_MAX)
}

/// Borrows the event, which may be a megabyte.
pub(crate) fn encode(grant: &GrantId, at: Timestamp, event: &KeptEvent) -> zeroize::Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        #[serde(with = "kept::hex")]
        grant: [u8; 32],
        at: u64,
        event: &'a KeptEvent,
    }
    let entry = Borrowed { grant: *grant.as_bytes(), at: at.as_millis(), event };
    zeroize::Zeroizing::new(serde_json::to_vec(&entry).expect("events have string keys and finite numbers"))
}
