//! What a data envelope carries: record changes, compressed together. A record is bytes here.

use std::fmt;

use bytes::Bytes;
use prost::{
    Message as _,
    encoding::{DecodeContext, decode_key, skip_field},
};
use sealcare_proto::v1 as wire;
use zeroize::Zeroizing;

use crate::{
    compression,
    envelope::padded_len,
    error::{Error, Result, SealError},
    statement::TypeName,
};

/// A body after compression, bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// A body before compression, bytes.
pub const BODY_INFLATED_BYTES_MAX: usize = 1024 * 1024;
/// Changes of one body; a body full of records has far fewer, and tombstones are split.
pub const BODY_CHANGES_MAX: usize = 4_096;
/// Record ids, bytes.
const RECORD_ID_BYTES_MAX: usize = 128;
/// One record's new state.
#[derive(Clone, Eq, PartialEq)]
pub struct Change {
    /// 1 to 128 bytes, stable for the record's life.
    pub record_id: String,
    /// Its type, as the sender declares it.
    pub type_name: TypeName,
    /// What became of it.
    pub state: ChangeState,
}

impl fmt::Debug for Change {
    /// Neither id nor type: both are the patient's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({:?})", self.state)
    }
}

/// What became of a record.
#[derive(Clone, Eq, PartialEq)]
pub enum ChangeState {
    /// It is this FHIR R4 JSON now.
    Upsert(Bytes),
    /// It is gone.
    Tombstone,
}

impl fmt::Debug for ChangeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upsert(_) => "Upsert",
            Self::Tombstone => "Tombstone",
        })
    }
}

/// Record changes in the order in which they happened; none is an empty body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Body {
    /// The changes.
    pub changes: Vec<Change>,
}

impl Body {
    /// Compresses the changes.
    ///
    /// # Errors
    /// [`SealError::BodyTooLarge`] above 1 MiB before or 64 KiB after or above [`BODY_CHANGES_MAX`];
    /// [`SealError::RecordTooLarge`] if that is a single change, which no splitting helps; [`SealError::RecordId`] for an id that no receiver takes.
    pub fn encode(&self) -> Result<EncodedBody, SealError> {
        if !self.changes.iter().all(|change| is_record_id(&change.record_id)) {
            return Err(SealError::RecordId);
        }
        let too_large =
            if self.changes.len() > 1 { SealError::BodyTooLarge } else { SealError::RecordTooLarge };
        if self.changes.len() > BODY_CHANGES_MAX {
            return Err(too_large);
        }
        let wire = wire::Body { changes: self.changes.iter().map(to_wire).collect() };
        let plain = Zeroizing::new(wire.encode_to_vec());
        if plain.len() > BODY_INFLATED_BYTES_MAX {
            return Err(too_large);
        }
        let bytes =
            if plain.is_empty() { Vec::new() } else { compression::compress(&plain).ok_or(too_large)? };
        if bytes.len() > BODY_BYTES_MAX {
            return Err(too_large);
        }
        let padded = padded_len(4 + bytes.len());
        Ok(EncodedBody { bytes: Zeroizing::new(bytes), padded })
    }

    /// Inflates within 1 MiB and checks every field.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = Error::Malformed("body");
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.len() > BODY_BYTES_MAX {
            return Err(malformed);
        }
        let plain = compression::inflate(bytes, BODY_INFLATED_BYTES_MAX).ok_or(malformed)?;
        if count_fields(&plain).ok_or(malformed)? > BODY_CHANGES_MAX {
            return Err(malformed);
        }
        let wire = wire::Body::decode(plain.as_slice()).map_err(|_| malformed)?;
        Ok(Self { changes: wire.changes.into_iter().map(from_wire).collect::<Result<_>>()? })
    }
}

/// Fields of an encoded message, counted before anything is allocated for them.
fn count_fields(mut bytes: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (tag, kind) = decode_key(&mut bytes).ok()?;
        skip_field(kind, tag, &mut bytes, DecodeContext::default()).ok()?;
        count += 1;
    }
    Some(count)
}

fn is_record_id(id: &str) -> bool {
    (1..=RECORD_ID_BYTES_MAX).contains(&id.len())
}

fn to_wire(change: &Change) -> wire::Change {
    let state = match &change.state {
        ChangeState::Upsert(fhir) => wire::change::State::Upsert(fhir.clone()),
        ChangeState::Tombstone => wire::change::State::Tombstone(wire::Tombstone {}),
    };
    wire::Change {
        record_id: change.record_id.clone(),
        r#type: change.type_name.as_str().to_owned(),
        state: Some(state),
    }
}

fn from_wire(wire: wire::Change) -> Result<Change> {
    if !is_record_id(&wire.record_id) {
        return Err(Error::Malformed("record id"));
    }
    let state = match wire.state.ok_or(Error::Malformed("change"))? {
        wire::change::State::Upsert(fhir) => ChangeState::Upsert(fhir),
        wire::change::State::Tombstone(_) => ChangeState::Tombstone,
    };
    Ok(Change { record_id: wire.record_id, type_name: wire.r#type.parse()?, state })
}

/// A body ready to be sealed under a number, and the padded length that it will have.
/// Kept until confirmed: a number never changes its body but to [`Self::emptied`].
pub struct EncodedBody {
    bytes: Zeroizing<Vec<u8>>,
    padded: usize,
}

impl EncodedBody {
    /// From where it was kept: padded length u32 ‖ bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_kept(kept: &[u8]) -> Result<Self> {
        let malformed = Error::Malformed("kept body");
        let (head, bytes) = kept.split_first_chunk::<4>().ok_or(malformed)?;
        let padded = usize::try_from(u32::from_be_bytes(*head)).map_err(|_| malformed)?;
        let in_form = bytes.len() <= BODY_BYTES_MAX
            && padded >= padded_len(4 + bytes.len())
            && padded <= padded_len(4 + BODY_BYTES_MAX)
            && padded_len(padded) == padded;
        if in_form { Ok(Self { bytes: Zeroizing::new(bytes.to_vec()), padded }) } else { Err(malformed) }
    }

    /// To be kept under seal.
    pub fn to_kept(&self) -> Zeroizing<Vec<u8>> {
        let padded = u32::try_from(self.padded).expect("padded lengths are below 128 KiB");
        Zeroizing::new([&padded.to_be_bytes()[..], &self.bytes].concat())
    }

    /// The same number and length without its content: for a body that holds what the scope no longer covers.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { bytes: Zeroizing::new(Vec::new()), padded: self.padded }
    }

    /// Length after padding.
    pub fn padded_len(&self) -> usize {
        self.padded
    }

    /// The changes, to find what a body holds.
    ///
    /// # Errors
    /// [`Error::Malformed`] if what was kept is damaged.
    pub fn decode(&self) -> Result<Body> {
        Body::decode(&self.bytes)
    }

    /// `length u32 ‖ body ‖ zeros`.
    pub(crate) fn padded(&self) -> Zeroizing<Vec<u8>> {
        let mut plain = Zeroizing::new(vec![0; self.padded]);
        let len = u32::try_from(self.bytes.len()).expect("bodies are at most 64 KiB");
        plain[..4].copy_from_slice(&len.to_be_bytes());
        plain[4..4 + self.bytes.len()].copy_from_slice(&self.bytes);
        plain
    }
}

impl fmt::Debug for EncodedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedBody({} bytes)", self.padded)
    }
}

/// The bytes within `length u32 ‖ bytes ‖ zeros`; `None` if the length is too large or a pad byte is not zero.
pub(crate) fn unpad(plain: &[u8]) -> Option<&[u8]> {
    unpad_with_trailer(plain, 0).map(|(bytes, _)| bytes)
}

/// As [`unpad`], for `length u32 ‖ bytes ‖ trailer ‖ zeros`: bytes and trailer, whose length is not counted.
pub(crate) fn unpad_with_trailer(plain: &[u8], trailer_len: usize) -> Option<(&[u8], &[u8])> {
    let (head, rest) = plain.split_first_chunk::<4>()?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*head)).ok()?)?;
    let (trailer, zeros) = rest.split_at_checked(trailer_len)?;
    zeros.iter().all(|b| *b == 0).then_some((bytes, trailer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(len: usize) -> Change {
        // Incompressible enough: a linear congruence.
        let fhir: Vec<u8> = (0..len).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[4]).collect();
        Change {
            record_id: "r".into(),
            type_name: "heart-rate".parse().unwrap(),
            state: ChangeState::Upsert(fhir.into()),
        }
    }

    #[test]
    fn bodies_round_trip_and_keep_their_bounds() {
        let body = Body { changes: vec![change(100), Change { state: ChangeState::Tombstone, ..change(0) }] };
        let encoded = body.encode().unwrap();
        assert_eq!(unpad(&encoded.padded()).map(Body::decode), Some(Ok(body.clone())));
        let kept = EncodedBody::from_kept(&encoded.to_kept()).unwrap();
        assert_eq!(kept.decode(), Ok(body));
        assert_eq!(kept.emptied().decode(), Ok(Body::default()));
        assert_eq!(kept.emptied().padded().len(), encoded.padded().len());
        let huge = Body { changes: vec![change(BODY_INFLATED_BYTES_MAX)] };
        assert_eq!(huge.encode().err(), Some(SealError::RecordTooLarge));
    }

    #[test]
    fn a_body_longer_than_any_sender_makes_is_refused() {
        let noise = |len: usize| {
            let blocks = (0..len).step_by(32).flat_map(|i| crate::transcript::sha256(&i.to_be_bytes()));
            let fhir = blocks.collect::<Vec<_>>().into();
            Body { changes: vec![Change { state: ChangeState::Upsert(fhir), ..change(0) }] }
        };
        let full = noise(BODY_BYTES_MAX - 1024);
        assert_eq!(Body::decode(&full.encode().unwrap().bytes), Ok(full));
        let body = wire::Body { changes: noise(BODY_BYTES_MAX).changes.iter().map(to_wire).collect() };
        let bytes = compression::compress(&body.encode_to_vec()).unwrap();
        assert!(bytes.len() > BODY_BYTES_MAX, "the slack of padding would take it");
        assert_eq!(Body::decode(&bytes), Err(Error::Malformed("body")));
    }

    #[test]
    fn a_body_of_more_changes_than_any_sender_makes_is_refused() {
        let of = |count| Body { changes: vec![Change { state: ChangeState::Tombstone, ..change(0) }; count] };
        let full = of(BODY_CHANGES_MAX);
        assert_eq!(full.encode().unwrap().decode(), Ok(full));
        let many = of(BODY_CHANGES_MAX + 1);
        assert_eq!(many.encode().err(), Some(SealError::BodyTooLarge));
        let wire = wire::Body { changes: many.changes.iter().map(to_wire).collect() };
        let bytes = compression::compress(&wire.encode_to_vec()).unwrap();
        assert_eq!(Body::decode(&bytes), Err(Error::Malformed("body")));
    }

    #[test]
    fn a_record_id_that_no_receiver_takes_is_not_sealed() {
        for id in [String::new(), "x".repeat(RECORD_ID_BYTES_MAX + 1)] {
            let body = Body { changes: vec![Change { record_id: id, ..change(1) }] };
            assert_eq!(body.encode().err(), Some(SealError::RecordId));
        }
        let longest = Change { record_id: "x".repeat(RECORD_ID_BYTES_MAX), ..change(1) };
        assert!(Body { changes: vec![longest] }.encode().is_ok());
    }

    #[test]
    fn debug_shows_nothing_of_a_record() {
        let secret = Change { record_id: "secret-id".into(), ..change(3) };
        let body = Body { changes: vec![secret] };
        let shown = format!("{body:?} {:?}", body.encode().unwrap());
        assert!(
            !shown.contains("secret") && !shown.contains("heart") && !shown.contains("40, 181"),
            "{shown}"
        );
    }

    #[test]
    fn padding_that_is_not_zero_is_refused() {
        assert_eq!(unpad(&[0, 0, 0, 1, 9, 0]), Some(&[9][..]));
        assert_eq!(unpad(&[0, 0, 0, 1, 9, 1]), None);
        assert_eq!(unpad(&[0, 0, 0, 3, 9, 1]), None);
        assert_eq!(unpad(&[0, 0]), None);
    }
}
