//! A patient's calls: each signed with the grant's deposit key, over one connection of the grant's own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use sealcare_proto::v1::{self as wire, mailbox_service_client::MailboxServiceClient};
use sealcare_protocol::{
    CallMethod, Clock, DepositKey, OrganizationId, RelayOrigin, Revocation, SessionId,
    UnverifiedConfirmation, UnverifiedRevocation, sign_call,
};
use tokio::time::timeout;
use tonic::{Response, Status, transport::Channel};

use crate::{
    clock::CallClock,
    connector::{ANSWER_BYTES_MAX, CALL_TIMEOUT, REQUEST_BYTES_MAX, connect},
    deposit_stream::{self, DepositStream},
    error::{Result, TransportError},
    retry::{DEADLINE_DEFAULT, retry},
    status::{error_of, relay_time},
    trust::Trust,
};

/// Envelopes in one deposit, at most.
pub const DEPOSIT_ENVELOPES_MAX: usize = 100;
/// Bytes of envelopes in one deposit, at most.
pub const DEPOSIT_BYTES_MAX: usize = 256 * 1024;

/// A grant's own connection to its relay.
pub struct PatientChannel {
    client: MailboxServiceClient<Channel>,
    relay: RelayOrigin,
    key: DepositKey,
    clock: CallClock,
    deadline: Duration,
}

/// What became of a deposit; the batch is stored whole or not at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DepositOutcome {
    /// Stored now, durably.
    Stored,
    /// This very batch was stored before.
    Already,
    /// Other bytes were stored under these numbers.
    Conflict,
    /// Above the session's next number.
    OutOfOrder,
    /// The relay does not know the session.
    UnknownSession,
    /// The init is sealed to an epoch key that is no longer for sealing.
    EpochClosed,
}

/// What the relay knows of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionReport {
    /// Which.
    pub session: SessionId,
    /// Counter of the next data envelope that it would store.
    pub next_counter: u64,
    /// Data envelopes below were acknowledged by the organization, or expired.
    pub gone_below: u64,
    /// The init itself was acknowledged, or expired.
    pub init_is_gone: bool,
}

/// What the relay says of a grant. Nothing of it is verified; what can be, says so in its type.
#[derive(Clone, Debug)]
pub struct GrantReport {
    /// To whom the grant is.
    pub organization: OrganizationId,
    /// Whether it is closed, by the relay's word alone.
    pub is_revoked: bool,
    /// At most 64.
    pub sessions: Vec<SessionReport>,
    /// The organization's confirmation of the revocation, once there.
    pub confirmation: Option<UnverifiedConfirmation>,
    /// The patient's own signed revocation, if the grant is closed by one.
    pub revocation: Option<UnverifiedRevocation>,
    /// Ciphertext that lies undelivered, bytes.
    pub stored_bytes: u64,
}

impl PatientChannel {
    /// A channel for the grant of `key` at `relay`. Connects at the first call.
    ///
    /// # Errors
    /// [`TransportError::Configuration`].
    pub fn new(relay: &RelayOrigin, key: DepositKey, trust: &Trust, clock: Arc<dyn Clock>) -> Result<Self> {
        let client = MailboxServiceClient::new(connect(relay, trust)?)
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX);
        let clock = CallClock::new(clock);
        Ok(Self { client, relay: relay.clone(), key, clock, deadline: DEADLINE_DEFAULT })
    }

    /// Tries each call for `deadline` instead of 20 seconds.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Spends a ticket for this channel's key; the relay names the organization that the grant is to.
    ///
    /// # Errors
    /// [`TransportError::TicketSpent`], [`TransportError::TicketExpired`] and what any call can meet.
    pub async fn accept_invitation(&self, ticket: &wire::Signed) -> Result<OrganizationId> {
        let request = wire::AcceptInvitationRequest { ticket: Some(ticket.clone()) };
        let answer = self
            .call(CallMethod::AcceptInvitation, &request, |mut client, call| async move {
                client.accept_invitation(call).await
            })
            .await?;
        OrganizationId::from_slice(&answer.organization_id)
            .map_err(|_| TransportError::Response("organization id"))
    }

    /// Deposits a session's next envelopes, at most [`DEPOSIT_ENVELOPES_MAX`] and [`DEPOSIT_BYTES_MAX`].
    ///
    /// # Errors
    /// [`TransportError::GrantRevoked`], [`TransportError::GrantFull`] and what any call can meet.
    pub async fn deposit(&self, envelopes: Vec<Bytes>) -> Result<DepositOutcome> {
        let count = envelopes.len();
        let request = wire::DepositRequest { envelopes };
        let answer = self
            .call(CallMethod::Deposit, &request, |mut client, call| async move { client.deposit(call).await })
            .await?;
        let outcomes = answer.outcomes().map(outcome).collect::<Option<Vec<_>>>();
        let outcomes = outcomes.filter(|outcomes| !outcomes.is_empty() && outcomes.len() == count);
        outcomes.map(|outcomes| of_batch(&outcomes)).ok_or(TransportError::Response("deposit outcome"))
    }

    /// Opens a stream for a backlog. A key has one at a time, so [`TransportError::RateLimited`] is answered with
    /// [`Self::deposit`] and not with waiting: it is not tried again here.
    ///
    /// # Errors
    /// [`TransportError::RateLimited`], [`TransportError::GrantRevoked`] and what any call can meet.
    pub async fn deposit_stream(&self) -> Result<DepositStream> {
        let open = async {
            let status = match self.open_stream().await {
                Ok(stream) => return Ok(stream),
                Err(status) => status,
            };
            self.follow_clock(&status)?;
            self.open_stream().await.map_err(|status| error_of(&status))
        };
        timeout(self.deadline.min(CALL_TIMEOUT), open).await.unwrap_or(Err(TransportError::Deadline))
    }

    async fn open_stream(&self) -> Result<DepositStream, Status> {
        let stream = deposit_stream::begin(self.client.clone()).await?;
        let opening = wire::DepositStreamOpening { challenge: stream.challenge.clone() };
        let call = self.sign(CallMethod::DepositStream, opening.encode_to_vec().into());
        stream.prove(call).await
    }

    /// The sealed replies of `sessions` (at most 64), or of all the grant's if there are none named. Kind 3 envelopes.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn fetch_replies(&self, sessions: &[SessionId]) -> Result<Vec<Bytes>> {
        let session_ids = sessions.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect();
        let request = wire::FetchRepliesRequest { session_ids };
        let answer = self
            .call(CallMethod::FetchReplies, &request, |mut client, call| async move {
                client.fetch_replies(call).await
            })
            .await?;
        Ok(answer.replies)
    }

    /// What the relay knows of the grant; [`TransportError::NotFound`] if nothing.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn grant_status(&self) -> Result<GrantReport> {
        let answer = self
            .call(CallMethod::GrantStatus, &wire::GrantStatusRequest {}, |mut client, call| async move {
                client.grant_status(call).await
            })
            .await?;
        report(answer).ok_or(TransportError::Response("grant status"))
    }

    /// Closes the grant. Once this returns, the relay accepts and hands out nothing of it. The organization's
    /// confirmation comes with the answer, or with a later one.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn revoke_grant(&self, revocation: &Revocation) -> Result<Option<UnverifiedConfirmation>> {
        let request = wire::RevokeGrantRequest { revocation: Some(revocation.to_wire()) };
        let answer = self
            .call(CallMethod::RevokeGrant, &request, |mut client, call| async move {
                client.revoke_grant(call).await
            })
            .await?;
        let confirmation = answer.confirmation.map(UnverifiedConfirmation::new).transpose();
        confirmation.map_err(|_| TransportError::Response("confirmation"))
    }

    /// Signs and sends. A first refusal for clock skew is answered by signing with the relay's time.
    async fn call<T, A>(
        &self,
        method: CallMethod,
        request: &impl Message,
        send: impl Fn(MailboxServiceClient<Channel>, wire::SignedCall) -> A,
    ) -> Result<T>
    where
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let request = Bytes::from(request.encode_to_vec());
        let signed = || self.sign(method, request.clone());
        let (signed, send) = (&signed, &send);
        retry(self.deadline, || async move {
            let status = match send(self.client.clone(), signed()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            self.follow_clock(&status)?;
            let again = send(self.client.clone(), signed()).await;
            again.map(Response::into_inner).map_err(|status| error_of(&status))
        })
        .await
    }

    fn sign(&self, method: CallMethod, request: Bytes) -> wire::SignedCall {
        sign_call(&self.key, &self.relay, method, request, self.clock.now())
    }

    /// Follows the relay's clock if that is why it refused.
    fn follow_clock(&self, refusal: &Status) -> Result<()> {
        let error = error_of(refusal);
        let time = relay_time(refusal).filter(|_| error == TransportError::ClockSkew).ok_or(error)?;
        self.clock.follow(time);
        Ok(())
    }
}

impl std::fmt::Debug for PatientChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PatientChannel")
    }
}

pub(crate) fn outcome(wire: wire::DepositOutcome) -> Option<DepositOutcome> {
    match wire {
        wire::DepositOutcome::Unspecified => None,
        wire::DepositOutcome::Stored => Some(DepositOutcome::Stored),
        wire::DepositOutcome::Already => Some(DepositOutcome::Already),
        wire::DepositOutcome::Conflict => Some(DepositOutcome::Conflict),
        wire::DepositOutcome::OutOfOrder => Some(DepositOutcome::OutOfOrder),
        wire::DepositOutcome::UnknownSession => Some(DepositOutcome::UnknownSession),
        wire::DepositOutcome::EpochClosed => Some(DepositOutcome::EpochClosed),
    }
}

/// The first outcome that is not success stands for the batch.
fn of_batch(outcomes: &[DepositOutcome]) -> DepositOutcome {
    let is_success = |o: &DepositOutcome| matches!(o, DepositOutcome::Stored | DepositOutcome::Already);
    let refused = outcomes.iter().find(|o| !is_success(o));
    refused.or(outcomes.first()).copied().unwrap_or(DepositOutcome::Stored)
}

fn report(wire: wire::GrantStatusResponse) -> Option<GrantReport> {
    let session = |s: &wire::SessionStatus| {
        Some(SessionReport {
            session: SessionId::from_slice(&s.session_id).ok()?,
            next_counter: s.next_counter,
            gone_below: s.gone_below,
            init_is_gone: s.init_gone,
        })
    };
    Some(GrantReport {
        organization: OrganizationId::from_slice(&wire.organization_id).ok()?,
        is_revoked: wire.revoked,
        sessions: wire.sessions.iter().map(session).collect::<Option<_>>()?,
        confirmation: wire.confirmation.map(UnverifiedConfirmation::new).transpose().ok()?,
        revocation: wire.revocation.map(UnverifiedRevocation::new),
        stored_bytes: wire.stored_bytes,
    })
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::SystemClock;

    use super::*;

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn calls_can_move_between_threads() {
        let relay = "https://localhost:1".parse().unwrap();
        let (key, clock) = (DepositKey::from_seed(&[1; 32]), Arc::new(SystemClock));
        // tonic's lazy channel wants a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let channel = PatientChannel::new(&relay, key, &Trust::web(), clock).unwrap();
        is_send(&channel.grant_status());
        is_send(&channel.deposit(Vec::new()));
    }

    #[test]
    fn one_refused_envelope_stands_for_its_batch() {
        use DepositOutcome::{Already, Conflict, Stored};
        assert_eq!(of_batch(&[Stored, Stored]), Stored);
        assert_eq!(of_batch(&[Already]), Already);
        assert_eq!(of_batch(&[Stored, Conflict]), Conflict);
    }
}
