//! How the organization is known to its relay: the OAuth key, which another follows each year, and when the relay was
//! last there. Not here: the calls on the connection (`subscriber`).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sealcare_protocol::Timestamp;
use sealcare_transport::{DirectoryChannel, OAuthKey, OrganizationState};

use crate::error::{ProviderError, Result};
use crate::organization::{OAUTH_KEY, Organization, Profile};
use crate::spaces::IDENTITY;

/// After this another key follows.
const OAUTH_KEY_LIFETIME: Duration = Duration::from_hours(365 * 24);
/// That the relay was reached is written down this often.
const REACHED_INTERVAL: Duration = Duration::from_hours(1);

const NEXT_OAUTH_KEY: &[u8] = b"next oauth key";

impl Organization {
    /// Asks the relay's operator to list this organization.
    ///
    /// # Errors
    /// What a call to the directory can meet.
    pub async fn register(&self, directory: &DirectoryChannel, now: Timestamp) -> Result<OrganizationState> {
        self.register_as(&self.oauth_key(), directory, now).await
    }

    /// Proves the organization to its relay.
    pub fn oauth_key(&self) -> Arc<OAuthKey> {
        Arc::clone(&self.oauth_key.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the relay the key to know the organization by.
    pub(crate) async fn register_as(
        &self,
        key: &OAuthKey,
        directory: &DirectoryChannel,
        now: Timestamp,
    ) -> Result<OrganizationState> {
        self.signer().register(directory, &self.relay, &key.public_jwk(), now).await
    }

    /// The key that is to follow, once the present one is a year old. It is durable before the relay is told of it, so
    /// that a crash after that finds it again.
    pub(crate) fn next_oauth_key(&self, now: Timestamp) -> Result<Option<Arc<OAuthKey>>> {
        let (drawn, next) = self.vault.read(|tx| {
            Ok::<_, ProviderError>((Profile::load(tx)?.oauth_key_drawn, tx.get(IDENTITY, NEXT_OAUTH_KEY)?))
        })?;
        if let Some(next) = next {
            return Ok(Some(Arc::new(OAuthKey::from_pkcs8(&next)?)));
        }
        if now.since(Timestamp::from_millis(drawn)) < OAUTH_KEY_LIFETIME {
            return Ok(None);
        }
        let next = OAuthKey::generate()?;
        self.vault.write(|tx| tx.put(IDENTITY, NEXT_OAUTH_KEY, &next.to_pkcs8()))?;
        Ok(Some(Arc::new(next)))
    }

    /// The relay knows it.
    pub(crate) fn adopt_oauth_key(&self, key: &Arc<OAuthKey>, now: Timestamp) -> Result<()> {
        self.vault.write(|tx| {
            tx.put(IDENTITY, OAUTH_KEY, &key.to_pkcs8())?;
            tx.delete(IDENTITY, NEXT_OAUTH_KEY)?;
            let mut profile = Profile::load(tx)?;
            profile.oauth_key_drawn = now.as_millis();
            profile.store(tx)
        })?;
        *self.oauth_key.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(key);
        Ok(())
    }

    /// The relay answers.
    pub(crate) fn mark_reached(&self, now: Timestamp) -> Result<()> {
        let reached = self.vault.read(|tx| Ok::<_, ProviderError>(Profile::load(tx)?.reached))?;
        let is_recent = |at: u64| now.since(Timestamp::from_millis(at)) < REACHED_INTERVAL;
        if reached.is_some_and(is_recent) {
            return Ok(());
        }
        self.vault.write(|tx| {
            let mut profile = Profile::load(tx)?;
            profile.reached = Some(now.as_millis());
            profile.store(tx)
        })
    }

    /// Whether the relay has ever been reached, hence has listed the organization.
    pub(crate) fn was_reached(&self) -> Result<bool> {
        self.vault.read(|tx| Ok(Profile::load(tx)?.reached.is_some()))
    }
}
