//! A patient's deposit stream, frame by frame.

use bytes::Bytes;
use sealcare_proto::v1::{
    self as wire, DepositOutcome, Reason, deposit_stream_request::Kind as Up,
    deposit_stream_response::Kind as Down,
};
use sealcare_protocol::CallMethod;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Patient, reason};

pub(crate) struct Depositor {
    up: mpsc::Sender<wire::DepositStreamRequest>,
    down: Streaming<wire::DepositStreamResponse>,
}

impl Patient {
    /// A stream whose challenge has come.
    pub(crate) async fn begin_stream(&mut self) -> Result<(Depositor, Bytes), Status> {
        let (up, requests) = mpsc::channel(16);
        let down = self.client.deposit_stream(ReceiverStream::new(requests)).await?.into_inner();
        let mut stream = Depositor { up, down };
        match stream.next().await? {
            Some(Down::Challenge(sent)) => Ok((stream, sent.challenge)),
            other => panic!("no challenge: {other:?}"),
        }
    }

    /// A stream on which nothing is said and nothing read.
    pub(crate) async fn silent_stream(&mut self) -> impl Sized + use<> {
        let (up, requests) = mpsc::channel(1);
        let down = self.client.deposit_stream(ReceiverStream::new(requests)).await;
        (up, down)
    }

    /// The first frame for `challenge`.
    pub(crate) fn opening(&self, challenge: Bytes) -> wire::SignedCall {
        self.call(CallMethod::DepositStream, &wire::DepositStreamOpening { challenge })
    }

    pub(crate) async fn stream(&mut self) -> Result<Depositor, Status> {
        let (mut stream, challenge) = self.begin_stream().await?;
        stream.open(self.opening(challenge)).await?;
        Ok(stream)
    }

    /// A stream once the relay has noticed that the last one is gone.
    pub(crate) async fn next_stream(&mut self) -> Depositor {
        loop {
            match self.stream().await {
                Ok(stream) => return stream,
                Err(refused) => assert_eq!(reason(&refused), Reason::RateLimited),
            }
        }
    }
}

impl Depositor {
    pub(crate) async fn open(&mut self, call: wire::SignedCall) -> Result<(), Status> {
        self.send(Up::Call(call)).await;
        match self.next().await? {
            Some(Down::Opened(_)) => Ok(()),
            other => panic!("not opened: {other:?}"),
        }
    }

    /// What the relay has ended shows in [`Self::next`].
    pub(crate) async fn send(&self, kind: Up) {
        let _ = self.up.send(wire::DepositStreamRequest { kind: Some(kind) }).await;
    }

    pub(crate) async fn deposit(&self, envelopes: Vec<Bytes>) {
        self.send(Up::Batch(wire::DepositRequest { envelopes })).await;
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Down>, Status> {
        Ok(self.down.message().await?.and_then(|response| response.kind))
    }

    /// The next progress: counter and outcome; none at the end.
    pub(crate) async fn progress(&mut self) -> Result<Option<(u64, DepositOutcome)>, Status> {
        match self.next().await? {
            Some(Down::Progress(progress)) => Ok(Some((progress.next_counter, progress.outcome()))),
            None => Ok(None),
            other => panic!("no progress: {other:?}"),
        }
    }

    /// Waits until everything below `counter` is durable.
    pub(crate) async fn until(&mut self, counter: u64) {
        loop {
            let (next, outcome) = self.progress().await.unwrap().unwrap();
            assert_eq!(outcome, DepositOutcome::Stored);
            assert!(next <= counter);
            if next == counter {
                return;
            }
        }
    }
}
