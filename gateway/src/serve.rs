//! The daemon: opens the organization, listens, stays subscribed, takes up what comes, and stops within a
//! deadline. Not here: what is done every hour (`upkeep`).

use std::{fs, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use sealcare_provider::{Clock as _, Organization, Subscriber, SystemClock};
use sealcare_vault::VaultError;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Serving};
use crate::control;
use crate::desk::{Desk, Running};
use crate::error::{GatewayError, Result};
use crate::{listener, upkeep, view};

/// What could not be taken up is tried again after this.
const TAKE_UP_RETRY: Duration = Duration::from_secs(10);

/// Serves until `shutdown` completes. `ready` is told the address once the gateway listens.
///
/// # Errors
/// [`GatewayError`], before anything was served; later only when the vault must be opened again.
pub async fn serve(
    config: &Config,
    serving: Serving,
    ready: impl FnOnce(SocketAddr) -> Result<()>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let within = serving.shutdown_within;
    let gateway = Gateway::open(config, serving).await?;
    ready(gateway.listener.local_addr().map_err(GatewayError::Listen)?)?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    gateway.spawn(&mut tasks, &stop);
    tracing::info!("serving");
    let outcome = tokio::select! {
        () = shutdown => Ok(()),
        Some(ended) = tasks.join_next() => ended.map_err(|_| GatewayError::Task).flatten(),
    };
    tracing::info!("stopping");
    stop.cancel();
    let finish = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(within, finish).await.is_err() {
        tracing::warn!("what was under way was cut off at the deadline");
        tasks.abort_all();
    }
    // The next start replaces one that stays.
    let _ = fs::remove_file(config.home.socket());
    outcome
}

/// Everything that runs, before it runs.
struct Gateway {
    serving: Serving,
    tls: rustls::ServerConfig,
    organization: Arc<Organization>,
    subscriber: Subscriber,
    desk: Arc<Desk>,
    head: watch::Sender<u64>,
    listener: TcpListener,
    control: UnixListener,
}

impl Gateway {
    async fn open(config: &Config, serving: Serving) -> Result<Self> {
        let trust = config.trust()?;
        let tls = listener::tls(&serving.tls)?;
        let listener = TcpListener::bind(serving.listen).await.map_err(GatewayError::Listen)?;
        let home = config.home.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let vault = Arc::new(home.open_vault()?);
            let organization = Arc::new(Organization::open(vault, SystemClock.now(), &mut rand::rng())?);
            let refused_before = organization.refusals()?;
            let head = organization.vault().read(view::head)?;
            Ok::<_, GatewayError>((organization, refused_before, head))
        });
        let (organization, refused_before, head) = opened.await.map_err(|_| GatewayError::Task)??;
        let subscriber = Subscriber::new(Arc::clone(&organization), &trust, Arc::new(SystemClock))?;
        let head = watch::Sender::new(head);
        let running = Running { link: subscriber.state(), head: head.subscribe(), refused_before };
        let desk = Arc::new(Desk::new(Arc::clone(&organization), trust).with_running(running));
        let control = control::bind(&config.home.socket())?;
        Ok(Self { serving, tls, organization, subscriber, desk, head, listener, control })
    }

    fn spawn(self, tasks: &mut JoinSet<Result<()>>, stop: &CancellationToken) {
        let Self { serving, tls, organization, subscriber, desk, head, listener, control } = self;
        let https =
            listener::serve(listener, tls, serving.connections_max, Arc::clone(&organization), stop.clone());
        tasks.spawn(async move {
            https.await;
            Ok(())
        });
        let answering = control::serve(control, Arc::clone(&desk), stop.clone());
        tasks.spawn(async move {
            answering.await;
            Ok(())
        });
        let (link, stopping) = (subscriber.state(), stop.clone());
        tasks.spawn(async move { Ok(subscriber.run(stopping).await?) });
        tasks.spawn(upkeep::keep_up(Arc::clone(&desk), link, stop.clone()));
        tasks.spawn(take_up(desk, organization, head, stop.clone()));
    }
}

/// Hands what arrives to the record view, and tells followers.
async fn take_up(
    desk: Arc<Desk>,
    organization: Arc<Organization>,
    head: watch::Sender<u64>,
    stop: CancellationToken,
) -> Result<()> {
    loop {
        let taken = desk.blocking(Desk::take_up).await;
        // Whatever was stuck, followers are told of what was not.
        let outcome = taken.and_then(|taken| {
            head.send_if_modified(|head| std::mem::replace(head, taken.head) != taken.head);
            taken.outcome
        });
        let is_behind = match outcome {
            Ok(()) => false,
            Err(error) => {
                survivable(error, "an event could not be taken up")?;
                true
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = organization.events_arrived() => {}
            () = tokio::time::sleep(TAKE_UP_RETRY), if is_behind => {}
        }
    }
}

/// Logs an error that may pass; returns one after which nothing can be kept any more.
pub(crate) fn survivable(error: GatewayError, what: &'static str) -> Result<()> {
    let is_final = match &error {
        GatewayError::Provider(error) => error.needs_reopening(),
        GatewayError::Vault(error) => matches!(error, VaultError::Failed),
        _ => false,
    };
    if is_final {
        return Err(error);
    }
    tracing::error!(%error, what);
    Ok(())
}

/// Completes at SIGINT or SIGTERM.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
