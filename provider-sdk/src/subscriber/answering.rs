//! What is carried to the relay: replies, confirmations, bundles. Not here: what they say (`reply`, `revocation`,
//! `epochs`).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use sealcare_protocol::{Confirmation, GrantId};
use sealcare_transport::TransportError;
use tokio::time::{self, Instant};

use super::{Subscriber, blocking};
use crate::error::Result;
use crate::reply::DueReply;

/// Replies are cumulative, so those of a burst are sent once.
const REPLY_DELAY: Duration = Duration::from_millis(200);
/// What could not be sent is tried again after this, and a new bundle is found within it.
const REPLY_INTERVAL: Duration = Duration::from_secs(30);
/// Replies that are sealed at a time.
const REPLIES_MAX: usize = 64;
/// Calls that carry replies and confirmations at once.
const CALLS_MAX: usize = 8;
/// What was refused is tried again after this, and after twice as long each time,
const POSTPONED_MIN: Duration = Duration::from_secs(30);
/// but after so long at least.
const POSTPONED_LONGEST: Duration = Duration::from_hours(1);
/// Refused replies and confirmations that are remembered; beyond that all are tried again.
const POSTPONED_MAX: usize = 10_000;

impl Subscriber {
    pub(super) async fn keep_answering(&self) -> Result<()> {
        loop {
            self.publish_bundle().await?;
            self.answer().await?;
            self.mark_reached().await?;
            tokio::select! {
                () = self.organization.replies_due() => time::sleep(REPLY_DELAY).await,
                () = time::sleep(REPLY_INTERVAL) => {}
            }
        }
    }

    /// Carries every due reply and confirmation to the relay. What it refuses for itself stays due, waits longer
    /// each time, and holds up nothing else.
    pub(super) async fn answer(&self) -> Result<()> {
        let mut after = None;
        loop {
            let (organization, now, from) = (Arc::clone(&self.organization), self.clock.now(), after.take());
            let waiting = self.postponed().waiting(time::Instant::now());
            let sealing = blocking(move || {
                organization.seal_replies(from.as_deref(), REPLIES_MAX, &waiting, now, &mut rand::rng())
            });
            let (replies, last) = sealing.await?;
            let sending = stream::iter(replies.into_iter().map(Ok));
            sending.try_for_each_concurrent(CALLS_MAX, |reply| self.put_reply(reply)).await?;
            after = last;
            if after.is_none() {
                break;
            }
        }
        self.confirm_all().await
    }

    async fn confirm_all(&self) -> Result<()> {
        let mut after = None;
        loop {
            let (organization, now, from) = (Arc::clone(&self.organization), self.clock.now(), after.take());
            let waiting = self.postponed().waiting(time::Instant::now());
            let signing = blocking(move || organization.unconfirmed(from.as_ref(), &waiting, now));
            let (confirmations, last) = signing.await?;
            let sending = stream::iter(confirmations).map(|confirmation| self.confirm(confirmation));
            sending.buffer_unordered(CALLS_MAX).try_collect::<()>().await?;
            after = last;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn put_reply(&self, reply: DueReply) -> Result<()> {
        match self.channel.put_reply(&reply.grant, reply.envelope.clone()).await {
            // A grant or session that the relay does not know any more is told nothing.
            Ok(()) | Err(TransportError::NotFound | TransportError::GrantRevoked) => {}
            Err(error) => return self.postpone(&reply.key, "a reply was refused", error),
        }
        self.postponed().forget(&reply.key);
        let organization = Arc::clone(&self.organization);
        blocking(move || organization.mark_replied(&reply)).await
    }

    async fn confirm(&self, confirmation: Confirmation) -> Result<()> {
        let grant: GrantId = *confirmation.grant();
        match self.channel.confirm_revocation(&confirmation).await {
            // Not found: a grant that this relay lost; it comes again with the patient's next call.
            Ok(()) | Err(TransportError::NotFound) => {}
            Err(error) => return self.postpone(grant.as_bytes(), "a confirmation was refused", error),
        }
        self.postponed().forget(grant.as_bytes());
        let organization = Arc::clone(&self.organization);
        blocking(move || organization.mark_confirmed(&grant)).await
    }

    fn postpone(&self, key: &[u8], what: &'static str, error: TransportError) -> Result<()> {
        if concerns_connection(error) {
            return Err(error.into());
        }
        tracing::warn!(%error, what);
        self.postponed().postpone(key, time::Instant::now());
        Ok(())
    }

    fn postponed(&self) -> MutexGuard<'_, Postponed> {
        // A panic between two operations of the map leaves it whole.
        self.postponed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn publish_bundle(&self) -> Result<()> {
        let organization = Arc::clone(&self.organization);
        let Some(bundle) = blocking(move || organization.unpublished_bundle()).await? else { return Ok(()) };
        let hash = bundle.hash();
        if self.postponed().waiting(Instant::now()).contains(hash.as_bytes().as_slice()) {
            return Ok(());
        }
        match self.channel.put_bundle(&bundle).await {
            Ok(()) => {}
            // Reception goes on: whoever stops must be heard. Stale: the relay has a newer one, so this gateway was
            // restored from before its keys were rotated, or its clock is behind.
            Err(error) => return self.postpone(hash.as_bytes(), "the bundle was refused", error),
        }
        self.postponed().forget(hash.as_bytes());
        let organization = Arc::clone(&self.organization);
        let now = self.clock.now();
        blocking(move || organization.mark_published(bundle.serial(), now)).await
    }
}

/// Whether the next call would meet the same: then the connection is begun anew. Anything else is about what was
/// sent.
const fn concerns_connection(error: TransportError) -> bool {
    error.is_transient()
        || matches!(
            error,
            TransportError::Tls
                | TransportError::ClockSkew
                | TransportError::Unauthenticated
                | TransportError::OrganizationNotApproved
                | TransportError::Configuration(_)
        )
}

/// What the relay refused, and when each is tried again. In memory only: a new start tries at once.
#[derive(Default)]
pub(super) struct Postponed(HashMap<Vec<u8>, Postponement>);

struct Postponement {
    until: Instant,
    pause: Duration,
}

impl Postponed {
    /// The keys whose time has not come.
    fn waiting(&self, now: Instant) -> HashSet<Vec<u8>> {
        let waiting = self.0.iter().filter(|(_, postponement)| now < postponement.until);
        waiting.map(|(key, _)| key.clone()).collect()
    }

    fn postpone(&mut self, key: &[u8], now: Instant) {
        if self.0.len() >= POSTPONED_MAX {
            self.0.clear();
        }
        let doubled = self.0.get(key).map_or(POSTPONED_MIN, |before| before.pause * 2);
        let pause = doubled.min(POSTPONED_LONGEST);
        self.0.insert(key.to_vec(), Postponement { until: now + pause, pause });
    }

    fn forget(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_again_waits_longer() {
        let (mut postponed, now) = (Postponed::default(), Instant::now());
        postponed.postpone(b"a", now);
        assert!(postponed.waiting(now).contains(&b"a"[..]));
        assert!(postponed.waiting(now + POSTPONED_MIN).is_empty());
        postponed.postpone(b"a", now);
        assert!(!postponed.waiting(now + POSTPONED_MIN).is_empty());
        (0..20).for_each(|_| postponed.postpone(b"a", now));
        assert!(postponed.waiting(now + POSTPONED_LONGEST).is_empty());
        postponed.forget(b"a");
        assert!(postponed.waiting(now).is_empty());
    }

    #[test]
    fn a_refusal_of_one_thing_does_not_end_the_connection() {
        assert!(!concerns_connection(TransportError::Malformed));
        assert!(!concerns_connection(TransportError::Conflict));
        assert!(concerns_connection(TransportError::Unreachable));
        assert!(concerns_connection(TransportError::Unauthenticated));
    }
}
