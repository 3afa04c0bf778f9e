//! An organization's calls to a relay, each with its access token.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sealcare_proto::v1::{
    self as wire, delivery_service_client::DeliveryServiceClient,
    directory_service_client::DirectoryServiceClient,
};
use sealcare_protocol::{Clock, Confirmation, GrantId, KeyBundle, OrganizationId, RelayOrigin};
use tonic::{Request, Response, Status, metadata::MetadataValue, transport::Channel};
use zeroize::Zeroizing;

use crate::{
    connector::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX, connect},
    delivery::{Batch, Cursor, LaneRange, Page, RevokedPage},
    error::{Result, TransportError},
    oauth::{OAuthKey, TokenSource},
    retry::{DEADLINE_DEFAULT, retry},
    status::error_of,
    subscription::{self, Subscription},
    trust::Trust,
};

/// An organization's connection to its relay.
pub struct OrganizationChannel {
    delivery: DeliveryServiceClient<Channel>,
    directory: DirectoryServiceClient<Channel>,
    tokens: TokenSource,
    deadline: Duration,
}

impl OrganizationChannel {
    /// A channel for `organization`, which registered `key`'s public half at `relay`. Connects at the first call.
    ///
    /// # Errors
    /// [`TransportError::Configuration`].
    pub fn new(
        relay: &RelayOrigin,
        organization: OrganizationId,
        key: Arc<OAuthKey>,
        trust: &Trust,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let channel = connect(relay, trust)?;
        Ok(Self {
            delivery: DeliveryServiceClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX)
                .max_encoding_message_size(REQUEST_BYTES_MAX),
            directory: DirectoryServiceClient::new(channel)
                .max_decoding_message_size(ANSWER_BYTES_MAX)
                .max_encoding_message_size(REQUEST_BYTES_MAX),
            tokens: TokenSource::new(relay, organization, key, trust, clock)?,
            deadline: DEADLINE_DEFAULT,
        })
    }

    /// Tries each call for `deadline` instead of 20 seconds.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Proves the organization with another key, whose public half was registered, from the next token on.
    pub fn replace_key(&self, key: Arc<OAuthKey>) {
        self.tokens.replace_key(key);
    }

    /// Opens the delivery stream. Lanes without a cursor start at the beginning of what is left; at most `credit`
    /// envelopes (1 to 10,000) come before [`Subscription::grant_credit`]. When the stream ends, subscribe again
    /// with the newest cursors.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn subscribe(&self, cursors: &[Cursor], credit: u32) -> Result<Subscription> {
        let cursors: Vec<_> = cursors.iter().map(|cursor| cursor.to_wire()).collect();
        self.call(|token| {
            let start = wire::Start { cursors: cursors.clone(), credit };
            let opening = subscription::open(self.delivery.clone(), start, token);
            async move { opening.await.map(Response::new) }
        })
        .await
    }

    /// One page of one lane, at most `items_max` items (1 to 1,000).
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn fetch(&self, lane: u32, cursor: Option<Cursor>, items_max: u32) -> Result<Page> {
        let request = wire::FetchRequest { lane, cursor: cursor.map(Cursor::to_wire), items_max };
        let answer = self
            .call(async |token| self.delivery.clone().fetch(authorized(request.clone(), &token)?).await)
            .await?;
        let batch = answer.batch.ok_or(TransportError::Response("page"))?;
        Ok(Page { batch: Batch::from_wire(batch)?, lanes: answer.lanes })
    }

    /// Lets the relay delete what was received; at most 1,000 ranges.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn acknowledge(&self, ranges: &[LaneRange]) -> Result<()> {
        let ranges = ranges.iter().map(|range| range.to_wire()).collect();
        let request = wire::AcknowledgeRequest { ranges };
        self.call(|token| {
            let (mut client, request) = (self.delivery.clone(), authorized(request.clone(), &token));
            async move { client.acknowledge(request?).await }
        })
        .await?;
        Ok(())
    }

    /// Puts a sealed reply (kind 3 envelope) into its session's slot.
    ///
    /// # Errors
    /// [`TransportError::NotFound`] and what any call can meet.
    pub async fn put_reply(&self, grant: &GrantId, reply: Bytes) -> Result<()> {
        let request = wire::PutReplyRequest { grant_id: Bytes::copy_from_slice(grant.as_bytes()), reply };
        self.call(async |token| self.delivery.clone().put_reply(authorized(request.clone(), &token)?).await)
            .await?;
        Ok(())
    }

    /// Leaves the organization's word that a revoked grant was destroyed.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn confirm_revocation(&self, confirmation: &Confirmation) -> Result<()> {
        let confirmation = Some(confirmation.signed().clone());
        let request = wire::ConfirmRevocationRequest { confirmation };
        self.call(|token| {
            let (mut client, request) = (self.delivery.clone(), authorized(request.clone(), &token));
            async move { client.confirm_revocation(request?).await }
        })
        .await?;
        Ok(())
    }

    /// The organization's tombstones after a grant id, at most `items_max` (1 to 1,000).
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn list_revoked(&self, after: Option<GrantId>, items_max: u32) -> Result<RevokedPage> {
        let after = after.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes()));
        let request = wire::ListRevokedRequest { after, items_max };
        let answer = self
            .call(|token| {
                let (mut client, request) = (self.delivery.clone(), authorized(request.clone(), &token));
                async move { client.list_revoked(request?).await }
            })
            .await?;
        RevokedPage::from_wire(answer)
    }

    /// Mirrors a newer bundle.
    ///
    /// # Errors
    /// [`TransportError::Stale`] and what any call can meet.
    pub async fn put_bundle(&self, bundle: &KeyBundle) -> Result<()> {
        let request = wire::PutBundleRequest { bundle: Some(bundle.signed().clone()) };
        self.call(|token| {
            let (mut client, request) = (self.directory.clone(), authorized(request.clone(), &token));
            async move { client.put_bundle(request?).await }
        })
        .await?;
        Ok(())
    }

    /// Sends with a token; one that is refused is renewed once.
    async fn call<T, A>(&self, send: impl Fn(Arc<Zeroizing<String>>) -> A) -> Result<T>
    where
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let send = &send;
        retry(self.deadline, || async move {
            let token = self.tokens.token().await?;
            let error = match send(Arc::clone(&token)).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => error_of(&status),
            };
            if error != TransportError::Unauthenticated {
                return Err(error);
            }
            self.tokens.forget(&token).await;
            let answer = send(self.tokens.token().await?).await;
            answer.map(Response::into_inner).map_err(|status| error_of(&status))
        })
        .await
    }
}

/// `request` with the token in its metadata (RFC 6750 §2.1).
pub(crate) fn authorized<T>(message: T, token: &Zeroizing<String>) -> Result<Request<T>, Status> {
    let text = Zeroizing::new(format!("Bearer {}", token.as_str()));
    let mut value: MetadataValue<_> =
        text.parse().map_err(|_| Status::unauthenticated("the token is not a header value"))?;
    value.set_sensitive(true);
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

impl std::fmt::Debug for OrganizationChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OrganizationChannel")
    }
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::SystemClock;

    use super::*;

    fn is_send<T: Send>(_: &T) {}

    #[tokio::test]
    async fn calls_can_move_between_threads() {
        let relay = "https://localhost:1".parse().unwrap();
        let organization = OrganizationId::from_bytes([1; 32]);
        let key = Arc::new(OAuthKey::generate().unwrap());
        let trust = Trust::web();
        let channel =
            OrganizationChannel::new(&relay, organization, key, &trust, Arc::new(SystemClock)).unwrap();
        is_send(&channel.subscribe(&[], 1));
        is_send(&channel.fetch(0, None, 1));
    }

    #[test]
    fn a_token_never_shows_in_debug_text() {
        let request = authorized((), &Zeroizing::new("secret".to_owned())).unwrap();
        assert!(!format!("{request:?}").contains("secret"));
        assert!(authorized((), &Zeroizing::new("a\nb".to_owned())).is_err());
    }
}
