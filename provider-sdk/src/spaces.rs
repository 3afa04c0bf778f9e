//! Where this crate keeps what in the vault, and the keys of its rows. Numbers are on disk for ever.
//! An application that keeps its state in the same vault uses numbers from [`APPLICATION_SPACES_FROM`].

use sealcare_protocol::{GrantId, KeyId, SenderId, SessionId};
use sealcare_vault::Space;

/// Spaces with numbers below belong to this crate.
pub const APPLICATION_SPACES_FROM: u16 = 256;

/// Profile, offered gateway keys, OAuth key, bundle.
pub(crate) const IDENTITY: Space = Space::new(1, "identity");
/// Key id → period; stays for a while after the key is destroyed.
pub(crate) const EPOCHS: Space = Space::new(2, "epochs");
/// Key id → seed, each under a wrapping key of its own.
pub(crate) const EPOCH_SEEDS: Space = Space::new(3, "epoch seeds");
/// Link code hash → chart patient, until used or expired.
pub(crate) const INVITATIONS: Space = Space::new(4, "invitations");
/// Grant → grant key and chart patient. Not under the grant's wrapping key: a restored backup knows its grants.
pub(crate) const BINDINGS: Space = Space::new(5, "bindings");
/// Grant → statement and state, under the grant's wrapping key.
pub(crate) const STATEMENTS: Space = Space::new(6, "statements");
/// Grant ‖ session → session, under the grant's wrapping key.
pub(crate) const SESSIONS: Space = Space::new(7, "sessions");
/// Session → when it may be forgotten.
pub(crate) const SEEN_SESSIONS: Space = Space::new(8, "seen sessions");
/// Grant ‖ sender → numbers and reply state, under the grant's wrapping key.
pub(crate) const SENDERS: Space = Space::new(9, "senders");
/// Grant ‖ sender → the version of its state that the relay has yet to be told.
pub(crate) const REPLIES_DUE: Space = Space::new(10, "replies due");
/// Grant → tombstone, for ever.
pub(crate) const TOMBSTONES: Space = Space::new(11, "tombstones");
/// Grant → a confirmation that the relay does not have yet.
pub(crate) const CONFIRMATIONS_DUE: Space = Space::new(12, "confirmations due");
/// Number → event for the application, in order.
pub(crate) const QUEUE: Space = Space::new(13, "queue");
/// Grant ‖ number → event of a held grant.
pub(crate) const HELD: Space = Space::new(14, "held");
/// Name → count.
pub(crate) const COUNTERS: Space = Space::new(15, "counters");
/// Bundle hash → when it may be forgotten.
pub(crate) const BUNDLES: Space = Space::new(16, "bundles");
/// Grant → what is left to do of the wipe after its scope became narrower.
pub(crate) const WIPES: Space = Space::new(17, "wipes");
/// Grant → since when a restored vault waits for its next session.
pub(crate) const AWAITED: Space = Space::new(18, "awaited grants");
/// Grant that is over → nothing, until its keys are destroyed.
pub(crate) const DESTRUCTIONS: Space = Space::new(21, "destructions");
/// When silent grants were looked for last; which life of the relay's store was met last.
pub(crate) const WATCH: Space = Space::new(19, "watch");
/// Grant → how many of its events wait for the application.
pub(crate) const WAITING: Space = Space::new(22, "waiting events");
/// Delegation number → gateway key and what the root signed for it.
pub(crate) const GATEWAY_KEYS: Space = Space::new(20, "gateway keys");

pub(crate) fn session_key(grant: &GrantId, session: &SessionId) -> Vec<u8> {
    [&grant.as_bytes()[..], session.as_bytes()].concat()
}

pub(crate) fn sender_key(grant: &GrantId, sender: &SenderId) -> Vec<u8> {
    [&grant.as_bytes()[..], sender.as_bytes()].concat()
}

/// The wrapping key of everything of a grant: destroyed with it. Applications put their copy under it too.
pub fn grant_wrapping_key(grant: &GrantId) -> Vec<u8> {
    [b"grant ".as_slice(), grant.as_bytes()].concat()
}

pub(crate) fn epoch_wrapping_key(key: KeyId) -> Vec<u8> {
    [b"epoch ".as_slice(), key.as_bytes()].concat()
}
