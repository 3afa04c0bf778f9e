//! `hs1-session.json`: one session from the epoch key's seed to the last byte, every step in between written out.

use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    EncodedBody, Refusal, RefusalReason, Reply, SealedInit, SessionStart, ShortCode, Timestamp,
    UnverifiedTerms,
};
use serde_json::{Value, json};

use super::{
    hex,
    script::Script,
    spec::{self, Counted, Init, InitPlan},
    world,
};

pub(crate) fn file() -> Value {
    let init = InitPlan::good().seal(|_| ());
    let mut sealed = seal_init();
    assert_eq!(sealed.envelope, init.envelope(), "two writings of an init");
    json!({
        "protocol": "hs/1",
        "suite": { "kem": 0x647a, "kdf": 1, "aead": 2 },
        "keys": keys(),
        "statement_mark": {
            "key": hex(spec::mark_key()),
            "marked": hex(spec::marked()),
            "mark": hex(spec::mark()),
        },
        "init": init_value(&init),
        "data": data(&init, &mut sealed),
        "reply": reply(&init, &sealed),
    })
}

/// The crate's writing of the init.
pub(crate) fn seal_init() -> SealedInit {
    let (grant, bundle) = (world::grant(), world::bundle());
    let start = SessionStart { grant: &grant, bundle: &bundle, sender: world::sender(), base: 0 };
    let mut rng = Script::new(&[&world::SESSION, &world::encapsulation()]);
    let sealed = start.seal(world::statement(), world::NOW, &mut rng).unwrap();
    assert!(rng.is_spent());
    sealed
}

fn keys() -> Value {
    let (grant, bundle, epoch) = (world::grant(), world::bundle(), world::epoch().public());
    json!({
        "organization_id": hex(grant.organization.as_bytes()),
        "epoch_seed": hex(world::EPOCH_SEED),
        "epoch_public_key": hex(epoch_public_key(&bundle)),
        "epoch_key_id": hex(epoch.id().as_bytes()),
        "account_secret": hex(world::ACCOUNT_SECRET),
        "recovery_code": world::account().to_code().replace('\n', "-"),
        "relay_origin": world::relay().as_str(),
        "deposit_key_seed": hex(*world::deposit().to_seed()),
        "deposit_public_key": hex(grant.deposit_key.as_bytes()),
        "grant_id": hex(grant.id.as_bytes()),
        "grant_key_seed": hex(*grant.grant_key.to_seed()),
        "grant_public_key": hex(grant.grant_key.public().as_bytes()),
        "short_code": ShortCode::derive(&grant.id, &grant.grant_key.public()).to_string(),
    })
}

pub(crate) fn epoch_public_key(bundle: &sealcare_protocol::KeyBundle) -> Vec<u8> {
    let payload = wire::KeyBundle::decode(bundle.signed().payload.clone()).unwrap();
    payload.epochs[0].public_key.to_vec()
}

fn init_value(init: &Init) -> Value {
    json!({
        "now_ms": world::NOW.as_millis(),
        "session_id": hex(world::SESSION),
        "encapsulation_randomness": hex(world::encapsulation()),
        "info": hex(&init.info),
        "aad": hex(&init.aad),
        "enc": hex(&init.enc),
        "fields": hex(&init.fields),
        "signed_hash": hex(init.transcript),
        "plaintext": hex(&init.plaintext),
        "ciphertext": hex(&init.ciphertext),
        "exports": [
            { "context": hex(spec::label("hs/1 auth")), "value": hex(init.auth) },
            { "context": hex(spec::label("hs/1 chain")), "value": hex(init.chain) },
            { "context": hex(spec::label("hs/1 reply-key")), "value": hex(init.reply) },
        ],
        "envelope": hex(init.envelope()),
    })
}

/// A body of records, the same emptied at its old length, and one longer than the smallest padding.
pub(crate) fn bodies() -> [EncodedBody; 3] {
    let wire =
        |body: &sealcare_protocol::Body| wire::Body { changes: body.changes.iter().map(change).collect() };
    let short = spec::stored_frame(&wire(&world::body()).encode_to_vec());
    let mut long = world::body();
    long.changes = long.changes.into_iter().cycle().take(12).collect();
    let long = spec::stored_frame(&wire(&long).encode_to_vec());
    let kept = |bytes: &[u8]| {
        let padded = u32::try_from(spec::padded_len(4 + bytes.len())).unwrap();
        EncodedBody::from_kept(&[&padded.to_be_bytes()[..], bytes].concat()).unwrap()
    };
    [kept(&short), kept(&long).emptied(), kept(&long)]
}

fn change(change: &sealcare_protocol::Change) -> wire::Change {
    let state = match &change.state {
        sealcare_protocol::ChangeState::Upsert(fhir) => wire::change::State::Upsert(fhir.clone()),
        sealcare_protocol::ChangeState::Tombstone => wire::change::State::Tombstone(wire::Tombstone {}),
    };
    wire::Change {
        record_id: change.record_id.clone(),
        r#type: change.type_name.as_str().to_owned(),
        state: Some(state),
    }
}

fn data(init: &Init, sealed: &mut SealedInit) -> Vec<Value> {
    let mut chain = init.chain;
    let mut values = Vec::new();
    for ((counter, body), salt) in (0..).zip(bodies()).zip(world::SALTS) {
        let envelope = sealed.session.seal(&body, &mut Script::new(&[&salt])).unwrap();
        let counted = Counted::data(counter, salt);
        let bytes = body.to_kept()[4..].to_vec();
        let plaintext = spec::pad(&bytes, body.padded_len());
        assert_eq!(counted.seal(&chain, &plaintext), envelope, "two writings of an envelope");
        values.push(json!({
            "counter": counter,
            "salt": hex(salt),
            "chain_key": hex(chain),
            "key_and_nonce": hex(counted.key(&chain)),
            "aad": hex(counted.aad()),
            "body": hex(&bytes),
            "padded_len": body.padded_len(),
            "changes": changes(&body),
            "envelope": hex(&envelope),
        }));
        chain = spec::expand(&chain, "hs/1 next", &[]);
    }
    values
}

fn changes(body: &EncodedBody) -> Vec<Value> {
    let value = |change: &sealcare_protocol::Change| {
        let fhir = match &change.state {
            sealcare_protocol::ChangeState::Upsert(fhir) => Some(std::str::from_utf8(fhir).unwrap()),
            sealcare_protocol::ChangeState::Tombstone => None,
        };
        json!({ "record_id": change.record_id, "type": change.type_name.as_str(), "upsert": fhir })
    };
    body.decode().unwrap().changes.iter().map(value).collect()
}

/// What the clinic answers.
pub(crate) fn reply_body() -> Reply {
    Reply {
        sender: world::sender(),
        next_sequence: 3,
        refusals: vec![Refusal { sequence: 1, reason: RefusalReason::OutOfScope }],
        stored_revision: world::NOW.as_millis(),
        resync: false,
        views: vec![Timestamp::from_millis(world::NOW.as_millis() + 1000)],
        held: true,
        stored: Some(UnverifiedTerms::of(&world::statement())),
    }
}

fn reply(init: &Init, sealed: &SealedInit) -> Value {
    let reply = reply_body();
    let body = wire::ReplyBody {
        sender_id: world::SENDER.to_vec().into(),
        next_sequence: reply.next_sequence,
        refusals: vec![wire::Refusal { sequence: 1, reason: wire::RefusalReason::OutOfScope.into() }],
        stored_revision: reply.stored_revision,
        resync: false,
        views: vec![wire::View { time_ms: reply.views[0].as_millis() }],
        held: true,
        stored: Some(wire::StoredStatement {
            state: wire::GrantState::Active.into(),
            scope: spec::fields().statement.unwrap().scope,
            mark: spec::mark().to_vec().into(),
        }),
    }
    .encode_to_vec();
    let counted = Counted::reply(world::NOW.as_millis());
    let envelope = counted.seal(&init.reply, &spec::pad(&body, 4096));
    let mut rng = Script::new(&[&world::REPLY_SALT]);
    let (ours, number) = sealed.reply_key.seal(&reply, 0, world::NOW, &mut rng);
    assert_eq!((ours, number), (envelope.clone(), counted.counter), "two writings of a reply");
    json!({
        "counter": number,
        "salt": hex(world::REPLY_SALT),
        "key_and_nonce": hex(counted.key(&init.reply)),
        "aad": hex(counted.aad()),
        "body": hex(body),
        "padded_len": 4096,
        "envelope": hex(envelope),
    })
}
