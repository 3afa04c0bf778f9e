//! The one HPKE suite (RFC 9180 Base mode): X-Wing 0x647a, HKDF-SHA256 0x0001, AES-256-GCM 0x0002.
//! A context is used for one seal or open and its exports, then dropped.

use hpke_crate::{
    Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _,
    aead::{Aead, AesGcm256},
    kdf::HkdfSha256,
    kem::XWing,
    setup_receiver, setup_sender_with_rng,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use ::hpke as hpke_crate;

use crate::{
    epoch::{EpochKey, EpochPublicKey, check_x25519_half},
    ids::{GrantId, OrganizationId, SessionId},
    transcript::Label,
};

/// Length of the encapsulation.
pub(crate) const ENC_BYTES: usize = 1120;
const SUITE: [u8; 6] = [0x64, 0x7a, 0x00, 0x01, 0x00, 0x02];

/// A 32-byte secret exported from a context (RFC 9180 §5.3).
pub(crate) type Export = Zeroizing<[u8; 32]>;

/// What a context exports: the authenticator that is signed, the first chain key, the reply key.
pub(crate) struct Exports {
    pub(crate) auth: Export,
    pub(crate) chain: Export,
    pub(crate) reply: Export,
}

/// HPKE info: everything that the session belongs to.
pub(crate) fn info(
    organization: &OrganizationId,
    epoch: &EpochPublicKey,
    grant: &GrantId,
    session: &SessionId,
) -> Vec<u8> {
    [
        Label::Info.bytes(),
        &SUITE,
        organization.as_bytes(),
        &epoch.hash(),
        grant.as_bytes(),
        session.as_bytes(),
    ]
    .concat()
}

/// The sender's context before its one seal.
pub(crate) struct Sealer {
    context: hpke_crate::aead::AeadCtxS<AesGcm256, HkdfSha256, XWing>,
    pub(crate) enc: Vec<u8>,
    pub(crate) exports: Exports,
}

impl Sealer {
    /// RFC 9180 §5.1.1 `SetupBaseS`. `None` where the key cannot be encapsulated to.
    pub(crate) fn new(to: &EpochPublicKey, info: &[u8], rng: &mut impl CryptoRng) -> Option<Self> {
        let (enc, context) =
            setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(&OpModeS::Base, to.hpke(), info, rng)
                .ok()?;
        let exports = exports(|label, out| context.export(label, out).is_ok())?;
        Some(Self { context, enc: enc.to_bytes().to_vec(), exports })
    }

    pub(crate) fn seal(mut self, plaintext: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        self.context.seal(plaintext, aad).ok()
    }
}

/// Why an init does not open.
pub(crate) enum OpenFailure {
    LowOrder,
    Sealed,
}

/// RFC 9180 §5.1.1 `SetupBaseR` and one open.
pub(crate) fn open(
    key: &EpochKey,
    enc: &[u8],
    info: &[u8],
    ciphertext: &[u8],
    aad: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Exports), OpenFailure> {
    check_x25519_half(enc).map_err(|_| OpenFailure::LowOrder)?;
    let enc = <XWing as Kem>::EncappedKey::from_bytes(enc).map_err(|_| OpenFailure::Sealed)?;
    let mut context =
        setup_receiver::<AesGcm256, HkdfSha256, XWing>(&OpModeR::Base, &key.private(), &enc, info)
            .map_err(|_| OpenFailure::Sealed)?;
    let plaintext = context.open(ciphertext, aad).map_err(|_| OpenFailure::Sealed)?;
    let exports = exports(|label, out| context.export(label, out).is_ok()).ok_or(OpenFailure::Sealed)?;
    Ok((Zeroizing::new(plaintext), exports))
}

fn exports(export: impl Fn(&[u8], &mut [u8]) -> bool) -> Option<Exports> {
    let one = |label: Label| {
        let mut out = Zeroizing::new([0; 32]);
        export(label.bytes(), out.as_mut()).then_some(out)
    };
    Some(Exports { auth: one(Label::Auth)?, chain: one(Label::Chain)?, reply: one(Label::ReplyKey)? })
}

const _: () = assert!(AesGcm256::AEAD_ID == 2);
