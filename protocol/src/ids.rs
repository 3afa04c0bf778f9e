//! Names of things: fixed-size, compared whole, printed only as a redacted tag.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use rand_core::CryptoRng;

use crate::{
    error::{Error, Result},
    keys::{DepositPublicKey, GrantPublicKey},
    transcript::{Label, labeled_hash, sha256},
};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $size:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; $size]);

        impl $name {
            /// Length in bytes.
            pub const SIZE: usize = $size;

            /// From exactly the id's bytes.
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// From a slice.
            ///
            /// # Errors
            /// [`Error::Malformed`] unless the length is [`Self::SIZE`].
            pub fn from_slice(bytes: &[u8]) -> Result<Self> {
                bytes.try_into().map(Self).map_err(|_| Error::Malformed($what))
            }

            /// From lower-case hexadecimal.
            ///
            /// # Errors
            /// [`Error::Malformed`] for anything else.
            pub fn from_hex(text: &str) -> Result<Self> {
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| Error::Malformed($what))?;
                Self::from_slice(&bytes)
            }

            /// The id's bytes.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }

            /// Lower-case hexadecimal: for files and machines, never for logs.
            pub fn to_hex(&self) -> String {
                HEXLOWER.encode(&self.0)
            }
        }

        impl fmt::Debug for $name {
            /// A tag that tells two ids apart and gives neither away.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "#{}"), HEXLOWER.encode(&sha256(&self.0)[..3]))
            }
        }
    };
}

macro_rules! random_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// Draws one.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; Self::SIZE];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }
        }
    )*};
}

id!(
    /// An organization, for ever: SHA-256(succession record 0 ‖ domain).
    OrganizationId, 32, "organization id"
);
id!(
    /// A patient's grant to one organization: SHA-256(`hs/1 grant` ‖ organization id ‖ deposit key).
    GrantId, 32, "grant id"
);
id!(
    /// One key agreement.
    SessionId, 16, "session id"
);
id!(
    /// One installation of a patient's app.
    SenderId, 16, "sender id"
);
id!(
    /// An epoch key: SHA-256(public key)[..8].
    KeyId, 8, "key id"
);
id!(
    /// A ticket, spent once.
    TicketId, 16, "ticket id"
);
id!(
    /// SHA-256 of a bundle's signed payload.
    BundleHash, 32, "bundle hash"
);
id!(
    /// One life of a relay's store.
    Incarnation, 16, "incarnation"
);
random_id!(SessionId, SenderId, TicketId, Incarnation);

impl GrantId {
    /// The grant of `deposit_key` to `organization`.
    pub fn derive(organization: &OrganizationId, deposit_key: &DepositPublicKey) -> Self {
        Self(labeled_hash(Label::GrantId, &[organization.as_bytes(), deposit_key.as_bytes()]))
    }
}

/// Eight letters that patient and staff compare before a grant from paper is admitted, as `ABCD-EFGH`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ShortCode([u8; 5]);

impl ShortCode {
    /// From the first 40 bits of SHA-256(`hs/1 short-code` ‖ grant id ‖ grant key).
    pub fn derive(grant: &GrantId, grant_key: &GrantPublicKey) -> Self {
        let hash = labeled_hash(Label::ShortCode, &[grant.as_bytes(), grant_key.as_bytes()]);
        Self([hash[0], hash[1], hash[2], hash[3], hash[4]])
    }
}

impl fmt::Display for ShortCode {
    /// RFC 4648 base32 letters, which have no 0, 1 or 8 to misread.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = data_encoding::BASE32_NOPAD.encode(&self.0);
        write!(f, "{}-{}", &letters[..4], &letters[4..])
    }
}

impl FromStr for ShortCode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = Error::Malformed("short code");
        let (head, tail) = text.split_at_checked(4).ok_or(malformed)?;
        let letters = [head, tail.strip_prefix('-').ok_or(malformed)?].concat();
        let bytes = data_encoding::BASE32_NOPAD.decode(letters.as_bytes()).map_err(|_| malformed)?;
        bytes.try_into().map(Self).map_err(|_| malformed)
    }
}

impl fmt::Debug for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShortCode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_byte_of_the_id() {
        let id = GrantId::from_bytes([0xab; 32]);
        assert!(!format!("{id:?}").contains("abab"));
    }

    #[test]
    fn a_short_code_is_read_back() {
        let code = ShortCode([1, 2, 3, 4, 0xff]);
        assert_eq!(code.to_string().parse(), Ok(code));
        for bad in ["", "ABCD", "ABCD-EFG", "ABCDEFGH", "ABCD-EFGHI", "abcd-efgh", "ééé-ABCD"] {
            assert_eq!(bad.parse::<ShortCode>(), Err(Error::Malformed("short code")), "{bad}");
        }
    }

    #[test]
    fn hex_round_trips_and_refuses_other_lengths() {
        let id = SessionId::from_bytes([7; 16]);
        assert_eq!(SessionId::from_hex(&id.to_hex()), Ok(id));
        assert!(SessionId::from_hex("0707").is_err());
        assert!(SessionId::from_hex("zz").is_err());
    }
}
