//! One organization and one patient, end to end without a network.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{cell::RefCell, collections::HashMap, convert::Infallible, time::Duration};

use bytes::Bytes;
use sealcare_protocol::{
    AccountSecret, BaseDecision, Body, Change, ChangeState, Confirmation, DataRefusal, DelegationDraft,
    EpochEntry, EpochKey, EpochLookup, Error, GatewayKey, GrantId, GrantIdentity, GrantState, InitRefusal,
    KeyBundle, KeyBundleDraft, KeyId, KnownGrant, LinkCode, LinkCodeHash, OpenInvitation, OrganizationId,
    Person, ReceiverState, Registration, RelayOrigin, Revocation, RootKey, Scope, SealError, SealedInit,
    SenderId, SessionId, SessionStart, Statement, StatementDecision, Succession, Successions, Terms,
    TicketDraft, TicketLimits, Timestamp, UnverifiedConfirmation, UnverifiedKeyBundle,
    UnverifiedRegistration, UnverifiedRevocation, UnverifiedTicket, missing_epochs, receive_init,
};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

struct Organization {
    gateway: GatewayKey,
    epochs: HashMap<KeyId, Option<EpochKey>>,
    bundle: KeyBundle,
    sessions: RefCell<Vec<SessionId>>,
    grants: HashMap<GrantId, KnownGrant>,
    revoked: Vec<GrantId>,
    invitations: Vec<LinkCodeHash>,
    next: HashMap<(GrantId, SenderId), u64>,
}

fn relay() -> RelayOrigin {
    "https://relay.example:7443".parse().unwrap()
}

impl Organization {
    fn new(seed: u8) -> Self {
        let (root, next) = (RootKey::from_seed(&[seed; 32]), RootKey::from_seed(&[seed + 1; 32]));
        let gateway = GatewayKey::from_seed(&[seed + 2; 32]);
        let successions = Successions::new(vec![Succession::first(&root.public(), &next.public())]).unwrap();
        let domain = "clinic.example".parse().unwrap();
        let delegation = DelegationDraft {
            organization: successions.organization_id(&domain),
            number: 1,
            lowest_honoured: 1,
            gateway_key: gateway.public(),
            not_before: NOW.minus(Duration::from_mins(1)),
            expires: NOW.plus(Duration::from_hours(9576)),
            root_index: 0,
        };
        let delegation = delegation.sign(&root).unwrap();
        let keys: Vec<_> = missing_epochs(&[], NOW)
            .into_iter()
            .map(|period| (EpochKey::random(&mut rand::rng()), period))
            .collect();
        let epochs = keys.iter().map(|(k, period)| EpochEntry { key: k.public(), period: *period }).collect();
        let draft = KeyBundleDraft { domain, successions, delegation, previous_serial: 0, epochs };
        let bundle = draft.sign(&gateway, NOW).unwrap();
        Self {
            gateway,
            epochs: keys.into_iter().map(|(k, _)| (k.public().id(), Some(k))).collect(),
            bundle,
            sessions: RefCell::default(),
            grants: HashMap::new(),
            revoked: Vec::new(),
            invitations: Vec::new(),
            next: HashMap::new(),
        }
    }

    fn receive(
        &self,
        grant: &GrantId,
        envelope: &[u8],
        now: Timestamp,
    ) -> Result<sealcare_protocol::AcceptedInit, InitRefusal> {
        let Ok(verdict) = receive_init(self, self.bundle.organization(), grant, envelope, now);
        verdict.inspect(|init| self.sessions.borrow_mut().push(*init.session.id()))
    }
}

impl ReceiverState for Organization {
    type Error = Infallible;

    fn is_session_known(&self, session: &SessionId) -> Result<bool, Infallible> {
        Ok(self.sessions.borrow().contains(session))
    }
    fn epoch(&self, key: &KeyId) -> Result<EpochLookup, Infallible> {
        Ok(match self.epochs.get(key) {
            Some(Some(key)) => EpochLookup::Known(EpochKey::from_seed(key.as_seed())),
            Some(None) => EpochLookup::Destroyed,
            None => EpochLookup::Unknown,
        })
    }
    fn is_revoked(&self, grant: &GrantId) -> Result<bool, Infallible> {
        Ok(self.revoked.contains(grant))
    }
    fn grant(&self, grant: &GrantId) -> Result<Option<KnownGrant>, Infallible> {
        Ok(self.grants.get(grant).copied())
    }
    fn invitation(&self, code: &LinkCodeHash) -> Result<Option<OpenInvitation>, Infallible> {
        let expires = NOW.plus(Duration::from_hours(672));
        Ok(self.invitations.contains(code).then_some(OpenInvitation { expires }))
    }
    fn next_sequence(&self, grant: &GrantId, sender: &SenderId) -> Result<Option<u64>, Infallible> {
        Ok(self.next.get(&(*grant, *sender)).copied())
    }
}

struct Patient {
    grant: GrantIdentity,
    sender: SenderId,
}

impl Patient {
    fn new(organization: &Organization, seed: u8) -> Self {
        let account = AccountSecret::from_bytes(&[seed; 32]);
        let deposit = account.deposit_key(&relay(), 0);
        let grant = GrantIdentity::derive(&account, organization.bundle.organization(), &deposit);
        Self { grant, sender: SenderId::from_bytes([seed; 16]) }
    }

    fn statement(&self, code: Option<LinkCode>, revision: u64) -> Statement {
        let scope = Scope { types: ["heart-rate".parse().unwrap()].into(), from: None };
        let terms = Terms { revision, state: GrantState::Active, scope };
        self.grant.statement(terms, Person::new("Ana Lima", "1980-02-29").unwrap(), code)
    }

    fn start(&self, bundle: &KeyBundle, base: u64, statement: Statement) -> SealedInit {
        let start = SessionStart { grant: &self.grant, bundle, sender: self.sender, base };
        start.seal(statement, NOW, &mut rand::rng()).unwrap()
    }
}

fn code() -> LinkCode {
    LinkCode::from_slice(&[7; 16]).unwrap()
}

fn body(text: &str) -> Body {
    let fhir = Bytes::copy_from_slice(text.as_bytes());
    let type_name = "heart-rate".parse().unwrap();
    Body { changes: vec![Change { record_id: "r1".into(), type_name, state: ChangeState::Upsert(fhir) }] }
}

fn invited() -> (Organization, Patient) {
    let mut organization = Organization::new(1);
    organization.invitations.push(code().hash());
    let patient = Patient::new(&organization, 9);
    (organization, patient)
}

#[test]
fn what_is_sealed_opens_once_and_in_order() {
    let (organization, patient) = invited();
    let mut sealed = patient.start(&organization.bundle, 0, patient.statement(Some(code()), 5));
    let init = organization.receive(&patient.grant.id, &sealed.envelope, NOW).unwrap();
    assert_eq!(init.base, BaseDecision::Continues);
    assert_eq!(init.link_code, Some(code().hash()));
    assert_eq!(init.bundle, organization.bundle.hash());
    let StatementDecision::Adopt(statement) = &init.statement else { panic!("the first statement stands") };
    assert_eq!(statement.person.name(), "Ana Lima");

    let rng = &mut rand::rng();
    let first = sealed.session.seal(&body("72").encode().unwrap(), rng).unwrap();
    let kept = sealed.session.to_kept();
    let mut sealed_session = sealcare_protocol::SenderSession::from_kept(&kept).unwrap();
    let second = sealed_session.seal(&body("73").encode().unwrap(), rng).unwrap();

    assert_eq!(init.session.open(&second, NOW).err(), Some(DataRefusal::Gap));
    let opened = init.session.open(&first, NOW).unwrap();
    assert_eq!((opened.sequence, opened.body), (0, Ok(body("72"))));
    assert_eq!(opened.session.open(&first, NOW).err(), Some(DataRefusal::Duplicate));
    let kept = sealcare_protocol::ReceiverSession::from_kept(&opened.session.to_kept()).unwrap();
    assert_eq!(kept.open(&second, NOW).unwrap().body, Ok(body("73")));
    let late = NOW.plus(Duration::from_hours(744));
    assert_eq!(kept.open(&second, late).err(), Some(DataRefusal::Lease));
}

#[test]
fn a_clock_behind_the_organizations_midnight_seals_to_the_day_that_begins() {
    let (organization, patient) = invited();
    let seal = |behind: Duration| {
        let start = SessionStart {
            grant: &patient.grant,
            bundle: &organization.bundle,
            sender: patient.sender,
            base: 0,
        };
        start.seal(patient.statement(Some(code()), 1), NOW.minus(behind), &mut rand::rng())
    };
    let init = seal(Duration::from_mins(20)).unwrap();
    assert!(organization.receive(&patient.grant.id, &init.envelope, NOW).is_ok());
    assert_eq!(seal(Duration::from_hours(25)).map(drop), Err(SealError::NoEpoch));
}

#[test]
fn every_flipped_bit_is_refused() {
    let (organization, patient) = invited();
    let mut sealed = patient.start(&organization.bundle, 0, patient.statement(Some(code()), 5));
    for at in (0..sealed.envelope.len()).step_by(37) {
        let mut flipped = sealed.envelope.clone();
        flipped[at] ^= 0x10;
        assert!(organization.receive(&patient.grant.id, &flipped, NOW).is_err(), "byte {at}");
    }
    let init = organization.receive(&patient.grant.id, &sealed.envelope, NOW).unwrap();
    let envelope = sealed.session.seal(&body("72").encode().unwrap(), &mut rand::rng()).unwrap();
    for at in 0..envelope.len() {
        let mut flipped = envelope.clone();
        flipped[at] ^= 1;
        assert!(init.session.open(&flipped, NOW).is_err(), "byte {at}");
    }
    for len in 0..envelope.len() {
        assert!(init.session.open(&envelope[..len], NOW).is_err());
    }
}

#[test]
fn each_check_of_an_init_has_its_name() {
    let (mut organization, patient) = invited();
    let grant = patient.grant.id;
    let with_code = || patient.start(&organization.bundle, 0, patient.statement(Some(code()), 5)).envelope;
    let init = with_code();
    let refused = |o: &Organization, grant: &GrantId, init: &[u8]| o.receive(grant, init, NOW).err();

    assert_eq!(refused(&organization, &grant, &init[1..]), Some(InitRefusal::Size));
    assert_eq!(refused(&organization, &grant, &[&[2], &init[1..]].concat()), Some(InitRefusal::Version));
    let other = GrantId::from_bytes([1; 32]);
    assert_eq!(refused(&organization, &other, &init), Some(InitRefusal::Open));
    let mut unknown_key = init.clone();
    unknown_key[18] ^= 1;
    assert_eq!(refused(&organization, &grant, &unknown_key), Some(InitRefusal::UnknownKey));
    let mut low_order = init.clone();
    low_order[26 + 1088..26 + 1120].fill(0);
    assert_eq!(refused(&organization, &grant, &low_order), Some(InitRefusal::LowOrder));
    let thief = Patient {
        grant: GrantIdentity {
            grant_key: Patient::new(&organization, 8).grant.grant_key,
            ..Patient::new(&organization, 9).grant
        },
        sender: patient.sender,
    };
    let forged = thief.start(&organization.bundle, 0, patient.statement(Some(code()), 5)).envelope;
    assert_eq!(refused(&organization, &grant, &forged), Some(InitRefusal::Signature));
    let other_deposit = Patient::new(&organization, 8);
    let mut statement = patient.statement(Some(code()), 5);
    statement.deposit_key = other_deposit.grant.deposit_key;
    let unbound = patient.start(&organization.bundle, 0, statement).envelope;
    assert_eq!(refused(&organization, &grant, &unbound), Some(InitRefusal::Binding));
    let without = patient.start(&organization.bundle, 0, patient.statement(None, 5)).envelope;
    assert_eq!(refused(&organization, &grant, &without), Some(InitRefusal::LinkCode));
    let month = NOW.plus(Duration::from_hours(744));
    assert_eq!(organization.receive(&grant, &init, month).err(), Some(InitRefusal::LinkCode));

    assert!(organization.receive(&grant, &init, NOW).is_ok());
    assert_eq!(refused(&organization, &grant, &init), Some(InitRefusal::Duplicate));
    let again = with_code();
    let known = KnownGrant { grant_key: other_deposit.grant.grant_key.public(), revision: 5 };
    organization.grants.insert(grant, known);
    assert_eq!(refused(&organization, &grant, &again), Some(InitRefusal::KeyMismatch));
    organization.revoked.push(grant);
    assert_eq!(refused(&organization, &grant, &again), Some(InitRefusal::Revoked));
    organization.epochs.values_mut().for_each(|key| *key = None);
    assert_eq!(refused(&organization, &grant, &again), Some(InitRefusal::DestroyedKey));
}

#[test]
fn an_older_or_impossible_statement_does_not_replace_the_stored_one() {
    let (mut organization, patient) = invited();
    let grant = patient.grant.id;
    let grant_key = patient.grant.grant_key.public();
    organization.grants.insert(grant, KnownGrant { grant_key, revision: 1000 });
    let mut kept = |revision, next| {
        organization.next.insert((grant, patient.sender), next);
        let init = patient.start(&organization.bundle, 10, patient.statement(None, revision)).envelope;
        let init = organization.receive(&grant, &init, NOW).unwrap();
        (matches!(init.statement, StatementDecision::KeepStored), init.base)
    };
    assert_eq!(kept(1000, 10), (true, BaseDecision::Continues));
    assert_eq!(kept(1001, 20), (false, BaseDecision::Repeats));
    assert_eq!(kept(NOW.as_millis() + 86_400_001, 0), (true, BaseDecision::Gap));
}

#[test]
fn a_bundle_must_be_the_organizations_fresh_and_unaltered() {
    let organization = Organization::new(1);
    let other = Organization::new(50);
    let id = organization.bundle.organization();
    let signed = organization.bundle.signed();
    let verify = |signed: &sealcare_proto::v1::Signed, id: &OrganizationId, now| {
        UnverifiedKeyBundle::new(signed.clone()).and_then(|b| b.verify(id, now)).err()
    };
    assert_eq!(verify(signed, id, NOW), None);
    assert_eq!(verify(other.bundle.signed(), id, NOW), Some(Error::WrongOrganization));
    assert_eq!(verify(signed, id, NOW.plus(Duration::from_hours(168))), Some(Error::Expired("bundle")));
    assert_eq!(verify(signed, id, NOW.minus(Duration::from_hours(48))), Some(Error::Delegation));
    let mut altered = signed.clone();
    altered.signature = other.bundle.signed().signature.clone();
    assert_eq!(verify(&altered, id, NOW), Some(Error::Signature("bundle")));
    assert!(UnverifiedKeyBundle::decode(&[0xff; 100]).is_err());

    let newer = KeyBundleDraft {
        domain: organization.bundle.domain().clone(),
        successions: Successions::new(vec![Succession::first(
            &RootKey::from_seed(&[1; 32]).public(),
            &RootKey::from_seed(&[2; 32]).public(),
        )])
        .unwrap(),
        delegation: organization.bundle.delegation().signed().clone(),
        previous_serial: organization.bundle.serial(),
        epochs: organization.bundle.epochs().to_vec(),
    };
    let newer = newer.sign(&organization.gateway, NOW).unwrap();
    assert_eq!(organization.bundle.pin().check(&newer), Ok(()));
    assert_eq!(newer.pin().check(&organization.bundle), Err(Error::Stale));
    let expired = SessionStart {
        grant: &Patient::new(&organization, 9).grant,
        bundle: &organization.bundle,
        sender: SenderId::from_bytes([0; 16]),
        base: 0,
    };
    let statement = Patient::new(&organization, 9).statement(None, 1);
    let week = NOW.plus(Duration::from_hours(168));
    assert_eq!(expired.seal(statement, week, &mut rand::rng()).err(), Some(SealError::BundleExpired));
}

#[test]
fn tickets_registrations_revocations_and_confirmations_verify_where_they_belong() {
    let organization = Organization::new(1);
    let other = Organization::new(50);
    let (id, authority) = (organization.bundle.organization(), organization.bundle.authority());
    let delegation = organization.bundle.delegation();
    let relay = relay();
    let draft = TicketDraft { relay: &relay, limits: TicketLimits::default() };
    let ticket = draft.sign(id, delegation, &organization.gateway, NOW, &mut rand::rng());
    let verify = |authority, relay, now| {
        UnverifiedTicket::new(ticket.clone()).unwrap().verify(authority, relay, now).err()
    };
    assert_eq!(verify(authority, &relay, NOW), None);
    assert_eq!(verify(other.bundle.authority(), &relay, NOW), Some(Error::WrongOrganization));
    let elsewhere = "https://other.example:1".parse().unwrap();
    assert_eq!(verify(authority, &elsewhere, NOW), Some(Error::WrongRelay));
    let week = NOW.plus(Duration::from_hours(168));
    assert_eq!(verify(authority, &relay, week), Some(Error::Expired("ticket")));
    let forged = draft.sign(id, delegation, &other.gateway, NOW, &mut rand::rng());
    let forged = UnverifiedTicket::new(forged).unwrap().verify(authority, &relay, NOW);
    assert_eq!(forged, Err(Error::Signature("ticket")));

    let registration = Registration::sign(&organization.bundle, &relay, "{}", &organization.gateway, NOW);
    let registration = UnverifiedRegistration::new(registration);
    assert!(registration.clone().verify(&relay, NOW).is_ok());
    assert_eq!(registration.verify(&elsewhere, NOW).err(), Some(Error::WrongRelay));

    let deposit = AccountSecret::from_bytes(&[9; 32]).deposit_key(&relay, 0);
    let revocation = Revocation::sign(&deposit, id);
    assert_eq!(revocation.grant(), &Patient::new(&organization, 9).grant.id);
    let mut altered = revocation.to_wire();
    assert!(UnverifiedRevocation::new(altered.clone()).verify().is_ok());
    altered.organization_id = Bytes::copy_from_slice(other.bundle.organization().as_bytes());
    assert_eq!(UnverifiedRevocation::new(altered).verify(), Err(Error::Signature("revocation")));

    let confirmation = Confirmation::sign(revocation.grant(), delegation, &organization.gateway, NOW);
    let unverified = UnverifiedConfirmation::new(confirmation.signed().clone()).unwrap();
    assert_eq!(unverified.clone().verify(authority), Ok(confirmation));
    assert!(unverified.verify(other.bundle.authority()).is_err());
}
