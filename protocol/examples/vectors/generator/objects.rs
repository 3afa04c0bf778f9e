//! `hs1-objects.json`: everything that is signed, hashed or derived outside a session.

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    CallMethod, Confirmation, Invitation, LinkCode, Registration, Revocation, TicketDraft, TicketLimits,
    sign_call,
};
use serde_json::{Value, json};

use super::{hex, script::Script, session, spec, world};

pub(crate) fn file() -> Value {
    json!({
        "protocol": "hs/1",
        "now_ms": world::NOW.as_millis(),
        "organization": organization(),
        "delegation": signed(&world::delegation()),
        "bundle": bundle(),
        "ticket": ticket_value(),
        "invitation": invitation(),
        "registration": registration(),
        "call": call(),
        "revocation": revocation(),
        "confirmation": signed(confirmation().signed()),
        "deposit_keys": deposit_keys(),
        "padding": padding(),
    })
}

fn signed(signed: &wire::Signed) -> Value {
    json!({ "payload": hex(&signed.payload), "signature": hex(&signed.signature) })
}

fn organization() -> Value {
    let record = |k: usize| {
        let next = sha256_root(k + 1);
        hex([&world::root(k).public().as_bytes()[..], &next].concat())
    };
    let second = wire_successions()[1].clone();
    assert_eq!(hex(&second.record), record(1));
    json!({
        "root_seeds": world::ROOT_SEEDS.map(hex),
        "gateway_seed": hex(world::GATEWAY_SEED),
        "domain": "clinic.example",
        "successions": [
            { "record": record(0), "signature": "" },
            { "record": record(1), "signature": hex(&second.signature) },
        ],
        "organization_id": hex(world::bundle().organization().as_bytes()),
    })
}

fn sha256_root(k: usize) -> [u8; 32] {
    spec::sha256(&[world::root(k).public().as_bytes()])
}

/// The chain of two as a bundle carries it.
pub(crate) fn wire_successions() -> Vec<wire::Succession> {
    let record = |k: usize| [&world::root(k).public().as_bytes()[..], &sha256_root(k + 1)].concat();
    let signature = spec::sign(&world::ROOT_SEEDS[1], "hs/1 succession", &record(1));
    vec![
        wire::Succession { record: record(0).into(), signature: Bytes::new() },
        wire::Succession { record: record(1).into(), signature: Bytes::copy_from_slice(&signature) },
    ]
}

fn bundle() -> Value {
    let bundle = world::bundle();
    json!({
        "bytes": hex(bundle.signed().encode_to_vec()),
        "hash": hex(bundle.hash().as_bytes()),
        "serial": bundle.serial(),
        "expires_ms": bundle.expires().as_millis(),
    })
}

pub(crate) fn ticket() -> wire::Signed {
    let (bundle, relay) = (world::bundle(), world::relay());
    let draft = TicketDraft { relay: &relay, limits: TicketLimits::default() };
    let mut rng = Script::new(&[&world::TICKET_ID]);
    draft.sign(bundle.organization(), bundle.delegation(), &world::gateway(), world::NOW, &mut rng)
}

fn ticket_value() -> Value {
    json!({
        "ticket_id": hex(world::TICKET_ID),
        "payload": hex(ticket().payload),
        "signature": hex(ticket().signature),
    })
}

fn invitation() -> Value {
    let link_code = LinkCode::from_slice(&world::LINK_CODE).unwrap();
    let hash = hex(link_code.hash().as_bytes());
    let invitation = Invitation {
        relay: world::relay(),
        domain: world::bundle().domain().clone(),
        organization: *world::bundle().organization(),
        ticket: ticket(),
        link_code,
    };
    json!({ "text": invitation.to_text().as_str(), "link_code": hex(world::LINK_CODE), "link_code_hash": hash })
}

fn registration() -> Value {
    let jwk = r#"{"kty":"EC","crv":"P-384"}"#;
    let made = Registration::sign(&world::bundle(), &world::relay(), jwk, &world::gateway(), world::NOW);
    json!({ "oauth_jwk": jwk, "payload": hex(&made.payload), "signature": hex(&made.signature) })
}

/// A deposit of three bytes.
pub(crate) fn signed_call() -> wire::SignedCall {
    let request = Bytes::from_static(b"abc");
    sign_call(&world::deposit(), &world::relay(), CallMethod::Deposit, request, world::NOW)
}

fn call() -> Value {
    let call = signed_call();
    let message = [
        &spec::sha256(&[world::relay().as_str().as_bytes()])[..],
        &2u16.to_be_bytes(),
        &call.deposit_key,
        &call.time_ms.to_be_bytes(),
        &spec::sha256(&[&call.request]),
    ]
    .concat();
    let seed = world::deposit().to_seed();
    assert_eq!(call.signature[..], spec::sign(&seed, "hs/1 call", &message), "two writings of a call");
    json!({
        "relay_origin": world::relay().as_str(),
        "method": call.method,
        "deposit_key": hex(&call.deposit_key),
        "time_ms": call.time_ms,
        "request": hex(&call.request),
        "signed_bytes": hex([spec::label("hs/1 call"), message].concat()),
        "signature": hex(&call.signature),
    })
}

/// The patient's stop.
pub(crate) fn wire_revocation() -> wire::Revocation {
    Revocation::sign(&world::deposit(), world::bundle().organization()).to_wire()
}

fn revocation() -> Value {
    let revocation = wire_revocation();
    let grant = world::grant().id;
    let expected = spec::sign(&world::deposit().to_seed(), "hs/1 revoke", grant.as_bytes());
    assert_eq!(revocation.signature[..], expected, "two writings of a revocation");
    json!({
        "organization_id": hex(&revocation.organization_id),
        "deposit_key": hex(&revocation.deposit_key),
        "grant_id": hex(grant.as_bytes()),
        "signature": hex(&revocation.signature),
    })
}

/// The clinic's word.
pub(crate) fn confirmation() -> Confirmation {
    Confirmation::sign(&world::grant().id, world::bundle().delegation(), &world::gateway(), world::NOW)
}

fn deposit_keys() -> Vec<Value> {
    let key = |number| hex(world::account().deposit_key(&world::relay(), number).public().as_bytes());
    (0..3).map(|number| json!({ "number": number, "public_key": key(number) })).collect()
}

/// Content length with its u32 → padded length, around each step.
fn padding() -> Vec<Value> {
    [0, 1, 511, 512, 513, 528, 529, 1000, 1024, 1025, 4096, 4097, 65_535, 65_536, 65_537, 65_540]
        .map(|len| json!({ "len": len, "padded_len": spec::padded_len(len) }))
        .into()
}

/// The sealed session's reply key, for cases of replies.
pub(crate) fn reply_key() -> sealcare_protocol::ReplyKey {
    session::seal_init().reply_key
}
