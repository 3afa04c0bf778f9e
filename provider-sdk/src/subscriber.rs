//! The connection to the relay: stays subscribed, takes in what comes, acknowledges what is durable, and carries
//! replies, confirmations and bundles back ([`answering`]). Not here: the checks (`inbox`), and handing events to
//! the application.

mod answering;
mod registering;

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::RngExt as _;
use sealcare_protocol::Clock;
use sealcare_transport::{
    Batch, Delivery, DirectoryChannel, LaneRange, OrganizationChannel, Subscription, TransportError, Trust,
};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use crate::error::{ProviderError, Result};
use crate::inbox::{Halted, Settlement};
use crate::organization::Organization;
use answering::Postponed;

/// Envelopes that the relay may have on their way: ten of its largest batches.
const CREDIT: u32 = 1_000;
/// A halted grant is tried again on a new subscription.
const HALTED_RETRY: Duration = Duration::from_mins(1);
/// The application is behind; look again after this.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// When the application has been behind for so long, what it holds up is passed over, so that ends are heard.
const FULL_PATIENCE: Duration = Duration::from_secs(10);
/// What is left to say is said for this long when stopping.
const FAREWELL: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// Tombstones asked for at a time.
const REVOKED_PAGE: u32 = 1_000;

/// Where the subscription stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkState {
    /// Not connected, and trying.
    Connecting,
    /// Connected, with a backlog before it.
    CatchingUp,
    /// Everything that the relay had has come.
    Live,
}

/// Keeps an organization subscribed at its relay.
pub struct Subscriber {
    organization: Arc<Organization>,
    channel: OrganizationChannel,
    clock: Arc<dyn Clock>,
    state: watch::Sender<LinkState>,
    postponed: Mutex<Postponed>,
    directory: DirectoryChannel,
    registered_again: Mutex<Option<time::Instant>>,
}

impl Subscriber {
    /// A subscriber of `organization` at its relay. Connects when it runs.
    ///
    /// # Errors
    /// [`sealcare_transport::TransportError::Configuration`].
    pub fn new(organization: Arc<Organization>, trust: &Trust, clock: Arc<dyn Clock>) -> Result<Self> {
        let channel = OrganizationChannel::new(
            organization.relay(),
            *organization.id(),
            organization.oauth_key(),
            trust,
            Arc::clone(&clock),
        )?;
        let directory = DirectoryChannel::new(organization.relay(), trust)?;
        let state = watch::Sender::new(LinkState::Connecting);
        let (postponed, registered_again) = Default::default();
        Ok(Self { organization, channel, clock, state, postponed, directory, registered_again })
    }

    /// Follows where the subscription stands.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// Runs until `stop`, connecting again with exponential back-off and jitter whenever the connection fails.
    ///
    /// # Errors
    /// Only when nothing more can be kept: the vault must be opened again.
    pub async fn run(&self, stop: CancellationToken) -> Result<()> {
        let mut backoff = BACKOFF_MIN;
        while !stop.is_cancelled() {
            let outcome = self.stay_subscribed(&stop).await;
            let was_live = *self.state.borrow() == LinkState::Live;
            self.stand(LinkState::Connecting);
            match outcome {
                Ok(()) if stop.is_cancelled() => break,
                Err(error) if error.needs_reopening() => return Err(error),
                Ok(()) => tracing::debug!("the relay ended the subscription"),
                Err(error) => {
                    tracing::warn!(%error, "the subscription failed");
                    if matches!(error, ProviderError::Transport(TransportError::ClockSkew)) {
                        self.organization.link.dispute_clock();
                    }
                    match self.register_again(&error).await {
                        Err(error) if error.needs_reopening() => return Err(error),
                        _ => {}
                    }
                }
            }
            backoff = if was_live { BACKOFF_MIN } else { (backoff * 2).min(BACKOFF_MAX) };
            let pause = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
            tokio::select! { () = stop.cancelled() => {} () = time::sleep(pause) => {} }
        }
        // Said again on the next start if it cannot be said now.
        let _ = time::timeout(FAREWELL, self.answer()).await;
        Ok(())
    }

    async fn stay_subscribed(&self, stop: &CancellationToken) -> Result<()> {
        self.keep_registered().await?;
        self.publish_bundle().await?;
        self.take_tombstones().await?;
        let subscription = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = self.channel.subscribe(&[], CREDIT) => opened?,
        };
        self.stand(LinkState::CatchingUp);
        tokio::select! {
            outcome = self.take_deliveries(subscription, stop) => outcome,
            outcome = self.keep_answering() => outcome,
        }
    }

    fn stand(&self, state: LinkState) {
        self.organization.link.stand(state);
        self.state.send_replace(state);
    }

    /// Returns when the stream ends, on `stop`, or to try halted grants anew.
    async fn take_deliveries(&self, mut subscription: Subscription, stop: &CancellationToken) -> Result<()> {
        let mut halted = Halted::default();
        let mut retry_at = None;
        loop {
            let retry = retry_at.unwrap_or_else(|| time::Instant::now() + HALTED_RETRY);
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = time::sleep_until(retry), if retry_at.is_some() => return Ok(()),
                delivery = subscription.next() => delivery?,
            };
            match delivery {
                None => return Ok(()),
                Some(Delivery::CaughtUp { incarnation }) => {
                    let (organization, now) = (Arc::clone(&self.organization), self.clock.now());
                    let met = move || {
                        organization.meet_store(&incarnation).and_then(|()| organization.has_listened(now))
                    };
                    blocking(met).await?;
                    self.stand(LinkState::Live);
                }
                Some(Delivery::Batch(batch)) => {
                    match self.take_batch(&subscription, batch, halted, stop).await? {
                        ControlFlow::Continue(still_halted) => halted = still_halted,
                        ControlFlow::Break(()) => return Ok(()),
                    }
                    if halted.count() > 0 {
                        retry_at = Some(retry);
                    }
                }
            }
        }
    }

    async fn take_batch(
        &self,
        subscription: &Subscription,
        batch: Batch,
        mut halted: Halted,
        stop: &CancellationToken,
    ) -> Result<ControlFlow<(), Halted>> {
        let batch = Arc::new(batch);
        let (stood, began) = (*self.state.borrow(), time::Instant::now());
        let settlements = loop {
            let (organization, now, items) =
                (Arc::clone(&self.organization), self.clock.now(), Arc::clone(&batch));
            let received = blocking(move || {
                let outcome = organization.receive(&items.items, &mut halted, now);
                Ok((outcome, halted))
            });
            let (outcome, still_halted) = received.await?;
            halted = still_halted;
            match outcome {
                Err(ProviderError::Full) => {
                    self.stand(LinkState::CatchingUp);
                    if began.elapsed() >= FULL_PATIENCE {
                        tracing::error!("the application takes up nothing: all but ends waits at the relay");
                        halted.pass_over(&batch.items);
                        continue;
                    }
                    tokio::select! {
                        () = stop.cancelled() => return Ok(ControlFlow::Break(())),
                        () = time::sleep(FULL_RETRY) => {}
                    }
                }
                outcome => break outcome?,
            }
        };
        if *self.state.borrow() != stood {
            self.stand(stood);
        }
        let ranges = settled_ranges(&batch, &settlements);
        if !ranges.is_empty() {
            subscription.acknowledge(&ranges).await?;
        }
        let taken = u32::try_from(batch.items.len()).unwrap_or(CREDIT);
        subscription.grant_credit(taken.min(CREDIT)).await?;
        Ok(ControlFlow::Continue(halted))
    }

    /// Once after every opening, for the vault may be a backup: what was revoked since must not be shown.
    async fn take_tombstones(&self) -> Result<()> {
        let organization = Arc::clone(&self.organization);
        if blocking(move || organization.may_show()).await? {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.channel.list_revoked(after, REVOKED_PAGE).await?;
            let (organization, now) = (Arc::clone(&self.organization), self.clock.now());
            let (revocations, confirmations) = (page.revocations, page.confirmations);
            blocking(move || organization.take_tombstones(revocations, confirmations, now)).await?;
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        let organization = Arc::clone(&self.organization);
        blocking(move || organization.tombstones_taken()).await
    }
}

/// Runs what blocks on the vault.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ProviderError::Task)?
}

/// The settled sequences as ranges of consecutive numbers.
fn settled_ranges(batch: &Batch, settlements: &[Settlement]) -> Vec<LaneRange> {
    let mut ranges: Vec<LaneRange> = Vec::new();
    let settled = batch.items.iter().zip(settlements).filter(|(_, s)| **s == Settlement::Settled);
    for (item, _) in settled {
        match ranges.last_mut() {
            Some(range) if range.last.checked_add(1) == Some(item.sequence) => range.last = item.sequence,
            _ => ranges.push(LaneRange { lane: batch.lane, first: item.sequence, last: item.sequence }),
        }
    }
    ranges
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscriber({:?})", self.organization)
    }
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::GrantId;
    use sealcare_transport::{Content, Item};

    use super::*;

    #[test]
    fn only_what_is_settled_is_acknowledged() {
        let item = |sequence| Item {
            sequence,
            grant: GrantId::from_bytes([1; 32]),
            content: Content::Envelope(bytes::Bytes::new()),
        };
        let batch = Batch { lane: 3, items: [4, 5, 6, 9].map(item).into(), cursor: None };
        let ranges = |settlements: [Settlement; 4]| {
            let ranges = settled_ranges(&batch, &settlements);
            ranges.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>()
        };
        let (yes, no) = (Settlement::Settled, Settlement::Unsettled);
        assert_eq!(ranges([yes, yes, yes, yes]), [(4, 6), (9, 9)]);
        assert_eq!(ranges([yes, no, yes, no]), [(4, 4), (6, 6)]);
        assert_eq!(ranges([no; 4]), []);
    }
}
