//! Organizations at this relay: find one, mirror its bundle, become one.

use std::time::Duration;

use bytes::Bytes;
use sealcare_proto::v1::{self as wire, Reason, directory_service_server::DirectoryService};
use sealcare_protocol::{
    EpochEntry, KeyBundle, OrganizationId, Timestamp, UnverifiedKeyBundle, UnverifiedRegistration,
};
use tonic::{Request, Response, Status};

use super::{
    Services,
    status::{refuse, store_refusal},
};
use crate::{
    auth::{Caller, RateDoor, parse_jwk},
    store::{OrganizationRecord, OrganizationState, PutBundleOutcome, RegisterOutcome, Registrant},
};

const SEARCH_BYTES_MAX: usize = 256;
/// How far ahead the beginning of an epoch may lie for its inits to be taken: bundles live 7 days.
const EPOCH_AHEAD_MAX: Duration = Duration::from_hours(8 * 24);
const SEARCH_RESULTS_MAX: usize = 50;

/// `DirectoryService` over a store.
pub(crate) struct Directory(pub(crate) Services);

impl Directory {
    async fn list(&self, request: wire::RegisterRequest) -> Result<Response<wire::RegisterResponse>, Status> {
        let Services { store, auth, clock, .. } = &self.0;
        let signed = request.registration.ok_or_else(|| refuse(Reason::Malformed))?;
        let now = clock.now();
        let registration = UnverifiedRegistration::new(signed)
            .verify(auth.origin(), now)
            .map_err(|error| refuse(bundle_reason(error)))?;
        if parse_jwk(&registration.oauth_jwk).is_none() {
            return Err(refuse(Reason::Malformed));
        }
        let registrant =
            registrant(&registration.bundle, Some((registration.oauth_jwk, registration.created)), now);
        let state = match store.register(registrant, now).await.map_err(store_refusal)? {
            RegisterOutcome::Listed(state) => organization_state(state),
            RegisterOutcome::DomainTaken => return Err(refuse(Reason::Conflict)),
            RegisterOutcome::Stale => return Err(refuse(Reason::Stale)),
            RegisterOutcome::Full => return Err(refuse(Reason::RateLimited)),
        };
        Ok(Response::new(wire::RegisterResponse { state: state.into() }))
    }
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn search(
        &self,
        request: Request<wire::SearchRequest>,
    ) -> Result<Response<wire::SearchResponse>, Status> {
        self.0.auth.knock(&request, RateDoor::Search)?;
        let text = request.into_inner().text.to_ascii_lowercase();
        if text.len() > SEARCH_BYTES_MAX {
            return Err(refuse(Reason::Malformed));
        }
        let all = self.0.store.organizations().await.map_err(store_refusal)?;
        let is_found = |record: &OrganizationRecord| {
            record.state == OrganizationState::Approved && record.domain.as_str().contains(&text)
        };
        let found = all.iter().filter(|record| is_found(record)).take(SEARCH_RESULTS_MAX);
        Ok(Response::new(wire::SearchResponse { organizations: found.map(organization).collect() }))
    }

    async fn fetch_bundle(
        &self,
        request: Request<wire::FetchBundleRequest>,
    ) -> Result<Response<wire::FetchBundleResponse>, Status> {
        let id = OrganizationId::from_slice(&request.into_inner().organization_id)
            .map_err(|_| refuse(Reason::Malformed))?;
        let record = self.0.store.organization(id).await.map_err(store_refusal)?;
        if record.state != OrganizationState::Approved {
            return Err(refuse(Reason::NotFound));
        }
        let (bundle, _) = self.0.store.bundle(id).await.map_err(store_refusal)?;
        Ok(Response::new(wire::FetchBundleResponse { bundle: Some(bundle) }))
    }

    async fn register(
        &self,
        request: Request<wire::RegisterRequest>,
    ) -> Result<Response<wire::RegisterResponse>, Status> {
        let auth = &self.0.auth;
        auth.knock(&request, RateDoor::Register)?;
        let answer = self.list(request.into_inner()).await;
        auth.settle(RateDoor::Register, &answer);
        answer
    }

    async fn put_bundle(
        &self,
        request: Request<wire::PutBundleRequest>,
    ) -> Result<Response<wire::PutBundleResponse>, Status> {
        let Services { store, auth, clock, .. } = &self.0;
        let Caller(id) = auth.organization(&request)?;
        let signed = request.into_inner().bundle.ok_or_else(|| refuse(Reason::Malformed))?;
        let now = clock.now();
        let bundle = UnverifiedKeyBundle::new(signed)
            .and_then(|bundle| bundle.verify(&id, now))
            .map_err(|error| refuse(bundle_reason(error)))?;
        match store.put_bundle(registrant(&bundle, None, now), now).await.map_err(store_refusal)? {
            PutBundleOutcome::Stored => Ok(Response::new(wire::PutBundleResponse {})),
            PutBundleOutcome::Stale => Err(refuse(Reason::Stale)),
        }
    }
}

fn bundle_reason(error: sealcare_protocol::Error) -> Reason {
    use sealcare_protocol::Error as E;
    match error {
        E::Signature(_) | E::Succession | E::Delegation | E::WrongOrganization | E::WrongRelay => {
            Reason::Unauthenticated
        }
        _ => Reason::Malformed,
    }
}

fn registrant(bundle: &KeyBundle, oauth: Option<(String, Timestamp)>, now: Timestamp) -> Registrant {
    let (oauth_jwk, oauth_created) = oauth.map_or((None, now), |(jwk, created)| (Some(jwk), created));
    let is_near = |epoch: &&EpochEntry| epoch.period.not_before.since(now) <= EPOCH_AHEAD_MAX;
    let epochs = bundle.epochs().iter().filter(is_near);
    let epochs = epochs.map(|epoch| (epoch.key.id(), epoch.period.encrypt_until));
    Registrant {
        organization: *bundle.organization(),
        domain: bundle.domain().clone(),
        oauth_jwk,
        oauth_created,
        bundle: bundle.signed().clone(),
        pin: bundle.pin(),
        bundle_expires: bundle.expires(),
        epochs: epochs.collect(),
        root_fingerprint: *bundle.authority().root_fingerprint().as_bytes(),
    }
}

pub(super) fn organization(record: &OrganizationRecord) -> wire::Organization {
    wire::Organization {
        organization_id: Bytes::copy_from_slice(record.organization.as_bytes()),
        domain: record.domain.as_str().to_owned(),
    }
}

pub(super) fn organization_state(state: OrganizationState) -> wire::OrganizationState {
    match state {
        OrganizationState::Pending => wire::OrganizationState::Pending,
        OrganizationState::Approved => wire::OrganizationState::Approved,
        OrganizationState::Suspended => wire::OrganizationState::Suspended,
    }
}
