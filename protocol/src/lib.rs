//! HS/1, Sealcare's sharing protocol: one direction, many small envelopes, years long, through a relay
//! that nobody has to trust.
//!
//! Lives here: ids, keys, epochs, bundles, invitations, sessions, envelopes, replies, calls, revocation,
//! and the receiver's checks in their written order. Randomness and time are parameters.
//!
//! Not here: storage (the SDKs' vault, `relay::store`), network (`sealcare-transport`), and what a record
//! is (`sealcare-records`): to this crate a record is bytes, and a record type a name.
//!
//! What is parsed and what is trusted are different types: `UnverifiedKeyBundle::verify` is the only way
//! to a [`KeyBundle`], and only a `KeyBundle` can start a session:
//!
//! ```compile_fail
//! fn seal(bundle: sealcare_protocol::UnverifiedKeyBundle) {
//!     let _: &sealcare_protocol::KeyBundle = &bundle; // not verified: does not compile
//! }
//! ```

mod address;
mod body;
mod bundle;
mod call;
mod chain;
mod compression;
mod delegation;
mod envelope;
mod epoch;
mod error;
mod fingerprint;
mod hpke;
mod ids;
mod init;
mod invitation;
mod keys;
mod receiver;
mod registration;
mod reply;
mod revocation;
mod sender;
mod sheet_code;
mod statement;
mod succession;
mod terms;
mod ticket;
mod time;
mod transcript;

pub use address::{Domain, RelayOrigin};
pub use body::{
    BODY_BYTES_MAX, BODY_CHANGES_MAX, BODY_INFLATED_BYTES_MAX, Body, Change, ChangeState, EncodedBody,
};
pub use bundle::{BundlePin, KeyBundle, KeyBundleDraft, UnverifiedKeyBundle};
pub use call::{CALL_SKEW, CallMethod, VerifiedCall, sign_call, verify_call};
pub use delegation::{Authority, Delegation, DelegationDraft};
pub use envelope::{
    DataHeader, ENVELOPE_BYTES_MAX, EnvelopeHeader, INIT_BYTES, InitHeader, REPLY_BYTES, ReplyHeader,
};
pub use epoch::{EPOCHS_MAX, EpochEntry, EpochKey, EpochPeriod, EpochPublicKey, missing_epochs};
pub use error::{CallError, CodeError, DataRefusal, Error, InitRefusal, Result, SealError};
pub use fingerprint::RootFingerprint;
pub use ids::{
    BundleHash, GrantId, Incarnation, KeyId, OrganizationId, SenderId, SessionId, ShortCode, TicketId,
};
pub use invitation::{Invitation, LinkCode, LinkCodeHash};
pub use keys::{
    AccountSecret, DepositKey, DepositPublicKey, GatewayKey, GatewayPublicKey, GrantKey, GrantPublicKey,
    RootKey, RootPublicKey,
};
pub use receiver::{
    AcceptedInit, BaseDecision, EpochLookup, KnownGrant, OpenInvitation, OpenedData, ReceiverSession,
    ReceiverState, StatementDecision, receive_init,
};
pub use registration::{Registration, UnverifiedRegistration};
pub use reply::{Refusal, RefusalReason, Reply, ReplyKey};
pub use revocation::{Confirmation, Revocation, UnverifiedConfirmation, UnverifiedRevocation};
pub use sender::{GrantIdentity, SealedInit, SenderSession, SessionStart};
pub use statement::{GrantState, Person, Scope, Statement, TypeName};
pub use succession::{Succession, Successions};
pub use terms::{MarkKey, StatementMark, Terms, UnverifiedTerms};
pub use ticket::{Ticket, TicketDraft, TicketLimits, UnverifiedTicket};
#[cfg(any(test, feature = "test-util"))]
pub use time::ManualClock;
pub use time::{Clock, SystemClock, Timestamp};

/// HS/1's version byte.
pub const VERSION: u8 = 1;
