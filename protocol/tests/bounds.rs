//! What a sender may ask for and does not get: leases, revisions, counters and lifetimes beyond HS/1's bounds.
#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "shared with the generator of HS/1's own vectors")]
#[path = "../examples/vectors/generator/mod.rs"]
mod generator;

use std::{convert::Infallible, time::Duration};

use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    AcceptedInit, EncodedBody, EpochLookup, Error, GrantId, InitRefusal, KeyId, KnownGrant, LinkCodeHash,
    OpenInvitation, ReceiverState, Registration, SealError, SenderId, SenderSession, SessionId,
    StatementDecision, Timestamp, UnverifiedRegistration, receive_init,
};

use generator::{
    session, spec,
    world::{self, DAY, NOW},
};

/// A clinic that knows nothing but its epoch key and an invitation that ends at some instant.
struct Clinic {
    invitation_expires: Timestamp,
}

impl ReceiverState for Clinic {
    type Error = Infallible;

    fn is_session_known(&self, _: &SessionId) -> Result<bool, Infallible> {
        Ok(false)
    }
    fn epoch(&self, _: &KeyId) -> Result<EpochLookup, Infallible> {
        Ok(EpochLookup::Known(world::epoch()))
    }
    fn is_revoked(&self, _: &GrantId) -> Result<bool, Infallible> {
        Ok(false)
    }
    fn grant(&self, _: &GrantId) -> Result<Option<KnownGrant>, Infallible> {
        Ok(None)
    }
    fn invitation(&self, _: &LinkCodeHash) -> Result<Option<OpenInvitation>, Infallible> {
        Ok(Some(OpenInvitation { expires: self.invitation_expires }))
    }
    fn next_sequence(&self, _: &GrantId, _: &SenderId) -> Result<Option<u64>, Infallible> {
        Ok(None)
    }
}

fn receive(clinic: &Clinic, fields: &wire::InitFields, now: Timestamp) -> Result<AcceptedInit, InitRefusal> {
    let plan = spec::InitPlan { fields: fields.encode_to_vec(), ..spec::InitPlan::good() };
    let (organization, grant) = (*world::bundle().organization(), world::grant().id);
    let Ok(verdict) = receive_init(clinic, &organization, &grant, &plan.seal(|_| ()).envelope(), now);
    verdict
}

fn clinic() -> Clinic {
    Clinic { invitation_expires: NOW.plus(DAY * 28) }
}

#[test]
fn a_lease_ends_thirty_days_after_it_came_whatever_it_asks_for() {
    let fields = wire::InitFields { lease_until_ms: u64::MAX, ..spec::fields() };
    let init = receive(&clinic(), &fields, NOW).unwrap();
    assert_eq!(init.session.lease_until(), NOW.plus(DAY * 30));
}

#[test]
fn a_first_statement_from_a_wrong_clock_leaves_room_for_the_next() {
    let mut fields = spec::fields();
    fields.statement.as_mut().unwrap().revision = u64::MAX;
    let init = receive(&clinic(), &fields, NOW).unwrap();
    let StatementDecision::Adopt(statement) = init.statement else { panic!("the first statement stands") };
    assert_eq!(statement.revision, NOW.plus(DAY).as_millis());
}

#[test]
fn a_link_code_ends_with_its_invitation() {
    let ended = Clinic { invitation_expires: NOW };
    assert_eq!(receive(&ended, &spec::fields(), NOW).err(), Some(InitRefusal::LinkCode));
}

#[test]
fn the_last_number_of_all_is_never_passed() {
    let fields = wire::InitFields { sequence_base: u64::MAX, ..spec::fields() };
    assert_eq!(receive(&clinic(), &fields, NOW).unwrap().session.next_sequence(), u64::MAX);
    let mut kept = session::seal_init().session.to_kept().to_vec();
    kept[49..57].copy_from_slice(&(u64::MAX - 1).to_be_bytes());
    let mut session = SenderSession::from_kept(&kept).unwrap();
    let body = EncodedBody::from_kept(&512u32.to_be_bytes()).unwrap();
    assert!(session.seal(&body, &mut rand::rng()).is_ok());
    let before = session.to_kept();
    assert_eq!(session.seal(&body, &mut rand::rng()).err(), Some(SealError::Exhausted));
    assert_eq!(session.to_kept(), before);
}

#[test]
fn replies_rise_even_where_the_clock_does_not() {
    let key = session::seal_init().reply_key;
    let counter = |previous| key.seal(&session::reply_body(), previous, NOW, &mut rand::rng()).1;
    assert_eq!(counter(0), NOW.as_millis());
    assert_eq!(counter(NOW.as_millis() + 9), NOW.as_millis() + 10);
}

#[test]
fn a_registration_is_one_organizations_fresh_and_bounded() {
    let made = |jwk: &str| Registration::sign(&world::bundle(), &world::relay(), jwk, &world::gateway(), NOW);
    let verify = |signed: wire::Signed, now| {
        UnverifiedRegistration::new(signed).verify(&world::relay(), now).map(|_| ()).err()
    };
    assert_eq!(verify(made("{}"), NOW), None);
    let late = NOW.plus(DAY + Duration::from_millis(1));
    assert_eq!(verify(made("{}"), late), Some(Error::Expired("registration")));
    assert_eq!(verify(made(&" ".repeat(1025)), NOW), Some(Error::Malformed("registration")));
    let good = wire::Registration::decode(made("{}").payload).unwrap();
    let altered = |alter: &dyn Fn(&mut wire::Registration)| {
        let mut fields = good.clone();
        alter(&mut fields);
        verify(spec::signed(&world::GATEWAY_SEED, "hs/1 registration", &fields), NOW)
    };
    assert_eq!(altered(&|_| ()), None);
    let other_id = vec![9; 32];
    assert_eq!(
        altered(&|fields| fields.organization_id = other_id.clone().into()),
        Some(Error::WrongOrganization)
    );
    assert_eq!(altered(&|fields| fields.domain = "other.example".into()), Some(Error::WrongOrganization));
    assert_eq!(altered(&|fields| fields.bundle = None), Some(Error::Malformed("registration")));
    let forged = spec::signed(&world::ROOT_SEEDS[0], "hs/1 registration", &good);
    assert_eq!(verify(forged, NOW), Some(Error::Signature("registration")));
}
