//! Depositing what a grant's outbox holds: a single batch by a call, a backlog on a stream. Every batch is kept in
//! the vault before it is uploaded and until the relay has answered, and none is uploaded once the patient has
//! chosen otherwise.

use std::{collections::VecDeque, pin::pin};

use sealcare_protocol::GrantId;
use sealcare_transport::{DepositOutcome, DepositStream, PatientChannel, StreamAnswer, TransportError};

use crate::{
    error::{ClientError, Result},
    grant::GrantRow,
    outbox::{
        bodies,
        flight::{self, Flight},
        settle::{self, Settled},
    },
    patient::Patient,
    sharing::ShareProgress,
};

/// New sessions of a grant in one pass, for a relay that has forgotten or closed the one before.
const SESSIONS_A_PASS_MAX: u32 = 3;

/// How the batches of a pass go up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// On a stream wherever there is more than one.
    Streams,
    /// One call each: the relay has no stream for this grant now, or it broke; a call tells why.
    Calls,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StreamEnd {
    /// Nothing is left for it, or the relay has ended one that had done some of its work.
    Done,
    /// It did not open, or broke.
    Broken,
    /// A batch was refused, or the patient chose otherwise.
    Settled(Settled),
}

/// Whether a stream has what it can take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Filled {
    /// It has, or there is no more.
    Enough,
    /// The patient chose otherwise.
    Dropped,
}

/// A grant's deposits in one pass.
pub(crate) struct Deposits<'a> {
    grant: GrantId,
    channel: &'a PatientChannel,
    on_progress: &'a (dyn Fn(ShareProgress) + Send + Sync),
    way: Way,
    /// One that has answered all that was sent, for the next batches.
    stream: Option<DepositStream>,
    /// Data envelopes that went.
    pub(crate) bodies: u64,
}

impl<'a> Deposits<'a> {
    pub(crate) fn new(
        grant: GrantId,
        channel: &'a PatientChannel,
        on_progress: &'a (dyn Fn(ShareProgress) + Send + Sync),
    ) -> Self {
        Self { grant, channel, on_progress, way: Way::Streams, stream: None, bodies: 0 }
    }
}

impl Patient {
    /// Deposits batch after batch until none is left.
    pub(crate) async fn deposit_all(&self, deposits: &mut Deposits<'_>) -> Result<()> {
        let (grant, mut restarts) = (deposits.grant, 0);
        while let Some(first) = self.next_flight(grant).await? {
            let second = match deposits.way {
                Way::Streams => self.flight_after(grant, &first).await?,
                Way::Calls => None,
            };
            let end = match second {
                None if deposits.stream.is_none() => {
                    StreamEnd::Settled(self.deposit(deposits, &first).await?)
                }
                second => {
                    let flights = std::iter::once(first).chain(second).collect();
                    self.deposit_backlog(deposits, flights).await?
                }
            };
            match end {
                StreamEnd::Settled(Settled::Again) if restarts < SESSIONS_A_PASS_MAX => {
                    restarts += 1;
                    self.store.write(move |tx| bodies::pack(tx, &grant)).await?;
                }
                StreamEnd::Settled(Settled::Again) => return Err(ClientError::Unsettled),
                StreamEnd::Broken => deposits.way = Way::Calls,
                StreamEnd::Settled(Settled::Deposited | Settled::Dropped) | StreamEnd::Done => {}
            }
            self.report_progress(grant, deposits.on_progress).await?;
        }
        Ok(())
    }

    async fn next_flight(&self, grant: GrantId) -> Result<Option<Flight>> {
        let bundle = self.bundle(grant).await?;
        let now = self.clock.now();
        self.store.write(move |tx| flight::next(tx, &grant, &bundle, now)).await
    }

    async fn flight_after(&self, grant: GrantId, before: &Flight) -> Result<Option<Flight>> {
        let (before, now) = (before.clone(), self.clock.now());
        self.store.write(move |tx| flight::following(tx, &grant, &before, now)).await
    }

    async fn deposit(&self, deposits: &mut Deposits<'_>, flight: &Flight) -> Result<Settled> {
        let call = deposits.channel.deposit(flight.envelopes.clone());
        let Some(outcome) = self.while_in_flight(deposits.grant, flight, call).await? else {
            return Ok(Settled::Dropped);
        };
        self.settle(deposits, vec![flight.clone()], outcome).await
    }

    async fn settle(
        &self,
        deposits: &mut Deposits<'_>,
        flights: Vec<Flight>,
        outcome: DepositOutcome,
    ) -> Result<Settled> {
        let (grant, now) = (deposits.grant, self.clock.now());
        let bodies: u64 = flights.iter().map(Flight::bodies).sum();
        let settled = self.store.write(move |tx| settle::deposit(tx, &grant, &flights, outcome, now)).await?;
        if settled == Settled::Deposited {
            deposits.bodies += bodies;
        }
        Ok(settled)
    }

    /// Deposits `flights`, which begin with the oldest in flight, and what follows them, on one stream.
    async fn deposit_backlog(
        &self,
        deposits: &mut Deposits<'_>,
        mut flights: VecDeque<Flight>,
    ) -> Result<StreamEnd> {
        let grant = deposits.grant;
        let mut at_its_end = if deposits.stream.is_some() { StreamEnd::Done } else { StreamEnd::Broken };
        // Whatever else ends a stream, a call after it tells the reason.
        let open = deposits.stream.take();
        let opening = async {
            match open {
                Some(stream) => Ok(Ok(stream)),
                None => Ok(deposits.channel.deposit_stream().await),
            }
        };
        let mut stream = match self.while_in_flight(grant, &flights[0], opening).await? {
            None => return Ok(StreamEnd::Settled(Settled::Dropped)),
            Some(Err(_)) => return Ok(StreamEnd::Broken),
            Some(Ok(stream)) => stream,
        };
        loop {
            if self.fill(grant, &mut stream, &mut flights).await? == Filled::Dropped {
                return Ok(StreamEnd::Settled(Settled::Dropped));
            }
            let Some(oldest) = flights.front() else {
                deposits.stream = Some(stream);
                return Ok(StreamEnd::Done);
            };
            let answering = async { Ok(stream.answer().await) };
            let Some(answer) = self.while_in_flight(grant, oldest, answering).await? else {
                return Ok(StreamEnd::Settled(Settled::Dropped));
            };
            match answer {
                Ok(StreamAnswer::Stored(count)) => {
                    let stored = flights.drain(..count.min(flights.len())).collect();
                    match self.settle(deposits, stored, DepositOutcome::Stored).await? {
                        Settled::Deposited => at_its_end = StreamEnd::Done,
                        other => return Ok(StreamEnd::Settled(other)),
                    }
                    self.report_progress(grant, deposits.on_progress).await?;
                }
                Ok(StreamAnswer::Refused(outcome)) => {
                    let refused = flights.drain(..1).collect();
                    return self.settle(deposits, refused, outcome).await.map(StreamEnd::Settled);
                }
                Ok(StreamAnswer::Ended) => return Ok(at_its_end),
                Err(_) => return Ok(StreamEnd::Broken),
            }
        }
    }

    /// Sends as many batches as the stream has room for; `flights` begins with those that it has not answered.
    async fn fill(
        &self,
        grant: GrantId,
        stream: &mut DepositStream,
        flights: &mut VecDeque<Flight>,
    ) -> Result<Filled> {
        while stream.has_room() {
            let sent = stream.unanswered();
            if sent == flights.len() {
                let sealed = match flights.back() {
                    Some(last) => self.flight_after(grant, last).await?,
                    None => self.next_flight(grant).await?,
                };
                let Some(sealed) = sealed else { break };
                flights.push_back(sealed);
            }
            let flight = &flights[sent];
            let sending = async { Ok(stream.send(flight.envelopes.clone()).await) };
            match self.while_in_flight(grant, flight, sending).await? {
                None => return Ok(Filled::Dropped),
                Some(Ok(())) => {}
                // A stream that is over says so when it is asked for its answer.
                Some(Err(_)) => break,
            }
        }
        Ok(Filled::Enough)
    }

    /// Begins `call` only while the grant is active and `flight` is its batch, and drops it as soon as that is no
    /// longer so: nothing follows a stop, and nothing that the patient took back follows another choice. None if
    /// the batch was dropped.
    async fn while_in_flight<T>(
        &self,
        grant: GrantId,
        flight: &Flight,
        call: impl Future<Output = Result<T, TransportError>> + Send,
    ) -> Result<Option<T>> {
        let mut stops = self.stops.subscribe();
        let mut call = pin!(call);
        loop {
            let flight = flight.clone();
            let look = move |tx: &sealcare_vault::ReadTransaction<'_>| {
                GrantRow::load_active(tx, &grant)?;
                flight.is_in_flight(tx, &grant)
            };
            if !self.store.read(look).await? {
                return Ok(None);
            }
            tokio::select! {
                biased;
                stopped = stops.changed() => stopped.map_err(|_| ClientError::Stopped)?,
                done = &mut call => return Ok(Some(done?)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use super::*;
    use crate::{acceptance::SharedScope, fixture::Fixture};

    async fn in_flight(fixture: &Fixture) -> Flight {
        let (grant, bundle) = (fixture.grant, fixture.bundle.clone());
        let seal = move |tx: &mut sealcare_vault::WriteTransaction<'_>| {
            flight::next(tx, &grant, &bundle, crate::fixture::NOW)
        };
        fixture.patient.store.write(seal).await.unwrap().unwrap()
    }

    /// What becomes of a deposit that never ends by itself, once `choose` was done; and of one that begins then.
    async fn interrupted(
        fixture: &Fixture,
        choose: impl Future<Output = Result<()>>,
    ) -> [Result<Option<()>>; 2] {
        let (patient, grant, flight) = (&fixture.patient, fixture.grant, in_flight(fixture).await);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let deposit = async {
            begun.send(()).unwrap();
            pending::<Result<(), TransportError>>().await
        };
        let choose = async {
            has_begun.await.unwrap();
            choose.await
        };
        let (deposited, chosen) = tokio::join!(patient.while_in_flight(grant, &flight, deposit), choose);
        chosen.unwrap();
        let never = poll_fn(|_| -> std::task::Poll<Result<(), TransportError>> { panic!("it began") });
        [deposited, patient.while_in_flight(grant, &flight, never).await]
    }

    #[tokio::test]
    async fn a_stop_ends_the_deposit_under_way_and_lets_none_begin() {
        let fixture = Fixture::new().await;
        let [under_way, next] = interrupted(&fixture, fixture.patient.begin_revocation(fixture.grant)).await;
        assert!(matches!((under_way, next), (Err(ClientError::Revoked), Err(ClientError::Revoked))));
    }

    #[tokio::test]
    async fn another_scope_or_a_pause_drops_the_deposit_under_way() {
        let fixture = Fixture::new().await;
        let nothing = SharedScope::of([]);
        let narrowed = interrupted(&fixture, fixture.patient.change_scope(fixture.grant, &nothing)).await;
        assert!(matches!(narrowed, [Ok(None), Ok(None)]));
        let paused = interrupted(&fixture, fixture.patient.pause(fixture.grant)).await;
        assert!(matches!(paused, [Ok(None), Ok(None)]));
    }
}
