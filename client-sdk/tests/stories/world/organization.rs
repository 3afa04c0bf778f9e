//! An organization made of the protocol alone, in memory: it keeps what it opened and counts what came twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use sealcare_protocol::{
    AcceptedInit, BaseDecision, BundleHash, Change, ChangeState, Confirmation, DelegationDraft, Domain,
    EnvelopeHeader, GatewayKey, GrantId, GrantState, InitRefusal, Invitation, KeyBundle, KeyBundleDraft,
    KnownGrant, LinkCode, OrganizationId, ReceiverSession, Refusal, RefusalReason, Registration, Reply,
    ReplyKey, RootKey, SenderId, StatementDecision, Succession, Successions, TicketDraft, TicketLimits,
    Timestamp, TypeName, UnverifiedTerms, receive_init,
};
use sealcare_transport::{Content, DirectoryChannel, LaneRange, OAuthKey, OrganizationChannel};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::{
    World,
    pki::Certificates,
    state::{State, new_epochs},
};

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
    /// Data envelopes that held nothing.
    pub(crate) empty_bodies: u64,
    /// Bodies that were refused since the statement does not allow them.
    pub(crate) trespasses: u64,
    /// What it claims of every grant instead of what is so.
    pub(crate) claims: Option<(u64, UnverifiedTerms)>,
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
    senders: HashMap<(GrantId, SenderId), Sender>,
    types: HashMap<String, String>,
    _tasks: JoinSet<()>,
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
            empty_bodies: 0,
            trespasses: 0,
            claims: None,
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
            types: HashMap::new(),
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
        let Some(EnvelopeHeader::Data(header)) = EnvelopeHeader::parse(envelope) else { return };
        let is_its = |sender: &&mut Sender| {
            sender.session.as_ref().is_some_and(|session| *session.id() == header.session)
        };
        let Some(sender) = self.senders.values_mut().find(is_its) else { return };
        let Some(session) = sender.session.as_ref() else { return };
        let Ok(opened) = session.open(envelope, now) else { return };
        sender.session = Some(opened.session);
        let next = self.state.next.entry((grant, sender.id)).or_default();
        if opened.sequence < *next {
            return;
        }
        *next = opened.sequence + 1;
        let changes = opened.body.unwrap().changes;
        let terms = &self.state.terms[&grant];
        let reason =
            if self.refuse_bodies { Some(RefusalReason::OutOfScope) } else { refusal(terms, &changes) };
        if let Some(reason) = reason {
            self.trespasses += u64::from(!self.refuse_bodies);
            sender.refusals.push(Refusal { sequence: opened.sequence, reason });
            return;
        }
        self.empty_bodies += u64::from(changes.is_empty());
        for change in changes {
            self.keep(change);
        }
    }

    fn keep(&mut self, change: Change) {
        self.deliveries += 1;
        match change.state {
            ChangeState::Upsert(json) => {
                self.types.insert(change.record_id.clone(), change.type_name.as_str().to_owned());
                self.records.insert(change.record_id, json.to_vec())
            }
            ChangeState::Tombstone => self.records.remove(&change.record_id),
        };
    }

    fn admit(&mut self, init: AcceptedInit) {
        self.inits += 1;
        self.last_bundle = Some(init.bundle);
        self.state.sessions.insert(*init.session.id());
        if let Some(code) = init.link_code {
            self.state.invitations.remove(&code);
        }
        let revision = match init.statement {
            StatementDecision::Adopt(statement) => {
                let types = &self.types;
                let is_shared = |id: &String| statement.scope.types.iter().any(|t| t.as_str() == types[id]);
                self.records.retain(|id, _| is_shared(id));
                self.state.terms.insert(init.grant, UnverifiedTerms::of(&statement));
                statement.revision
            }
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
        self.senders.insert((init.grant, init.sender), sender);
    }

    async fn reply(&mut self, now: Timestamp) {
        for ((grant, _), sender) in &mut self.senders {
            let (stored_revision, stored) = self
                .claims
                .clone()
                .unwrap_or_else(|| (self.state.grants[grant].revision, self.state.terms[grant].clone()));
            let reply = Reply {
                sender: sender.id,
                next_sequence: self.state.next.get(&(*grant, sender.id)).copied().unwrap_or(0),
                refusals: sender.refusals.clone(),
                stored_revision,
                stored: Some(stored),
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
        self.senders.retain(|(of, _), _| *of != grant);
        self.records.clear();
        if answer == Answer::Sealed {
            let confirmation = Confirmation::sign(&grant, self.bundle.delegation(), &self.gateway, now);
            self.channel.confirm_revocation(&confirmation).await.unwrap();
        }
    }

    /// Loses the sessions and nothing else: what comes in them is passed over.
    pub(crate) fn lose_open_sessions(&mut self) {
        for sender in self.senders.values_mut() {
            sender.session = None;
        }
    }

    /// Loses everything but its keys, as a gateway that was restored from an early backup.
    pub(crate) fn lose_sessions(&mut self) {
        self.senders.clear();
        self.state.next.clear();
        self.records.clear();
    }

    /// Whether the grant's stored statement pauses it, and the names of the types that it covers.
    pub(crate) fn stored(&self, grant: &GrantId) -> (bool, Vec<&str>) {
        let terms = &self.state.terms[grant];
        (terms.state == GrantState::Paused, terms.scope.types.iter().map(TypeName::as_str).collect())
    }

    pub(crate) fn beats(&self) -> Vec<String> {
        let beats = |json: &Vec<u8>| {
            let value: serde_json::Value = serde_json::from_slice(json).unwrap();
            value["valueQuantity"]["value"].to_string()
        };
        self.records.values().map(beats).collect()
    }
}

/// Why a body is refused under a statement, if it is.
fn refusal(terms: &UnverifiedTerms, changes: &[Change]) -> Option<RefusalReason> {
    if !changes.iter().all(|change| terms.scope.types.contains(&change.type_name)) {
        return Some(RefusalReason::OutOfScope);
    }
    (terms.state == GrantState::Paused && !changes.is_empty()).then_some(RefusalReason::Paused)
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
