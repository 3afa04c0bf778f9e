//! HS/1's frozen vectors (`tests/vectors/*.json`): derived anew they are the same, what is good in them opens,
//! and each malformed case is refused by its name. Not here: making them (`examples/vectors`).
#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "shared with the program that writes the files")]
#[path = "../examples/vectors/generator/mod.rs"]
mod generator;

use std::{convert::Infallible, fmt::Debug, fs, path::Path};

use data_encoding::HEXLOWER;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    AcceptedInit, BaseDecision, CallError, CallMethod, DataRefusal, EpochKey, EpochLookup, Error, GrantId,
    GrantPublicKey, InitRefusal, Invitation, KeyBundle, KeyId, KnownGrant, LinkCodeHash, OpenInvitation,
    OrganizationId, ReceiverState, SenderId, SessionId, Timestamp, UnverifiedConfirmation,
    UnverifiedKeyBundle, UnverifiedRevocation, UnverifiedTicket, receive_init, verify_call,
};
use serde_json::Value;

fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::from_millis(value.as_u64().unwrap())
}

/// What a clinic knows in one case.
struct Clinic<'a> {
    epoch_seed: [u8; 32],
    link_code: Option<LinkCodeHash>,
    given: &'a Value,
}

impl<'a> Clinic<'a> {
    fn new(file: &Value, given: &'a Value) -> Self {
        let code = generator::world::statement().link_code.unwrap().hash();
        let link_code = given["link_code_closed"].is_null().then_some(code);
        Self { epoch_seed: hex(&file["epoch_seed"]).try_into().unwrap(), link_code, given }
    }
}

impl ReceiverState for Clinic<'_> {
    type Error = Infallible;

    fn is_session_known(&self, _: &SessionId) -> Result<bool, Infallible> {
        Ok(self.given["session_known"] == true)
    }
    fn epoch(&self, id: &KeyId) -> Result<EpochLookup, Infallible> {
        let key = EpochKey::from_seed(&self.epoch_seed);
        Ok(match (key.public().id() == *id, self.given["epoch_destroyed"] == true) {
            (true, false) => EpochLookup::Known(key),
            (true, true) => EpochLookup::Destroyed,
            (false, _) => EpochLookup::Unknown,
        })
    }
    fn is_revoked(&self, _: &GrantId) -> Result<bool, Infallible> {
        Ok(self.given["revoked"] == true)
    }
    fn grant(&self, _: &GrantId) -> Result<Option<KnownGrant>, Infallible> {
        let known =
            |key| KnownGrant { grant_key: GrantPublicKey::from_slice(&hex(key)).unwrap(), revision: 0 };
        Ok(self.given.get("grant_key").map(known))
    }
    fn invitation(&self, code: &LinkCodeHash) -> Result<Option<OpenInvitation>, Infallible> {
        let expires = Timestamp::from_millis(u64::MAX);
        Ok(self.link_code.filter(|open| open == code).map(|_| OpenInvitation { expires }))
    }
    fn next_sequence(&self, _: &GrantId, _: &SenderId) -> Result<Option<u64>, Infallible> {
        Ok(None)
    }
}

fn accept(file: &Value, given: &Value, init: &[u8], now: Timestamp) -> Result<AcceptedInit, InitRefusal> {
    let organization = *generator::world::bundle().organization();
    let grant = GrantId::from_slice(&hex(&file["grant_id"])).unwrap();
    let Ok(verdict) = receive_init(&Clinic::new(file, given), &organization, &grant, init, now);
    verdict
}

#[test]
fn the_vectors_have_not_drifted() {
    for (name, content) in generator::files() {
        assert!(file(name) == content, "{name} differs: a change of the wire is a change of the protocol");
    }
}

#[test]
fn the_session_opens_from_the_file_alone() {
    let file = file("hs1-session.json");
    let organization = OrganizationId::from_slice(&hex(&file["keys"]["organization_id"])).unwrap();
    let (init, now) = (hex(&file["init"]["envelope"]), time(&file["init"]["now_ms"]));
    let given = Value::Null;
    let clinic = Clinic::new(&file["keys"], &given);
    let grant = GrantId::from_slice(&hex(&file["keys"]["grant_id"])).unwrap();
    let Ok(accepted) = receive_init(&clinic, &organization, &grant, &init, now);
    let accepted = accepted.unwrap();
    assert_eq!(accepted.base, BaseDecision::Continues);
    let mut session = accepted.session;
    for (sequence, case) in (0..).zip(file["data"].as_array().unwrap()) {
        let opened = session.open(&hex(&case["envelope"]), now).unwrap();
        assert_eq!(opened.sequence, sequence);
        let changes = opened.body.unwrap().changes;
        let ids: Vec<_> = changes.iter().map(|change| change.record_id.as_str()).collect();
        let expected: Vec<_> =
            case["changes"].as_array().unwrap().iter().map(|change| text(&change["record_id"])).collect();
        assert_eq!(ids, expected);
        session = opened.session;
    }
    let (reply, _) = accepted.reply_key.open(&hex(&file["reply"]["envelope"])).unwrap();
    assert_eq!(reply, generator::session::reply_body());
}

#[test]
fn each_malformed_init_is_refused_by_its_name() {
    let file = file("hs1-malformed-init.json");
    let now = time(&file["now_ms"]);
    let nothing = serde_json::json!({});
    assert!(accept(&file, &nothing, &hex(&file["good"]), now).is_ok());
    for case in file["cases"].as_array().unwrap() {
        let now = case["given"].get("now_ms").map_or(now, time);
        let refusal = accept(&file, &case["given"], &hex(&case["envelope"]), now).err();
        assert_eq!(refusal.map(InitRefusal::name), case["expect"].as_str(), "{}", case["name"]);
    }
}

#[test]
fn each_malformed_envelope_is_refused_by_its_name() {
    let file = file("hs1-malformed-data.json");
    let now = time(&file["now_ms"]);
    let session = || accept(&file, &Value::Null, &hex(&file["init"]), now).unwrap().session;
    for case in file["cases"].as_array().unwrap() {
        let (name, envelope) = (&case["name"], hex(&case["envelope"]));
        let mut session = session();
        if case["given"]["received"] == 1 {
            session = session.open(&envelope, now).unwrap().session;
        }
        let now = case["given"].get("now_ms").map_or(now, time);
        let refusal = match session.open(&envelope, now) {
            Err(refusal) => Some(refusal),
            Ok(opened) => opened.body.err(),
        };
        assert_eq!(refusal.map(DataRefusal::name), case["expect"].as_str(), "{name}");
    }
}

/// The name that the vectors use for an error.
fn name(error: Error) -> &'static str {
    match error {
        Error::Malformed(_) => "malformed",
        Error::Signature(_) => "signature",
        Error::Version => "version",
        Error::WrongOrganization => "wrong-organization",
        Error::WrongRelay => "wrong-relay",
        Error::Succession => "succession",
        Error::Delegation => "delegation",
        Error::Expired(_) => "expired",
        Error::Lifetime(_) => "lifetime",
        Error::LowOrder => "low-order",
        Error::Reply => "reply",
        _ => "unnamed",
    }
}

fn call_name(error: CallError) -> &'static str {
    match error {
        CallError::Malformed => "call-malformed",
        CallError::Method => "call-method",
        CallError::Skew => "call-skew",
        CallError::Signature => "call-signature",
        _ => "unnamed",
    }
}

/// Every case of a list is refused by its name, and there are some.
fn check<T: Debug>(cases: &Value, read: impl Fn(&Value) -> Result<T, &'static str>) {
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 5);
    for case in cases {
        assert_eq!(read(case).err(), case["expect"].as_str(), "{}", case["name"]);
    }
}

fn signed(case: &Value) -> Result<wire::Signed, &'static str> {
    wire::Signed::decode(hex(&case["bytes"]).as_slice()).map_err(|_| "malformed")
}

fn bundle(bytes: &[u8], organization: &OrganizationId, now: Timestamp) -> Result<KeyBundle, Error> {
    UnverifiedKeyBundle::decode(bytes)?.verify(organization, now)
}

#[test]
fn each_malformed_object_is_refused_by_its_name() {
    let file = file("hs1-malformed-objects.json");
    let now = time(&file["now_ms"]);
    let relay = text(&file["relay_origin"]).parse().unwrap();
    let organization = OrganizationId::from_slice(&hex(&file["organization_id"])).unwrap();
    let good = bundle(&hex(&file["good_bundle"]), &organization, now).unwrap();
    let at = |case: &Value| time(&case["now_ms"]);

    check(&file["bundles"], |case| bundle(&hex(&case["bytes"]), &organization, at(case)).map_err(name));
    check(&file["tickets"], |case| {
        let ticket = UnverifiedTicket::new(signed(case)?).map_err(name)?;
        ticket.verify(good.authority(), &relay, at(case)).map_err(name)
    });
    check(&file["calls"], |case| {
        let call = wire::SignedCall::decode(hex(&case["bytes"]).as_slice()).map_err(|_| "malformed")?;
        verify_call(call, &relay, CallMethod::Deposit, at(case)).map_err(call_name).map(|_| ())
    });
    check(&file["revocations"], |case| {
        let wire = wire::Revocation::decode(hex(&case["bytes"]).as_slice()).map_err(|_| "malformed")?;
        UnverifiedRevocation::new(wire).verify().map_err(name)
    });
    check(&file["confirmations"], |case| {
        let confirmation = UnverifiedConfirmation::new(signed(case)?).map_err(name)?;
        confirmation.verify(good.authority()).map_err(name)
    });
    check(&file["invitations"], |case| Invitation::from_text(text(&case["text"])).map_err(name));
    let session = serde_json::json!({
        "grant_id": HEXLOWER.encode(generator::world::grant().id.as_bytes()),
        "epoch_seed": file["epoch_seed"],
    });
    let reply_key = accept(&session, &Value::Null, &hex(&file["init"]), now).unwrap().reply_key;
    check(&file["replies"], |case| reply_key.open(&hex(&case["bytes"])).map_err(name));
}
