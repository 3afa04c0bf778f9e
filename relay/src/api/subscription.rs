//! One organization's subscription: a stream that the transport pulls. Nothing is read before the transport
//! has room and the organization has given credit, so a slow reader holds one page and costs others nothing.
//!
//! A page is checked against revocations in the very poll that hands it over.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, try_unfold},
};
use sealcare_proto::v1::{self as wire, Reason, subscribe_request::Kind, subscribe_response};
use sealcare_protocol::OrganizationId;
use tokio::{sync::watch, time::Instant};
use tonic::{Status, Streaming};

use super::{
    Services,
    delivery::{count_delivered, parse_cursor, parse_ranges, to_page, to_wire},
    status::{refuse, store_refusal},
};
use crate::{
    auth::Caller,
    store::{LANES, LaneArrivals, LanePlace, PageLimit, Progress, StoreError},
};

/// Items of one batch.
const BATCH_ITEMS_MAX: usize = 100;
/// Bytes of envelopes of one batch.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Credit that may be open.
const CREDIT_MAX: u32 = 10_000;
/// Acknowledgements that may be under way; more wait in the transport.
const ACKNOWLEDGEMENTS_MAX: usize = 16;
/// How long a subscriber may take to send its start.
const START_WITHIN: Duration = Duration::from_secs(10);
/// All lanes are looked at this often even without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The state of one subscription.
pub(super) struct Subscription {
    services: Services,
    organization: OrganizationId,
    upstream: Option<Streaming<wire::SubscribeRequest>>,
    acknowledging: FuturesUnordered<BoxFuture<'static, Result<(), Status>>>,
    arrivals: watch::Receiver<LaneArrivals>,
    seen: LaneArrivals,
    after: [u64; LANES as usize],
    waiting: VecDeque<u8>,
    /// Lanes whose next item is damaged: left alone until the next look at all.
    parked: BTreeSet<u8>,
    credit: u32,
    mark: Mark,
    look_at: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mark {
    Due,
    Sent,
}

/// The stream of a subscription.
pub(super) fn subscribe(
    subscription: Subscription,
) -> BoxStream<'static, Result<wire::SubscribeResponse, Status>> {
    try_unfold(subscription, |mut subscription| async move {
        let response = subscription.next().await?;
        Ok(response.map(|response| (response, subscription)))
    })
    .boxed()
}

impl Subscription {
    /// Waits for the start.
    pub(super) async fn begin(
        services: Services,
        Caller(organization): Caller,
        mut upstream: Streaming<wire::SubscribeRequest>,
    ) -> Result<Self, Status> {
        let first = tokio::time::timeout(START_WITHIN, upstream.message()).await;
        let first = first.map_err(|_| refuse(Reason::Malformed))??;
        let Some(Kind::Start(start)) = first.and_then(|request| request.kind) else {
            return Err(refuse(Reason::Malformed));
        };
        if start.cursors.len() > usize::from(LANES) || !(1..=CREDIT_MAX).contains(&start.credit) {
            return Err(refuse(Reason::Malformed));
        }
        let mut after = [0; LANES as usize];
        for cursor in &start.cursors {
            if let Some((lane, sequence)) = parse_cursor(services.store.as_ref(), cursor)? {
                after[usize::from(lane)] = sequence;
            }
        }
        let arrivals = services.store.arrivals(organization);
        let seen = *arrivals.borrow();
        Ok(Self {
            seen,
            arrivals,
            services,
            organization,
            upstream: Some(upstream),
            acknowledging: FuturesUnordered::new(),
            after,
            waiting: (0..LANES).collect(),
            parked: BTreeSet::new(),
            credit: start.credit,
            mark: Mark::Due,
            look_at: Instant::now() + LOOK_EVERY,
        })
    }

    /// What is sent next; none ends the stream.
    async fn next(&mut self) -> Result<Option<wire::SubscribeResponse>, Status> {
        loop {
            self.take_what_came()?;
            if self.credit > 0 {
                if let Some(lane) = self.waiting.front().copied() {
                    if let Some(batch) = self.next_batch(lane).await? {
                        return Ok(Some(response(subscribe_response::Kind::Batch(batch))));
                    }
                    continue;
                }
                // With a lane parked, a subscriber has not caught up.
                if self.mark == Mark::Due && self.parked.is_empty() {
                    self.mark = Mark::Sent;
                    let incarnation = self.services.store.incarnation();
                    let incarnation = Bytes::copy_from_slice(incarnation.as_bytes());
                    let mark = wire::CaughtUp { incarnation };
                    return Ok(Some(response(subscribe_response::Kind::CaughtUp(mark))));
                }
            }
            if self.upstream.is_none() && self.credit == 0 && self.acknowledging.is_empty() {
                return Ok(None);
            }
            self.wait().await?;
        }
    }

    /// The lane's next batch; none if it has nothing more, or must be read again.
    async fn next_batch(&mut self, lane: u8) -> Result<Option<wire::Batch>, Status> {
        let store = self.services.store.clone();
        let after = self.after[usize::from(lane)];
        let place = LanePlace { organization: self.organization, lane, after };
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let limit = PageLimit { items_max: BATCH_ITEMS_MAX.min(credit), bytes_max: BATCH_BYTES_MAX };
        let page = match store.fetch_after(place, limit).await {
            Err(damage @ StoreError::Corrupt(_)) => {
                // It is named in the log; the other lanes go on.
                drop(store_refusal(damage));
                self.waiting.retain(|waiting| *waiting != lane);
                self.parked.insert(lane);
                return Ok(None);
            }
            fetched => to_page(fetched)?,
        };
        if !store.is_current(&page) {
            return Ok(None);
        }
        // From here to the hand-over nothing awaits: what was current is handed over as current.
        self.after[usize::from(lane)] = page.after;
        self.waiting.pop_front();
        if page.more == Progress::More {
            self.waiting.push_back(lane);
        }
        if page.items.is_empty() {
            return Ok(None);
        }
        self.mark = Mark::Due;
        self.credit = self.credit.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        count_delivered(&page);
        Ok(Some(to_wire(store.incarnation(), lane, page, &self.services.hook)))
    }

    /// Takes in everything that is there without waiting.
    fn take_what_came(&mut self) -> Result<(), Status> {
        while self.acknowledging.len() < ACKNOWLEDGEMENTS_MAX {
            let Some(upstream) = &mut self.upstream else { break };
            let Some(message) = upstream.message().now_or_never() else { break };
            self.heed(message?)?;
        }
        while let Some(Some(done)) = self.acknowledging.next().now_or_never() {
            done?;
        }
        self.note_arrivals();
        if self.services.closing.is_cancelled() {
            return Err(refuse(Reason::Unavailable));
        }
        Ok(())
    }

    fn note_arrivals(&mut self) {
        let now = *self.arrivals.borrow_and_update();
        for lane in now.changed_since(&self.seen) {
            if !self.waiting.contains(&lane) && !self.parked.contains(&lane) {
                self.waiting.push_back(lane);
            }
        }
        self.seen = now;
        if Instant::now() >= self.look_at {
            self.look_at = Instant::now() + LOOK_EVERY;
            self.waiting = (0..LANES).collect();
            self.parked.clear();
        }
    }

    /// Waits until something came, arrived or was done.
    async fn wait(&mut self) -> Result<(), Status> {
        let may_take = self.acknowledging.len() < ACKNOWLEDGEMENTS_MAX;
        let upstream = &mut self.upstream;
        let message = async {
            match upstream {
                Some(upstream) if may_take => upstream.message().await,
                _ => std::future::pending().await,
            }
        };
        let came = tokio::select! {
            message = message => Some(message?),
            Some(done) = self.acknowledging.next() => { done?; None }
            changed = self.arrivals.changed() => {
                changed.map_err(|_| refuse(Reason::Unavailable))?;
                None
            }
            () = tokio::time::sleep_until(self.look_at) => None,
            () = self.services.closing.cancelled() => None,
        };
        match came {
            Some(message) => self.heed(message),
            None => Ok(()),
        }
    }

    /// Does what the subscriber asks; the end of its side leaves what it gave credit for.
    fn heed(&mut self, message: Option<wire::SubscribeRequest>) -> Result<(), Status> {
        let Some(request) = message else {
            self.upstream = None;
            return Ok(());
        };
        match request.kind {
            Some(Kind::Credit(wire::Credit { envelopes })) => {
                let credit = self.credit.checked_add(envelopes).filter(|credit| *credit <= CREDIT_MAX);
                self.credit = credit.ok_or_else(|| refuse(Reason::Malformed))?;
            }
            Some(Kind::Acknowledge(request)) => {
                let ranges = parse_ranges(request)?;
                let (store, organization) = (self.services.store.clone(), self.organization);
                let work =
                    async move { store.acknowledge(organization, ranges).await.map_err(store_refusal) };
                self.acknowledging.push(work.boxed());
            }
            Some(Kind::Start(_)) | None => return Err(refuse(Reason::Malformed)),
        }
        Ok(())
    }
}

fn response(kind: subscribe_response::Kind) -> wire::SubscribeResponse {
    wire::SubscribeResponse { kind: Some(kind) }
}
