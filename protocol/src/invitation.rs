//! What an organization hands a patient: relay, domain, id, ticket and link code, as text or QR code.

use std::fmt;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use prost::Message as _;
use rand_core::CryptoRng;
use sealcare_proto::v1 as wire;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::{
    VERSION,
    address::{Domain, RelayOrigin},
    error::{Error, Result},
    ids::OrganizationId,
    transcript::{Label, labeled_hash},
};

const PREFIX: &str = "sealcare:";
/// Characters of an invitation that are read at all.
const TEXT_BYTES_MAX: usize = 4096;

/// 128 secret bits that tie a grant to the person whom the organization invited.
#[derive(ZeroizeOnDrop)]
pub struct LinkCode([u8; 16]);

impl LinkCode {
    /// Draws one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let code = Self(bytes);
        bytes.zeroize();
        code
    }

    /// From 16 bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| Error::Malformed("link code"))
    }

    /// The bytes, to be kept under seal.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What an organization stores of it.
    pub fn hash(&self) -> LinkCodeHash {
        LinkCodeHash(labeled_hash(Label::LinkCode, &[&self.0]))
    }
}

impl fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkCode")
    }
}

/// SHA-256(`hs/1 link-code` ‖ link code).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkCodeHash([u8; 32]);

impl LinkCodeHash {
    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for LinkCodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkCodeHash")
    }
}

/// An invitation. Its ticket is checked by the relay, its organization at its own domain.
pub struct Invitation {
    /// Where to deposit.
    pub relay: RelayOrigin,
    /// Where the organization's bundle is served.
    pub domain: Domain,
    /// Whom that bundle must make.
    pub organization: OrganizationId,
    /// For the relay.
    pub ticket: wire::Signed,
    /// For the organization.
    pub link_code: LinkCode,
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({:?})", self.organization)
    }
}

impl Invitation {
    /// As text for a QR code or a link: `sealcare:` and base64url.
    pub fn to_text(&self) -> Zeroizing<String> {
        let invitation = wire::Invitation {
            version: u32::from(VERSION),
            relay_origin: self.relay.as_str().to_owned(),
            domain: self.domain.as_str().to_owned(),
            organization_id: Bytes::copy_from_slice(self.organization.as_bytes()),
            ticket: Some(self.ticket.clone()),
            link_code: Bytes::copy_from_slice(self.link_code.as_bytes()),
        };
        let bytes = Zeroizing::new(invitation.encode_to_vec());
        Zeroizing::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    /// From such text; white space around it is ignored.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything else, [`Error::Version`] for a later version.
    pub fn from_text(text: &str) -> Result<Self> {
        let malformed = Error::Malformed("invitation");
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(malformed);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(malformed)?;
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| malformed)?);
        let fields = wire::Invitation::decode(bytes.as_slice()).map_err(|_| malformed)?;
        if fields.version != u32::from(VERSION) {
            return Err(Error::Version);
        }
        Ok(Self {
            relay: fields.relay_origin.parse()?,
            domain: fields.domain.parse()?,
            organization: OrganizationId::from_slice(&fields.organization_id)?,
            ticket: fields.ticket.ok_or(malformed)?,
            link_code: LinkCode::from_slice(&fields.link_code)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_survives_its_text_and_nothing_else_parses() {
        let invitation = Invitation {
            relay: "https://relay.example:7443".parse().unwrap(),
            domain: "clinic.example".parse().unwrap(),
            organization: OrganizationId::from_bytes([1; 32]),
            ticket: wire::Signed::default(),
            link_code: LinkCode([2; 16]),
        };
        let text = invitation.to_text();
        let read = Invitation::from_text(&format!(" {}\n", text.as_str())).unwrap();
        assert_eq!(read.organization, invitation.organization);
        assert_eq!(read.link_code.hash(), invitation.link_code.hash());
        for bad in ["", "sealcare:", "sealcare:!!", "https://x", &text[..text.len() - 3], &text[1..]] {
            assert!(Invitation::from_text(bad).is_err(), "{bad}");
        }
    }
}
