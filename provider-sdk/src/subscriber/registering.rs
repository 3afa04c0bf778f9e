//! Staying known to the relay: another OAuth key each year, and again what a restored relay has forgotten. Not here:
//! when a key is due (`registration`).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sealcare_transport::TransportError;
use tokio::time::Instant;

use super::{Subscriber, blocking};
use crate::error::{ProviderError, Result};

/// A relay that does not know the organization's key is told it this often.
const REGISTERED_AGAIN_AFTER: Duration = Duration::from_mins(10);

impl Subscriber {
    /// Tells the relay the next OAuth key when it is time. One that cannot be told is told with the next connection.
    pub(super) async fn keep_registered(&self) -> Result<()> {
        let (organization, now) = (Arc::clone(&self.organization), self.clock.now());
        let Some(next) = blocking(move || organization.next_oauth_key(now)).await? else { return Ok(()) };
        if let Err(error) = self.organization.register_as(&next, &self.directory, now).await {
            tracing::warn!(%error, "the next oauth key could not be registered");
            return Ok(());
        }
        let (organization, key) = (Arc::clone(&self.organization), Arc::clone(&next));
        blocking(move || organization.adopt_oauth_key(&key, now)).await?;
        self.channel.replace_key(next);
        Ok(())
    }

    /// A relay that once knew the organization and does not any more was restored from an older backup: it is told
    /// again. Nobody registers by this who has not before.
    pub(super) async fn register_again(&self, error: &ProviderError) -> Result<()> {
        if !matches!(error, ProviderError::Transport(TransportError::Unauthenticated)) {
            return Ok(());
        }
        let organization = Arc::clone(&self.organization);
        if !blocking(move || organization.was_reached()).await? || !self.may_register_again() {
            return Ok(());
        }
        let key = self.organization.oauth_key();
        match self.organization.register_as(&key, &self.directory, self.clock.now()).await {
            Ok(_) => tracing::info!("the relay did not know the organization and was told"),
            Err(error) => tracing::warn!(%error, "the relay does not know the organization"),
        }
        Ok(())
    }

    fn may_register_again(&self) -> bool {
        let mut last = self.registered_again.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|at| at.elapsed() >= REGISTERED_AGAIN_AFTER);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    pub(super) async fn mark_reached(&self) -> Result<()> {
        let (organization, now) = (Arc::clone(&self.organization), self.clock.now());
        blocking(move || organization.mark_reached(now)).await
    }
}
