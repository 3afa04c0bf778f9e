//! The library under HS/1's key agreement against vectors that others published: RFC 9180's own for the
//! KDF and AEAD that HS/1 uses, and the HPKE-PQ draft's for its KEM. Sources: `tests/vectors/hpke/README.md`.
#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "shared with the generator of HS/1's own vectors")]
#[path = "../examples/vectors/generator/script.rs"]
mod script;

use data_encoding::HEXLOWER;
use hpke::{
    Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _,
    aead::{Aead, AesGcm256, ChaCha20Poly1305},
    kdf::HkdfSha256,
    kem::{X25519HkdfSha256, XWing},
    setup_receiver, setup_sender_with_rng,
};
use serde_json::Value;

use script::Script;

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// Both ends, from the vector's keys and randomness alone.
fn check<A: Aead, K: Kem>(vector: &str) {
    let vector: Value = serde_json::from_str(vector).unwrap();
    let info = hex(&vector["info"]);
    let public = K::PublicKey::from_bytes(&hex(&vector["pkRm"])).unwrap();
    let secret = K::PrivateKey::from_bytes(&hex(&vector["skRm"])).unwrap();
    assert_eq!(K::sk_to_pk(&secret).to_bytes().to_vec(), hex(&vector["pkRm"]));

    let mut rng = Script::new(&[&hex(&vector["ikmE"])]);
    let (enc, mut sender) =
        setup_sender_with_rng::<A, HkdfSha256, K>(&OpModeS::Base, &public, &info, &mut rng).unwrap();
    assert!(rng.is_spent());
    assert_eq!(enc.to_bytes().to_vec(), hex(&vector["enc"]));
    let mut receiver = setup_receiver::<A, HkdfSha256, K>(&OpModeR::Base, &secret, &enc, &info).unwrap();

    assert!(!list(&vector["encryptions"]).is_empty() && !list(&vector["exports"]).is_empty());
    for case in list(&vector["encryptions"]) {
        let (aad, plain, sealed) = (hex(&case["aad"]), hex(&case["pt"]), hex(&case["ct"]));
        assert_eq!(sender.seal(&plain, &aad).unwrap(), sealed);
        assert_eq!(receiver.open(&sealed, &aad).unwrap(), plain);
    }
    for case in list(&vector["exports"]) {
        let expected = hex(&case["exported_value"]);
        let mut out = vec![0; expected.len()];
        receiver.export(&hex(&case["exporter_context"]), &mut out).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn rfc_9180_x25519_with_aes_256_gcm() {
    let vector = include_str!("../../tests/vectors/hpke/rfc9180-x25519-sha256-aes256gcm.json");
    check::<AesGcm256, X25519HkdfSha256>(vector);
}

#[test]
fn hpke_pq_x_wing_with_chacha20_poly1305() {
    let vector = include_str!("../../tests/vectors/hpke/hpke-pq-x-wing-sha256-chacha20poly1305.json");
    check::<ChaCha20Poly1305, XWing>(vector);
}
