//! An organization's subscription.

use bytes::Bytes;
use sealcare_proto::v1::{self as wire, subscribe_request, subscribe_response::Kind as Sent};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Organization, Running, bearing};

pub(crate) struct Subscriber {
    pub(crate) up: mpsc::Sender<wire::SubscribeRequest>,
    pub(crate) down: Streaming<wire::SubscribeResponse>,
}

impl Subscriber {
    pub(crate) async fn begin(relay: &Running, organization: &Organization, credit: u32) -> Self {
        Self::resume(relay, organization, credit, vec![]).await
    }

    pub(crate) async fn resume(
        relay: &Running,
        organization: &Organization,
        credit: u32,
        cursors: Vec<wire::Cursor>,
    ) -> Self {
        let (mut delivery, token) = organization.delivery(relay).await;
        let (up, requests) = mpsc::channel(8);
        let start = subscribe_request::Kind::Start(wire::Start { cursors, credit });
        up.send(wire::SubscribeRequest { kind: Some(start) }).await.unwrap();
        let request = bearing(&token, ReceiverStream::new(requests));
        let down = delivery.subscribe(request).await.unwrap().into_inner();
        Self { up, down }
    }

    pub(crate) async fn send(&self, kind: subscribe_request::Kind) {
        self.up.send(wire::SubscribeRequest { kind: Some(kind) }).await.unwrap();
    }

    pub(crate) async fn acknowledge(&self, lane: u32, first: u64, last: u64) {
        let ranges = vec![wire::AcknowledgedRange { lane, first, last }];
        self.send(subscribe_request::Kind::Acknowledge(wire::AcknowledgeRequest { ranges })).await;
    }

    pub(crate) async fn next_batch(&mut self) -> wire::Batch {
        match self.down.message().await.unwrap().and_then(|sent| sent.kind) {
            Some(Sent::Batch(batch)) => batch,
            other => panic!("no batch: {other:?}"),
        }
    }

    pub(crate) async fn until_caught_up(&mut self) -> Vec<(u32, wire::Item)> {
        self.until_mark().await.0
    }

    /// What comes before the next mark, and the life of the store that the mark names.
    pub(crate) async fn until_mark(&mut self) -> (Vec<(u32, wire::Item)>, Bytes) {
        let mut items = Vec::new();
        loop {
            match self.down.message().await.unwrap().and_then(|sent| sent.kind) {
                Some(Sent::Batch(batch)) => {
                    items.extend(batch.items.into_iter().map(|item| (batch.lane, item)));
                }
                Some(Sent::CaughtUp(mark)) => return (items, mark.incarnation),
                None => panic!("the stream ended"),
            }
        }
    }
}
