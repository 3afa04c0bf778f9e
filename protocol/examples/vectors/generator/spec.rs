//! HS/1's sealing and signing a second time, from its document and the primitives only. What it makes may be
//! wrong in any one place on purpose: this is where malformed cases come from.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use hpke::{
    Deserializable as _, Kem, OpModeS, Serializable as _, aead::AesGcm256, kdf::HkdfSha256, kem::XWing,
    setup_sender_with_rng,
};
use prost::Message;
use sealcare_proto::v1 as wire;
use sha2::{Digest as _, Sha256};

use super::{script::Script, world};

pub(crate) fn label(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

pub(crate) fn expand<const N: usize>(key: &[u8; 32], text: &str, context: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let info = [&label(text)[..], context].concat();
    Hkdf::<Sha256>::from_prk(key).unwrap().expand(&info, &mut out).unwrap();
    out
}

pub(crate) fn sign(seed: &[u8; 32], text: &str, message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(seed).sign(&[&label(text)[..], message].concat()).to_bytes()
}

/// Any message, signed as such.
pub(crate) fn signed(seed: &[u8; 32], text: &str, message: &impl Message) -> wire::Signed {
    let payload = message.encode_to_vec();
    let signature = Bytes::copy_from_slice(&sign(seed, text, &payload));
    wire::Signed { payload: payload.into(), signature }
}

/// `length u32 ‖ content ‖ zeros`.
pub(crate) fn pad(content: &[u8], to: usize) -> Vec<u8> {
    let mut plain = [&u32::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat();
    plain.resize(to, 0);
    plain
}

/// Padmé (Nikitin et al., 2019, §4), at least 512.
pub(crate) fn padded_len(len: usize) -> usize {
    let len = len.max(512);
    let floor_log2 = len.ilog2();
    let granule = 1usize << (floor_log2 - (floor_log2.ilog2() + 1));
    len.div_ceil(granule) * granule
}

/// A zstd frame (RFC 8878) of one raw block: any encoder may make it, and no version of a library changes it.
pub(crate) fn stored_frame(content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap();
    let block = (len << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &len.to_le_bytes(), &block[..3], content].concat()
}

/// A session init and all that leads to it.
pub(crate) struct Init {
    pub(crate) info: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    pub(crate) enc: Vec<u8>,
    pub(crate) fields: Vec<u8>,
    pub(crate) transcript: [u8; 32],
    pub(crate) plaintext: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) auth: [u8; 32],
    pub(crate) chain: [u8; 32],
    pub(crate) reply: [u8; 32],
}

/// What an init is made of; each may be wrong.
pub(crate) struct InitPlan {
    pub(crate) organization: [u8; 32],
    pub(crate) grant: [u8; 32],
    pub(crate) fields: Vec<u8>,
    pub(crate) grant_seed: [u8; 32],
    /// What is signed in the place of the exported `auth`.
    pub(crate) auth: Option<[u8; 32]>,
}

impl InitPlan {
    /// The good one.
    pub(crate) fn good() -> Self {
        let grant = world::grant();
        Self {
            organization: *grant.organization.as_bytes(),
            grant: *grant.id.as_bytes(),
            fields: fields().encode_to_vec(),
            grant_seed: *grant.grant_key.to_seed(),
            auth: None,
        }
    }

    /// Seals, after `alter` has had the padded plaintext.
    pub(crate) fn seal(self, alter: impl FnOnce(&mut Vec<u8>)) -> Init {
        let public = <XWing as Kem>::PrivateKey::from_bytes(&world::EPOCH_SEED).unwrap();
        let public = XWing::sk_to_pk(&public);
        let key_hash = sha256(&[&public.to_bytes()]);
        let info = [
            &label("hs/1")[..],
            &[0x64, 0x7a, 0, 1, 0, 2],
            &self.organization,
            &key_hash,
            &self.grant,
            &world::SESSION,
        ]
        .concat();
        let aad = [&[1, 1][..], &world::SESSION, &key_hash[..8]].concat();
        let mut rng = Script::new(&[&world::encapsulation()]);
        let (enc, mut context) =
            setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(&OpModeS::Base, &public, &info, &mut rng)
                .unwrap();
        let enc = enc.to_bytes().to_vec();
        let export = |text| {
            let mut out = [0; 32];
            context.export(&label(text), &mut out).unwrap();
            out
        };
        let (auth, chain, reply) = (export("hs/1 auth"), export("hs/1 chain"), export("hs/1 reply-key"));
        let transcript = sha256(&[&aad, &enc, &info, &self.fields, &self.auth.unwrap_or(auth)]);
        let mut plaintext = pad(&self.fields, 4 + self.fields.len());
        plaintext.extend_from_slice(&sign(&self.grant_seed, "hs/1 init", &transcript));
        plaintext.resize(2048, 0);
        alter(&mut plaintext);
        let ciphertext = context.seal(&plaintext, &aad).unwrap();
        Init { info, aad, enc, fields: self.fields, transcript, plaintext, ciphertext, auth, chain, reply }
    }
}

impl Init {
    pub(crate) fn envelope(&self) -> Vec<u8> {
        [&self.aad[..], &self.enc, &self.ciphertext].concat()
    }
}

/// The good init's fields.
pub(crate) fn fields() -> wire::InitFields {
    let statement = world::statement();
    let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    wire::InitFields {
        sender_id: bytes(&world::SENDER),
        sequence_base: 0,
        bundle_hash: bytes(world::bundle().hash().as_bytes()),
        lease_until_ms: world::NOW.plus(world::DAY * 30).as_millis(),
        created_ms: world::NOW.as_millis(),
        statement: Some(wire::Statement {
            grant_key: bytes(statement.grant_key.as_bytes()),
            deposit_key: bytes(statement.deposit_key.as_bytes()),
            revision: statement.revision,
            state: wire::GrantState::Active.into(),
            scope: Some(wire::Scope {
                types: vec!["blood-pressure".into(), "heart-rate".into()],
                from_ms: Some(world::NOW.minus(world::DAY * 30).as_millis()),
            }),
            name: "Ana Lima".into(),
            birth_date: "1980-02-29".into(),
            link_code: bytes(&world::LINK_CODE),
            mark: bytes(&mark()),
        }),
    }
}

/// The key of the good statement's mark.
pub(crate) fn mark_key() -> [u8; 32] {
    let mut key = [0; 32];
    let info = [&label("hs/1 statement")[..], world::grant().id.as_bytes()].concat();
    Hkdf::<Sha256>::new(None, &world::ACCOUNT_SECRET).expand(&info, &mut key).unwrap();
    key
}

/// What the good statement's mark covers.
pub(crate) fn marked() -> Vec<u8> {
    let types = ["blood-pressure", "heart-rate"];
    let mut bytes = world::grant().id.as_bytes().to_vec();
    bytes.extend(world::NOW.as_millis().to_be_bytes());
    bytes.extend([1, 1]);
    bytes.extend(world::NOW.minus(world::DAY * 30).as_millis().to_be_bytes());
    bytes.push(u8::try_from(types.len()).unwrap());
    for name in types {
        bytes.push(u8::try_from(name.len()).unwrap());
        bytes.extend(name.as_bytes());
    }
    bytes
}

/// HMAC-SHA256 (RFC 2104) over what is marked.
pub(crate) fn mark() -> [u8; 32] {
    let hmac = Hmac::<Sha256>::new_from_slice(&mark_key()).unwrap();
    hmac.chain_update(marked()).finalize().into_bytes().into()
}

/// A sealed envelope with a counter: data or reply.
pub(crate) struct Counted {
    pub(crate) kind: u8,
    pub(crate) counter: u64,
    pub(crate) salt: [u8; 16],
    pub(crate) grant: [u8; 32],
}

impl Counted {
    pub(crate) fn data(counter: u64, salt: [u8; 16]) -> Self {
        Self { kind: 2, counter, salt, grant: *world::grant().id.as_bytes() }
    }

    pub(crate) fn reply(counter: u64) -> Self {
        Self { kind: 3, counter, salt: world::REPLY_SALT, grant: *world::grant().id.as_bytes() }
    }

    pub(crate) fn header(&self) -> Vec<u8> {
        [&[1, self.kind][..], &world::SESSION, &self.counter.to_be_bytes(), &self.salt].concat()
    }

    pub(crate) fn aad(&self) -> Vec<u8> {
        [self.header(), self.grant.to_vec()].concat()
    }

    /// Key ‖ nonce.
    pub(crate) fn key(&self, secret: &[u8; 32]) -> [u8; 44] {
        expand(secret, if self.kind == 2 { "hs/1 msg" } else { "hs/1 reply" }, &self.salt)
    }

    pub(crate) fn seal(&self, secret: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
        let key = self.key(secret);
        let nonce: [u8; 12] = key[32..].try_into().unwrap();
        let payload = Payload { msg: plaintext, aad: &self.aad() };
        let sealed = Aes256Gcm::new_from_slice(&key[..32]).unwrap().encrypt(&nonce.into(), payload).unwrap();
        [self.header(), sealed].concat()
    }
}
