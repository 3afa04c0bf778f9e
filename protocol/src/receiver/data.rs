//! Data envelopes of a session that is open here.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    body::{Body, unpad},
    chain::ChainKey,
    envelope::{DATA_HEADER_BYTES, EnvelopeHeader, is_data_size},
    error::{DataRefusal, Error, Result},
    ids::{GrantId, SenderId, SessionId},
    sender::Fields,
    time::Timestamp,
};

const KEPT_VERSION: u8 = 1;

/// A session on the organization's side: who sends, the next counter and its key.
pub struct ReceiverSession {
    session: SessionId,
    grant: GrantId,
    sender: SenderId,
    base: u64,
    counter: u64,
    lease_until: Timestamp,
    chain: ChainKey,
}

/// An envelope that opened. Commit `session` in the place of the one that opened it, whatever the body holds.
#[derive(Debug)]
pub struct OpenedData {
    /// The body's number: base + counter.
    pub sequence: u64,
    /// What it holds, or [`DataRefusal::Malformed`]: a permanent refusal, to be answered by reply.
    pub body: Result<Body, DataRefusal>,
    /// The session after this envelope; the key that opened it is not in it.
    pub session: ReceiverSession,
}

impl ReceiverSession {
    pub(crate) fn new(
        session: SessionId,
        grant: GrantId,
        sender: SenderId,
        base: u64,
        lease_until: Timestamp,
        chain: ChainKey,
    ) -> Self {
        Self { session, grant, sender, base, counter: 0, lease_until, chain }
    }

    /// Its id.
    pub fn id(&self) -> &SessionId {
        &self.session
    }

    /// Its grant.
    pub fn grant(&self) -> &GrantId {
        &self.grant
    }

    /// Who sends.
    pub fn sender(&self) -> &SenderId {
        &self.sender
    }

    /// Until when it may.
    pub fn lease_until(&self) -> Timestamp {
        self.lease_until
    }

    /// The number that the next envelope carries.
    pub fn next_sequence(&self) -> u64 {
        self.base.saturating_add(self.counter)
    }

    /// Size, version → session → counter → lease → open → padding, form. This session is untouched; on
    /// success the one to go on with is in the answer.
    ///
    /// # Errors
    /// The [`DataRefusal`]; after [`DataRefusal::Gap`] the session is to be closed.
    pub fn open(&self, envelope: &[u8], now: Timestamp) -> Result<OpenedData, DataRefusal> {
        if !is_data_size(envelope.len()) {
            return Err(DataRefusal::Size);
        }
        let Some(EnvelopeHeader::Data(header)) = EnvelopeHeader::parse(envelope) else {
            return Err(DataRefusal::Version);
        };
        if header.session != self.session {
            return Err(DataRefusal::UnknownSession);
        }
        match header.counter.cmp(&self.counter) {
            std::cmp::Ordering::Less => return Err(DataRefusal::Duplicate),
            std::cmp::Ordering::Greater => return Err(DataRefusal::Gap),
            std::cmp::Ordering::Equal => {}
        }
        if now >= self.lease_until {
            return Err(DataRefusal::Lease);
        }
        let plain = self.decrypt(envelope).ok_or(DataRefusal::Open)?;
        let body = unpad(&plain).and_then(|body| Body::decode(body).ok()).ok_or(DataRefusal::Malformed);
        Ok(OpenedData { sequence: self.next_sequence(), body, session: self.advanced()? })
    }

    fn decrypt(&self, envelope: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (header, sealed) = envelope.split_at(DATA_HEADER_BYTES);
        let salt = header[26..].try_into().expect("the header ends with 16 bytes of salt");
        let aad = [header, self.grant.as_bytes()].concat();
        self.chain.message(&salt).open(sealed, &aad)
    }

    fn advanced(&self) -> Result<Self, DataRefusal> {
        let counter = self.counter.checked_add(1).ok_or(DataRefusal::Gap)?;
        Ok(Self { counter, chain: self.chain.next(), ..*self })
    }

    /// To be kept under seal, under the grant's wrapping key.
    pub fn to_kept(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(
            [
                &[KEPT_VERSION][..],
                self.session.as_bytes(),
                self.grant.as_bytes(),
                self.sender.as_bytes(),
                &self.base.to_be_bytes(),
                &self.counter.to_be_bytes(),
                &self.lease_until.as_millis().to_be_bytes(),
                self.chain.as_bytes(),
            ]
            .concat(),
        )
    }

    /// From where it was kept.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_kept(kept: &[u8]) -> Result<Self> {
        let mut fields = Fields(kept);
        let session = (|| {
            (fields.take::<1>()? == [KEPT_VERSION]).then_some(())?;
            Some(Self {
                session: SessionId::from_bytes(fields.take()?),
                grant: GrantId::from_bytes(fields.take()?),
                sender: SenderId::from_bytes(fields.take()?),
                base: u64::from_be_bytes(fields.take()?),
                counter: u64::from_be_bytes(fields.take()?),
                lease_until: Timestamp::from_millis(u64::from_be_bytes(fields.take()?)),
                chain: ChainKey::new(&fields.take()?),
            })
        })();
        session.filter(|_| fields.0.is_empty()).ok_or(Error::Malformed("kept session"))
    }
}

impl fmt::Debug for ReceiverSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverSession({:?}, next {})", self.session, self.counter)
    }
}
