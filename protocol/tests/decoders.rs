//! Arbitrary and slightly damaged bytes into everything that reads: an error or a value, never a panic; and what
//! is damaged never counts as genuine.
#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "shared with the generator of HS/1's own vectors")]
#[path = "../examples/vectors/generator/mod.rs"]
mod generator;

use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    CallMethod, Domain, EncodedBody, EnvelopeHeader, EpochPublicKey, GrantPublicKey, Invitation, KeyBundle,
    LinkCode, Person, ReceiverSession, RelayOrigin, ReplyKey, SenderSession, Statement, TypeName,
    UnverifiedConfirmation, UnverifiedKeyBundle, UnverifiedRegistration, UnverifiedRevocation,
    UnverifiedTicket, verify_call,
};

use generator::{objects, session, world};

/// Good bytes of everything, and the keys to read them; made once.
struct Good {
    bundle: KeyBundle,
    ticket: wire::Signed,
    confirmation: wire::Signed,
    revocation: Vec<u8>,
    call: Vec<u8>,
    reply_key: ReplyKey,
    reply: Vec<u8>,
    sender: Vec<u8>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let sealed = session::seal_init();
    let (reply, _) = sealed.reply_key.seal(&session::reply_body(), 0, world::NOW, &mut rand::rng());
    Good {
        bundle: world::bundle(),
        ticket: objects::ticket(),
        confirmation: objects::confirmation().signed().clone(),
        revocation: objects::wire_revocation().encode_to_vec(),
        call: objects::signed_call().encode_to_vec(),
        sender: sealed.session.to_kept().to_vec(),
        reply_key: sealed.reply_key,
        reply,
    }
});

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let any_len = prop_oneof![8 => 0..200usize, 2 => 0..5000usize];
    any_len.prop_flat_map(|len| prop::collection::vec(any::<u8>(), len))
}

/// One byte changed, or the end cut off.
fn damaged(good: &[u8], at: prop::sample::Index, xor: u8) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let at = at.index(bytes.len());
    if xor == 0 {
        bytes.truncate(at);
    } else {
        bytes[at] ^= xor;
    }
    bytes
}

fn signed(bytes: &[u8]) -> wire::Signed {
    let half = bytes.len() / 2;
    wire::Signed::decode(bytes).unwrap_or(wire::Signed {
        payload: bytes[..half].to_vec().into(),
        signature: bytes[half..].to_vec().into(),
    })
}

fn reads_nothing_signed(bytes: &[u8]) {
    let good = &*GOOD;
    let authority = good.bundle.authority();
    let organization = good.bundle.organization();
    let bundle = UnverifiedKeyBundle::decode(bytes).and_then(|b| b.verify(organization, world::NOW));
    assert!(bundle.is_err());
    let ticket = UnverifiedTicket::new(signed(bytes));
    assert!(ticket.and_then(|t| t.verify(authority, &world::relay(), world::NOW)).is_err());
    assert!(UnverifiedConfirmation::new(signed(bytes)).and_then(|c| c.verify(authority)).is_err());
    assert!(UnverifiedRegistration::new(signed(bytes)).verify(&world::relay(), world::NOW).is_err());
    if let Ok(revocation) = wire::Revocation::decode(bytes) {
        assert!(UnverifiedRevocation::new(revocation).verify().is_err());
    }
    if let Ok(call) = wire::SignedCall::decode(bytes) {
        assert!(verify_call(call, &world::relay(), CallMethod::Deposit, world::NOW).is_err());
    }
    assert!(good.reply_key.open(bytes).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_nothing_genuine(bytes in bytes()) {
        reads_nothing_signed(&bytes);
        prop_assert!(EpochPublicKey::from_slice(&bytes).is_err());
        prop_assert!(Statement::decode(&bytes).is_err());
        let _ = EnvelopeHeader::parse(&bytes);
        let _ = GrantPublicKey::from_slice(&bytes);
        let _ = LinkCode::from_slice(&bytes);
    }

    #[test]
    fn arbitrary_kept_states_read_back_as_they_were_or_not_at_all(bytes in bytes()) {
        if let Ok(body) = EncodedBody::from_kept(&bytes) {
            prop_assert_eq!(&body.to_kept()[..], &bytes[..]);
            let _ = body.decode();
        }
        for len in [bytes.len(), 97, 96, 97 + 32, 81] {
            let mut bytes = bytes.clone();
            bytes.resize(len, 1);
            bytes.iter_mut().take(1).for_each(|version| *version = 1);
            if let Ok(session) = SenderSession::from_kept(&bytes) {
                prop_assert_eq!(&session.to_kept()[..], &bytes[..]);
            }
            if let Ok(session) = ReceiverSession::from_kept(&bytes) {
                prop_assert_eq!(&session.to_kept()[..], &bytes[..]);
                prop_assert!(session.open(&bytes, world::NOW).is_err());
                let _ = session.next_sequence();
            }
            if let Ok(key) = ReplyKey::from_kept(&bytes) {
                prop_assert_eq!(&key.to_kept()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn arbitrary_bodies_inflate_within_bounds_or_are_refused(bytes in bytes()) {
        let padded = 65_536u32 + 2048;
        let raw = [&padded.to_be_bytes()[..], &bytes].concat();
        let framed = [&padded.to_be_bytes()[..], &generator::spec::stored_frame(&bytes)].concat();
        for kept in [raw, framed] {
            let _ = EncodedBody::from_kept(&kept).unwrap().decode();
        }
    }

    #[test]
    fn arbitrary_text_has_one_spelling_or_none(text in "\\PC{0,80}", host in "[a-z0-9.:/-]{0,40}") {
        for text in [&text, &host] {
            let _ = Invitation::from_text(text);
            let _ = Invitation::from_text(&format!("sealcare:{text}"));
            let _ = Person::new(text, text);
            let _ = text.parse::<TypeName>().map(|name| assert_eq!(name.as_str(), text));
            let _ = text.parse::<Domain>().map(|domain| assert_eq!(domain.as_str(), text));
            let _ = format!("https://{text}").parse::<RelayOrigin>().map(|relay| relay.host().len());
        }
    }

    #[test]
    fn whatever_is_damaged_is_not_genuine(at in any::<prop::sample::Index>(), xor in any::<u8>()) {
        let good = &*GOOD;
        for bytes in [
            &good.bundle.signed().encode_to_vec(),
            &good.ticket.encode_to_vec(),
            &good.confirmation.encode_to_vec(),
            &good.revocation,
            &good.call,
            &good.reply,
        ] {
            reads_nothing_signed(&damaged(bytes, at, xor));
        }
        let _ = SenderSession::from_kept(&damaged(&good.sender, at, xor));
    }
}
