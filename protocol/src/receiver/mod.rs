//! The organization's checks, in HS/1's written order, each failure its own name.
//!
//! Pure: the caller hands in a view of its state and commits what is returned in one transaction, or
//! nothing. Not here: the scope check on parsed FHIR, delivery, and storage (`sealcare-provider`).

mod data;
mod init;

pub use data::{OpenedData, ReceiverSession};
pub use init::{
    AcceptedInit, BaseDecision, EpochLookup, KnownGrant, OpenInvitation, ReceiverState, StatementDecision,
    receive_init,
};
