//! Connections: TCP without delay, TLS handshakes side by side, a bound on all of it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    Stream, StreamExt as _,
    stream::{FuturesUnordered, unfold},
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::{
    auth::Peer,
    config::TlsFiles,
    error::{Error, Result},
};

/// Handshakes under way; more wait in the listener's backlog.
const HANDSHAKES_MAX: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that counts against the bound while it lives.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// TLS with the operator's certificate: rustls with aws-lc-rs, whose key exchange is post-quantum hybrid
/// first. HTTP/2 for gRPC, HTTP/1.1 for the token endpoint.
///
/// # Errors
/// [`Error::Config`] for files that are not a certificate chain and its key.
pub(crate) fn tls_config(files: &TlsFiles) -> Result<ServerConfig> {
    let bad = |what: &str| Error::Config(format!("{what} is not PEM or does not fit"));
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
    };
    let certificates = CertificateDer::pem_slice_iter(&read(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| bad("tls.certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|_| bad("tls.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| bad("tls"))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|_| bad("tls.certificate or tls.key"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

struct Incoming {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    permits: Arc<Semaphore>,
    handshakes: FuturesUnordered<Pin<Box<dyn Future<Output = Option<Connection>> + Send>>>,
}

/// The listener's connections once their handshake is done. Never ends, never yields an error: one bad
/// client is no reason to stop.
pub(crate) fn connections(
    listener: TcpListener,
    tls: ServerConfig,
    connections_max: usize,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let incoming = Incoming {
        listener,
        acceptor: TlsAcceptor::from(Arc::new(tls)),
        permits: Arc::new(Semaphore::new(connections_max)),
        handshakes: FuturesUnordered::new(),
    };
    unfold(incoming, |mut incoming| async move {
        let connection = incoming.next().await;
        Some((Ok(connection), incoming))
    })
}

impl Incoming {
    async fn next(&mut self) -> Connection {
        loop {
            let may_accept = self.handshakes.len() < HANDSHAKES_MAX;
            let (permits, listener) = (&self.permits, &self.listener);
            let accept = async {
                // The semaphore is never closed.
                let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
                let (stream, address) = listener.accept().await?;
                Ok::<_, io::Error>((stream, Peer(address.ip()), permit))
            };
            tokio::select! {
                Some(done) = self.handshakes.next() => {
                    if let Some(connection) = done {
                        return connection;
                    }
                }
                accepted = accept, if may_accept => match accepted {
                    Ok((stream, peer, permit)) => {
                        let acceptor = self.acceptor.clone();
                        self.handshakes.push(Box::pin(handshake(acceptor, stream, peer, permit)));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: Peer,
    permit: OwnedSemaphorePermit,
) -> Option<Connection> {
    // Without it small answers wait for the peer's delayed acknowledgement: 52 ms instead of 0.13.
    stream.set_nodelay(true).ok()?;
    let stream = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await.ok()?.ok()?;
    Some(Connection { stream, peer, _permit: permit })
}
