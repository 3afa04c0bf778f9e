//! A grant's deposit stream: for a backlog, batch after batch on one proof, with cumulative answers.
//!
//! Not here: opening it (`patient`), and what is kept until it is answered (the SDK's outbox). Nothing is tried
//! again here: a stream that ends is opened anew from the first batch that was not answered.

use std::collections::VecDeque;

use bytes::Bytes;
use sealcare_proto::v1::{
    self as wire, deposit_stream_request::Kind as Up, deposit_stream_response::Kind as Down,
    mailbox_service_client::MailboxServiceClient,
};
use sealcare_protocol::{EnvelopeHeader, SessionId};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    connector::CALL_TIMEOUT,
    error::{Result, TransportError},
    patient::{DepositOutcome, outcome},
    status::error_of,
};

/// Batches that may be under way, whatever the relay allows.
pub const STREAM_BATCHES_MAX: usize = 4;
/// Requests that wait to be sent up: the window, and the call before it.
const UPSTREAM_MAX: usize = STREAM_BATCHES_MAX + 1;
/// Bytes of a relay's challenge.
const CHALLENGE_BYTES: usize = 32;

/// An open deposit stream. Dropping it closes it; what was not answered may be stored or not.
#[derive(Debug)]
pub struct DepositStream {
    up: mpsc::Sender<wire::DepositStreamRequest>,
    down: Streaming<wire::DepositStreamResponse>,
    batches_max: usize,
    /// Where the session stands after each batch that was not answered, oldest first.
    unanswered: VecDeque<Place>,
}

/// A session and the counter of its next data envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    session: SessionId,
    next_counter: u64,
}

/// What the relay answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamAnswer {
    /// So many of the oldest unanswered batches are durable, now or since before.
    Stored(usize),
    /// The oldest unanswered batch was refused, never [`DepositOutcome::Stored`] or `Already`. The stream is over.
    Refused(DepositOutcome),
    /// The relay has ended the stream, as it does after some minutes.
    Ended,
}

/// A stream whose challenge has come and whose key is to be proven.
pub(crate) struct Unproven {
    up: mpsc::Sender<wire::DepositStreamRequest>,
    down: Streaming<wire::DepositStreamResponse>,
    /// What is to be signed.
    pub(crate) challenge: Bytes,
}

pub(crate) async fn begin(mut client: MailboxServiceClient<Channel>) -> Result<Unproven, Status> {
    let (up, requests) = mpsc::channel(UPSTREAM_MAX);
    let mut down = client.deposit_stream(ReceiverStream::new(requests)).await?.into_inner();
    match down.message().await?.and_then(|response| response.kind) {
        Some(Down::Challenge(sent)) if sent.challenge.len() == CHALLENGE_BYTES => {
            Ok(Unproven { up, down, challenge: sent.challenge })
        }
        _ => Err(Status::internal("the stream does not begin with a challenge")),
    }
}

impl Unproven {
    /// Proves the key with the call over [`Self::challenge`].
    pub(crate) async fn prove(mut self, call: wire::SignedCall) -> Result<DepositStream, Status> {
        let first = wire::DepositStreamRequest { kind: Some(Up::Call(call)) };
        self.up.try_send(first).map_err(|_| Status::unavailable("the stream has ended"))?;
        let Some(Down::Opened(opened)) = self.down.message().await?.and_then(|response| response.kind) else {
            return Err(Status::internal("the stream does not open"));
        };
        let batches_max = usize::try_from(opened.batches_max).unwrap_or(usize::MAX);
        let batches_max = batches_max.clamp(1, STREAM_BATCHES_MAX);
        Ok(DepositStream { up: self.up, down: self.down, batches_max, unanswered: VecDeque::new() })
    }
}

impl DepositStream {
    /// Whether another batch may be sent before an answer.
    pub fn has_room(&self) -> bool {
        self.unanswered.len() < self.batches_max
    }

    /// Batches that were sent and not answered.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Sends a session's next envelopes, bounded as a deposit's, without waiting for what becomes of them.
    ///
    /// # Errors
    /// [`TransportError::Configuration`] without room or for what is no batch; [`TransportError::Unreachable`] if
    /// the stream is over, and [`Self::answer`] says why.
    pub async fn send(&mut self, envelopes: Vec<Bytes>) -> Result<()> {
        let place = envelopes.last().and_then(|last| place_after(last));
        let place = place.filter(|_| self.has_room()).ok_or(TransportError::Configuration("batch"))?;
        let batch = wire::DepositRequest { envelopes };
        let request = wire::DepositStreamRequest { kind: Some(Up::Batch(batch)) };
        self.unanswered.push_back(place);
        self.up.send(request).await.map_err(|_| TransportError::Unreachable)
    }

    /// The next answer; asks for nothing that was not sent.
    ///
    /// # Errors
    /// What a deposit can meet; the stream is over then.
    pub async fn answer(&mut self) -> Result<StreamAnswer> {
        let message = timeout(CALL_TIMEOUT, self.down.message()).await;
        let message = message.map_err(|_| TransportError::Deadline)?.map_err(|status| error_of(&status))?;
        let malformed = TransportError::Response("deposit progress");
        let progress = match message.map(|response| response.kind) {
            None => return Ok(StreamAnswer::Ended),
            Some(Some(Down::Progress(progress))) => progress,
            Some(_) => return Err(malformed),
        };
        let session = SessionId::from_slice(&progress.session_id).map_err(|_| malformed)?;
        let place = Place { session, next_counter: progress.next_counter };
        let count = self.unanswered.iter().position(|of| *of == place).ok_or(malformed)? + 1;
        match outcome(progress.outcome()).ok_or(malformed)? {
            DepositOutcome::Stored | DepositOutcome::Already => {
                self.unanswered.drain(..count);
                Ok(StreamAnswer::Stored(count))
            }
            refused if count == 1 => Ok(StreamAnswer::Refused(refused)),
            _ => Err(malformed),
        }
    }
}

/// Where a session stands after `envelope`.
fn place_after(envelope: &[u8]) -> Option<Place> {
    match EnvelopeHeader::parse(envelope)? {
        EnvelopeHeader::Init(header) => Some(Place { session: header.session, next_counter: 0 }),
        EnvelopeHeader::Data(header) => {
            Some(Place { session: header.session, next_counter: header.counter.checked_add(1)? })
        }
        EnvelopeHeader::Reply(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_where_its_last_envelope_does() {
        let mut init = vec![7; sealcare_protocol::INIT_BYTES];
        init[..2].copy_from_slice(&[1, 1]);
        let session = SessionId::from_bytes([7; 16]);
        assert_eq!(place_after(&init), Some(Place { session, next_counter: 0 }));
        let mut data = vec![7; 42 + 512 + 16];
        data[..2].copy_from_slice(&[1, 2]);
        data[18..26].copy_from_slice(&9_u64.to_be_bytes());
        assert_eq!(place_after(&data), Some(Place { session, next_counter: 10 }));
        data[18..26].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(place_after(&data), None);
        assert_eq!(place_after(b"junk"), None);
    }
}
