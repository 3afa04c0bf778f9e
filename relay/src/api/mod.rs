//! The relay's four services: what each call may do, and its answer on the wire.
//!
//! Not here: who calls (`auth`), what is kept (`store`), sockets and limits of the transport (`server`).

pub(crate) mod admin;
pub(crate) mod delivery;
mod deposit;
mod deposit_stream;
pub(crate) mod directory;
pub(crate) mod mailbox;
pub(crate) mod status;
pub(crate) mod stream_places;
mod subscription;

use std::sync::Arc;

use sealcare_protocol::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::stream_places::StreamPlaces;
use crate::{auth::Auth, delivery_hook::DeliveryHook, store::Store};

/// What every service needs.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Bytes that a grant may hold, whatever its ticket allows.
    pub(crate) grant_bytes_max: u64,
    /// Wakes the sweep.
    pub(crate) revoked: Arc<Notify>,
    /// Ends subscriptions and deposit streams.
    pub(crate) closing: CancellationToken,
    /// Of deposit streams.
    pub(crate) streams: Arc<StreamPlaces>,
    pub(crate) hook: DeliveryHook,
}
