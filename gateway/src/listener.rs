//! The HTTPS listener: the organization's bundle for everybody, and a health check. Nothing else is served, and no
//! request has a body that is read.

use std::{io, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderName, StatusCode, header},
    routing::get,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sealcare_provider::Organization;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::TlsFiles;
use crate::error::{GatewayError, Result};

/// How long a TLS handshake may take, and then each request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A connection is closed after this, idle or not.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(1);
const HEADERS_MAX: usize = 64;
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Pause after the system refused to accept, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a bundle is found at an organization's domain (HS/1).
const BUNDLE_PATH: &str = "/.well-known/sealcare-organization";

/// TLS with the organization's certificate, HTTP/1.1 only.
///
/// # Errors
/// [`GatewayError::Config`] for files that are not a certificate chain and its key.
pub(crate) fn tls(files: &TlsFiles) -> Result<ServerConfig> {
    let bad = |what: &str| GatewayError::Config(format!("{what} cannot be read, is not PEM or does not fit"));
    let read = |path: &Path, what| std::fs::read(path).map_err(|_| bad(what));
    let certificates = CertificateDer::pem_slice_iter(&read(&files.certificate, "`tls.certificate`")?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| bad("`tls.certificate`"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key, "`tls.key`")?).map_err(|_| bad("`tls.key`"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| bad("`tls`"))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|_| bad("`tls.certificate` or `tls.key`"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves until `stop`; then lets what is under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: ServerConfig,
    connections_max: usize,
    organization: Arc<Organization>,
    stop: CancellationToken,
) {
    let server = Server { acceptor: TlsAcceptor::from(Arc::new(tls)), router: router(organization) };
    let permits = Arc::new(Semaphore::new(connections_max));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                drop(connections.spawn(server.clone().connection(stream, permit, stop.clone())));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, permit))
}

#[derive(Clone)]
struct Server {
    acceptor: TlsAcceptor,
    router: Router,
}

impl Server {
    /// One connection. What goes wrong on it is its client's matter.
    async fn connection(self, stream: TcpStream, _permit: OwnedSemaphorePermit, stop: CancellationToken) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let handshake = tokio::time::timeout(HEAD_WITHIN, self.acceptor.accept(stream));
        let handshaken =
            tokio::select! { () = stop.cancelled() => return, handshaken = handshake => handshaken };
        let Ok(Ok(stream)) = handshaken else { return };
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router));
        tokio::pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => return,
            () = tokio::time::sleep(CONNECTION_AGE_MAX) => {}
            () = stop.cancelled() => {}
        }
        serving.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(HEAD_WITHIN, serving).await;
    }
}

fn router(organization: Arc<Organization>) -> Router {
    Router::new()
        .route(BUNDLE_PATH, get(bundle))
        .route("/healthz", get(health))
        .layer(DefaultBodyLimit::max(0))
        .with_state(organization)
}

/// The bundle changes daily; a cache must ask again.
async fn bundle(State(organization): State<Arc<Organization>>) -> ([(HeaderName, &'static str); 2], Vec<u8>) {
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-cache, max-age=0")];
    (headers, organization.bundle_bytes())
}

/// Whether the vault still takes and gives.
async fn health(State(organization): State<Arc<Organization>>) -> Result<&'static str, StatusCode> {
    let asked = tokio::task::spawn_blocking(move || organization.may_show()).await;
    match asked {
        Ok(Ok(_)) => Ok("ok\n"),
        _ => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_certificate_end_with_64() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nothing.pem");
        std::fs::write(&file, "nothing").unwrap();
        for path in [file, dir.path().join("missing.pem")] {
            let files = TlsFiles { certificate: path.clone(), key: path };
            assert_eq!(tls(&files).unwrap_err().exit_status(), 64);
        }
    }
}
