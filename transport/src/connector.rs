//! One HTTP/2 connection to a relay, with every limit set. TLS is made here rather than by tonic, so that one
//! configuration serves all: explicit provider, no resumption, the resolver override.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use sealcare_protocol::RelayOrigin;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use crate::{
    error::{Result, TransportError},
    trust::Trust,
};

/// For TCP and TLS together.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one attempt of a unary call.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer; the largest is a delivery batch: 256 KiB of envelopes and their frames.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a request; the largest is a deposit: 256 KiB of envelopes and their frames.
pub(crate) const REQUEST_BYTES_MAX: usize = 512 * 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const WINDOW_BYTES: u32 = 1024 * 1024;
const HEADER_BYTES_MAX: u32 = 16 * 1024;
const RESET_STREAMS_MAX: usize = 100;
const CONCURRENT_CALLS_MAX: usize = 64;

/// A channel that connects at its first call and again after it broke.
pub(crate) fn connect(relay: &RelayOrigin, trust: &Trust) -> Result<Channel> {
    let unusable = TransportError::Configuration("relay origin");
    let authority = relay.as_str().strip_prefix("https://").ok_or(unusable)?;
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).ok_or(unusable)?;
    let connection = Connection {
        host: relay.host().to_owned(),
        port,
        name: ServerName::try_from(relay.host().to_owned()).map_err(|_| unusable)?,
        tls: TlsConnector::from(Arc::new(trust.tls(&[b"h2"])?)),
        trust: trust.clone(),
    };
    let connector = tower::service_fn(move |_: http::Uri| connection.clone().open());
    Ok(endpoint(relay, authority)?.connect_with_connector_lazy(connector))
}

/// tonic refuses an `https` address without its own TLS, so the address is `http` and the origin says `https`.
fn endpoint(relay: &RelayOrigin, authority: &str) -> Result<Endpoint> {
    let unusable = TransportError::Configuration("relay origin");
    let origin = relay.as_str().parse().map_err(|_| unusable)?;
    Ok(Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|_| unusable)?
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .concurrency_limit(CONCURRENT_CALLS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_local_error_reset_streams(RESET_STREAMS_MAX))
}

#[derive(Clone)]
struct Connection {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    trust: Trust,
}

impl Connection {
    async fn open(self) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let tcp = match self.trust.address_of(&self.host) {
            Some(address) => TcpStream::connect((address, self.port)).await?,
            None => TcpStream::connect((self.host.as_str(), self.port)).await?,
        };
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(self.name, tcp).await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Ok(TokioIo::new(stream))
        } else {
            Err(io::Error::new(io::ErrorKind::Unsupported, "the relay does not speak HTTP/2"))
        }
    }
}
