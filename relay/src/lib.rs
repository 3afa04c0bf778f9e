//! Sealcare's relay: the courier that nobody has to trust. It stores sealed envelopes for organizations,
//! hands them over, deletes what was acknowledged or revoked, and can open nothing.
//!
//! Lives here: the API (`api`), who calls (`auth`), what is kept ([`store`]), sockets (`server`,
//! `incoming`), configuration ([`config`]), sweeps (`retention`), the command line ([`main_from`]) and the operator's
//! commands ([`operator`]).
//! Not here: cryptography and checks of what is signed (`sealcare-protocol`). A record is unknown in this
//! crate, by the linter's rule.

mod api;
mod auth;
mod calls;
pub mod config;
mod delivery_hook;
mod error;
mod incoming;
mod line;
pub mod operator;
mod retention;
mod server;
pub mod store;
pub mod telemetry;

pub use api::stream_places::StreamLimits;
pub use auth::Rates;
pub use config::Config;
#[cfg(feature = "test-util")]
pub use delivery_hook::AlterEnvelope;
pub use delivery_hook::DeliveryHook;
pub use error::{Error, Result};
pub use line::main_from;
pub use server::{Relay, run};
