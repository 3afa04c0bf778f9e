//! The fingerprint by which people know an organization's first root, which its id covers for ever. They read it
//! to each other by telephone, so it has one spelling that is easy to read out and a lenient one to type in.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    keys::RootPublicKey,
    transcript::sha256,
};

/// SHA-256 of an organization's first root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RootFingerprint([u8; 32]);

const MALFORMED: Error = Error::Malformed("root fingerprint");

impl RootFingerprint {
    pub(crate) fn of(root: &RootPublicKey) -> Self {
        Self(sha256(root.as_bytes()))
    }

    /// From 32 bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| MALFORMED)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for RootFingerprint {
    /// In 16 groups of four hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, [high, low]) in self.0.as_chunks().0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{high:02x}{low:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for RootFingerprint {
    type Err = Error;

    /// 64 hexadecimal digits of either case; spaces and colons between them are passed over.
    fn from_str(text: &str) -> Result<Self> {
        let mut digits = text.chars().filter(|character| !matches!(character, ' ' | ':'));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let mut digit = || digits.next().and_then(|character| character.to_digit(16)).ok_or(MALFORMED);
            *byte = u8::try_from(digit()? << 4 | digit()?).map_err(|_| MALFORMED)?;
        }
        if digits.next().is_none() { Ok(Self(bytes)) } else { Err(MALFORMED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_as_it_is_shown() {
        let fingerprint = RootFingerprint([0xab; 32]);
        let shown = fingerprint.to_string();
        assert!(shown.starts_with("abab abab ") && shown.len() == 79);
        assert_eq!(shown.parse(), Ok(fingerprint));
        assert_eq!(shown.to_uppercase().replace(' ', ":").parse(), Ok(fingerprint));
        for bad in [&shown[..78], "clinic.example", "", &format!("{shown}a")] {
            assert!(bad.parse::<RootFingerprint>().is_err(), "{bad}");
        }
    }
}
