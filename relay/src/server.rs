//! The server: opens the store, listens, serves until told to stop, stops within a deadline.
//!
//! Every limit of the transport is set here: tonic removes hyper's own where it is given none.

use std::{
    fs, io, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration,
};

use axum::middleware::from_fn_with_state;
use sealcare_proto::{
    DESCRIPTORS,
    v1::{
        admin_service_server::AdminServiceServer, delivery_service_server::DeliveryServiceServer,
        directory_service_server::DirectoryServiceServer, mailbox_service_server::MailboxServiceServer,
    },
};
use sealcare_protocol::{Clock, SystemClock};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::Notify,
    task::JoinSet,
};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tonic_health::{
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};

use crate::{
    api::{
        Services, admin::Admin, delivery::Delivery, directory::Directory, mailbox::Mailbox,
        stream_places::StreamPlaces,
    },
    auth::{self, Auth},
    calls::{Calls, bound},
    config::Config,
    error::{Error, Result},
    incoming::{connections, tls_config},
    operator::SOCKET,
    retention::Sweeper,
    store::{Store, StoreError, embedded},
    telemetry,
};

/// Calls and streams of one connection.
const STREAMS_MAX: u32 = 128;
/// Streams that a peer may make the server reset before the connection is closed.
const ERROR_RESETS_MAX: usize = 64;
/// Streams that a peer may reset before they were accepted.
const PENDING_RESETS_MAX: usize = 64;
const HEADER_BYTES_MAX: u32 = 16 * 1024;
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Largest request: a batch of 256 KiB and what signs it.
const REQUEST_BYTES_MAX: usize = 512 * 1024;
/// A flag and the length, before each message of gRPC.
const GRPC_PREFIX_BYTES: usize = 5;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
const KEEPALIVE_EVERY: Duration = Duration::from_mins(1);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(20);
const CONNECTION_AGE_MAX: Duration = Duration::from_hours(6);
const CONNECTION_AGE_GRACE: Duration = Duration::from_mins(1);
/// A unary call; a subscription only until it begins.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// How often the store's health is looked at.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// Serves until `shutdown` completes.
///
/// # Errors
/// [`Error`], before anything was served, or [`Error::Store`] once the store failed.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    Relay::bind(config).await?.serve(shutdown).await
}

/// A relay that listens and does not serve yet.
pub struct Relay {
    config: Config,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    listener: TcpListener,
    ops: Option<TcpListener>,
    admin: UnixListener,
    tls: rustls::ServerConfig,
}

impl Relay {
    /// Opens the store and listens.
    ///
    /// # Errors
    /// [`Error`], naming what cannot be opened.
    pub async fn bind(config: Config) -> Result<Self> {
        let tls = tls_config(&config.tls)?;
        let store = open_store(&config).await?;
        let listener = TcpListener::bind(config.listen).await.map_err(Error::Listen)?;
        let ops = match config.ops_listen {
            Some(address) => Some(TcpListener::bind(address).await.map_err(Error::Listen)?),
            None => None,
        };
        let admin = listen_for_operator(&config.data.join(SOCKET)).map_err(Error::Listen)?;
        Ok(Self { config, clock: Arc::new(SystemClock), store, listener, ops, admin, tls })
    }

    /// The same relay by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`Error::Listen`] if the system does not tell.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(Error::Listen)
    }

    /// Serves until `shutdown` completes, then ends what is under way within the configured time.
    ///
    /// # Errors
    /// [`Error::Store`] once the store failed: it has to be opened anew, by a new process.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let closing = CancellationToken::new();
        let within = self.config.shutdown_within;
        let store = self.store.clone();
        let mut tasks = JoinSet::new();
        self.spawn(&mut tasks, &closing).await?;
        tracing::info!("serving");
        tokio::select! {
            () = shutdown => tracing::info!("stopping"),
            () = failure(store.as_ref()) => {}
            _ = tasks.join_next() => {}
        }
        closing.cancel();
        let finish = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(within, finish).await.is_err() {
            tracing::warn!("what was under way was cut off at the deadline");
            tasks.shutdown().await;
        }
        store.check().map_err(Error::Store)
    }

    async fn spawn(self, tasks: &mut JoinSet<()>, closing: &CancellationToken) -> Result<()> {
        let Self { config, clock, store, listener, ops, admin, tls } = self;
        let auth = Auth::new(config.origin.clone(), clock.clone(), store.clone(), config.rates)?;
        let streams = Arc::new(StreamPlaces::new(config.deposit_streams));
        let revoked = Arc::new(Notify::new());
        let services = Services {
            store: store.clone(),
            auth: Arc::new(auth),
            clock: clock.clone(),
            grant_bytes_max: config.grant_bytes_max,
            revoked: revoked.clone(),
            closing: closing.clone(),
            streams: streams.clone(),
            hook: config.delivery_hook.clone(),
        };
        // Without a listener nobody would read, or drain, what a recorder keeps.
        if let Some((ops, handle)) = ops.and_then(|ops| Some((ops, telemetry::recorder()?))) {
            tasks.spawn(telemetry::upkeep(handle, closing.clone()));
            let stop = closing.clone().cancelled_owned();
            let serve = axum::serve(ops, telemetry::routes(handle)).with_graceful_shutdown(stop);
            tasks.spawn(async move { drop(serve.await) });
        }
        let admin_service = Admin::new(store.clone(), streams.clone());
        let operator = Server::builder().add_service(AdminServiceServer::new(admin_service));
        let stop = closing.clone().cancelled_owned();
        let serve = operator.serve_with_incoming_shutdown(UnixListenerStream::new(admin), stop);
        tasks.spawn(async move { drop(serve.await) });
        let sweeper =
            Sweeper { store, clock, schedule: config.schedule(), revoked, closing: closing.clone() };
        tasks.spawn(sweeper.run());
        let (reporter, health) = tonic_health::server::health_reporter();
        let router = server().add_routes(routes(services, config.calls_max, &reporter, health).await?);
        let stopping = closing.clone();
        tasks.spawn(async move {
            stopping.cancelled().await;
            not_serving(&reporter).await;
        });
        let incoming = connections(listener, tls, config.connections_max, config.network_connections_max);
        let stop = closing.clone().cancelled_owned();
        tasks.spawn(async move {
            if router.serve_with_incoming_shutdown(incoming, stop).await.is_err() {
                tracing::error!("server failed");
            }
        });
        Ok(())
    }
}

/// Tells health checks that this relay is ending, whether asked to or because its store failed.
async fn not_serving(reporter: &HealthReporter) {
    reporter.set_not_serving::<MailboxServiceServer<Mailbox>>().await;
    reporter.set_not_serving::<DeliveryServiceServer<Delivery>>().await;
    reporter.set_not_serving::<DirectoryServiceServer<Directory>>().await;
}

/// Returns once the store has failed.
async fn failure(store: &dyn Store) {
    while store.check().is_ok() {
        tokio::time::sleep(HEALTH_EVERY).await;
    }
}

fn server() -> Server {
    Server::builder()
        .accept_http1(true)
        .load_shed(true)
        .concurrency_limit_per_connection(usize::try_from(STREAMS_MAX).unwrap_or(usize::MAX))
        .timeout(CALL_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
        .max_frame_size(FRAME_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_connection_age(CONNECTION_AGE_MAX)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
}

/// The services of the relay's port.
async fn routes(
    services: Services,
    calls_max: usize,
    reporter: &HealthReporter,
    health: HealthServer<impl Health>,
) -> Result<Routes> {
    reporter.set_serving::<MailboxServiceServer<Mailbox>>().await;
    reporter.set_serving::<DeliveryServiceServer<Delivery>>().await;
    reporter.set_serving::<DirectoryServiceServer<Directory>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|_| Error::Server)?;
    let mailbox = MailboxServiceServer::new(Mailbox(services.clone()));
    let delivery = DeliveryServiceServer::new(Delivery(services.clone()));
    let directory = DirectoryServiceServer::new(Directory(services.clone()));
    let plain = auth::routes(services.auth)
        .layer(axum::extract::DefaultBodyLimit::max(auth::TOKEN_REQUEST_BYTES_MAX));
    let calls = Arc::new(Calls::new(calls_max, REQUEST_BYTES_MAX + GRPC_PREFIX_BYTES));
    let routes = Routes::from(plain)
        .add_service(health)
        .add_service(reflection)
        .add_service(mailbox.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(delivery.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(directory.max_decoding_message_size(REQUEST_BYTES_MAX));
    Ok(routes.into_axum_router().layer(from_fn_with_state(calls, bound)).into())
}

async fn open_store(config: &Config) -> Result<Arc<dyn Store>> {
    let (data, engine, free_bytes_min) = (config.data.clone(), config.store, config.free_bytes_min);
    let open = move || embedded::open(&data, engine, free_bytes_min);
    let opened = tokio::task::spawn_blocking(open).await.map_err(|_| StoreError::Unavailable)?;
    Ok(Arc::new(opened?))
}

/// A socket that only this user can open. One that an ended process left behind is replaced: the store's
/// own lock says that no other relay lives in this folder.
fn listen_for_operator(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
