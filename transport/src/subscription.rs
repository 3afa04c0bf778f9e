//! The delivery stream: batches and marks down; credit and acknowledgements up. Reconnecting is the caller's, who
//! knows how far it has come.

use std::sync::Arc;

use sealcare_proto::v1::{
    self as wire, delivery_service_client::DeliveryServiceClient, subscribe_request, subscribe_response,
};
use sealcare_protocol::Incarnation;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use zeroize::Zeroizing;

use crate::{
    delivery::{Batch, LaneRange},
    error::{Result, TransportError},
    organization::authorized,
    status::error_of,
};

/// Requests that wait to be sent up.
const UPSTREAM_MAX: usize = 16;

/// An open delivery stream. Dropping it closes it.
#[derive(Debug)]
pub struct Subscription {
    up: mpsc::Sender<wire::SubscribeRequest>,
    down: Streaming<wire::SubscribeResponse>,
}

/// What comes down.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Items of one lane.
    Batch(Batch),
    /// Everything that was stored when the subscription began, or since the last mark, has come.
    CaughtUp {
        /// Of the relay's store: another one than last time was restored or replaced.
        incarnation: Incarnation,
    },
}

pub(crate) async fn open(
    mut client: DeliveryServiceClient<Channel>,
    start: wire::Start,
    token: Arc<Zeroizing<String>>,
) -> Result<Subscription, Status> {
    let (up, requests) = mpsc::channel(UPSTREAM_MAX);
    let first = wire::SubscribeRequest { kind: Some(subscribe_request::Kind::Start(start)) };
    up.try_send(first).map_err(|_| Status::internal("the stream has no room for its start"))?;
    let request = authorized(ReceiverStream::new(requests), &token)?;
    let down = client.subscribe(request).await?.into_inner();
    Ok(Subscription { up, down })
}

impl Subscription {
    /// The next delivery; `None` when the relay has ended the stream. Safe to cancel.
    ///
    /// # Errors
    /// What any call can meet; the stream is over then.
    pub async fn next(&mut self) -> Result<Option<Delivery>> {
        let Some(answer) = self.down.message().await.map_err(|status| error_of(&status))? else {
            return Ok(None);
        };
        match answer.kind.ok_or(TransportError::Response("delivery"))? {
            subscribe_response::Kind::Batch(batch) => Batch::from_wire(batch).map(Delivery::Batch).map(Some),
            subscribe_response::Kind::CaughtUp(mark) => {
                let incarnation = Incarnation::from_slice(&mark.incarnation);
                let incarnation = incarnation.map_err(|_| TransportError::Response("caught-up mark"))?;
                Ok(Some(Delivery::CaughtUp { incarnation }))
            }
        }
    }

    /// Lets the relay send `envelopes` more.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] if the stream is over.
    pub async fn grant_credit(&self, envelopes: u32) -> Result<()> {
        self.send(subscribe_request::Kind::Credit(wire::Credit { envelopes })).await
    }

    /// Lets the relay delete what was received; at most 1,000 ranges. Without an answer: what is lost with the
    /// stream is delivered again.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] if the stream is over.
    pub async fn acknowledge(&self, ranges: &[LaneRange]) -> Result<()> {
        let ranges = ranges.iter().map(|range| range.to_wire()).collect();
        self.send(subscribe_request::Kind::Acknowledge(wire::AcknowledgeRequest { ranges })).await
    }

    async fn send(&self, kind: subscribe_request::Kind) -> Result<()> {
        let request = wire::SubscribeRequest { kind: Some(kind) };
        self.up.send(request).await.map_err(|_| TransportError::Unreachable)
    }
}
