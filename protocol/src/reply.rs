//! Replies: the organization's sealed, cumulative word to a sender. One slot per session, latest wins.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use rand_core::CryptoRng;
use sealcare_proto::v1 as wire;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{
    body::unpad,
    chain::OneTimeKey,
    envelope::{EnvelopeHeader, REPLY_HEADER_BYTES, REPLY_PLAIN_BYTES, ReplyHeader, reply_header},
    error::{Error, Result},
    ids::{GrantId, SenderId, SessionId},
    sender::{Fields, GrantIdentity},
    terms::{Terms, UnverifiedTerms},
    time::Timestamp,
    transcript::Label,
};

const KEPT_VERSION: u8 = 1;
const REFUSALS_MAX: usize = 64;
const VIEWS_MAX: usize = 100;
/// What is left for the content after its length.
const BODY_BYTES_MAX: usize = REPLY_PLAIN_BYTES - 4;

/// Why a body was taken off the line without being delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalReason {
    /// Its padding or form is wrong.
    Malformed,
    /// A record in it is outside the grant's scope.
    OutOfScope,
    /// The grant was paused.
    Paused,
    /// A reason of a later version.
    Unknown,
}

/// One refused number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The number.
    pub sequence: u64,
    /// Why.
    pub reason: RefusalReason,
}

/// What an organization has of a sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// Of whom.
    pub sender: SenderId,
    /// All numbers below are delivered or refused.
    pub next_sequence: u64,
    /// The latest 64.
    pub refusals: Vec<Refusal>,
    /// The statement's revision that stands.
    pub stored_revision: u64,
    /// What the statement of that revision says; `None` from an organization that is older than this field.
    pub stored: Option<UnverifiedTerms>,
    /// Whether the sender must start anew and send everything.
    pub resync: bool,
    /// The latest 100 views by clinicians; fewer where more do not fit.
    pub views: Vec<Timestamp>,
    /// Whether staff must still match the grant to a person.
    pub held: bool,
}

/// Seals and opens the replies of one session.
#[derive(ZeroizeOnDrop)]
pub struct ReplyKey {
    #[zeroize(skip)]
    session: SessionId,
    #[zeroize(skip)]
    grant: GrantId,
    key: [u8; 32],
}

impl ReplyKey {
    pub(crate) fn new(session: SessionId, grant: GrantId, key: &[u8; 32]) -> Self {
        Self { session, grant, key: *key }
    }

    /// Its session.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Seals `reply` under a counter above `previous` (0 for none): milliseconds since 1970 or one more.
    /// Returns the envelope (kind 3) and its counter. Of refusals and views the latest are sent,
    /// of views as many as fit.
    pub fn seal(
        &self,
        reply: &Reply,
        previous: u64,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> (Vec<u8>, u64) {
        let counter = now.as_millis().max(previous.saturating_add(1));
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let header = reply_header(ReplyHeader { session: self.session, counter }, &salt);
        let body = reply.encode();
        let mut plain = Zeroizing::new(vec![0; REPLY_PLAIN_BYTES]);
        let len = u32::try_from(body.len()).expect("a bounded reply is below 4 KiB");
        plain[..4].copy_from_slice(&len.to_be_bytes());
        plain[4..4 + body.len()].copy_from_slice(&body);
        let sealed = OneTimeKey::derive(&self.key, Label::Reply, &salt).seal(&plain, &self.aad(&header));
        ([&header[..], &sealed].concat(), counter)
    }

    /// Opens a reply and returns its counter with it; the caller takes only rising ones.
    ///
    /// # Errors
    /// [`Error::Reply`] for whatever does not open, [`Error::Malformed`] for a body that is not one.
    pub fn open(&self, envelope: &[u8]) -> Result<(Reply, u64)> {
        let Some(EnvelopeHeader::Reply(header)) = EnvelopeHeader::parse(envelope) else {
            return Err(Error::Malformed("reply"));
        };
        let (clear, sealed) = envelope.split_at(REPLY_HEADER_BYTES);
        let salt = clear[26..].try_into().expect("the header ends with 16 bytes of salt");
        let plain = OneTimeKey::derive(&self.key, Label::Reply, &salt)
            .open(sealed, &self.aad(clear))
            .filter(|_| header.session == self.session)
            .ok_or(Error::Reply)?;
        let body = unpad(&plain).ok_or(Error::Malformed("reply"))?;
        let wire = wire::ReplyBody::decode(body).map_err(|_| Error::Malformed("reply"))?;
        Ok((Reply::from_wire(&wire)?, header.counter))
    }

    fn aad(&self, header: &[u8]) -> Vec<u8> {
        [header, self.grant.as_bytes()].concat()
    }

    /// To be kept under seal.
    pub fn to_kept(&self) -> Zeroizing<Vec<u8>> {
        let fields = [&[KEPT_VERSION][..], self.session.as_bytes(), self.grant.as_bytes(), &self.key];
        Zeroizing::new(fields.concat())
    }

    /// From where it was kept.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_kept(kept: &[u8]) -> Result<Self> {
        let mut fields = Fields(kept);
        let key = (|| {
            (fields.take::<1>()? == [KEPT_VERSION]).then_some(())?;
            let session = SessionId::from_bytes(fields.take()?);
            let grant = GrantId::from_bytes(fields.take()?);
            Some(Self::new(session, grant, &fields.take()?))
        })();
        key.filter(|_| fields.0.is_empty()).ok_or(Error::Malformed("kept reply key"))
    }
}

impl fmt::Debug for ReplyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyKey({:?})", self.session)
    }
}

impl Reply {
    /// What the account itself said last, here or on another device. `None` if the mark is missing or is not
    /// the account's: then the organization alone says so.
    pub fn verified_terms(&self, grant: &GrantIdentity) -> Option<Terms> {
        self.stored.as_ref()?.verify(grant, self.stored_revision)
    }

    /// The body, without the oldest views if it would be longer than a reply is.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut wire = self.to_wire();
        let mut surplus = wire.encoded_len().saturating_sub(BODY_BYTES_MAX);
        while surplus > 0 && !wire.views.is_empty() {
            wire.views.remove(0);
            surplus = wire.encoded_len().saturating_sub(BODY_BYTES_MAX);
        }
        Zeroizing::new(wire.encode_to_vec())
    }

    fn to_wire(&self) -> wire::ReplyBody {
        let latest_refusals = &self.refusals[self.refusals.len().saturating_sub(REFUSALS_MAX)..];
        let latest_views = &self.views[self.views.len().saturating_sub(VIEWS_MAX)..];
        wire::ReplyBody {
            sender_id: Bytes::copy_from_slice(self.sender.as_bytes()),
            next_sequence: self.next_sequence,
            refusals: latest_refusals.iter().map(refusal_to_wire).collect(),
            stored_revision: self.stored_revision,
            resync: self.resync,
            views: latest_views.iter().map(|t| wire::View { time_ms: t.as_millis() }).collect(),
            held: self.held,
            stored: self.stored.as_ref().map(UnverifiedTerms::to_wire),
        }
    }

    fn from_wire(wire: &wire::ReplyBody) -> Result<Self> {
        if wire.refusals.len() > REFUSALS_MAX || wire.views.len() > VIEWS_MAX {
            return Err(Error::Malformed("reply"));
        }
        Ok(Self {
            sender: SenderId::from_slice(&wire.sender_id)?,
            next_sequence: wire.next_sequence,
            refusals: wire.refusals.iter().map(refusal_from_wire).collect(),
            stored_revision: wire.stored_revision,
            resync: wire.resync,
            views: wire.views.iter().map(|v| Timestamp::from_millis(v.time_ms)).collect(),
            held: wire.held,
            stored: wire.stored.as_ref().map(UnverifiedTerms::from_wire).transpose()?,
        })
    }
}

fn refusal_to_wire(refusal: &Refusal) -> wire::Refusal {
    let reason = match refusal.reason {
        RefusalReason::Malformed => wire::RefusalReason::Malformed,
        RefusalReason::OutOfScope => wire::RefusalReason::OutOfScope,
        RefusalReason::Paused => wire::RefusalReason::Paused,
        RefusalReason::Unknown => wire::RefusalReason::Unspecified,
    };
    wire::Refusal { sequence: refusal.sequence, reason: reason.into() }
}

fn refusal_from_wire(wire: &wire::Refusal) -> Refusal {
    let reason = match wire.reason() {
        wire::RefusalReason::Malformed => RefusalReason::Malformed,
        wire::RefusalReason::OutOfScope => RefusalReason::OutOfScope,
        wire::RefusalReason::Paused => RefusalReason::Paused,
        wire::RefusalReason::Unspecified => RefusalReason::Unknown,
    };
    Refusal { sequence: wire.sequence, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{GrantState, Scope};

    fn reply(views: usize) -> Reply {
        Reply {
            sender: SenderId::from_bytes([1; 16]),
            next_sequence: u64::MAX,
            refusals: vec![Refusal { sequence: u64::MAX, reason: RefusalReason::OutOfScope }; views.min(64)],
            stored_revision: u64::MAX,
            resync: true,
            views: vec![Timestamp::from_millis(u64::MAX); views],
            held: true,
            stored: None,
        }
    }

    /// The longest scope that a statement may have, longer than an init has room for.
    fn longest_terms() -> UnverifiedTerms {
        let name = |i: u8| {
            format!("{}{}", "x".repeat(62), char::from(b'a' + i % 26)) + ["", "y"][usize::from(i / 26)]
        };
        let types = (0..32).map(|i| name(i).parse().unwrap()).collect();
        let scope = Scope { types, from: Some(Timestamp::from_millis(u64::MAX)) };
        UnverifiedTerms { state: GrantState::Paused, scope, mark: None }
    }

    #[test]
    fn views_make_room_for_the_longest_statement_the_oldest_first() {
        let key = ReplyKey::new(SessionId::from_bytes([2; 16]), GrantId::from_bytes([3; 32]), &[4; 32]);
        let views = (0..100).map(|i| Timestamp::from_millis(u64::MAX - 99 + i)).collect();
        let full = Reply { stored: Some(longest_terms()), views, ..reply(100) };
        let (envelope, _) = key.seal(&full, 0, Timestamp::from_millis(5), &mut rand::rng());
        let opened = key.open(&envelope).unwrap().0;
        assert!((50..100).contains(&opened.views.len()), "{}", opened.views.len());
        assert_eq!(opened.views, full.views[100 - opened.views.len()..]);
        assert_eq!(Reply { views: Vec::new(), ..opened }, Reply { views: Vec::new(), ..full });
    }

    #[test]
    fn the_largest_reply_fits_and_opens_with_its_key_only() {
        let key = ReplyKey::new(SessionId::from_bytes([2; 16]), GrantId::from_bytes([3; 32]), &[4; 32]);
        let other = ReplyKey::new(SessionId::from_bytes([2; 16]), GrantId::from_bytes([9; 32]), &[4; 32]);
        let (envelope, counter) = key.seal(&reply(100), 7, Timestamp::from_millis(5), &mut rand::rng());
        assert_eq!(counter, 8);
        assert_eq!(key.open(&envelope), Ok((reply(100), 8)));
        assert_eq!(other.open(&envelope), Err(Error::Reply));
        let mut flipped = envelope;
        flipped[100] ^= 1;
        assert_eq!(key.open(&flipped), Err(Error::Reply));
    }

    #[test]
    fn only_the_latest_views_are_sent() {
        let key = ReplyKey::new(SessionId::from_bytes([2; 16]), GrantId::from_bytes([3; 32]), &[4; 32]);
        let (envelope, _) = key.seal(&reply(500), 0, Timestamp::from_millis(5), &mut rand::rng());
        assert_eq!(key.open(&envelope).unwrap().0.views.len(), VIEWS_MAX);
    }
}
