//! A patient's device in the model: its records, its outbox, and when it starts a session anew.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rand::rngs::StdRng;
use sealcare_protocol::{
    Body, BundlePin, Change, ChangeState, EncodedBody, GrantIdentity, GrantState, KeyBundle, LinkCode,
    Person, Reply, ReplyKey, Scope, SenderId, SenderSession, SessionStart, Statement, Terms, Timestamp,
};

use super::relay::{Outcome, Relay};

const SESSION_AGE_MAX: Duration = Duration::from_hours(7 * 24);
const RESEND_AFTER: Duration = Duration::from_hours(24);
pub(crate) const TYPES: [&str; 2] = ["heart-rate", "lab-result"];

/// What the patient chose on this device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Choice {
    pub(crate) types: Vec<&'static str>,
    pub(crate) state: GrantState,
}

impl Choice {
    pub(crate) fn everything() -> Self {
        Self { types: TYPES.to_vec(), state: GrantState::Active }
    }
}

/// A body under its number, as kept, and the type that it holds.
#[derive(Clone)]
struct Queued {
    kept: Vec<u8>,
    type_name: &'static str,
}

/// All that the device keeps outside of backups; a bad backup copies it all the same.
#[derive(Clone)]
struct State {
    sender: SenderId,
    outbox: BTreeMap<u64, Queued>,
    next: u64,
    session: Option<Session>,
    /// Kept reply keys with the last counter read, oldest first.
    reply_keys: Vec<(Vec<u8>, u64)>,
    /// Whether a reply has come since the last session began.
    is_answered: bool,
    revision: u64,
    pin: Option<BundlePin>,
}

#[derive(Clone)]
struct Session {
    kept: Vec<u8>,
    started: Timestamp,
    /// The last time that something was deposited or confirmed.
    moved: Timestamp,
}

pub(crate) struct Device {
    grant: GrantIdentity,
    /// Not on a recovered device.
    code: Option<[u8; 16]>,
    /// The record source: id → (type, version). A restored phone still has it.
    pub(crate) records: BTreeMap<String, (&'static str, u64)>,
    choice: Choice,
    state: State,
    snapshot: State,
}

impl Device {
    pub(crate) fn new(grant: GrantIdentity, code: [u8; 16], rng: &mut StdRng) -> Self {
        let state = State::fresh(rng);
        Self {
            grant,
            code: Some(code),
            records: BTreeMap::new(),
            choice: Choice::everything(),
            snapshot: state.clone(),
            state,
        }
    }

    pub(crate) fn sender(&self) -> SenderId {
        self.state.sender
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.state.outbox.is_empty() && self.state.is_answered
    }

    /// A new version of a record.
    pub(crate) fn record(&mut self, id: &str, type_name: &'static str) {
        let record = self.records.entry(id.to_owned()).or_insert((type_name, 0));
        record.1 += 1;
        let version = record.1;
        if self.choice.types.contains(&type_name) {
            self.state.queue(id, type_name, version);
        }
    }

    /// A new statement: the next sync starts a session with it, and what is in scope goes again.
    pub(crate) fn choose(&mut self, choice: Choice, now: Timestamp) {
        self.follow(choice, Statement::next_revision(self.state.revision, now));
    }

    /// What was chosen as of `revision`, here or on the other device.
    fn follow(&mut self, choice: Choice, revision: u64) {
        self.choice = choice;
        self.state.revision = revision;
        self.state.session = None;
        for queued in self.state.outbox.values_mut() {
            if !self.choice.types.contains(&queued.type_name) {
                queued.kept = EncodedBody::from_kept(&queued.kept).unwrap().emptied().to_kept().to_vec();
            }
        }
        self.queue_all();
    }

    fn queue_all(&mut self) {
        for (id, (type_name, version)) in &self.records {
            if self.choice.types.contains(type_name) {
                self.state.queue(id, type_name, *version);
            }
        }
    }

    /// A new installation: nothing but the records and the account.
    pub(crate) fn restore(&mut self, rng: &mut StdRng) {
        let revision = self.state.revision;
        self.state = State { revision, ..State::fresh(rng) };
        self.queue_all();
    }

    /// From the recovery sheet: the records are there again, what was chosen and the link code are not.
    pub(crate) fn recover(&mut self, rng: &mut StdRng) {
        self.choice = Choice { types: Vec::new(), state: GrantState::Paused };
        self.state = State::fresh(rng);
        self.code = None;
    }

    pub(crate) fn choice(&self) -> &Choice {
        &self.choice
    }

    pub(crate) fn back_up(&mut self) {
        self.snapshot = self.state.clone();
    }

    /// What must not be in a backup was: session, sender id and numbers go back in time.
    pub(crate) fn roll_back(&mut self) {
        let revision = self.state.revision;
        self.state = State { revision, ..self.snapshot.clone() };
    }

    /// Reads replies, starts a session where one is due, deposits what is queued.
    pub(crate) fn sync(&mut self, relay: &mut Relay, bundle: &KeyBundle, now: Timestamp, rng: &mut StdRng) {
        if let Some(pin) = &self.state.pin {
            assert_eq!(pin.check(bundle), Ok(()), "an honest bundle is never refused");
        }
        self.state.pin = Some(bundle.pin());
        if self.read_replies(relay, now) {
            self.restore(rng);
        }
        if self.is_session_due(now) && self.start(relay, bundle, now, rng) == Outcome::Revoked {
            return;
        }
        if self.choice.state == GrantState::Paused {
            return;
        }
        match self.deposit(relay, now, rng) {
            Outcome::Conflict => self.restore(rng),
            Outcome::OutOfOrder => self.state.session = None,
            Outcome::Stored | Outcome::Already | Outcome::Revoked => {}
        }
    }

    /// Whether everything must go again under a new id.
    fn read_replies(&mut self, relay: &Relay, now: Timestamp) -> bool {
        for index in (0..self.state.reply_keys.len()).rev() {
            let (kept, last) = &self.state.reply_keys[index];
            let key = ReplyKey::from_kept(kept).unwrap();
            let Some(envelope) = relay.reply(key.session()) else { continue };
            let (reply, counter) = key.open(envelope).unwrap();
            if counter <= *last || reply.sender != self.state.sender {
                continue;
            }
            self.state.reply_keys[index].1 = counter;
            self.state.reply_keys.drain(..index);
            self.state.is_answered = true;
            let confirmed = self.state.outbox.len();
            self.state.outbox = self.state.outbox.split_off(&reply.next_sequence);
            if let Some(session) = &mut self.state.session
                && self.state.outbox.len() < confirmed
            {
                session.moved = now;
            }
            self.hear(&reply);
            return reply.resync || reply.next_sequence > self.state.next;
        }
        false
    }

    /// A later statement of the account itself is followed. What the organization alone says only ever narrows, and
    /// what is chosen here next must be above it.
    fn hear(&mut self, reply: &Reply) {
        if reply.stored_revision <= self.state.revision {
            return;
        }
        let Some(stored) = &reply.stored else { return };
        let stored_types = |scope: &Scope| {
            TYPES.into_iter().filter(|name| scope.covers(name, Timestamp::from_millis(0))).collect::<Vec<_>>()
        };
        if let Some(terms) = reply.verified_terms(&self.grant) {
            let choice = Choice { types: stored_types(&terms.scope), state: terms.state };
            return self.follow(choice, terms.revision);
        }
        let narrower = Choice {
            types: stored_types(&stored.scope)
                .into_iter()
                .filter(|name| self.choice.types.contains(name))
                .collect(),
            state: if stored.state == GrantState::Paused { stored.state } else { self.choice.state },
        };
        if narrower == self.choice {
            self.state.revision = reply.stored_revision;
        } else {
            self.follow(narrower, reply.stored_revision);
        }
    }

    fn is_session_due(&self, now: Timestamp) -> bool {
        let Some(session) = &self.state.session else { return true };
        let is_stuck = !self.state.outbox.is_empty() || !self.state.is_answered;
        now.since(session.started) >= SESSION_AGE_MAX || is_stuck && now.since(session.moved) >= RESEND_AFTER
    }

    fn start(&mut self, relay: &mut Relay, bundle: &KeyBundle, now: Timestamp, rng: &mut StdRng) -> Outcome {
        let base = self.state.outbox.first_key_value().map_or(self.state.next, |(number, _)| *number);
        if self.state.revision == 0 && self.choice.state == GrantState::Active {
            self.state.revision = Statement::next_revision(0, now);
        }
        let start = SessionStart { grant: &self.grant, bundle, sender: self.state.sender, base };
        let sealed = start.seal(self.statement(), now, rng).unwrap();
        let outcome = relay.deposit(&sealed.envelope, now);
        self.state.reply_keys.push((sealed.reply_key.to_kept().to_vec(), 0));
        self.state.is_answered = false;
        let kept = sealed.session.to_kept().to_vec();
        self.state.session = Some(Session { kept, started: now, moved: now });
        outcome
    }

    fn statement(&self) -> Statement {
        let types = self.choice.types.iter().map(|name| name.parse().unwrap()).collect();
        // Again while nothing answers, not only until first confirmed: a gateway restored from before the
        // grant would know neither the grant nor, without the code, whose it is.
        let code = self.code.filter(|_| !self.state.is_answered);
        let scope = Scope { types, from: None };
        let terms = Terms { revision: self.state.revision, state: self.choice.state, scope };
        let person = Person::new("Ana Lima", "1980-02-29").unwrap();
        self.grant.statement(terms, person, code.map(|code| LinkCode::from_slice(&code).unwrap()))
    }

    fn deposit(&mut self, relay: &mut Relay, now: Timestamp, rng: &mut StdRng) -> Outcome {
        let Some(session) = &mut self.state.session else { return Outcome::OutOfOrder };
        let mut sealing = SenderSession::from_kept(&session.kept).unwrap();
        let unsent: Vec<_> = self.state.outbox.range(sealing.next_sequence()..).collect();
        for (number, queued) in unsent {
            assert_eq!(*number, sealing.next_sequence(), "numbers have no holes");
            let envelope = sealing.seal(&EncodedBody::from_kept(&queued.kept).unwrap(), rng).unwrap();
            session.kept = sealing.to_kept().to_vec();
            session.moved = now;
            let outcome = relay.deposit(&envelope, now);
            if outcome != Outcome::Stored {
                return outcome;
            }
        }
        Outcome::Stored
    }
}

impl State {
    fn fresh(rng: &mut StdRng) -> Self {
        Self {
            sender: SenderId::random(rng),
            outbox: BTreeMap::new(),
            next: 0,
            session: None,
            reply_keys: Vec::new(),
            is_answered: false,
            revision: 0,
            pin: None,
        }
    }

    fn queue(&mut self, id: &str, type_name: &'static str, version: u64) {
        let change = Change {
            record_id: id.to_owned(),
            type_name: type_name.parse().unwrap(),
            state: ChangeState::Upsert(Bytes::from(version.to_string())),
        };
        let kept = Body { changes: vec![change] }.encode().unwrap().to_kept().to_vec();
        self.outbox.insert(self.next, Queued { kept, type_name });
        self.next += 1;
    }
}
