//! The authenticated, retried channel to a relay.
//!
//! Lives here: whom to trust ([`Trust`]), a patient's signed calls ([`PatientChannel`]), an organization's calls
//! under OAuth ([`OrganizationChannel`]), the relay's directory ([`DirectoryChannel`]), and an organization's
//! bundle at its own domain ([`fetch_bundle_at_domain`]).
//!
//! Not here: what is sealed, opened or verified (`sealcare-protocol`), what is kept (the SDKs' vault), and when
//! to deposit (the SDK's outbox). An envelope is bytes to this crate.
//!
//! Every call is idempotent, so each is retried with exponential back-off and jitter until its deadline. One TLS
//! provider (aws-lc-rs, with its post-quantum hybrid key exchange first) is passed explicitly to everything that
//! connects.

mod bundle;
mod clock;
mod connector;
mod delivery;
mod deposit_stream;
mod directory;
mod error;
mod oauth;
mod organization;
mod patient;
mod retry;
mod status;
mod subscription;
mod trust;

pub use bundle::fetch_bundle_at_domain;
pub use delivery::{Batch, Content, Cursor, Item, LaneRange, Page, RevokedPage};
pub use deposit_stream::{DepositStream, STREAM_BATCHES_MAX, StreamAnswer};
pub use directory::{DirectoryChannel, ListedOrganization, OrganizationState};
pub use error::{BundleFault, Result, TransportError};
pub use oauth::OAuthKey;
pub use organization::OrganizationChannel;
pub use patient::{
    DEPOSIT_BYTES_MAX, DEPOSIT_ENVELOPES_MAX, DepositOutcome, GrantReport, PatientChannel, SessionReport,
};
pub use subscription::{Delivery, Subscription};
pub use trust::{Trust, danger};
