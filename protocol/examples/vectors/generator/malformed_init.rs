//! `hs1-malformed-init.json`: one init for each way to be wrong, with the name of its refusal.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{AccountSecret, GrantIdentity};
use serde_json::{Value, json};

use super::{
    hex,
    spec::{self, InitPlan},
    world,
};

/// A point of order 8 on Curve25519 (RFC 7748 §6.1 tells of them; the value is from the X25519 cofactor list).
const ORDER_8: [u8; 32] = [
    0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
    0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
];
const ENC_X25519: std::ops::Range<usize> = 26 + 1088..26 + 1120;

/// One case. What is not said is as for the good init: nothing known, the link code open.
struct Case {
    name: &'static str,
    envelope: Vec<u8>,
    expect: &'static str,
    given: Value,
}

pub(crate) fn file() -> Value {
    let cases = [bytes_cases(), field_cases(), signature_cases(), state_cases()].concat();
    json!({
        "protocol": "hs/1",
        "organization_id": hex(world::grant().organization.as_bytes()),
        "grant_id": hex(world::grant().id.as_bytes()),
        "epoch_seed": hex(world::EPOCH_SEED),
        "link_code_hash": hex(world::statement().link_code.unwrap().hash().as_bytes()),
        "now_ms": world::NOW.as_millis(),
        "good": hex(good()),
        "cases": cases,
    })
}

fn good() -> Vec<u8> {
    InitPlan::good().seal(|_| ()).envelope()
}

fn case(name: &'static str, expect: &'static str, envelope: Vec<u8>) -> Case {
    Case { name, envelope, expect, given: json!({}) }
}

fn values(cases: impl IntoIterator<Item = Case>) -> Vec<Value> {
    let value = |case: Case| json!({ "name": case.name, "expect": case.expect, "given": case.given, "envelope": hex(case.envelope) });
    cases.into_iter().map(value).collect()
}

fn altered(alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut envelope = good();
    alter(&mut envelope);
    envelope
}

fn bytes_cases() -> Vec<Value> {
    values([
        case("one byte short", "init-size", altered(|e| e.truncate(e.len() - 1))),
        case("one byte long", "init-size", altered(|e| e.push(0))),
        case("empty", "init-size", Vec::new()),
        case("version 2", "init-version", altered(|e| e[0] = 2)),
        case("kind of data", "init-version", altered(|e| e[1] = 2)),
        case("key id of nobody", "init-unknown-key", altered(|e| e[18] ^= 1)),
        case("X25519 share zero", "init-low-order", altered(|e| e[ENC_X25519].fill(0))),
        case(
            "X25519 share of order 8",
            "init-low-order",
            altered(|e| e[ENC_X25519].copy_from_slice(&ORDER_8)),
        ),
        case("another session id", "init-open", altered(|e| e[2] ^= 1)),
        case("flipped ML-KEM ciphertext", "init-open", altered(|e| e[26] ^= 1)),
        case("flipped X25519 share", "init-open", altered(|e| e[ENC_X25519.start] ^= 1)),
        case("flipped ciphertext", "init-open", altered(|e| e[26 + 1120] ^= 1)),
        case("flipped tag", "init-open", altered(|e| *e.last_mut().unwrap() ^= 1)),
        case("sealed for another organization", "init-open", {
            InitPlan { organization: [9; 32], ..InitPlan::good() }.seal(|_| ()).envelope()
        }),
        case("sealed for another grant", "init-open", {
            InitPlan { grant: [9; 32], ..InitPlan::good() }.seal(|_| ()).envelope()
        }),
    ])
}

/// The good fields, altered, then sealed and signed as they should be.
fn with_fields(alter: impl FnOnce(&mut wire::InitFields, &mut wire::Statement)) -> Vec<u8> {
    let mut fields = spec::fields();
    let mut statement = fields.statement.take().unwrap();
    alter(&mut fields, &mut statement);
    fields.statement = Some(statement);
    InitPlan { fields: fields.encode_to_vec(), ..InitPlan::good() }.seal(|_| ()).envelope()
}

fn statement(alter: impl FnOnce(&mut wire::Statement)) -> Vec<u8> {
    with_fields(|_, statement| alter(statement))
}

fn types(names: &[&str]) -> wire::Scope {
    wire::Scope { types: names.iter().map(|name| (*name).to_owned()).collect(), from_ms: None }
}

fn field_cases() -> Vec<Value> {
    let garbage = InitPlan { fields: vec![0xff; 40], ..InitPlan::good() }.seal(|_| ()).envelope();
    let absent = wire::InitFields { statement: None, ..spec::fields() }.encode_to_vec();
    let absent = InitPlan { fields: absent, ..InitPlan::good() }.seal(|_| ()).envelope();
    let many: Vec<String> =
        (b'a'..=b'z').flat_map(|c| ["", "x"].map(|x| format!("{}{x}", char::from(c)))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).take(33).collect();
    let padding = InitPlan::good().seal(|plain| *plain.last_mut().unwrap() = 1).envelope();
    let length = InitPlan::good().seal(|plain| plain[..4].fill(0xff)).envelope();
    values([
        case("padding not zero", "init-fields", padding),
        case("length beyond the end", "init-fields", length),
        case("fields not protobuf", "init-fields", garbage),
        case("no statement", "init-fields", absent),
        case("sender id of 15 bytes", "init-fields", with_fields(|f, _| f.sender_id.truncate(15))),
        case("bundle hash of 31 bytes", "init-fields", with_fields(|f, _| f.bundle_hash.truncate(31))),
        case("state unspecified", "init-fields", statement(|s| s.state = 0)),
        case("state unknown", "init-fields", statement(|s| s.state = 7)),
        case("no scope", "init-fields", statement(|s| s.scope = None)),
        case(
            "a type twice",
            "init-fields",
            statement(|s| s.scope = Some(types(&["lab-result", "lab-result"]))),
        ),
        case("a type in capitals", "init-fields", statement(|s| s.scope = Some(types(&["Lab"])))),
        case("33 types", "init-fields", statement(|s| s.scope = Some(types(&many)))),
        case("no name", "init-fields", statement(|s| s.name.clear())),
        case("line break in the name", "init-fields", statement(|s| s.name = "Ana\nLima".into())),
        case("name of 257 bytes", "init-fields", statement(|s| s.name = "a".repeat(257))),
        case("month 13", "init-fields", statement(|s| s.birth_date = "1980-13-01".into())),
        case("link code of 15 bytes", "init-fields", statement(|s| s.link_code.truncate(15))),
        case("grant key of low order", "init-fields", statement(|s| s.grant_key = identity())),
        case("deposit key of low order", "init-fields", statement(|s| s.deposit_key = identity())),
    ])
}

/// The neutral point of Ed25519.
pub(crate) fn identity() -> Bytes {
    let mut bytes = vec![0; 32];
    bytes[0] = 1;
    bytes.into()
}

/// Another patient of the same clinic.
fn other() -> GrantIdentity {
    let account = AccountSecret::from_bytes(&[0x42; 32]);
    let deposit = account.deposit_key(&world::relay(), 0);
    GrantIdentity::derive(&account, world::bundle().organization(), &deposit)
}

fn signature_cases() -> Vec<Value> {
    let thief = InitPlan { grant_seed: *other().grant_key.to_seed(), ..InitPlan::good() };
    let lifted = InitPlan { auth: Some([0; 32]), ..InitPlan::good() };
    let unbound = statement(|s| s.deposit_key = Bytes::copy_from_slice(other().deposit_key.as_bytes()));
    let flipped = InitPlan::good();
    let at = 4 + flipped.fields.len();
    values([
        case("another patient's deposit key", "init-binding", unbound),
        case("signed by another grant key", "init-signature", thief.seal(|_| ()).envelope()),
        case("signature of another key agreement", "init-signature", lifted.seal(|_| ()).envelope()),
        case("flipped signature", "init-signature", flipped.seal(|plain| plain[at] ^= 1).envelope()),
        case(
            "fields altered after signing",
            "init-signature",
            InitPlan::good().seal(|plain| plain[6] ^= 1).envelope(),
        ),
    ])
}

fn state_cases() -> Vec<Value> {
    let given = |name, expect, envelope, given| Case { name, envelope, expect, given };
    let past = world::NOW.as_millis();
    let other_key = hex(other().grant_key.public().as_bytes());
    let later = world::NOW.plus(Duration::from_hours(24 * 31)).as_millis();
    let no_code = || statement(|s| s.link_code.clear());
    let own_key = hex(world::grant().grant_key.public().as_bytes());
    values([
        given("session known", "init-duplicate", good(), json!({ "session_known": true })),
        given("epoch key destroyed", "init-destroyed-key", good(), json!({ "epoch_destroyed": true })),
        given("grant revoked", "init-revoked", good(), json!({ "revoked": true })),
        given(
            "grant known under another key",
            "init-key-mismatch",
            good(),
            json!({ "grant_key": other_key }),
        ),
        case("no link code", "init-link-code", no_code()),
        given("link code spent or never made", "init-link-code", good(), json!({ "link_code_closed": true })),
        case("lease over", "init-lease", with_fields(|f, _| f.lease_until_ms = past)),
        given(
            "lease over on arrival",
            "init-lease",
            no_code(),
            json!({ "grant_key": own_key, "now_ms": later }),
        ),
    ])
}
