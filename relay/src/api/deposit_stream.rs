//! A patient's deposit stream, for a backlog: one proof, then batch after batch. A batch is read only when the one
//! before is stored, so a fast sender fills its own window and nothing else. A task does this, which holds the
//! places and keeps the deadlines whether the patient reads or not; the transport takes its answers one by one.
//!
//! Batches are stored one after another, because a session's order is decided in the store; what is gained is
//! the proof and the wait for the network of each batch.

use std::{collections::VecDeque, ops::ControlFlow};

use bytes::Bytes;
use futures::{
    FutureExt as _, StreamExt as _,
    stream::{BoxStream, unfold},
};
use rand::{TryRng as _, rngs::SysRng};
use sealcare_proto::v1::{
    self as wire, Reason, deposit_stream_request::Kind as Up, deposit_stream_response::Kind as Down,
};
use sealcare_protocol::{CallMethod, DepositPublicKey};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tonic::{Request, Status, Streaming};

use super::{
    Services,
    deposit::deposit,
    mailbox::decode,
    status::{refuse, store_refusal},
    stream_places::{OpeningPlace, StreamPlace},
};
use crate::{
    auth::Peer,
    store::{BATCHES_REMEMBERED, OrganizationState},
};

const CHALLENGE_BYTES: usize = 32;

/// The state of one stream.
pub(super) struct DepositStream {
    services: Services,
    upstream: Streaming<wire::DepositStreamRequest>,
    stage: Stage,
    /// To be sent before anything else is done.
    ready: VecDeque<Result<Down, Status>>,
    until: Instant,
}

enum Stage {
    Greeting(OpeningPlace),
    Opening(OpeningPlace, [u8; CHALLENGE_BYTES]),
    Open(Open),
    Over,
}

/// What a stream has once its key is proven.
struct Open {
    key: DepositPublicKey,
    decisions: watch::Receiver<u64>,
    /// Stored, and not told yet.
    untold: Option<wire::DepositProgress>,
    untold_count: usize,
    _place: StreamPlace,
}

/// What a stream meets while it waits for its next batch.
enum Event {
    Batch(wire::DepositRequest),
    /// No batch is there yet, and something is to be told.
    Pause,
    /// A grant was revoked, or an organization suspended.
    Decision,
    /// The patient has sent all, or the stream has lived its time.
    End,
}

impl DepositStream {
    /// # Errors
    /// [`Reason::RateLimited`] while too many others begin, or too many of this network.
    pub(super) fn begin(
        services: Services,
        peer: Peer,
        upstream: Streaming<wire::DepositStreamRequest>,
    ) -> Result<Self, Status> {
        let place = services.streams.begin(peer).ok_or_else(|| refuse(Reason::RateLimited))?;
        let until = Instant::now() + services.streams.limits.lifetime;
        Ok(Self { services, upstream, stage: Stage::Greeting(place), ready: VecDeque::new(), until })
    }

    /// What is sent down. Dropping it ends the stream.
    pub(super) fn responses(self) -> BoxStream<'static, Result<wire::DepositStreamResponse, Status>> {
        let (answers, taken) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(self.run(answers));
        unfold((taken, task), |(mut taken, task)| async move {
            let answer = taken.recv().await?;
            Some((answer, (taken, task)))
        })
        .boxed()
    }

    /// Goes on until the stream ends, or nobody takes what is told.
    async fn run(mut self, answers: mpsc::Sender<Result<wire::DepositStreamResponse, Status>>) {
        loop {
            let (answer, is_last) = match self.next().await {
                Ok(Some(kind)) => (Ok(wire::DepositStreamResponse { kind: Some(kind) }), false),
                Ok(None) => return,
                Err(refusal) => (Err(refusal), true),
            };
            if is_last {
                // Whatever it held is free, also if this is never taken.
                self.stage = Stage::Over;
            }
            let taken_by = self.until.min(Instant::now() + self.services.streams.limits.batch_within);
            let taken = timeout_at(taken_by, answers.send(answer)).await;
            if is_last || !matches!(taken, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// What is sent next; none ends the stream.
    async fn next(&mut self) -> Result<Option<Down>, Status> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return ready.map(Some);
            }
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Greeting(permit) => self.greet(permit)?,
                Stage::Opening(permit, challenge) => {
                    self.stage = Stage::Open(self.open(&challenge).await?);
                    drop(permit);
                }
                Stage::Open(open) => self.go_on(open).await,
                Stage::Over => return Ok(None),
            }
        }
    }

    fn greet(&mut self, permit: OpeningPlace) -> Result<(), Status> {
        let mut challenge = [0; CHALLENGE_BYTES];
        SysRng.try_fill_bytes(&mut challenge).map_err(|_| refuse(Reason::Unavailable))?;
        self.stage = Stage::Opening(permit, challenge);
        let challenge = Bytes::copy_from_slice(&challenge);
        self.ready.push_back(Ok(Down::Challenge(wire::DepositChallenge { challenge })));
        Ok(())
    }

    /// Takes the first frame: the call over this stream's challenge.
    async fn open(&mut self, challenge: &[u8]) -> Result<Open, Status> {
        let Services { auth, streams, .. } = &self.services;
        let first = timeout(streams.limits.opening_within, self.upstream.message()).await;
        let first = first.map_err(|_| refuse(Reason::Malformed))??;
        let Some(Up::Call(call)) = first.and_then(|request| request.kind) else {
            return Err(refuse(Reason::Malformed));
        };
        let call = auth.patient(Request::new(call), CallMethod::DepositStream)?;
        let opening: wire::DepositStreamOpening = decode(call.request)?;
        if opening.challenge != challenge {
            return Err(refuse(Reason::Unauthenticated));
        }
        let (key, decisions) = (call.deposit_key, streams.decisions());
        self.check_admitted(key).await?;
        let place = streams.enter(key).ok_or_else(|| refuse(Reason::RateLimited))?;
        let batches_max = u32::try_from(BATCHES_REMEMBERED).unwrap_or(u32::MAX);
        self.ready.push_back(Ok(Down::Opened(wire::DepositStreamOpened { batches_max })));
        Ok(Open { key, decisions, untold: None, untold_count: 0, _place: place })
    }

    /// Refuses a grant that may not deposit; the store decides anew for each batch.
    async fn check_admitted(&self, key: DepositPublicKey) -> Result<(), Status> {
        let store = &self.services.store;
        let report = store.grant_status(key).await.map_err(store_refusal)?;
        if report.tombstone.is_some() {
            return Err(refuse(Reason::GrantRevoked));
        }
        let record = store.organization(report.organization).await.map_err(store_refusal)?;
        match record.state {
            OrganizationState::Approved => Ok(()),
            OrganizationState::Pending | OrganizationState::Suspended => {
                Err(refuse(Reason::OrganizationNotApproved))
            }
        }
    }

    /// Takes one batch, or tells what was stored; whatever ends the stream, that is told before.
    async fn go_on(&mut self, mut open: Open) {
        let goes_on = match self.event(&mut open).await {
            Ok(Event::Batch(batch)) => self.store(&mut open, batch).await,
            Ok(Event::Decision) => self.check_admitted(open.key).await.map(|()| ControlFlow::Continue(())),
            Ok(Event::Pause) => {
                self.tell(&mut open);
                Ok(ControlFlow::Continue(()))
            }
            Ok(Event::End) => Ok(ControlFlow::Break(None)),
            Err(refusal) => Err(refusal),
        };
        if !matches!(goes_on, Ok(ControlFlow::Continue(()))) || open.untold_count >= BATCHES_REMEMBERED {
            self.tell(&mut open);
        }
        match goes_on {
            Ok(ControlFlow::Continue(())) => self.stage = Stage::Open(open),
            Ok(ControlFlow::Break(refused)) => {
                self.ready.extend(refused.map(|progress| Ok(Down::Progress(progress))));
            }
            Err(refusal) => self.ready.push_back(Err(refusal)),
        }
    }

    fn tell(&mut self, open: &mut Open) {
        open.untold_count = 0;
        self.ready.extend(open.untold.take().map(|progress| Ok(Down::Progress(progress))));
    }

    /// Breaks with the word of a refused batch.
    async fn store(
        &self,
        open: &mut Open,
        batch: wire::DepositRequest,
    ) -> Result<ControlFlow<Option<wire::DepositProgress>>, Status> {
        let answer = deposit(&self.services, open.key, batch).await?;
        if !answer.is_stored() {
            return Ok(ControlFlow::Break(Some(answer.progress())));
        }
        open.untold = Some(answer.progress());
        open.untold_count += 1;
        Ok(ControlFlow::Continue(()))
    }

    async fn event(&mut self, open: &mut Open) -> Result<Event, Status> {
        if self.services.closing.is_cancelled() {
            return Err(refuse(Reason::Unavailable));
        }
        if Instant::now() >= self.until {
            return Ok(Event::End);
        }
        if open.untold.is_some() {
            // Progress waits for nothing but a batch that is already there.
            let message = self.upstream.message().now_or_never();
            return message.map_or(Ok(Event::Pause), |message| batch_of(message?));
        }
        let batch_by = Instant::now() + self.services.streams.limits.batch_within;
        tokio::select! {
            message = self.upstream.message() => batch_of(message?),
            changed = open.decisions.changed() => {
                changed.map(|()| Event::Decision).map_err(|_| refuse(Reason::Unavailable))
            }
            () = sleep_until(self.until.min(batch_by)) => Ok(Event::End),
            () = self.services.closing.cancelled() => Err(refuse(Reason::Unavailable)),
        }
    }
}

fn batch_of(message: Option<wire::DepositStreamRequest>) -> Result<Event, Status> {
    match message.map(|request| request.kind) {
        None => Ok(Event::End),
        Some(Some(Up::Batch(batch))) => Ok(Event::Batch(batch)),
        Some(Some(Up::Call(_)) | None) => Err(refuse(Reason::Malformed)),
    }
}
