//! The patient's calls: accept an invitation, deposit (`deposit`, `deposit_stream`), read replies and status, revoke. Each is proven by
//! the deposit key; the relay knows no more of the patient.

use bytes::Bytes;
use futures::stream::BoxStream;
use prost::Message;
use sealcare_proto::v1::{self as wire, Reason, mailbox_service_server::MailboxService};
use sealcare_protocol::{
    CallMethod, Error as ProtocolError, SessionId, UnverifiedRevocation, UnverifiedTicket,
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Services,
    deposit::deposit,
    deposit_stream::DepositStream,
    status::{refuse, store_refusal},
};
use crate::{
    auth::RateDoor,
    store::{AcceptOutcome, Acceptance, GrantReport, SESSIONS_MAX, SessionReport},
};

/// `MailboxService` over a store.
pub(crate) struct Mailbox(pub(crate) Services);

pub(super) fn decode<T: Message + Default>(request: Bytes) -> Result<T, Status> {
    T::decode(request).map_err(|_| refuse(Reason::Malformed))
}

fn ticket_refusal(error: ProtocolError) -> Status {
    refuse(match error {
        ProtocolError::Expired(_) => Reason::TicketExpired,
        ProtocolError::Malformed(_) => Reason::Malformed,
        _ => Reason::Unauthenticated,
    })
}

impl Mailbox {
    async fn accept(
        &self,
        request: Request<wire::SignedCall>,
    ) -> Result<Response<wire::AcceptInvitationResponse>, Status> {
        let Services { store, auth, clock, .. } = &self.0;
        let call = auth.patient(request, CallMethod::AcceptInvitation)?;
        let request: wire::AcceptInvitationRequest = decode(call.request)?;
        let signed = request.ticket.ok_or_else(|| refuse(Reason::Malformed))?;
        let ticket = UnverifiedTicket::new(signed).map_err(ticket_refusal)?;
        let bundle = auth.bundle(ticket.organization()).await?;
        let now = clock.now();
        let ticket = ticket.verify(bundle.authority(), auth.origin(), now).map_err(ticket_refusal)?;
        let acceptance = Acceptance {
            organization: ticket.organization,
            ticket: ticket.id,
            ticket_expires: ticket.expires,
            stored_bytes_max: ticket.limits.stored_bytes_max.min(self.0.grant_bytes_max),
            key: call.deposit_key,
        };
        let outcome = store.accept_invitation(acceptance, now).await.map_err(store_refusal)?;
        let organization_id = Bytes::copy_from_slice(ticket.organization.as_bytes());
        match outcome {
            AcceptOutcome::Accepted => Ok(Response::new(wire::AcceptInvitationResponse { organization_id })),
            AcceptOutcome::Spent => Err(refuse(Reason::TicketSpent)),
            AcceptOutcome::Revoked => Err(refuse(Reason::GrantRevoked)),
            AcceptOutcome::NotApproved => Err(refuse(Reason::OrganizationNotApproved)),
        }
    }
}

#[tonic::async_trait]
impl MailboxService for Mailbox {
    async fn accept_invitation(
        &self,
        request: Request<wire::SignedCall>,
    ) -> Result<Response<wire::AcceptInvitationResponse>, Status> {
        let auth = &self.0.auth;
        auth.knock(&request, RateDoor::Accept)?;
        let answer = self.accept(request).await;
        auth.settle(RateDoor::Accept, &answer);
        answer
    }

    async fn deposit(
        &self,
        request: Request<wire::SignedCall>,
    ) -> Result<Response<wire::DepositResponse>, Status> {
        let call = self.0.auth.patient(request, CallMethod::Deposit)?;
        let answer = deposit(&self.0, call.deposit_key, decode(call.request)?).await?;
        let outcomes = vec![answer.outcome.into(); answer.count];
        Ok(Response::new(wire::DepositResponse { outcomes }))
    }

    type DepositStreamStream = BoxStream<'static, Result<wire::DepositStreamResponse, Status>>;

    async fn deposit_stream(
        &self,
        request: Request<Streaming<wire::DepositStreamRequest>>,
    ) -> Result<Response<Self::DepositStreamStream>, Status> {
        let peer = request.extensions().get().copied().unwrap_or_default();
        let stream = DepositStream::begin(self.0.clone(), peer, request.into_inner())?;
        Ok(Response::new(stream.responses()))
    }

    async fn fetch_replies(
        &self,
        request: Request<wire::SignedCall>,
    ) -> Result<Response<wire::FetchRepliesResponse>, Status> {
        let Services { store, auth, .. } = &self.0;
        let call = auth.patient(request, CallMethod::FetchReplies)?;
        let request: wire::FetchRepliesRequest = decode(call.request)?;
        if request.session_ids.len() > SESSIONS_MAX {
            return Err(refuse(Reason::Malformed));
        }
        let sessions = request.session_ids.iter().map(|id| SessionId::from_slice(id));
        let sessions = sessions.collect::<Result<_, _>>().map_err(|_| refuse(Reason::Malformed))?;
        let slots = store.fetch_replies(call.deposit_key, sessions).await.map_err(store_refusal)?;
        let replies = slots.into_iter().map(|slot| slot.reply).collect();
        Ok(Response::new(wire::FetchRepliesResponse { replies }))
    }

    async fn grant_status(
        &self,
        request: Request<wire::SignedCall>,
    ) -> Result<Response<wire::GrantStatusResponse>, Status> {
        let Services { store, auth, .. } = &self.0;
        let call = auth.patient(request, CallMethod::GrantStatus)?;
        let _: wire::GrantStatusRequest = decode(call.request)?;
        let report = store.grant_status(call.deposit_key).await.map_err(store_refusal)?;
        Ok(Response::new(grant_status(report)))
    }

    async fn revoke_grant(
        &self,
        request: Request<wire::SignedCall>,
    ) -> Result<Response<wire::RevokeGrantResponse>, Status> {
        let Services { store, auth, clock, revoked, streams, .. } = &self.0;
        let call = auth.patient(request, CallMethod::RevokeGrant)?;
        let request: wire::RevokeGrantRequest = decode(call.request)?;
        let revocation = request.revocation.ok_or_else(|| refuse(Reason::Malformed))?;
        let revocation = UnverifiedRevocation::new(revocation).verify().map_err(|error| match error {
            ProtocolError::Malformed(_) => refuse(Reason::Malformed),
            _ => refuse(Reason::Unauthenticated),
        })?;
        if *revocation.deposit_key() != call.deposit_key {
            return Err(refuse(Reason::Unauthenticated));
        }
        let tombstone = store.revoke_grant(revocation, clock.now()).await.map_err(store_refusal)?;
        revoked.notify_one();
        streams.recheck();
        metrics::counter!("relay_revocations_total").increment(1);
        Ok(Response::new(wire::RevokeGrantResponse { confirmation: tombstone.confirmation }))
    }
}

fn grant_status(report: GrantReport) -> wire::GrantStatusResponse {
    let revoked = report.tombstone.is_some();
    let (revocation, confirmation) =
        report.tombstone.map_or((None, None), |tombstone| (tombstone.revocation, tombstone.confirmation));
    wire::GrantStatusResponse {
        organization_id: Bytes::copy_from_slice(report.organization.as_bytes()),
        revoked,
        sessions: report.sessions.into_iter().map(session_status).collect(),
        confirmation,
        stored_bytes: report.stored_bytes,
        revocation,
    }
}

/// Place 0 is the init, data counter c is place c + 1.
fn session_status(report: SessionReport) -> wire::SessionStatus {
    wire::SessionStatus {
        session_id: Bytes::copy_from_slice(report.session.as_bytes()),
        next_counter: report.next.saturating_sub(1),
        gone_below: report.gone_below.saturating_sub(1),
        init_gone: report.gone_below > 0,
    }
}
