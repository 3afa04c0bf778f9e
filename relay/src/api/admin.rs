//! The operator's calls. Whoever can open the socket in the relay's data folder is the operator.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use sealcare_proto::v1::{self as wire, Reason, admin_service_server::AdminService};
use sealcare_protocol::Domain;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use super::{
    directory::{organization, organization_state},
    status::{refuse, store_refusal},
    stream_places::StreamPlaces,
};
use crate::store::{BackedUp, BackupError, OrganizationRecord, OrganizationState, Store};

/// `AdminService` over a store.
pub(crate) struct Admin {
    store: Arc<dyn Store>,
    streams: Arc<StreamPlaces>,
    /// Held while a backup is written.
    backing_up: Arc<Mutex<()>>,
}

impl Admin {
    pub(crate) fn new(store: Arc<dyn Store>, streams: Arc<StreamPlaces>) -> Self {
        Self { store, streams, backing_up: Arc::default() }
    }

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
        let alone = self.backing_up.clone().try_lock_owned();
        let alone = alone.map_err(|_| Status::failed_precondition("another backup is being written"))?;
        let store = self.store.clone();
        // It goes on, and nobody else begins, even if whoever asked is gone.
        let back_up = move || (store.back_up(&file), alone).0;
        let written = tokio::task::spawn_blocking(back_up).await;
        let BackedUp { organizations, grants, tombstones } =
            written.map_err(|_| refuse(Reason::Unavailable))?.map_err(backup_refusal)?;
        Ok(Response::new(wire::BackUpResponse { organizations, grants, tombstones }))
    }
}

/// The operator hears why: nothing of a patient is in these texts.
fn backup_refusal(error: BackupError) -> Status {
    match error {
        BackupError::Store(error) => store_refusal(error),
        BackupError::File(error) if error.kind() == io::ErrorKind::AlreadyExists => refuse(Reason::Conflict),
        other => Status::failed_precondition(other.to_string()),
    }
}

/// What the operator is told of an organization.
pub(crate) fn entry(record: &OrganizationRecord) -> wire::OrganizationEntry {
    wire::OrganizationEntry {
        organization: Some(organization(record)),
        state: organization_state(record.state).into(),
        registered_ms: record.registered.as_millis(),
        bundle_expires_ms: record.bundle_expires.as_millis(),
        root_fingerprint: Bytes::copy_from_slice(&record.root_fingerprint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::stream_places::StreamLimits,
        store::embedded::{self, EngineName},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn one_backup_is_written_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = embedded::open(&folder.path().join("data"), EngineName::Fjall, 0).unwrap();
        let admin = Admin::new(Arc::new(store), Arc::new(StreamPlaces::new(StreamLimits::default())));
        let file = folder.path().join("backup").display().to_string();
        let back_up = || admin.back_up(Request::new(wire::BackUpRequest { file: file.clone() }));
        let other = admin.backing_up.clone().try_lock_owned().unwrap();
        assert_eq!(back_up().await.unwrap_err().code(), tonic::Code::FailedPrecondition);
        drop(other);
        back_up().await.unwrap();
        assert_eq!(back_up().await.unwrap_err().code(), tonic::Code::AlreadyExists);
    }
}
