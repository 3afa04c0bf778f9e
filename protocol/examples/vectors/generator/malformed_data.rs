//! `hs1-malformed-data.json`: data envelopes of one session for each way to be wrong, with the refusal's name,
//! and bodies that are taken off the line without being delivered.

use prost::Message as _;
use sealcare_proto::v1 as wire;
use serde_json::{Value, json};

use super::{
    hex,
    spec::{self, Counted, InitPlan},
    world,
};

pub(crate) fn file() -> Value {
    let init = InitPlan::good().seal(|_| ());
    let cases = [envelope_cases(init.chain), body_cases(init.chain)].concat();
    json!({
        "protocol": "hs/1",
        "init": hex(init.envelope()),
        "grant_id": hex(world::grant().id.as_bytes()),
        "epoch_seed": hex(world::EPOCH_SEED),
        "now_ms": world::NOW.as_millis(),
        "chain_key": hex(init.chain),
        "cases": cases,
    })
}

fn value(name: &str, expect: &str, envelope: &[u8]) -> Value {
    json!({ "name": name, "expect": expect, "given": {}, "envelope": hex(envelope) })
}

fn good(chain: [u8; 32]) -> Vec<u8> {
    let body = spec::stored_frame(&wire::Body { changes: vec![change()] }.encode_to_vec());
    Counted::data(0, world::SALTS[0]).seal(&chain, &spec::pad(&body, 512))
}

fn envelope_cases(chain: [u8; 32]) -> Vec<Value> {
    let altered = |name, expect, alter: &dyn Fn(&mut Vec<u8>)| {
        let mut envelope = good(chain);
        alter(&mut envelope);
        value(name, expect, &envelope)
    };
    let after_lease = world::NOW.plus(world::DAY * 30).as_millis();
    let late = json!({ "name": "lease over", "expect": "data-lease", "given": { "now_ms": after_lease }, "envelope": hex(good(chain)) });
    let again = json!({ "name": "received before", "expect": "data-duplicate", "given": { "received": 1 }, "envelope": hex(good(chain)) });
    let next: [u8; 32] = spec::expand(&chain, "hs/1 next", &[]);
    let second = Counted::data(1, world::SALTS[1]).seal(&next, &vec![0; 512]);
    let other_grant = Counted { grant: [9; 32], ..Counted::data(0, world::SALTS[0]) };
    let unpadded = Counted::data(0, world::SALTS[0]).seal(&chain, &vec![0; 513]);
    vec![
        altered("empty", "data-size", &|e| e.clear()),
        altered("one byte short", "data-size", &|e| e.truncate(e.len() - 1)),
        value("a length that padding never makes", "data-size", &unpadded),
        altered("version 2", "data-version", &|e| e[0] = 2),
        altered("kind of a reply", "data-version", &|e| e[1] = 3),
        altered("another session", "data-unknown-session", &|e| e[2] ^= 1),
        value("one envelope missing before it", "data-gap", &second),
        again,
        late,
        altered("flipped salt", "data-open", &|e| e[26] ^= 1),
        altered("flipped ciphertext", "data-open", &|e| e[42] ^= 1),
        altered("flipped tag", "data-open", &|e| *e.last_mut().unwrap() ^= 1),
        value("sealed for another grant", "data-open", &other_grant.seal(&chain, &vec![0; 512])),
        value(
            "sealed with the next key",
            "data-open",
            &Counted::data(0, world::SALTS[0]).seal(&next, &vec![0; 512]),
        ),
    ]
}

fn change() -> wire::Change {
    wire::Change {
        record_id: "r1".into(),
        r#type: "heart-rate".into(),
        state: Some(wire::change::State::Tombstone(wire::Tombstone {})),
    }
}

/// All open, and none is delivered: `data-malformed`.
fn body_cases(chain: [u8; 32]) -> Vec<Value> {
    let sealed = |name, plain: &[u8]| {
        let envelope = Counted::data(0, world::SALTS[0]).seal(&chain, plain);
        value(name, "data-malformed", &envelope)
    };
    let body = |name, bytes: &[u8]| sealed(name, &spec::pad(bytes, spec::padded_len(4 + bytes.len())));
    let changed = |name, change: wire::Change| {
        body(name, &spec::stored_frame(&wire::Body { changes: vec![change] }.encode_to_vec()))
    };
    let mut not_zero = spec::pad(&[], 512);
    not_zero[511] = 1;
    vec![
        sealed("padding not zero", &not_zero),
        sealed("length beyond the end", &[0xff; 512]),
        body("not zstd", b"not a frame"),
        body("cut frame", &spec::stored_frame(&[10, 0])[..10]),
        body("inflates to more than 1 MiB", &bomb()),
        body("asks for a window of 128 MiB", &[0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0]),
        body("not protobuf", &spec::stored_frame(&[0xff; 8])),
        changed("no record id", wire::Change { record_id: String::new(), ..change() }),
        changed("record id of 129 bytes", wire::Change { record_id: "x".repeat(129), ..change() }),
        changed("type in capitals", wire::Change { r#type: "Heart".into(), ..change() }),
        changed("neither upsert nor tombstone", wire::Change { state: None, ..change() }),
    ]
}

/// Nine blocks of 128 KiB of one repeated byte: RFC 8878 §3.1.1.2, type RLE.
fn bomb() -> Vec<u8> {
    let block = |last: u32| (131_072u32 << 3 | 1 << 1 | last).to_le_bytes();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    for i in 0..9 {
        frame.extend_from_slice(&block(u32::from(i == 8))[..3]);
        frame.push(0);
    }
    frame
}
