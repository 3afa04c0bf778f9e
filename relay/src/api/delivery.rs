//! The organization's calls: receive, acknowledge, reply, confirm a revocation.

use bytes::Bytes;
use futures::stream::BoxStream;
use sealcare_proto::v1::{self as wire, Reason, delivery_service_server::DeliveryService};
use sealcare_protocol::{EnvelopeHeader, GrantId, Incarnation, UnverifiedConfirmation};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Services,
    status::{refuse, store_refusal},
    subscription::{Subscription, subscribe},
};
use crate::{
    auth::Caller,
    delivery_hook::DeliveryHook,
    store::{
        FetchOutcome, LANES, LanePlace, OrganizationState, Page, PageItem, PageLimit, Progress, ReplySlot,
        SequenceRange, Store, StoreError,
    },
};

/// Items and tombstones in a page of an organization that polls.
const PAGE_ITEMS_MAX: u32 = 1_000;
/// Bytes of envelopes in such a page; the message stays below the 1 MiB that organizations take.
const PAGE_BYTES_MAX: usize = 512 * 1024;
/// Ranges in one acknowledgement.
const RANGES_MAX: usize = 1_000;
/// How often a page that a revocation overtook is read again before the caller is told to come back.
const READS_MAX: usize = 100;

/// `DeliveryService` over a store.
pub(crate) struct Delivery(pub(crate) Services);

#[tonic::async_trait]
impl DeliveryService for Delivery {
    type SubscribeStream = BoxStream<'static, Result<wire::SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<wire::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = self.0.auth.organization(&request)?;
        self.check_approved(caller).await?;
        let subscription = Subscription::begin(self.0.clone(), caller, request.into_inner()).await?;
        Ok(Response::new(subscribe(subscription)))
    }

    async fn fetch(
        &self,
        request: Request<wire::FetchRequest>,
    ) -> Result<Response<wire::FetchResponse>, Status> {
        let Caller(organization) = self.0.auth.organization(&request)?;
        let request = request.into_inner();
        let lane = parse_lane(request.lane)?;
        if !(1..=PAGE_ITEMS_MAX).contains(&request.items_max) {
            return Err(refuse(Reason::Malformed));
        }
        let store = self.0.store.as_ref();
        let after = match &request.cursor {
            Some(cursor) => {
                parse_cursor(store, cursor)?.filter(|(of, _)| *of == lane).map_or(0, |(_, at)| at)
            }
            None => 0,
        };
        let place = LanePlace { organization, lane, after };
        let items_max = usize::try_from(request.items_max).unwrap_or(usize::MAX);
        let limit = PageLimit { items_max, bytes_max: PAGE_BYTES_MAX };
        for _ in 0..READS_MAX {
            let page = read_page(store, place, limit).await?;
            if store.is_current(&page) {
                count_delivered(&page);
                let batch = Some(to_wire(store.incarnation(), lane, page, &self.0.hook));
                return Ok(Response::new(wire::FetchResponse { batch, lanes: u32::from(LANES) }));
            }
        }
        Err(refuse(Reason::Unavailable))
    }

    async fn acknowledge(
        &self,
        request: Request<wire::AcknowledgeRequest>,
    ) -> Result<Response<wire::AcknowledgeResponse>, Status> {
        let Caller(organization) = self.0.auth.organization(&request)?;
        let ranges = parse_ranges(request.into_inner())?;
        self.0.store.acknowledge(organization, ranges).await.map_err(store_refusal)?;
        Ok(Response::new(wire::AcknowledgeResponse {}))
    }

    async fn put_reply(
        &self,
        request: Request<wire::PutReplyRequest>,
    ) -> Result<Response<wire::PutReplyResponse>, Status> {
        let Caller(organization) = self.0.auth.organization(&request)?;
        let wire::PutReplyRequest { grant_id, reply } = request.into_inner();
        let malformed = || refuse(Reason::Malformed);
        let grant = GrantId::from_slice(&grant_id).map_err(|_| malformed())?;
        let Some(EnvelopeHeader::Reply(header)) = EnvelopeHeader::parse(&reply) else {
            return Err(malformed());
        };
        let slot = ReplySlot { session: header.session, counter: header.counter, reply };
        // An older reply changes nothing, and the organization needs no telling: the newest is there.
        self.0.store.put_reply(organization, grant, slot, self.0.clock.now()).await.map_err(store_refusal)?;
        Ok(Response::new(wire::PutReplyResponse {}))
    }

    async fn confirm_revocation(
        &self,
        request: Request<wire::ConfirmRevocationRequest>,
    ) -> Result<Response<wire::ConfirmRevocationResponse>, Status> {
        let Services { store, auth, clock, revoked, streams, .. } = &self.0;
        let Caller(organization) = auth.organization(&request)?;
        let signed = request.into_inner().confirmation.ok_or_else(|| refuse(Reason::Malformed))?;
        let confirmation = UnverifiedConfirmation::new(signed).map_err(|_| refuse(Reason::Malformed))?;
        let bundle = auth.bundle(&organization).await?;
        let confirmation =
            confirmation.verify(bundle.authority()).map_err(|_| refuse(Reason::Unauthenticated))?;
        let (grant, signed) = (*confirmation.grant(), confirmation.signed().clone());
        let confirmed = store.confirm_revocation(organization, grant, signed, clock.now()).await;
        confirmed.map_err(store_refusal)?;
        // A grant that was still open is closed by it, and its envelopes are to go.
        revoked.notify_one();
        streams.recheck();
        Ok(Response::new(wire::ConfirmRevocationResponse {}))
    }

    async fn list_revoked(
        &self,
        request: Request<wire::ListRevokedRequest>,
    ) -> Result<Response<wire::ListRevokedResponse>, Status> {
        let Caller(organization) = self.0.auth.organization(&request)?;
        let wire::ListRevokedRequest { after, items_max } = request.into_inner();
        let malformed = || refuse(Reason::Malformed);
        if !(1..=PAGE_ITEMS_MAX).contains(&items_max) {
            return Err(malformed());
        }
        let after = match &after[..] {
            [] => None,
            after => Some(GrantId::from_slice(after).map_err(|_| malformed())?),
        };
        let items_max = usize::try_from(items_max).unwrap_or(usize::MAX);
        let (found, progress) =
            self.0.store.list_revoked(organization, after, items_max).await.map_err(store_refusal)?;
        let last = found.last().map_or_else(Bytes::new, |last| Bytes::copy_from_slice(last.grant.as_bytes()));
        let (mut revocations, mut confirmations) = (Vec::new(), Vec::new());
        for tombstone in found {
            match (tombstone.revocation, tombstone.confirmation) {
                (Some(revocation), _) => revocations.push(revocation),
                (None, confirmation) => confirmations.extend(confirmation),
            }
        }
        let more = progress == Progress::More;
        Ok(Response::new(wire::ListRevokedResponse { revocations, more, confirmations, last }))
    }
}

impl Delivery {
    async fn check_approved(&self, Caller(organization): Caller) -> Result<(), Status> {
        let record = self.0.store.organization(organization).await.map_err(store_refusal)?;
        match record.state {
            OrganizationState::Approved => Ok(()),
            OrganizationState::Pending | OrganizationState::Suspended => {
                Err(refuse(Reason::OrganizationNotApproved))
            }
        }
    }
}

async fn read_page(store: &dyn Store, place: LanePlace, limit: PageLimit) -> Result<Page, Status> {
    to_page(store.fetch_after(place, limit).await)
}

pub(super) fn to_page(fetched: Result<FetchOutcome, StoreError>) -> Result<Page, Status> {
    match fetched.map_err(store_refusal)? {
        FetchOutcome::Page(page) => Ok(page),
        FetchOutcome::NotApproved => Err(refuse(Reason::OrganizationNotApproved)),
    }
}

pub(super) fn parse_lane(lane: u32) -> Result<u8, Status> {
    u8::try_from(lane).ok().filter(|lane| *lane < LANES).ok_or_else(|| refuse(Reason::Malformed))
}

/// Lane and place of a cursor; none if it was made by another store.
pub(super) fn parse_cursor(store: &dyn Store, cursor: &wire::Cursor) -> Result<Option<(u8, u64)>, Status> {
    let lane = parse_lane(cursor.lane)?;
    let incarnation = Incarnation::from_slice(&cursor.incarnation).map_err(|_| refuse(Reason::Malformed))?;
    Ok((incarnation == store.incarnation()).then_some((lane, cursor.sequence)))
}

pub(super) fn parse_ranges(request: wire::AcknowledgeRequest) -> Result<Vec<SequenceRange>, Status> {
    if request.ranges.len() > RANGES_MAX {
        return Err(refuse(Reason::Malformed));
    }
    let parse = |range: wire::AcknowledgedRange| {
        let lane = parse_lane(range.lane)?;
        if range.first > range.last {
            return Err(refuse(Reason::Malformed));
        }
        Ok(SequenceRange { lane, sequences: range.first..=range.last })
    };
    request.ranges.into_iter().map(parse).collect()
}

pub(super) fn count_delivered(page: &Page) {
    metrics::counter!("relay_delivered_items_total").increment(page.items.len() as u64);
}

pub(super) fn to_wire(incarnation: Incarnation, lane: u8, page: Page, hook: &DeliveryHook) -> wire::Batch {
    let lane = u32::from(lane);
    let incarnation = Bytes::copy_from_slice(incarnation.as_bytes());
    let item = |item| {
        let (sequence, grant, content) = match item {
            PageItem::Envelope { sequence, grant, envelope } => {
                (sequence, grant, wire::item::Content::Envelope(hook.apply(envelope)))
            }
            PageItem::Revocation { sequence, grant, revocation } => {
                (sequence, grant, wire::item::Content::Revocation(revocation))
            }
        };
        wire::Item { sequence, grant_id: Bytes::copy_from_slice(grant.as_bytes()), content: Some(content) }
    };
    wire::Batch {
        lane,
        items: page.items.into_iter().map(item).collect(),
        cursor: Some(wire::Cursor { lane, sequence: page.after, incarnation }),
    }
}
