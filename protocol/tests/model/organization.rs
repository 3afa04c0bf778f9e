//! The organization of the model: keys that rotate, a store that can be backed up and restored, and an
//! application that must get each delivery once.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use rand::rngs::StdRng;
use sealcare_protocol::{
    AcceptedInit, BaseDecision, BundlePin, DataRefusal, DelegationDraft, EnvelopeHeader, EpochEntry,
    EpochKey, EpochLookup, EpochPeriod, GatewayKey, GrantId, GrantState, InitRefusal, KeyBundle,
    KeyBundleDraft, KeyId, KnownGrant, LinkCodeHash, OpenInvitation, OpenedData, ReceiverSession,
    ReceiverState, Refusal, RefusalReason, Reply, ReplyKey, RootKey, SenderId, SessionId, StatementDecision,
    Succession, Successions, Timestamp, TypeName, UnverifiedTerms, missing_epochs, receive_init,
};

use super::relay::Relay;

/// What a statement said.
#[derive(Clone)]
pub(crate) struct Standing {
    known: KnownGrant,
    said: UnverifiedTerms,
}

/// What the organization holds of one sender.
#[derive(Clone, Default)]
struct Sender {
    next: u64,
    needs_resync: bool,
    refusals: Vec<Refusal>,
    /// Newest accepted session, the kept key for its replies, and the counter of the last one.
    reply_key: Option<(SessionId, Vec<u8>)>,
    reply_counter: u64,
}

/// All that one transaction sees: what a backup holds.
#[derive(Clone, Default)]
pub(crate) struct Store {
    /// Kept sessions, by id.
    sessions: BTreeMap<SessionId, Vec<u8>>,
    seen: BTreeSet<SessionId>,
    standing: Option<Standing>,
    spent: BTreeSet<LinkCodeHash>,
    senders: BTreeMap<SenderId, Sender>,
    delivered: BTreeSet<(SenderId, u64)>,
    /// The application: record id → (type, version).
    pub(crate) application: BTreeMap<String, (String, u64)>,
    is_revoked: bool,
}

/// A key with what is published of it.
struct Epoch {
    key: EpochKey,
    entry: EpochEntry,
}

impl Store {
    /// The types that the standing statement covers.
    pub(crate) fn scope_types(&self) -> Vec<&str> {
        let standing = self.standing.iter();
        standing.flat_map(|standing| standing.said.scope.types.iter().map(TypeName::as_str)).collect()
    }
}

pub(crate) struct Organization {
    root: RootKey,
    successions: Successions,
    gateway: GatewayKey,
    delegation: DelegationDraft,
    epochs: Vec<Epoch>,
    pub(crate) bundle: KeyBundle,
    pub(crate) store: Store,
    backup: Store,
    invitation: LinkCodeHash,
    /// Whether the next replies get lost on their way.
    pub(crate) loses_replies: bool,
    /// What is told instead of the statement that stands, as if it were newer.
    pub(crate) lie: Option<UnverifiedTerms>,
}

impl Organization {
    pub(crate) fn new(invitation: LinkCodeHash, now: Timestamp, rng: &mut StdRng) -> Self {
        let root = RootKey::random(rng);
        let next = RootKey::random(rng).public();
        let successions = Successions::new(vec![Succession::first(&root.public(), &next)]).unwrap();
        let gateway = GatewayKey::random(rng);
        let delegation = DelegationDraft {
            organization: successions.organization_id(&"clinic.example".parse().unwrap()),
            number: 1,
            lowest_honoured: 1,
            gateway_key: gateway.public(),
            not_before: now,
            expires: now.plus(Duration::from_hours(24 * 365)),
            root_index: 0,
        };
        let epochs = new_epochs(&[], now, rng);
        let bundle = publish(&successions, &delegation, &root, &gateway, &epochs, 0, now);
        Self {
            root,
            successions,
            gateway,
            delegation,
            epochs,
            bundle,
            store: Store::default(),
            backup: Store::default(),
            invitation,
            loses_replies: false,
            lie: None,
        }
    }

    /// What happens every day: epochs end and are destroyed, new ones come, a new bundle is published.
    pub(crate) fn rotate_epochs(&mut self, now: Timestamp, rng: &mut StdRng) {
        self.epochs.retain(|epoch| now < epoch.entry.period.decrypt_until);
        let made = new_epochs(&self.epochs, now, rng);
        self.epochs.extend(made);
        self.publish(now);
    }

    pub(crate) fn rotate_gateway_key(&mut self, now: Timestamp, rng: &mut StdRng) {
        self.gateway = GatewayKey::random(rng);
        self.delegation.number += 1;
        self.delegation.gateway_key = self.gateway.public();
        self.delegation.not_before = now;
        self.delegation.expires = now.plus(Duration::from_hours(24 * 365));
        self.publish(now);
    }

    fn publish(&mut self, now: Timestamp) {
        let (serial, before) = (self.bundle.serial(), self.bundle.pin());
        self.bundle = publish(
            &self.successions,
            &self.delegation,
            &self.root,
            &self.gateway,
            &self.epochs,
            serial,
            now,
        );
        assert_eq!(BundlePin::check(&before, &self.bundle), Ok(()), "no client is locked out");
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = self.store.clone();
    }

    /// An older store, no session and no epoch key; tombstones are read again before anything else.
    pub(crate) fn restore(&mut self, relay: &Relay, now: Timestamp, rng: &mut StdRng) {
        self.store = self.backup.clone();
        self.store.sessions.clear();
        self.store.senders.values_mut().for_each(|sender| sender.reply_key = None);
        if relay.is_revoked {
            self.revoke();
        }
        self.epochs.clear();
        self.rotate_epochs(now, rng);
    }

    pub(crate) fn revoke(&mut self) {
        self.store = Store { is_revoked: true, ..Store::default() };
    }

    /// Takes up to `count` envelopes off the line, then answers every sender.
    pub(crate) fn receive(
        &mut self,
        relay: &mut Relay,
        grant: &GrantId,
        count: usize,
        now: Timestamp,
        rng: &mut StdRng,
    ) {
        for _ in 0..count {
            let Some(envelope) = relay.take() else { break };
            match EnvelopeHeader::parse(&envelope).unwrap() {
                EnvelopeHeader::Init(_) => drop(self.receive_init(grant, &envelope, now)),
                _ => self.receive_data(&envelope, now),
            }
        }
        self.answer(relay, now, rng);
    }

    pub(crate) fn receive_init(
        &mut self,
        grant: &GrantId,
        envelope: &[u8],
        now: Timestamp,
    ) -> Result<(), InitRefusal> {
        let organization = *self.bundle.organization();
        let Ok(verdict) = receive_init(self, &organization, grant, envelope, now);
        verdict.map(|init| self.commit_init(init))
    }

    fn commit_init(&mut self, init: AcceptedInit) {
        let store = &mut self.store;
        assert!(store.seen.insert(*init.session.id()), "a session is accepted once");
        if let StatementDecision::Adopt(statement) = init.statement {
            let known = KnownGrant { grant_key: init.grant_key, revision: statement.revision };
            store.standing = Some(Standing { known, said: UnverifiedTerms::of(&statement) });
        }
        store.spent.extend(init.link_code);
        let sender = store.senders.entry(init.sender).or_default();
        if init.base == BaseDecision::Gap {
            sender.next = init.session.next_sequence();
            sender.needs_resync = true;
        }
        if let Some((previous, _)) = sender.reply_key.take() {
            store.sessions.remove(&previous);
        }
        let id = *init.session.id();
        sender.reply_key = Some((id, init.reply_key.to_kept().to_vec()));
        store.sessions.insert(id, init.session.to_kept().to_vec());
    }

    fn receive_data(&mut self, envelope: &[u8], now: Timestamp) {
        let header = EnvelopeHeader::parse(envelope).unwrap();
        let Some(kept) = self.store.sessions.get(header.session()) else { return };
        let session = ReceiverSession::from_kept(kept).unwrap();
        match session.open(envelope, now) {
            Ok(opened) => self.commit_data(opened),
            Err(DataRefusal::Gap) => drop(self.store.sessions.remove(header.session())),
            Err(DataRefusal::Lease | DataRefusal::Duplicate) => {}
            Err(refusal) => panic!("an honest sender is refused: {refusal}"),
        }
    }

    fn commit_data(&mut self, opened: OpenedData) {
        let store = &mut self.store;
        let id = *opened.session.sender();
        store.sessions.insert(*opened.session.id(), opened.session.to_kept().to_vec());
        let sender = store.senders.get_mut(&id).unwrap();
        if opened.sequence < sender.next {
            return; // Delivered before; repeated by a new session.
        }
        assert_eq!(opened.sequence, sender.next, "nothing is skipped");
        sender.next = opened.sequence + 1;
        let standing = store.standing.as_ref().unwrap();
        let body = opened.body.unwrap();
        let covered = body
            .changes
            .iter()
            .all(|change| standing.said.scope.covers(change.type_name.as_str(), Timestamp::from_millis(0)));
        let reason = match (covered, standing.said.state) {
            (false, _) => Some(RefusalReason::OutOfScope),
            (true, GrantState::Paused) => Some(RefusalReason::Paused),
            (true, GrantState::Active) => None,
        };
        if let Some(reason) = reason {
            sender.refusals.push(Refusal { sequence: opened.sequence, reason });
            return;
        }
        assert!(store.delivered.insert((id, opened.sequence)), "delivered once per key");
        for change in body.changes {
            let sealcare_protocol::ChangeState::Upsert(content) = change.state else { continue };
            let version = std::str::from_utf8(&content).unwrap().parse().unwrap();
            store.application.insert(change.record_id, (change.type_name.as_str().to_owned(), version));
        }
    }

    fn answer(&mut self, relay: &mut Relay, now: Timestamp, rng: &mut StdRng) {
        let standing = self.store.standing.as_ref();
        let truth = (
            standing.map_or(0, |standing| standing.known.revision),
            standing.map(|standing| standing.said.clone()),
        );
        let (revision, stored) = match &self.lie {
            Some(lie) => (truth.0 + 1, Some(lie.clone())),
            None => truth,
        };
        for (id, sender) in &mut self.store.senders {
            let Some((session, key)) = &sender.reply_key else { continue };
            let reply = Reply {
                sender: *id,
                next_sequence: sender.next,
                refusals: sender.refusals.clone(),
                stored_revision: revision,
                stored: stored.clone(),
                resync: sender.needs_resync,
                views: Vec::new(),
                held: false,
            };
            let key = ReplyKey::from_kept(key).unwrap();
            let (envelope, counter) = key.seal(&reply, sender.reply_counter, now, rng);
            sender.reply_counter = counter;
            if !self.loses_replies {
                relay.put_reply(*session, envelope);
            }
        }
    }
}

fn new_epochs(existing: &[Epoch], now: Timestamp, rng: &mut StdRng) -> Vec<Epoch> {
    let periods: Vec<_> = existing.iter().map(|epoch| epoch.entry.period).collect();
    let made = |period| {
        let key = EpochKey::random(rng);
        let entry = EpochEntry { key: key.public(), period };
        Epoch { key, entry }
    };
    // Devices fetch the bundle at each sync, so two days are enough here and cost a quarter.
    let is_soon = |period: &EpochPeriod| period.not_before < now.plus(Duration::from_hours(48));
    missing_epochs(&periods, now).into_iter().filter(is_soon).map(made).collect()
}

fn publish(
    successions: &Successions,
    delegation: &DelegationDraft,
    root: &RootKey,
    gateway: &GatewayKey,
    epochs: &[Epoch],
    previous_serial: u64,
    now: Timestamp,
) -> KeyBundle {
    let current = epochs.iter().map(|epoch| &epoch.entry).filter(|entry| now < entry.period.encrypt_until);
    let draft = KeyBundleDraft {
        domain: "clinic.example".parse().unwrap(),
        successions: successions.clone(),
        delegation: delegation.sign(root).unwrap(),
        previous_serial,
        epochs: current.cloned().collect(),
    };
    draft.sign(gateway, now).unwrap()
}

impl ReceiverState for Organization {
    type Error = Infallible;

    fn is_session_known(&self, session: &SessionId) -> Result<bool, Infallible> {
        Ok(self.store.seen.contains(session))
    }
    fn epoch(&self, id: &KeyId) -> Result<EpochLookup, Infallible> {
        let found = self.epochs.iter().find(|epoch| epoch.entry.key.id() == *id);
        Ok(found.map_or(EpochLookup::Unknown, |epoch| {
            EpochLookup::Known(EpochKey::from_seed(epoch.key.as_seed()))
        }))
    }
    fn is_revoked(&self, _: &GrantId) -> Result<bool, Infallible> {
        Ok(self.store.is_revoked)
    }
    fn grant(&self, _: &GrantId) -> Result<Option<KnownGrant>, Infallible> {
        Ok(self.store.standing.as_ref().map(|standing| standing.known))
    }
    fn invitation(&self, code: &LinkCodeHash) -> Result<Option<OpenInvitation>, Infallible> {
        let is_open = *code == self.invitation && !self.store.spent.contains(code);
        Ok(is_open.then_some(OpenInvitation { expires: Timestamp::from_millis(u64::MAX) }))
    }
    fn next_sequence(&self, _: &GrantId, sender: &SenderId) -> Result<Option<u64>, Infallible> {
        Ok(self.store.senders.get(sender).map(|sender| sender.next))
    }
}
