//! Who acts in the tests over real sockets: a relay, an organization, a patient.
#![allow(dead_code, reason = "each test program uses some of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

pub(crate) mod depositor;
pub(crate) mod subscriber;

use std::{net::SocketAddr, path::Path, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use prost::Message;
use sealcare_proto::v1::{
    self as wire, delivery_service_client::DeliveryServiceClient,
    directory_service_client::DirectoryServiceClient, mailbox_service_client::MailboxServiceClient,
};
use sealcare_protocol::{
    CallMethod, Clock as _, DelegationDraft, DepositKey, EpochEntry, EpochKey, GatewayKey, GrantId,
    INIT_BYTES, KeyBundle, KeyBundleDraft, OrganizationId, Registration, RelayOrigin, Revocation, RootKey,
    Succession, Successions, SystemClock, TicketDraft, TicketLimits, UnverifiedKeyBundle, missing_epochs,
    sign_call,
};
use sealcare_relay::{
    Config, Relay,
    config::TlsFiles,
    operator::{self, OrganizationCommand, Output},
};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;

/// What all tests call the relay; where it listens is another matter.
pub(crate) const ORIGIN: &str = "https://localhost:7443";

/// A relay on a socket of its own.
pub(crate) struct Running {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    certificate: String,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<sealcare_relay::Result<()>>>,
}

pub(crate) fn origin() -> RelayOrigin {
    ORIGIN.parse().unwrap()
}

/// A configuration in `folder` with a certificate of its own, and that certificate.
pub(crate) fn config(folder: &Path) -> (Config, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = TlsFiles { certificate: folder.join("chain.pem"), key: folder.join("key.pem") };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let config = Config::new(folder.join("data"), ([127, 0, 0, 1], 0).into(), origin(), tls);
    (config, made.cert.pem())
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// Stopped, and started again on what it has stored.
    pub(crate) async fn restarted(mut self) -> Self {
        self.stop().await.unwrap();
        Self::start_in(self.folder, |_| {}).await
    }

    /// Stopped, and started again on an empty store.
    pub(crate) async fn replaced(mut self) -> Self {
        self.stop().await.unwrap();
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
        Self::start_in(self.folder, |_| {}).await
    }

    #[allow(clippy::disallowed_methods, reason = "the test awaits the task when it stops the relay")]
    async fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let (mut config, certificate) = config(folder.path());
        config.sweep_every = Duration::from_secs(1);
        change(&mut config);
        let relay = Relay::bind(config).await.unwrap();
        let address = relay.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(relay.serve(async { drop(stopped.await) }));
        Self { folder, address, certificate, stop: Some(stop), serving: Some(serving) }
    }

    /// A relay that runs in another process.
    pub(crate) fn elsewhere(folder: tempfile::TempDir, address: SocketAddr, certificate: String) -> Self {
        Self { folder, address, certificate, stop: None, serving: None }
    }

    pub(crate) async fn stop(&mut self) -> sealcare_relay::Result<()> {
        drop(self.stop.take());
        self.serving.take().unwrap().await.unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    fn endpoint(&self) -> Endpoint {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.certificate))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap()
    }

    pub(crate) fn http(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root]).resolve("localhost", self.address).build().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) async fn operator(&self, command: OrganizationCommand) -> sealcare_relay::Result<String> {
        operator::run(&self.folder.path().join("data"), command, Output::Json).await
    }

    pub(crate) async fn approve(&self, domain: &str) {
        self.operator(OrganizationCommand::Approve { domain: domain.into() }).await.unwrap();
    }

    pub(crate) async fn suspend(&self, domain: &str) {
        self.operator(OrganizationCommand::Suspend { domain: domain.into() }).await.unwrap();
    }
}

/// The reason that a refusal carries.
pub(crate) fn reason(status: &Status) -> wire::Reason {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no reason in {status:?}"));
    wire::Reason::from_str_name(&info.reason).unwrap()
}

/// An organization with all its keys.
pub(crate) struct Organization {
    pub(crate) domain: &'static str,
    pub(crate) bundle: KeyBundle,
    pub(crate) gateway: GatewayKey,
    oauth: EcdsaKeyPair,
    oauth_pkcs8: Vec<u8>,
}

impl Organization {
    pub(crate) fn new(domain: &'static str) -> Self {
        let now = SystemClock.now();
        let rng = &mut rand::rng();
        let (root, gateway) = (RootKey::random(rng), GatewayKey::random(rng));
        let chain = vec![Succession::first(&root.public(), &RootKey::random(rng).public())];
        let successions = Successions::new(chain).unwrap();
        let name = domain.parse().unwrap();
        let delegation = DelegationDraft {
            organization: successions.organization_id(&name),
            number: 1,
            lowest_honoured: 1,
            gateway_key: gateway.public(),
            not_before: now.minus(Duration::from_mins(1)),
            expires: now.plus(Duration::from_hours(9000)),
            root_index: 0,
        };
        let delegation = delegation.sign(&root).unwrap();
        let epochs = missing_epochs(&[], now)
            .into_iter()
            .map(|period| EpochEntry { key: EpochKey::random(rng).public(), period })
            .collect();
        let draft = KeyBundleDraft { domain: name, successions, delegation, previous_serial: 0, epochs };
        let bundle = draft.sign(&gateway, now).unwrap();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let oauth = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        Self { domain, bundle, gateway, oauth, oauth_pkcs8: pkcs8.as_ref().to_vec() }
    }

    pub(crate) fn id(&self) -> OrganizationId {
        *self.bundle.organization()
    }

    pub(crate) fn jwk(&self) -> String {
        let point = self.oauth.public_key().as_ref();
        let (x, y) = (BASE64URL_NOPAD.encode(&point[1..49]), BASE64URL_NOPAD.encode(&point[49..]));
        json!({ "kty": "EC", "crv": "P-384", "x": x, "y": y, "alg": "ES384", "use": "sig" }).to_string()
    }

    pub(crate) fn registration(&self) -> wire::Signed {
        Registration::sign(&self.bundle, &origin(), &self.jwk(), &self.gateway, SystemClock.now())
    }

    pub(crate) async fn register(&self, relay: &Running) -> Result<wire::OrganizationState, Status> {
        let mut directory = DirectoryServiceClient::new(relay.channel().await);
        let request = wire::RegisterRequest { registration: Some(self.registration()) };
        directory.register(request).await.map(|response| response.into_inner().state())
    }

    /// Registered and approved.
    pub(crate) async fn open(relay: &Running, domain: &'static str) -> Self {
        let organization = Self::new(domain);
        organization.register(relay).await.unwrap();
        relay.approve(domain).await;
        organization
    }

    pub(crate) fn assertion(&self, jti: &str, audience: &str) -> String {
        let now = SystemClock.now().as_millis() / 1000;
        let id = self.id().to_hex();
        let claims =
            json!({ "iss": id, "sub": id, "aud": audience, "iat": now, "exp": now + 60, "jti": jti });
        encode(&Header::new(Algorithm::ES384), &claims, &EncodingKey::from_ec_der(&self.oauth_pkcs8)).unwrap()
    }

    pub(crate) async fn token(&self, relay: &Running) -> String {
        let jti = BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>());
        let assertion = self.assertion(&jti, &format!("{ORIGIN}/oauth2/token"));
        let (status, body) = request_token(relay, &assertion).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn delivery(&self, relay: &Running) -> (DeliveryServiceClient<Channel>, String) {
        (DeliveryServiceClient::new(relay.channel().await), self.token(relay).await)
    }

    pub(crate) fn ticket(&self) -> wire::Signed {
        let draft = TicketDraft { relay: &origin(), limits: TicketLimits::default() };
        let delegation = self.bundle.delegation();
        draft.sign(&self.id(), delegation, &self.gateway, SystemClock.now(), &mut rand::rng())
    }

    /// The first envelope of a session, with a true header and nothing sealed in it.
    pub(crate) fn init(&self, session: u8) -> Bytes {
        let mut envelope = vec![0; INIT_BYTES];
        envelope[..2].copy_from_slice(&[1, 1]);
        envelope[2..18].fill(session);
        envelope[18..26].copy_from_slice(self.bundle.epochs()[0].key.id().as_bytes());
        envelope.into()
    }
}

pub(crate) fn data(session: u8, counter: u64) -> Bytes {
    let mut envelope = vec![0; 42 + 512 + 16];
    envelope[..2].copy_from_slice(&[1, 2]);
    envelope[2..18].fill(session);
    envelope[18..26].copy_from_slice(&counter.to_be_bytes());
    envelope.into()
}

pub(crate) async fn request_token(relay: &Running, assertion: &str) -> (u16, serde_json::Value) {
    let form = format!(
        "grant_type=client_credentials&client_assertion={assertion}&client_assertion_type=urn%3Aietf%3Aparams%3A\
         oauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    let request = relay.http().post(relay.url("/oauth2/token")).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// `message` with an access token.
pub(crate) fn bearing<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// A patient's key at a relay.
pub(crate) struct Patient {
    pub(crate) key: DepositKey,
    client: MailboxServiceClient<Channel>,
}

impl Patient {
    pub(crate) async fn new(relay: &Running) -> Self {
        let key = DepositKey::random(&mut rand::rng());
        Self { key, client: MailboxServiceClient::new(relay.channel().await) }
    }

    /// One whose connection takes no answers.
    pub(crate) async fn deaf(relay: &Running) -> Self {
        let channel = relay.endpoint().initial_stream_window_size(0).connect().await.unwrap();
        Self { key: DepositKey::random(&mut rand::rng()), client: MailboxServiceClient::new(channel) }
    }

    /// The same patient on a new connection.
    pub(crate) async fn reconnected(self, relay: &Running) -> Self {
        Self { client: MailboxServiceClient::new(relay.channel().await), ..self }
    }

    /// A patient whose grant is open.
    pub(crate) async fn of(relay: &Running, organization: &Organization) -> Self {
        let mut patient = Self::new(relay).await;
        patient.accept(organization.ticket()).await.unwrap();
        patient
    }

    pub(crate) fn grant(&self, organization: &Organization) -> GrantId {
        GrantId::derive(&organization.id(), &self.key.public())
    }

    pub(crate) fn call(&self, method: CallMethod, request: &impl Message) -> wire::SignedCall {
        sign_call(&self.key, &origin(), method, request.encode_to_vec().into(), SystemClock.now())
    }

    pub(crate) async fn accept(&mut self, ticket: wire::Signed) -> Result<Bytes, Status> {
        let request = wire::AcceptInvitationRequest { ticket: Some(ticket) };
        let call = self.call(CallMethod::AcceptInvitation, &request);
        Ok(self.client.accept_invitation(call).await?.into_inner().organization_id)
    }

    pub(crate) async fn deposit(
        &mut self,
        envelopes: Vec<Bytes>,
    ) -> Result<Vec<wire::DepositOutcome>, Status> {
        let call = self.call(CallMethod::Deposit, &wire::DepositRequest { envelopes });
        let response = self.client.deposit(call).await?.into_inner();
        Ok(response.outcomes().collect())
    }

    pub(crate) async fn send_deposit(&mut self, call: wire::SignedCall) -> Result<(), Status> {
        self.client.deposit(call).await.map(drop)
    }

    pub(crate) async fn status(&mut self) -> Result<wire::GrantStatusResponse, Status> {
        let call = self.call(CallMethod::GrantStatus, &wire::GrantStatusRequest {});
        Ok(self.client.grant_status(call).await?.into_inner())
    }

    pub(crate) async fn replies(&mut self) -> Result<Vec<Bytes>, Status> {
        let call = self.call(CallMethod::FetchReplies, &wire::FetchRepliesRequest { session_ids: vec![] });
        Ok(self.client.fetch_replies(call).await?.into_inner().replies)
    }

    pub(crate) async fn revoke(
        &mut self,
        organization: &Organization,
    ) -> Result<Option<wire::Signed>, Status> {
        let revocation = Revocation::sign(&self.key, &organization.id()).to_wire();
        let request = wire::RevokeGrantRequest { revocation: Some(revocation) };
        let call = self.call(CallMethod::RevokeGrant, &request);
        Ok(self.client.revoke_grant(call).await?.into_inner().confirmation)
    }
}

/// The bundle that the relay mirrors.
pub(crate) async fn mirrored(
    relay: &Running,
    organization: &Organization,
) -> Result<UnverifiedKeyBundle, Status> {
    let mut directory = DirectoryServiceClient::new(relay.channel().await);
    let organization_id = Bytes::copy_from_slice(organization.id().as_bytes());
    let response = directory.fetch_bundle(wire::FetchBundleRequest { organization_id }).await?;
    Ok(UnverifiedKeyBundle::new(response.into_inner().bundle.unwrap()).unwrap())
}
