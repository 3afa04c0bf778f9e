//! What a test organization knows of sessions, grants and epochs: what its receiver decides by.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};

use sealcare_protocol::{
    EpochEntry, EpochKey, EpochLookup, GrantId, KeyId, KnownGrant, LinkCodeHash, OpenInvitation,
    ReceiverState, SenderId, SessionId, Timestamp, UnverifiedTerms, missing_epochs,
};

#[derive(Default)]
pub(super) struct State {
    pub(super) epochs: HashMap<KeyId, EpochKey>,
    pub(super) sessions: HashSet<SessionId>,
    pub(super) revoked: HashSet<GrantId>,
    pub(super) grants: HashMap<GrantId, KnownGrant>,
    /// What the stored statements say.
    pub(super) terms: HashMap<GrantId, UnverifiedTerms>,
    pub(super) invitations: HashSet<LinkCodeHash>,
    pub(super) next: HashMap<(GrantId, SenderId), u64>,
    pub(super) expires: Timestamp,
}

pub(super) fn new_epochs(state: &mut State, known: &[EpochEntry], now: Timestamp) -> Vec<EpochEntry> {
    let mut epochs: Vec<_> = known.iter().filter(|e| e.period.encrypt_until > now).cloned().collect();
    let periods: Vec<_> = epochs.iter().map(|entry| entry.period).collect();
    for period in missing_epochs(&periods, now) {
        let key = EpochKey::random(&mut rand::rng());
        epochs.push(EpochEntry { key: key.public(), period });
        state.epochs.insert(key.public().id(), key);
    }
    epochs
}

impl ReceiverState for State {
    type Error = Infallible;

    fn is_session_known(&self, session: &SessionId) -> Result<bool, Infallible> {
        Ok(self.sessions.contains(session))
    }
    fn epoch(&self, key: &KeyId) -> Result<EpochLookup, Infallible> {
        let known = self.epochs.get(key).map(|key| EpochKey::from_seed(key.as_seed()));
        Ok(known.map_or(EpochLookup::Unknown, EpochLookup::Known))
    }
    fn is_revoked(&self, grant: &GrantId) -> Result<bool, Infallible> {
        Ok(self.revoked.contains(grant))
    }
    fn grant(&self, grant: &GrantId) -> Result<Option<KnownGrant>, Infallible> {
        Ok(self.grants.get(grant).copied())
    }
    fn invitation(&self, code: &LinkCodeHash) -> Result<Option<OpenInvitation>, Infallible> {
        Ok(self.invitations.contains(code).then_some(OpenInvitation { expires: self.expires }))
    }
    fn next_sequence(&self, grant: &GrantId, sender: &SenderId) -> Result<Option<u64>, Infallible> {
        Ok(self.next.get(&(*grant, *sender)).copied())
    }
}
