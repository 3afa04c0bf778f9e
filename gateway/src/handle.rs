//! Short names of grants that may be printed anywhere, and what staff may type to name a grant.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use sealcare_provider::{Grant, GrantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{GatewayError, Result};

const LABEL: &[u8] = b"sealcare gateway grant handle\0";
const HANDLE_BYTES: usize = 4;
/// Letters of a short code around its dash, and its length with it.
const CODE_HALF: usize = 4;
const CODE_BYTES: usize = 2 * CODE_HALF + 1;

/// Eight hexadecimal digits that tell an organization's grants apart and give none away.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GrantHandle([u8; HANDLE_BYTES]);

impl GrantHandle {
    /// The handle of a grant, the same for ever.
    pub fn of(grant: &GrantId) -> Self {
        let hash = Sha256::new().chain_update(LABEL).chain_update(grant.as_bytes()).finalize();
        Self([hash[0], hash[1], hash[2], hash[3]])
    }
}

impl fmt::Display for GrantHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// As a grant is named on a command line: its handle, the short code from the patient's screen, or its id.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GrantName {
    /// Eight hexadecimal digits.
    Handle(String),
    /// `ABCD-EFGH`.
    ShortCode(String),
    /// Sixty-four hexadecimal digits.
    Id(String),
}

impl GrantName {
    /// Whether it names this grant.
    pub(crate) fn names(&self, grant: &Grant) -> bool {
        match self {
            Self::Handle(text) => GrantHandle::of(&grant.id).to_string() == *text,
            Self::ShortCode(text) => grant.short_code.to_string() == *text,
            Self::Id(text) => grant.id.to_hex() == *text,
        }
    }
}

impl FromStr for GrantName {
    type Err = GatewayError;

    fn from_str(text: &str) -> Result<Self> {
        let is_hex = |len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex(2 * HANDLE_BYTES) {
            return Ok(Self::Handle(text.to_ascii_lowercase()));
        }
        if is_hex(2 * GrantId::SIZE) {
            return Ok(Self::Id(text.to_ascii_lowercase()));
        }
        let is_code = text.len() == CODE_BYTES
            && text
                .bytes()
                .enumerate()
                .all(|(at, b)| if at == CODE_HALF { b == b'-' } else { b.is_ascii_alphanumeric() });
        if is_code {
            return Ok(Self::ShortCode(text.to_ascii_uppercase()));
        }
        Err(GatewayError::Input(
            "a grant is named by its handle (8 digits of `held` or `status`) or its short code",
        ))
    }
}

/// May hold a raw id.
impl fmt::Debug for GrantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantName(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_shows_no_byte_of_the_id_and_differs() {
        let handle = |byte: u8| GrantHandle::of(&GrantId::from_bytes([byte; 32])).to_string();
        assert_ne!(handle(1), handle(2));
        assert!(!handle(0xab).contains("abab"));
        assert_eq!(handle(1).len(), 8);
    }

    #[test]
    fn names_are_handles_short_codes_or_ids() {
        let name = |text: &str| text.parse::<GrantName>();
        assert_eq!(name("00AAff11").unwrap(), GrantName::Handle("00aaff11".into()));
        assert_eq!(name("abcd-efgh").unwrap(), GrantName::ShortCode("ABCD-EFGH".into()));
        assert!(matches!(name(&"0".repeat(64)).unwrap(), GrantName::Id(_)));
        for bad in ["", "00aaff1", "00aaffzz", "ABCD_EFGH", "ABCDEFGHI", "ABCD-EFÄ"] {
            assert_eq!(name(bad).unwrap_err().exit_status(), 65, "{bad}");
        }
    }
}
