//! `hs1-malformed-objects.json`: bundles, tickets, calls, revocations, confirmations, invitations and replies
//! for each way to be wrong, with the name of the error.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{EpochKey, Timestamp};
use serde_json::{Value, json};

use super::{
    hex,
    malformed_init::identity,
    objects,
    session::reply_body,
    spec::{self, Counted, InitPlan},
    world,
};

pub(crate) fn file() -> Value {
    json!({
        "protocol": "hs/1",
        "now_ms": world::NOW.as_millis(),
        "organization_id": hex(world::bundle().organization().as_bytes()),
        "relay_origin": world::relay().as_str(),
        "good_bundle": hex(world::bundle().signed().encode_to_vec()),
        "init": hex(InitPlan::good().seal(|_| ()).envelope()),
        "epoch_seed": hex(world::EPOCH_SEED),
        "bundles": bundles(),
        "tickets": tickets(),
        "calls": calls(),
        "revocations": revocations(),
        "confirmations": confirmations(),
        "invitations": invitations(),
        "replies": replies(),
    })
}

fn value(name: &str, expect: &str, now: Timestamp, bytes: &[u8]) -> Value {
    json!({ "name": name, "expect": expect, "now_ms": now.as_millis(), "bytes": hex(bytes) })
}

fn good_bundle() -> wire::KeyBundle {
    wire::KeyBundle::decode(world::bundle().signed().payload.clone()).unwrap()
}

/// The good bundle, altered, then signed as it should be.
fn bundle(name: &str, expect: &str, alter: impl FnOnce(&mut wire::KeyBundle)) -> Value {
    let mut bundle = good_bundle();
    alter(&mut bundle);
    let signed = spec::signed(&world::GATEWAY_SEED, "hs/1 bundle", &bundle);
    value(name, expect, world::NOW, &signed.encode_to_vec())
}

fn delegated(alter: impl FnOnce(&mut wire::Delegation)) -> wire::Signed {
    by_root(0, alter)
}

fn by_root(k: usize, alter: impl FnOnce(&mut wire::Delegation)) -> wire::Signed {
    let mut delegation = wire::Delegation::decode(world::delegation().payload).unwrap();
    alter(&mut delegation);
    spec::signed(&world::ROOT_SEEDS[k], "hs/1 delegation", &delegation)
}

fn bundles() -> Vec<Value> {
    let day = 24 * 60 * 60 * 1000;
    let now = world::NOW;
    let good = world::bundle().signed().clone();
    let bytes = |signed: &wire::Signed| signed.encode_to_vec();
    let flipped = wire::Signed { signature: vec![1; 64].into(), ..good.clone() };
    let mislabelled = spec::signed(&world::GATEWAY_SEED, "hs/1 ticket", &good_bundle());
    let by_root_key = spec::signed(&world::ROOT_SEEDS[0], "hs/1 bundle", &good_bundle());
    let other_epoch = EpochKey::from_seed(&[0x32; 32]);
    let nine = |b: &mut wire::KeyBundle| b.epochs = vec![b.epochs[0].clone(); 9];
    vec![
        value("not protobuf", "malformed", now, &[0xff; 100]),
        value("empty", "version", now, &[]),
        value("expired", "expired", now.plus(world::DAY * 7), &bytes(&good)),
        value("clock two days behind", "delegation", now.minus(world::DAY * 2), &bytes(&good)),
        value("flipped signature", "signature", now, &bytes(&flipped)),
        value("signed under another label", "signature", now, &bytes(&mislabelled)),
        value("signed by the root itself", "signature", now, &bytes(&by_root_key)),
        bundle("version 2", "version", |b| b.version = 2),
        bundle("domain in capitals", "malformed", |b| b.domain = "Clinic.example".into()),
        bundle("another domain", "wrong-organization", |b| b.domain = "other.example".into()),
        bundle("no succession record", "succession", |b| b.successions.clear()),
        bundle("a root that was not named", "succession", |b| b.successions = usurped()),
        bundle("delegation by a succeeded root", "delegation", |b| {
            b.successions = objects::wire_successions();
        }),
        bundle("no delegation", "malformed", |b| b.delegation = None),
        bundle("delegation number 0", "malformed", |b| b.delegation = Some(delegated(|d| d.number = 0))),
        bundle("honours nothing that exists", "malformed", |b| {
            b.delegation = Some(delegated(|d| d.lowest_honoured = 2));
        }),
        bundle("delegated by a root to come", "succession", |b| {
            b.delegation = Some(delegated(|d| d.root_index = 1));
        }),
        bundle("delegated by the next root's key", "signature", |b| b.delegation = Some(by_root(1, |_| ()))),
        bundle("delegation of 401 days", "lifetime", |b| {
            b.delegation = Some(delegated(|d| d.expires_ms = d.not_before_ms + 401 * day));
        }),
        bundle("delegation expired", "delegation", |b| {
            b.delegation = Some(delegated(|d| (d.not_before_ms, d.expires_ms) = (1, 2)));
        }),
        bundle("delegation of another organization", "wrong-organization", |b| {
            b.delegation = Some(delegated(|d| d.organization_id = vec![9; 32].into()));
        }),
        bundle("gateway key of low order", "low-order", |b| {
            b.delegation = Some(delegated(|d| d.gateway_key = identity()));
        }),
        bundle("lives 7 days and a millisecond", "lifetime", |b| b.expires_ms += 1),
        bundle("issued in two days", "lifetime", |b| {
            (b.issued_ms, b.expires_ms) = (b.issued_ms + 2 * day, b.expires_ms + 2 * day);
        }),
        bundle("no epoch", "malformed", |b| b.epochs.clear()),
        bundle("nine epochs", "malformed", nine),
        bundle("an epoch twice", "malformed", |b| b.epochs.push(b.epochs[0].clone())),
        bundle("key id of another key", "malformed", |b| {
            b.epochs[0].key_id = Bytes::copy_from_slice(other_epoch.public().id().as_bytes());
        }),
        bundle("epoch of a day and a millisecond", "lifetime", |b| b.epochs[0].encrypt_until_ms += 1),
        bundle("epoch that opens for 15 days more", "lifetime", |b| b.epochs[0].decrypt_until_ms += day),
        bundle("epoch key of low order", "low-order", |b| weaken(&mut b.epochs[0])),
        bundle("ML-KEM key out of its field", "malformed", |b| spoil(&mut b.epochs[0], 0..3, 0xff)),
    ]
}

fn usurped() -> Vec<wire::Succession> {
    let mut links = objects::wire_successions();
    let record = [&world::root(2).public().as_bytes()[..], &[7; 32]].concat();
    let signature = spec::sign(&world::ROOT_SEEDS[2], "hs/1 succession", &record);
    links[1] = wire::Succession { record: record.into(), signature: Bytes::copy_from_slice(&signature) };
    links
}

fn weaken(epoch: &mut wire::Epoch) {
    spoil(epoch, 1184..1216, 0);
}

fn spoil(epoch: &mut wire::Epoch, range: std::ops::Range<usize>, with: u8) {
    let mut key = epoch.public_key.to_vec();
    key[range].fill(with);
    epoch.key_id = Bytes::copy_from_slice(&spec::sha256(&[&key])[..8]);
    epoch.public_key = key.into();
}

fn tickets() -> Vec<Value> {
    let now = world::NOW;
    let good = objects::ticket();
    let ticket = |name, expect, alter: &dyn Fn(&mut wire::Ticket)| {
        let mut ticket = wire::Ticket::decode(good.payload.clone()).unwrap();
        alter(&mut ticket);
        let signed = spec::signed(&world::GATEWAY_SEED, "hs/1 ticket", &ticket);
        value(name, expect, now, &signed.encode_to_vec())
    };
    let flipped = wire::Signed { signature: vec![1; 64].into(), ..good.clone() };
    let mislabelled = wire::Ticket::decode(good.payload.clone()).unwrap();
    let mislabelled = spec::signed(&world::GATEWAY_SEED, "hs/1 bundle", &mislabelled);
    vec![
        value("not protobuf", "malformed", now, &[0xff; 30]),
        value("expired", "expired", now.plus(world::DAY * 7), &good.encode_to_vec()),
        value("flipped signature", "signature", now, &flipped.encode_to_vec()),
        value("signed under another label", "signature", now, &mislabelled.encode_to_vec()),
        ticket("another organization", "wrong-organization", &|t| t.organization_id = vec![9; 32].into()),
        ticket("another relay", "wrong-relay", &|t| t.relay_origin = "https://other.example:7443".into()),
        ticket("lives nine days", "lifetime", &|t| t.expires_ms = now.plus(world::DAY * 9).as_millis()),
        ticket("id of 15 bytes", "malformed", &|t| t.ticket_id.truncate(15)),
        ticket("no limits", "malformed", &|t| t.limits = None),
        ticket("no delegation", "malformed", &|t| t.delegation = None),
        ticket("delegation expired", "delegation", &|t| {
            t.delegation = Some(delegated(|d| (d.not_before_ms, d.expires_ms) = (1, 2)));
        }),
        ticket("delegation forged", "signature", &|t| t.delegation = Some(by_root(1, |_| ()))),
    ]
}

fn calls() -> Vec<Value> {
    let now = world::NOW;
    let call = |name, expect, alter: &dyn Fn(&mut wire::SignedCall)| {
        let mut call = objects::signed_call();
        alter(&mut call);
        value(name, expect, now, &call.encode_to_vec())
    };
    let late = now.plus(std::time::Duration::from_millis(300_001));
    let early = now.minus(std::time::Duration::from_millis(300_001));
    vec![
        value("five minutes late", "call-skew", late, &objects::signed_call().encode_to_vec()),
        value("five minutes early", "call-skew", early, &objects::signed_call().encode_to_vec()),
        call("another method", "call-method", &|c| c.method = 5),
        call("method above 65535", "call-method", &|c| c.method = 0x1_0002),
        call("key of 31 bytes", "call-malformed", &|c| c.deposit_key.truncate(31)),
        call("key of low order", "call-malformed", &|c| c.deposit_key = identity()),
        call("another request", "call-signature", &|c| c.request = Bytes::from_static(b"abd")),
        call("another time", "call-signature", &|c| c.time_ms += 1),
        call("signature of 63 bytes", "call-signature", &|c| c.signature.truncate(63)),
    ]
}

fn revocations() -> Vec<Value> {
    let revocation = |name, expect, alter: &dyn Fn(&mut wire::Revocation)| {
        let mut revocation = objects::wire_revocation();
        alter(&mut revocation);
        value(name, expect, world::NOW, &revocation.encode_to_vec())
    };
    vec![
        revocation("another organization", "signature", &|r| r.organization_id = vec![9; 32].into()),
        revocation("organization id of 31 bytes", "malformed", &|r| r.organization_id.truncate(31)),
        revocation("key of low order", "low-order", &|r| r.deposit_key = identity()),
        revocation("flipped signature", "signature", &|r| r.signature = vec![1; 64].into()),
        revocation("no signature", "signature", &|r| r.signature.clear()),
    ]
}

fn confirmations() -> Vec<Value> {
    let good = objects::confirmation().signed().clone();
    let confirmation = |name, expect, alter: &dyn Fn(&mut wire::Confirmation)| {
        let mut confirmation = wire::Confirmation::decode(good.payload.clone()).unwrap();
        alter(&mut confirmation);
        let signed = spec::signed(&world::GATEWAY_SEED, "hs/1 confirm", &confirmation);
        value(name, expect, world::NOW, &signed.encode_to_vec())
    };
    let unhonoured = delegated(|d| d.number = 0);
    let flipped = wire::Signed { signature: vec![1; 64].into(), ..good.clone() };
    vec![
        value("flipped signature", "signature", world::NOW, &flipped.encode_to_vec()),
        confirmation("grant id of 31 bytes", "malformed", &|c| c.grant_id.truncate(31)),
        confirmation("no delegation", "malformed", &|c| c.delegation = None),
        confirmation("time after the delegation", "delegation", &|c| {
            c.time_ms = world::NOW.plus(world::DAY * 365).as_millis();
        }),
        confirmation("delegation number 0", "malformed", &|c| c.delegation = Some(unhonoured.clone())),
        confirmation("delegation forged", "signature", &|c| c.delegation = Some(by_root(1, |_| ()))),
    ]
}

fn invitations() -> Vec<Value> {
    let bundle = world::bundle();
    let good = || wire::Invitation {
        version: 1,
        relay_origin: world::relay().as_str().into(),
        domain: bundle.domain().as_str().into(),
        organization_id: Bytes::copy_from_slice(bundle.organization().as_bytes()),
        ticket: Some(objects::ticket()),
        link_code: Bytes::copy_from_slice(&world::LINK_CODE),
    };
    let text =
        |name: &str, expect: &str, text: String| json!({ "name": name, "expect": expect, "text": text });
    let invitation = |name, expect, alter: &dyn Fn(&mut wire::Invitation)| {
        let mut invitation = good();
        alter(&mut invitation);
        text(name, expect, format!("sealcare:{}", BASE64URL_NOPAD.encode(&invitation.encode_to_vec())))
    };
    vec![
        text("empty", "malformed", String::new()),
        text("a web address", "malformed", "https://clinic.example/".into()),
        text("not base64url", "malformed", "sealcare:++++".into()),
        text("longer than 4,096", "malformed", format!("sealcare:{}", "A".repeat(4096))),
        text("not protobuf", "malformed", "sealcare:_____w".into()),
        invitation("version 2", "version", &|i| i.version = 2),
        invitation("relay without TLS", "malformed", &|i| {
            i.relay_origin = "http://relay.example:7443".into();
        }),
        invitation("relay without port", "malformed", &|i| i.relay_origin = "https://relay.example".into()),
        invitation("domain with a path", "malformed", &|i| i.domain = "clinic.example/x".into()),
        invitation("organization id of 31 bytes", "malformed", &|i| i.organization_id.truncate(31)),
        invitation("no ticket", "malformed", &|i| i.ticket = None),
        invitation("link code of 15 bytes", "malformed", &|i| i.link_code.truncate(15)),
    ]
}

/// Replies to the good init's session.
fn replies() -> Vec<Value> {
    let secret = InitPlan::good().seal(|_| ()).reply;
    let counted = Counted::reply(world::NOW.as_millis());
    let body =
        wire::ReplyBody { sender_id: reply_body().sender.as_bytes().to_vec().into(), ..Default::default() };
    let reply = |name, expect, plain: &[u8], alter: &dyn Fn(&mut Vec<u8>)| {
        let mut envelope = counted.seal(&secret, plain);
        alter(&mut envelope);
        value(name, expect, world::NOW, &envelope)
    };
    let good = spec::pad(&body.encode_to_vec(), 4096);
    let with = |body: &wire::ReplyBody| spec::pad(&body.encode_to_vec(), 4096);
    let views = wire::ReplyBody { views: vec![wire::View { time_ms: 1 }; 101], ..body.clone() };
    let refusals = wire::ReplyBody { refusals: vec![wire::Refusal::default(); 65], ..body.clone() };
    let stored = |mark: &[u8], state: wire::GrantState| {
        let mut body = body.clone();
        let mark = mark.to_vec().into();
        body.stored =
            Some(wire::StoredStatement { state: state.into(), scope: Some(wire::Scope::default()), mark });
        with(&body)
    };
    let (short_mark, no_state) =
        (stored(&[1; 31], wire::GrantState::Active), stored(&[1; 32], wire::GrantState::Unspecified));
    let nobody = wire::ReplyBody { sender_id: Bytes::new(), ..body };
    let mut not_zero = good.clone();
    not_zero[4095] = 1;
    let keep = &|_: &mut Vec<u8>| ();
    vec![
        reply("one byte short", "malformed", &good, &|e| e.truncate(e.len() - 1)),
        reply("version 2", "malformed", &good, &|e| e[0] = 2),
        reply("kind of data", "malformed", &good, &|e| e[1] = 2),
        reply("another session", "reply", &good, &|e| e[2] ^= 1),
        reply("another counter", "reply", &good, &|e| e[25] ^= 1),
        reply("flipped salt", "reply", &good, &|e| e[26] ^= 1),
        reply("flipped tag", "reply", &good, &|e| *e.last_mut().unwrap() ^= 1),
        reply("padding not zero", "malformed", &not_zero, keep),
        reply("not protobuf", "malformed", &spec::pad(&[0xff; 8], 4096), keep),
        reply("no sender", "malformed", &with(&nobody), keep),
        reply("101 views", "malformed", &with(&views), keep),
        reply("65 refusals", "malformed", &with(&refusals), keep),
        reply("stored statement with a mark of 31 bytes", "malformed", &short_mark, keep),
        reply("stored statement without a state", "malformed", &no_state, keep),
    ]
}
