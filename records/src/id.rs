//! Record ids, and the hashes that stand in where a source has no UUID of its own.
//! Not here: which fields make up a record's identity (`apple::sample`, `fhir::identity`).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::RecordError;

/// Longest record id, in bytes.
pub const RECORD_ID_BYTES_MAX: usize = 128;

/// Bytes of a SHA-256 that a hashed id keeps, written as twice as many hex digits.
const HASHED_ID_BYTES: usize = 16;

/// A record's id, stable for the record's life: the source's UUID, else a hash of what tells it from all others.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordId(String);

impl RecordId {
    /// Takes an id as it came.
    ///
    /// # Errors
    /// [`RecordError::Id`] unless it is 1 to 128 printable ASCII characters (no space).
    pub fn new(id: impl Into<String>) -> Result<Self, RecordError> {
        let id = id.into();
        let is_valid =
            (1..=RECORD_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        if is_valid { Ok(Self(id)) } else { Err(RecordError::Id) }
    }

    /// The id, when the text is a UUID in its usual form (also behind `urn:uuid:`), in lower case.
    pub(crate) fn from_uuid(text: &str) -> Option<Self> {
        let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        // The nil UUID is a placeholder that many resources could carry at once.
        let is_nil = text.bytes().all(|byte| matches!(byte, b'0' | b'-'));
        (is_uuid && !is_nil).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a FHIR identifier: its system and value.
    pub(crate) fn as_identifier(&self) -> (&'static str, String) {
        match Self::from_uuid(&self.0) {
            Some(uuid) => (crate::code::SYSTEM_URI, format!("urn:uuid:{}", uuid.0)),
            None => (crate::code::SYSTEM_RECORD, self.0.clone()),
        }
    }
}

/// Prints four hex digits of a hash: enough to tell two apart in a test, too little to find the record.
impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = Sha256::digest(self.0.as_bytes());
        write!(f, "RecordId(..{:02x}{:02x})", digest[0], digest[1])
    }
}

/// A hash over labelled, length-prefixed fields, so that no two lists of fields read the same.
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Starts a hash; `label` keeps kinds of identity apart.
    pub(crate) fn new(label: &str) -> Self {
        Self(Sha256::new()).field("sealcare record 1").field(label)
    }

    pub(crate) fn field(mut self, text: &str) -> Self {
        self.0.update(format!("{}:", text.len()));
        self.0.update(text.as_bytes());
        self
    }

    pub(crate) fn number(self, number: i128) -> Self {
        self.field(&number.to_string())
    }

    /// Sixteen bytes that stand for the fields so far.
    pub(crate) fn digest(self) -> u128 {
        let mut head = [0; HASHED_ID_BYTES];
        head.copy_from_slice(&self.0.finalize()[..HASHED_ID_BYTES]);
        u128::from_be_bytes(head)
    }
}

/// The id for a fingerprint and an ordinal among records whose fingerprints are the same.
pub(crate) fn hashed_id(fingerprint: u128, ordinal: u64) -> RecordId {
    let digest =
        Fingerprint::new("id").field(&format!("{fingerprint:032x}")).number(i128::from(ordinal)).digest();
    RecordId(format!("{digest:032x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bounded_printable_ascii() {
        assert!(RecordId::new("a").is_ok());
        assert!(RecordId::new("x".repeat(128)).is_ok());
        for id in ["", "a b", "a\n", "ä", &"x".repeat(129)] {
            assert!(matches!(RecordId::new(id), Err(RecordError::Id)));
        }
    }

    #[test]
    fn uuids_are_recognized_and_lowered() {
        let id = RecordId::from_uuid("urn:uuid:6D896F17-0ce1-4487-9caf-3c43a7c3dc2b").unwrap();
        assert_eq!(id.as_str(), "6d896f17-0ce1-4487-9caf-3c43a7c3dc2b");
        assert_eq!(id.as_identifier(), (crate::code::SYSTEM_URI, format!("urn:uuid:{}", id.as_str())));
        for text in ["1", "6d896f17-0ce1-4487-9caf-3c43a7c3dc2", "00000000-0000-0000-0000-000000000000"] {
            assert!(RecordId::from_uuid(text).is_none());
        }
    }

    #[test]
    fn field_borders_and_ordinals_change_the_hash() {
        let of =
            |fields: &[&str]| fields.iter().fold(Fingerprint::new("t"), |f, text| f.field(text)).digest();
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(hashed_id(1, 0), hashed_id(1, 1));
        assert_eq!(hashed_id(1, 0), hashed_id(1, 0));
    }

    #[test]
    fn debug_text_hides_the_id() {
        assert!(!format!("{:?}", RecordId::new("patient-7").unwrap()).contains("patient"));
    }
}
