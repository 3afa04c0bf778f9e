//! The relay of the model: one grant's mailbox and reply slots, with the checks that HS/1 asks of a relay.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use sealcare_protocol::{EnvelopeHeader, SessionId, Timestamp};

const RETENTION: Duration = Duration::from_hours(13 * 24);

/// What a deposit gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Stored,
    /// The same bytes again.
    Already,
    /// Other bytes under a number that is taken.
    Conflict,
    OutOfOrder,
    Revoked,
}

#[derive(Default)]
pub(crate) struct Relay {
    mailbox: VecDeque<(Timestamp, Vec<u8>)>,
    /// Per session its envelopes so far: the next counter, and the bytes to compare.
    sessions: BTreeMap<SessionId, Vec<Vec<u8>>>,
    replies: BTreeMap<SessionId, Vec<u8>>,
    pub(crate) is_revoked: bool,
}

impl Relay {
    pub(crate) fn deposit(&mut self, envelope: &[u8], now: Timestamp) -> Outcome {
        if self.is_revoked {
            return Outcome::Revoked;
        }
        let header = EnvelopeHeader::parse(envelope).expect("the model deposits envelopes");
        let index = match header {
            EnvelopeHeader::Init(_) => 0,
            EnvelopeHeader::Data(data) => 1 + usize::try_from(data.counter).unwrap(),
            EnvelopeHeader::Reply(_) => unreachable!("replies are put, not deposited"),
        };
        let stored = self.sessions.entry(*header.session()).or_default();
        if index > stored.len() {
            return Outcome::OutOfOrder;
        }
        if let Some(before) = stored.get(index) {
            return if before == envelope { Outcome::Already } else { Outcome::Conflict };
        }
        stored.push(envelope.to_vec());
        self.mailbox.push_back((now, envelope.to_vec()));
        Outcome::Stored
    }

    /// Hands over the oldest envelope and forgets it, as if acknowledged.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.mailbox.pop_front().map(|(_, envelope)| envelope)
    }

    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.mailbox.retain(|(at, _)| now.since(*at) < RETENTION);
    }

    pub(crate) fn put_reply(&mut self, session: SessionId, reply: Vec<u8>) {
        self.replies.insert(session, reply);
    }

    pub(crate) fn reply(&self, session: &SessionId) -> Option<&Vec<u8>> {
        self.replies.get(session)
    }

    pub(crate) fn revoke(&mut self) {
        self.is_revoked = true;
        self.mailbox.clear();
    }
}
