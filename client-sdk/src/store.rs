//! The vault as this crate uses it: its spaces, its rows, and its calls off the async threads.
//! Not here: what the rows mean.

use std::sync::Arc;

use sealcare_vault::{ReadTransaction, Space, Vault, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::error::{ClientError, Result};

/// Account secret, person, the version of the newest record change.
pub(crate) const ACCOUNT: Space = Space::new(1, "account");
/// Blinded record id → record.
pub(crate) const RECORDS: Space = Space::new(2, "records");
/// Version → blinded id of the record whose newest change that is.
pub(crate) const CHANGES: Space = Space::new(3, "changes");
/// Blinded source id → anchor.
pub(crate) const SOURCES: Space = Space::new(4, "sources");
/// Grant id → grant.
pub(crate) const GRANTS: Space = Space::new(5, "grants");
/// Grant id → its organization's newest signed bundle.
pub(crate) const BUNDLES: Space = Space::new(6, "bundles");
/// Blinded ticket → relay and number of the deposit key that spends it.
pub(crate) const ACCEPTING: Space = Space::new(7, "accepting");
/// Grant id ‖ number → body. This and what follows lies under the grant's wrapping key.
pub(crate) const BODIES: Space = Space::new(8, "bodies");
/// Grant id → current session.
pub(crate) const SESSIONS: Space = Space::new(9, "sessions");
/// Grant id ‖ number → sealed batch in flight.
pub(crate) const FLIGHTS: Space = Space::new(10, "flights");
/// Grant id ‖ start ‖ session id → reply key.
pub(crate) const REPLY_KEYS: Space = Space::new(11, "reply keys");
/// Grant id → link code, until first confirmed.
pub(crate) const LINK_CODES: Space = Space::new(12, "link codes");
/// Grant id ‖ blinded record id: told again though its change was told.
pub(crate) const REPEATS: Space = Space::new(13, "records to tell again");

/// Blinded hash of a file → how far its import is.
pub(crate) const IMPORTS: Space = Space::new(20, "imports");
/// Blinded source of files → when its newest imported file was made.
pub(crate) const FILE_SOURCES: Space = Space::new(21, "sources of files");

/// A shared vault.
#[derive(Clone)]
pub(crate) struct Store(Arc<Vault>);

impl Store {
    pub(crate) fn new(vault: Vault) -> Self {
        Self(Arc::new(vault))
    }

    /// For work that blocks already.
    pub(crate) fn vault(&self) -> &Vault {
        &self.0
    }

    pub(crate) fn blind(&self, space: Space, id: &[u8]) -> [u8; 32] {
        self.0.blind(space, id)
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |vault| vault.read(work)).await
    }

    /// Durable when it returns.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |vault| vault.write(work)).await
    }

    /// The vault blocks on its disk.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let vault = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&vault)).await;
        done.map_err(|_| ClientError::Stopped)?
    }
}

/// A row that is kept as JSON.
pub(crate) fn load<T: DeserializeOwned>(
    tx: &ReadTransaction<'_>,
    space: Space,
    key: &[u8],
) -> Result<Option<T>> {
    let Some(bytes) = tx.get(space, key)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| ClientError::Kept(space.name()))
}

/// Keeps a row as JSON.
pub(crate) fn save(
    tx: &mut WriteTransaction<'_>,
    space: Space,
    key: &[u8],
    row: &impl Serialize,
) -> Result<()> {
    let bytes = serde_json::to_vec(row).map(Zeroizing::new);
    Ok(tx.put(space, key, &bytes.map_err(|_| ClientError::Kept(space.name()))?)?)
}

/// The big-endian number that a row is.
pub(crate) fn load_number(tx: &ReadTransaction<'_>, space: Space, key: &[u8]) -> Result<Option<u64>> {
    let Some(bytes) = tx.get(space, key)? else { return Ok(None) };
    let bytes = bytes.as_slice().try_into().map_err(|_| ClientError::Kept(space.name()))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}
