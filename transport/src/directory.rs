//! The relay's directory, for whom no token is needed. What it says of keys is verified elsewhere.

use std::time::Duration;

use bytes::Bytes;
use sealcare_proto::v1::{self as wire, directory_service_client::DirectoryServiceClient};
use sealcare_protocol::{Domain, OrganizationId, RelayOrigin, UnverifiedKeyBundle};
use tonic::transport::Channel;

use crate::{
    connector::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX, connect},
    error::{Result, TransportError},
    retry::{DEADLINE_DEFAULT, retry},
    status::error_of,
    trust::Trust,
};

/// A connection to a relay's directory.
#[derive(Clone, Debug)]
pub struct DirectoryChannel {
    client: DirectoryServiceClient<Channel>,
    deadline: Duration,
}

/// Where an organization stands with a relay's operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OrganizationState {
    /// Waits for the operator.
    Pending,
    /// Serves patients.
    Approved,
    /// Was suspended by the operator.
    Suspended,
    /// A state of a later version.
    Unknown,
}

/// An organization as the directory lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedOrganization {
    /// Who.
    pub organization: OrganizationId,
    /// Where its bundle is served.
    pub domain: Domain,
}

impl DirectoryChannel {
    /// A channel to `relay`. Connects at the first call.
    ///
    /// # Errors
    /// [`TransportError::Configuration`].
    pub fn new(relay: &RelayOrigin, trust: &Trust) -> Result<Self> {
        let client = DirectoryServiceClient::new(connect(relay, trust)?)
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX);
        Ok(Self { client, deadline: DEADLINE_DEFAULT })
    }

    /// Tries each call for `deadline` instead of 20 seconds.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Asks the operator to list an organization; again for the same one answers how it stands.
    ///
    /// # Errors
    /// [`TransportError::Malformed`], [`TransportError::Conflict`] and what any call can meet.
    pub async fn register(&self, registration: &wire::Signed) -> Result<OrganizationState> {
        let request = wire::RegisterRequest { registration: Some(registration.clone()) };
        let answer = retry(self.deadline, || {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.register(request).await.map_err(|status| error_of(&status)) }
        });
        Ok(match answer.await?.into_inner().state() {
            wire::OrganizationState::Pending => OrganizationState::Pending,
            wire::OrganizationState::Approved => OrganizationState::Approved,
            wire::OrganizationState::Suspended => OrganizationState::Suspended,
            wire::OrganizationState::Unspecified => OrganizationState::Unknown,
        })
    }

    /// The newest bundle that the organization put here: a mirror, never for the first acceptance.
    ///
    /// # Errors
    /// [`TransportError::NotFound`] and what any call can meet.
    pub async fn fetch_bundle(&self, organization: &OrganizationId) -> Result<UnverifiedKeyBundle> {
        let organization_id = Bytes::copy_from_slice(organization.as_bytes());
        let request = wire::FetchBundleRequest { organization_id };
        let answer = retry(self.deadline, || {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.fetch_bundle(request).await.map_err(|status| error_of(&status)) }
        });
        let malformed = TransportError::Response("bundle");
        let signed = answer.await?.into_inner().bundle.ok_or(malformed)?;
        UnverifiedKeyBundle::new(signed).map_err(|_| malformed)
    }

    /// Approved organizations whose domain contains `text` (at most 256 bytes).
    ///
    /// # Errors
    /// [`TransportError::Malformed`] and what any call can meet.
    pub async fn search(&self, text: &str) -> Result<Vec<ListedOrganization>> {
        let request = wire::SearchRequest { text: text.to_owned() };
        let answer = retry(self.deadline, || {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.search(request).await.map_err(|status| error_of(&status)) }
        });
        let listed = |entry: &wire::Organization| {
            let organization = OrganizationId::from_slice(&entry.organization_id).ok()?;
            Some(ListedOrganization { organization, domain: entry.domain.parse().ok()? })
        };
        let organizations = answer.await?.into_inner().organizations;
        let organizations = organizations.iter().map(listed).collect::<Option<_>>();
        organizations.ok_or(TransportError::Response("list of organizations"))
    }
}
