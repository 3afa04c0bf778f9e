//! An organization made of the protocol alone, in memory: it keeps what it opened and counts what came twice.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use sealcare_protocol::{
    BaseDecision, BundleHash, ChangeState, Confirmation, DelegationDraft, Domain, EpochEntry, EpochKey,
    EpochLookup, GatewayKey, GrantId, InitRefusal, Invitation, KeyBundle, KeyBundleDraft, KeyId, KnownGrant,
    LinkCode, LinkCodeHash, OpenInvitation, OrganizationId, ReceiverSession, ReceiverState, Refusal,
    RefusalReason, Registration, Reply, ReplyKey, RootKey, SenderId, SessionId, StatementDecision,
    Succession, Successions, TicketDraft, TicketLimits, Timestamp, missing_epochs, receive_init,
};
use sealcare_transport::{Content, DirectoryChannel, LaneRange, OAuthKey, OrganizationChannel};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::{World, pki::Certificates};

/// Whether the organization answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Sealed,
    Silence,
}

pub(crate) struct TestOrganization {
    pub(crate) domain: Domain,
    pub(crate) bundle: KeyBundle,
    /// What a person would see: record id → FHIR JSON.
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    /// Upserts and tombstones that were delivered.
    pub(crate) deliveries: u64,
    pub(crate) refusals: Vec<InitRefusal>,
    pub(crate) refuse_bodies: bool,
    pub(crate) inits: u64,
    pub(crate) last_bundle: Option<BundleHash>,
    served: Arc<Mutex<Vec<u8>>>,
    draft: KeyBundleDraft,
    gateway: GatewayKey,
    oauth: Arc<OAuthKey>,
    channel: OrganizationChannel,
    state: State,
    senders: HashMap<GrantId, Sender>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    epochs: HashMap<KeyId, EpochKey>,
    sessions: HashSet<SessionId>,
    revoked: HashSet<GrantId>,
    grants: HashMap<GrantId, KnownGrant>,
    invitations: HashSet<LinkCodeHash>,
    next: HashMap<(GrantId, SenderId), u64>,
    expires: Timestamp,
}

struct Sender {
    id: SenderId,
    session: Option<ReceiverSession>,
    reply_key: ReplyKey,
    counter: u64,
    resync: bool,
    refusals: Vec<Refusal>,
}

impl TestOrganization {
    pub(crate) async fn new(world: &World, certificates: &Certificates) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let domain: Domain = format!("localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, acceptor(certificates), served.clone()));

        let now = world.now();
        let rng = &mut rand::rng();
        let (root, next, gateway) = (RootKey::random(rng), RootKey::random(rng), GatewayKey::random(rng));
        let successions = Successions::new(vec![Succession::first(&root.public(), &next.public())]).unwrap();
        let delegation = DelegationDraft {
            organization: successions.organization_id(&domain),
            number: 1,
            lowest_honoured: 1,
            gateway_key: gateway.public(),
            not_before: now.minus(Duration::from_mins(1)),
            expires: now.plus(Duration::from_hours(24 * 399)),
            root_index: 0,
        };
        let delegation = delegation.sign(&root).unwrap();
        let mut state = State { expires: now.plus(Duration::from_hours(24 * 28)), ..State::default() };
        let epochs = new_epochs(&mut state, &[], now);
        let draft =
            KeyBundleDraft { domain: domain.clone(), successions, delegation, previous_serial: 0, epochs };
        let bundle = draft.sign(&gateway, now).unwrap();
        *served.lock().unwrap() = bundle.signed().encode_to_vec();
        let oauth = Arc::new(OAuthKey::generate().unwrap());
        let clock = world.clock.clone();
        let channel = OrganizationChannel::new(
            &world.relay,
            *bundle.organization(),
            oauth.clone(),
            &world.trust,
            clock,
        );
        Self {
            domain,
            bundle,
            records: BTreeMap::new(),
            deliveries: 0,
            refusals: Vec::new(),
            refuse_bodies: false,
            inits: 0,
            last_bundle: None,
            served,
            draft,
            gateway,
            oauth,
            channel: channel.unwrap(),
            state,
            senders: HashMap::new(),
            _tasks: tasks,
        }
    }

    pub(crate) fn id(&self) -> &OrganizationId {
        self.bundle.organization()
    }

    pub(crate) async fn register(&mut self, world: &World) {
        let jwk = self.oauth.public_jwk();
        let registration = Registration::sign(&self.bundle, &world.relay, &jwk, &self.gateway, world.now());
        DirectoryChannel::new(&world.relay, &world.trust).unwrap().register(&registration).await.unwrap();
    }

    /// New epochs and a new bundle at the domain; in the mirror only if asked.
    pub(crate) async fn rotate(&mut self, world: &World, mirror: Answer) {
        let now = world.now();
        self.draft.epochs = new_epochs(&mut self.state, &self.draft.epochs, now);
        self.draft.previous_serial = self.bundle.serial();
        self.bundle = self.draft.sign(&self.gateway, now).unwrap();
        *self.served.lock().unwrap() = self.bundle.signed().encode_to_vec();
        if mirror == Answer::Sealed {
            self.channel.put_bundle(&self.bundle).await.unwrap();
        }
    }

    pub(crate) fn serve_instead(&self, bytes: &[u8]) {
        *self.served.lock().unwrap() = bytes.to_vec();
    }

    pub(crate) fn invite(&mut self, world: &World) -> String {
        let rng = &mut rand::rng();
        let link_code = LinkCode::random(rng);
        self.state.invitations.insert(link_code.hash());
        let draft = TicketDraft { relay: &world.relay, limits: TicketLimits::default() };
        let ticket = draft.sign(self.id(), self.bundle.delegation(), &self.gateway, world.now(), rng);
        let invitation = Invitation {
            relay: world.relay.clone(),
            domain: self.domain.clone(),
            organization: *self.id(),
            ticket,
            link_code,
        };
        invitation.to_text().to_string()
    }

    /// Fetches all that is there, opens it, acknowledges, and answers or not.
    pub(crate) async fn receive(&mut self, world: &World, answer: Answer) {
        let mut lane = 0;
        loop {
            let page = self.channel.fetch(lane, None, 1_000).await.unwrap();
            for item in &page.batch.items {
                match &item.content {
                    Content::Envelope(envelope) => self.open(item.grant, envelope, world.now()),
                    Content::Revocation(revocation) => {
                        let revocation = revocation.clone().verify().unwrap();
                        self.stop(*revocation.grant(), world.now(), answer).await;
                    }
                }
            }
            if let (Some(first), Some(last)) = (page.batch.items.first(), page.batch.items.last()) {
                let range = LaneRange { lane, first: first.sequence, last: last.sequence };
                self.channel.acknowledge(&[range]).await.unwrap();
            } else {
                lane += 1;
            }
            if lane == page.lanes {
                break;
            }
        }
        if answer == Answer::Sealed {
            self.reply(world.now()).await;
        }
    }

    fn open(&mut self, grant: GrantId, envelope: &[u8], now: Timestamp) {
        if envelope[1] == 1 {
            let Ok(verdict) = receive_init(&self.state, self.bundle.organization(), &grant, envelope, now);
            match verdict {
                Ok(init) => self.admit(init),
                Err(refusal) => self.refusals.push(refusal),
            }
            return;
        }
        let Some(sender) = self.senders.get_mut(&grant) else { return };
        let Some(session) = sender.session.as_ref() else { return };
        let Ok(opened) = session.open(envelope, now) else { return };
        sender.session = Some(opened.session);
        let next = self.state.next.entry((grant, sender.id)).or_default();
        if opened.sequence < *next {
            return;
        }
        *next = opened.sequence + 1;
        if self.refuse_bodies {
            sender.refusals.push(Refusal { sequence: opened.sequence, reason: RefusalReason::OutOfScope });
            return;
        }
        for change in opened.body.unwrap().changes {
            self.deliveries += 1;
            match change.state {
                ChangeState::Upsert(json) => self.records.insert(change.record_id, json.to_vec()),
                ChangeState::Tombstone => self.records.remove(&change.record_id),
            };
        }
    }

    fn admit(&mut self, init: sealcare_protocol::AcceptedInit) {
        self.inits += 1;
        self.last_bundle = Some(init.bundle);
        self.state.sessions.insert(*init.session.id());
        if let Some(code) = init.link_code {
            self.state.invitations.remove(&code);
        }
        let revision = match init.statement {
            StatementDecision::Adopt(statement) => statement.revision,
            StatementDecision::KeepStored => self.state.grants[&init.grant].revision,
        };
        self.state.grants.insert(init.grant, KnownGrant { grant_key: init.grant_key, revision });
        let resync = init.base == BaseDecision::Gap;
        let sender = Sender {
            id: init.sender,
            session: Some(init.session),
            reply_key: init.reply_key,
            counter: 0,
            resync,
            refusals: Vec::new(),
        };
        self.senders.insert(init.grant, sender);
    }

    async fn reply(&mut self, now: Timestamp) {
        for (grant, sender) in &mut self.senders {
            let reply = Reply {
                sender: sender.id,
                next_sequence: self.state.next.get(&(*grant, sender.id)).copied().unwrap_or(0),
                refusals: sender.refusals.clone(),
                stored_revision: self.state.grants[grant].revision,
                stored: None,
                resync: sender.resync,
                views: vec![now],
                held: false,
            };
            let (envelope, counter) = sender.reply_key.seal(&reply, sender.counter, now, &mut rand::rng());
            sender.counter = counter;
            // A revoked grant has no slot any more.
            let _ = self.channel.put_reply(grant, Bytes::from(envelope)).await;
        }
    }

    async fn stop(&mut self, grant: GrantId, now: Timestamp, answer: Answer) {
        self.state.revoked.insert(grant);
        self.senders.remove(&grant);
        self.records.clear();
        if answer == Answer::Sealed {
            let confirmation = Confirmation::sign(&grant, self.bundle.delegation(), &self.gateway, now);
            self.channel.confirm_revocation(&confirmation).await.unwrap();
        }
    }

    /// Loses everything but its keys, as a gateway that was restored from an early backup.
    pub(crate) fn lose_sessions(&mut self) {
        self.senders.clear();
        self.state.next.clear();
        self.records.clear();
    }

    pub(crate) fn beats(&self) -> Vec<String> {
        let beats = |json: &Vec<u8>| {
            let value: serde_json::Value = serde_json::from_slice(json).unwrap();
            value["valueQuantity"]["value"].to_string()
        };
        self.records.values().map(beats).collect()
    }
}

fn new_epochs(state: &mut State, known: &[EpochEntry], now: Timestamp) -> Vec<EpochEntry> {
    let mut epochs: Vec<_> = known.iter().filter(|e| e.period.encrypt_until > now).cloned().collect();
    let periods: Vec<_> = epochs.iter().map(|entry| entry.period).collect();
    for period in missing_epochs(&periods, now) {
        let key = EpochKey::random(&mut rand::rng());
        epochs.push(EpochEntry { key: key.public(), period });
        state.epochs.insert(key.public().id(), key);
    }
    epochs
}

impl ReceiverState for State {
    type Error = Infallible;

    fn is_session_known(&self, session: &SessionId) -> Result<bool, Infallible> {
        Ok(self.sessions.contains(session))
    }
    fn epoch(&self, key: &KeyId) -> Result<EpochLookup, Infallible> {
        let known = self.epochs.get(key).map(|key| EpochKey::from_seed(key.as_seed()));
        Ok(known.map_or(EpochLookup::Unknown, EpochLookup::Known))
    }
    fn is_revoked(&self, grant: &GrantId) -> Result<bool, Infallible> {
        Ok(self.revoked.contains(grant))
    }
    fn grant(&self, grant: &GrantId) -> Result<Option<KnownGrant>, Infallible> {
        Ok(self.grants.get(grant).copied())
    }
    fn invitation(&self, code: &LinkCodeHash) -> Result<Option<OpenInvitation>, Infallible> {
        Ok(self.invitations.contains(code).then_some(OpenInvitation { expires: self.expires }))
    }
    fn next_sequence(&self, grant: &GrantId, sender: &SenderId) -> Result<Option<u64>, Infallible> {
        Ok(self.next.get(&(*grant, *sender)).copied())
    }
}

fn acceptor(certificates: &Certificates) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let chain = CertificateDer::pem_slice_iter(certificates.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// Answers every request with the bundle of the moment.
async fn serve(listener: TcpListener, tls: tokio_rustls::TlsAcceptor, served: Arc<Mutex<Vec<u8>>>) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else { return };
        let Ok(mut stream) = tls.accept(tcp).await else { continue };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => break,
            }
        }
        let body = served.lock().unwrap().clone();
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        drop(stream.write_all(&[head.as_bytes(), &body].concat()).await);
        drop(stream.shutdown().await);
    }
}
