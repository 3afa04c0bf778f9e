//! The organization's side of Sealcare: its keys, its invitations, and an inbox of what patients share.
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! # use sealcare_provider::{EventKind, Organization, Result, Subscriber};
//! # use sealcare_protocol::{Clock as _, SystemClock};
//! # use sealcare_transport::Trust;
//! # use sealcare_vault::{Unlock, Vault};
//! # async fn receive(dir: &Path, unlock: &Unlock) -> Result<()> {
//! let (vault, clock) = (Arc::new(Vault::open(dir, unlock)?), Arc::new(SystemClock));
//! let clinic = Arc::new(Organization::open(vault, clock.now(), &mut rand::rng())?);
//! let subscriber = Subscriber::new(Arc::clone(&clinic), &Trust::web(), clock)?;
//! let stop = tokio_util::sync::CancellationToken::new();
//! let app = async { loop {
//!     clinic.events_arrived().await;
//!     clinic.process(|_tx, event| match &event.kind {
//!         EventKind::Records(delivery) => Ok(println!("{} changes", delivery.changes.len())),
//!         other => Ok(println!("{}", other.name())),
//!     })?;
//! } };
//! tokio::select! { stopped = subscriber.run(stop) => stopped, failed = app => failed }
//! # }
//! ```
//!
//! Lives here: founding ([`Organization::found`], [`Roots`]), epochs, gateway keys and bundle
//! ([`Organization::rotate`], [`Organization::renew`]), backup ([`Organization::back_up`], [`Organization::restore`]),
//! invitations bound to a chart patient, grants that staff admit or reject, the inbox, replies, revocation and
//! its confirmation, and the [`Subscriber`] that connects all this to a relay.
//!
//! Not here: serving the bundle, keeping records for viewing, and any page (`sealcare-gateway`, or your program);
//! the cryptography (`sealcare-protocol`); what a record means (`sealcare-records`).
//!
//! **Nothing is acknowledged to the relay before it is durable here. An event reaches the application exactly once
//! for what it writes in the same transaction. Everything of a grant lies under one wrapping key
//! ([`grant_wrapping_key`]), and revocation destroys that key before it is confirmed.**

mod admission;
mod alarm;
mod backup;
mod delegation;
mod epochs;
mod error;
#[cfg(test)]
mod fixture;
mod grant;
mod inbox;
mod invitation;
mod kept;
mod link;
mod organization;
mod registration;
mod reply;
mod revocation;
mod root;
mod signer;
mod silence;
mod spaces;
mod subscriber;
mod wipe;

pub use alarm::Alarm;
pub use delegation::{KeyOffer, OldKeys, Renewal};
pub use error::{ProviderError, Result};
pub use grant::{Grant, GrantStatus, HoldReason};
pub use inbox::{Delivery, DeliveryKey, EventKind, Halted, InboxEvent, RecordChange, Settlement, covers};
pub use invitation::{ChartPatient, InvitationChannel};
pub use organization::Organization;
pub use root::Roots;
pub use silence::Silence;
pub use spaces::{APPLICATION_SPACES_FROM, grant_wrapping_key};
pub use subscriber::{LinkState, Subscriber};

// What the calls above take and give, so that a program on this crate needs no other path to them.
pub use sealcare_protocol::{
    Clock, Domain, GrantId, Invitation, KeyBundle, OrganizationId, Person, RelayOrigin, Scope, SenderId,
    ShortCode, SystemClock, Timestamp, TypeName,
};
pub use sealcare_transport::{DirectoryChannel, Item, OrganizationState, TransportError, Trust, danger};
