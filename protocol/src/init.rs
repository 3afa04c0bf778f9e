//! A session init's inside: fields, signature, padding. Sealing is `sender`'s, checking `receiver`'s.

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    body::unpad_with_trailer,
    envelope::INIT_PLAIN_BYTES,
    error::{Error, Result, SealError},
    ids::{BundleHash, SenderId},
    keys::GrantKey,
    statement::Statement,
    time::Timestamp,
    transcript::Label,
};

const SIGNATURE_BYTES: usize = 64;

/// What an init says.
#[derive(Debug)]
pub(crate) struct InitFields {
    pub(crate) sender: SenderId,
    pub(crate) base: u64,
    pub(crate) bundle: BundleHash,
    pub(crate) lease_until: Timestamp,
    pub(crate) created: Timestamp,
    pub(crate) statement: Statement,
}

/// What the grant key signs: SHA-256(header ‖ enc ‖ info ‖ fields ‖ auth), after its label.
pub(crate) fn transcript(header: &[u8], enc: &[u8], info: &[u8], fields: &[u8], auth: &[u8; 32]) -> [u8; 32] {
    Sha256::new_with_prefix(header)
        .chain_update(enc)
        .chain_update(info)
        .chain_update(fields)
        .chain_update(auth)
        .finalize()
        .into()
}

/// The padded plaintext: length u32 ‖ fields ‖ signature ‖ zeros to 2,048. The length counts the fields only.
pub(crate) fn plaintext(
    fields: &[u8],
    key: &GrantKey,
    transcript: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if 4 + fields.len() + SIGNATURE_BYTES > INIT_PLAIN_BYTES {
        return Err(SealError::StatementTooLarge);
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(INIT_PLAIN_BYTES));
    let len = u32::try_from(fields.len()).map_err(|_| SealError::StatementTooLarge)?;
    plain.extend_from_slice(&len.to_be_bytes());
    plain.extend_from_slice(fields);
    plain.extend_from_slice(&key.sign(Label::Init, &[transcript]));
    plain.resize(INIT_PLAIN_BYTES, 0);
    Ok(plain)
}

/// Fields and signature out of the padded plaintext.
pub(crate) fn split(plain: &[u8]) -> Option<(&[u8], &[u8])> {
    unpad_with_trailer(plain, SIGNATURE_BYTES)
}

impl InitFields {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let wire = wire::InitFields {
            sender_id: Bytes::copy_from_slice(self.sender.as_bytes()),
            sequence_base: self.base,
            bundle_hash: Bytes::copy_from_slice(self.bundle.as_bytes()),
            lease_until_ms: self.lease_until.as_millis(),
            created_ms: self.created.as_millis(),
            statement: Some(self.statement.to_wire()),
        };
        Zeroizing::new(wire.encode_to_vec())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let wire = wire::InitFields::decode(bytes).map_err(|_| Error::Malformed("init"))?;
        Ok(Self {
            sender: SenderId::from_slice(&wire.sender_id)?,
            base: wire.sequence_base,
            bundle: BundleHash::from_slice(&wire.bundle_hash)?,
            lease_until: Timestamp::from_millis(wire.lease_until_ms),
            created: Timestamp::from_millis(wire.created_ms),
            statement: Statement::from_wire(wire.statement.as_ref().ok_or(Error::Malformed("init"))?)?,
        })
    }
}
