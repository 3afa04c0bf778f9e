//! Connections: TCP without delay, TLS handshakes side by side, a bound on all of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
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
    time::Sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::{
    auth::{Peer, network, site},
    config::TlsFiles,
    error::{Error, Result},
};

/// Handshakes under way; more wait in the listener's backlog.
const HANDSHAKES_MAX: usize = 256;
/// A site of many IPv6 networks has as much as so many of them.
const SITE_NETWORKS: usize = 2;
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the first bytes of a request may take after the handshake.
const FIRST_BYTES_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that begin a request: HTTP/2's preface (RFC 9113, §3.4); no HTTP/1.1 request is shorter.
const FIRST_BYTES: usize = 24;

/// A connection that counts against the bounds while it lives.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    first: Option<FirstBytes>,
    _place: Place,
}

/// What a connection still owes before it may take its time.
struct FirstBytes {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

/// A place among all connections, and among those of a network.
struct Place {
    _permit: OwnedSemaphorePermit,
    _network: NetworkPlace,
}

/// How many connections, or calls, each network has, and each site of IPv6 networks.
#[derive(Clone)]
pub(crate) struct Networks {
    each_max: usize,
    counts: Arc<Mutex<HashMap<Counted, usize>>>,
}

/// What is counted together.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Counted {
    Network(IpAddr),
    /// An IPv6 /48, which one customer may hold.
    Site(IpAddr),
}

pub(crate) struct NetworkPlace {
    of: Vec<Counted>,
    counts: Arc<Mutex<HashMap<Counted, usize>>>,
}

impl Networks {
    pub(crate) fn new(each_max: usize) -> Self {
        Self { each_max, counts: Arc::default() }
    }

    /// A place for one more from `address`, if its network, and its site, have one left. The machine itself has
    /// as many as it likes: what runs here is the operator's.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<NetworkPlace> {
        let of = if address.to_canonical().is_loopback() { Vec::new() } else { counted(address) };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |counted| counts.get(counted).is_some_and(|count| *count >= self.most(*counted));
        if of.iter().any(is_full) {
            return None;
        }
        for counted in &of {
            *counts.entry(*counted).or_default() += 1;
        }
        Some(NetworkPlace { of, counts: self.counts.clone() })
    }

    fn most(&self, counted: Counted) -> usize {
        match counted {
            Counted::Network(_) => self.each_max,
            Counted::Site(_) => self.each_max.saturating_mul(SITE_NETWORKS),
        }
    }
}

fn counted(address: IpAddr) -> Vec<Counted> {
    let network = Counted::Network(network(address));
    [network].into_iter().chain(site(address).map(Counted::Site)).collect()
}

impl Drop for NetworkPlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for counted in &self.of {
            if let Entry::Occupied(mut count) = counts.entry(*counted) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
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
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(first) = &mut self.first else { return read };
        first.missing = first.missing.saturating_sub(buf.filled().len() - before);
        if first.missing == 0 {
            self.first = None;
        } else if read.is_pending() && first.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
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
    networks: Networks,
    handshakes: FuturesUnordered<Pin<Box<dyn Future<Output = Option<Connection>> + Send>>>,
}

/// The listener's connections once their handshake is done. Never ends, never yields an error: one bad
/// client is no reason to stop.
pub(crate) fn connections(
    listener: TcpListener,
    tls: ServerConfig,
    connections_max: usize,
    network_connections_max: usize,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let incoming = Incoming {
        listener,
        acceptor: TlsAcceptor::from(Arc::new(tls)),
        permits: Arc::new(Semaphore::new(connections_max)),
        networks: Networks::new(network_connections_max),
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
                        // A network that has all its places finds the connection closed.
                        if let Some(network) = self.networks.enter(peer.0) {
                            let place = Place { _permit: permit, _network: network };
                            let acceptor = self.acceptor.clone();
                            self.handshakes.push(Box::pin(handshake(acceptor, stream, peer, place)));
                        }
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }
}

async fn handshake(acceptor: TlsAcceptor, stream: TcpStream, peer: Peer, place: Place) -> Option<Connection> {
    // Without it small answers wait for the peer's delayed acknowledgement: 52 ms instead of 0.13.
    stream.set_nodelay(true).ok()?;
    let stream = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await.ok()?.ok()?;
    let until = Box::pin(tokio::time::sleep(FIRST_BYTES_WITHIN));
    let first = Some(FirstBytes { missing: FIRST_BYTES, until });
    Some(Connection { stream, peer, first, _place: place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_so_many_places_and_gets_them_back() {
        let networks = Networks::new(1);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let place = networks.enter(a);
        assert!(place.is_some() && networks.enter(a).is_none() && networks.enter(b).is_some());
        drop(place);
        assert!(networks.enter(a).is_some());
        assert!(networks.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn a_site_has_as_much_as_two_of_its_networks_and_the_machine_itself_what_it_likes() {
        let networks = Networks::new(1);
        let enter = |address: &str| networks.enter(address.parse().unwrap());
        let places = [enter("2001:db8:1:1::1"), enter("2001:db8:1:2::1")];
        assert!(places.iter().all(Option::is_some));
        assert!(enter("2001:db8:1:3::1").is_none() && enter("2001:db8:2:3::1").is_some());
        let own = ["127.0.0.1", "::1", "::ffff:127.0.0.1"].repeat(3).into_iter().map(enter);
        assert!(own.collect::<Vec<_>>().iter().all(Option::is_some));
        drop(places);
        assert!(networks.counts.lock().unwrap().is_empty());
    }
}
