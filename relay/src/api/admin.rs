//! The operator's calls. Whoever can open the socket in the relay's data folder is the operator.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use sealcare_proto::v1::{self as wire, Reason, admin_service_server::AdminService};
use sealcare_protocol::Domain;
use tonic::{Request, Response, Status};

use super::{
    directory::{organization, organization_state},
    status::{refuse, store_refusal},
    stream_places::StreamPlaces,
};
use crate::store::{BackedUp, BackupError, OrganizationRecord, OrganizationState, Store};

/// `AdminService` over a store.
pub(crate) struct Admin {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) streams: Arc<StreamPlaces>,
}

impl Admin {
    /// Refuses a domain whose organization has another root than the one that was compared.
    async fn check_fingerprint(&self, domain: &str, compared: &[u8]) -> Result<(), Status> {
        let all = self.store.organizations().await.map_err(store_refusal)?;
        let holder = all.iter().find(|record| record.domain.as_str() == domain);
        match holder {
            None => Err(refuse(Reason::NotFound)),
            Some(record) if record.root_fingerprint == compared => Ok(()),
            Some(_) => Err(refuse(Reason::Conflict)),
        }
    }

    async fn decide(&self, domain: &str, state: OrganizationState) -> Result<(), Status> {
        let domain: Domain = domain.parse().map_err(|_| refuse(Reason::Malformed))?;
        self.store.decide(domain, state).await.map_err(store_refusal)?;
        self.streams.recheck();
        Ok(())
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn list_organizations(
        &self,
        _: Request<wire::ListOrganizationsRequest>,
    ) -> Result<Response<wire::ListOrganizationsResponse>, Status> {
        let all = self.store.organizations().await.map_err(store_refusal)?;
        let organizations = all.iter().map(entry).collect();
        Ok(Response::new(wire::ListOrganizationsResponse { organizations }))
    }

    async fn approve_organization(
        &self,
        request: Request<wire::ApproveOrganizationRequest>,
    ) -> Result<Response<wire::ApproveOrganizationResponse>, Status> {
        let wire::ApproveOrganizationRequest { domain, root_fingerprint } = request.into_inner();
        if !root_fingerprint.is_empty() {
            self.check_fingerprint(&domain, &root_fingerprint).await?;
        }
        self.decide(&domain, OrganizationState::Approved).await?;
        Ok(Response::new(wire::ApproveOrganizationResponse {}))
    }

    async fn suspend_organization(
        &self,
        request: Request<wire::SuspendOrganizationRequest>,
    ) -> Result<Response<wire::SuspendOrganizationResponse>, Status> {
        self.decide(&request.into_inner().domain, OrganizationState::Suspended).await?;
        Ok(Response::new(wire::SuspendOrganizationResponse {}))
    }

    async fn back_up(
        &self,
        request: Request<wire::BackUpRequest>,
    ) -> Result<Response<wire::BackUpResponse>, Status> {
        let file = PathBuf::from(request.into_inner().file);
        if !file.is_absolute() {
            return Err(refuse(Reason::Malformed));
        }
        if file.exists() {
            return Err(refuse(Reason::Conflict));
        }
        let store = self.store.clone();
        let written = tokio::task::spawn_blocking(move || store.back_up(&file)).await;
        let BackedUp { organizations, grants, tombstones } =
            written.map_err(|_| refuse(Reason::Unavailable))?.map_err(backup_refusal)?;
        Ok(Response::new(wire::BackUpResponse { organizations, grants, tombstones }))
    }
}

/// The operator hears why: nothing of a patient is in these texts.
fn backup_refusal(error: BackupError) -> Status {
    match error {
        BackupError::Store(error) => store_refusal(error),
        other => Status::failed_precondition(other.to_string()),
    }
}

fn entry(record: &OrganizationRecord) -> wire::OrganizationEntry {
    wire::OrganizationEntry {
        organization: Some(organization(record)),
        state: organization_state(record.state).into(),
        registered_ms: record.registered.as_millis(),
        bundle_expires_ms: record.bundle_expires.as_millis(),
        root_fingerprint: Bytes::copy_from_slice(&record.root_fingerprint),
    }
}
