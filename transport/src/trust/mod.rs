//! Whom a connection trusts: the web's roots. Exceptions live in [`danger`] alone.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs};

use crate::error::{Result, TransportError};

pub mod danger;

/// The certificates that are accepted, and where names lead.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    overrides: Arc<BTreeMap<String, IpAddr>>,
}

impl Trust {
    /// Mozilla's root certificates and the system's resolver.
    pub fn web() -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self { roots: Arc::new(roots), overrides: Arc::default() }
    }

    /// Where `host` was told to be, if it was.
    pub(crate) fn address_of(&self, host: &str) -> Option<IpAddr> {
        self.overrides.get(host).copied()
    }

    /// A TLS configuration of its own: nothing that one connection learned helps to recognize another.
    pub(crate) fn tls(&self, protocols: &[&[u8]]) -> Result<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| TransportError::Configuration("tls versions"))?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    /// An HTTPS client that stays at the host it is sent to.
    pub(crate) fn http(&self) -> Result<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(&[b"http/1.1"])?)
            .https_only(true)
            .no_proxy()
            .connect_timeout(crate::connector::CONNECT_TIMEOUT)
            .timeout(crate::connector::CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::custom(same_host));
        let builder = self.overrides.iter().fold(builder, |builder, (host, address)| {
            builder.resolve(host, std::net::SocketAddr::new(*address, 0))
        });
        builder.build().map_err(|_| TransportError::Configuration("http client"))
    }
}

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 4;

fn same_host(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let stays = attempt.previous().first().is_some_and(|first| {
        first.host_str() == attempt.url().host_str()
            && first.port_or_known_default() == attempt.url().port_or_known_default()
    });
    if stays && attempt.previous().len() <= REDIRECTS_MAX {
        attempt.follow()
    } else {
        attempt.error("redirected to another host")
    }
}
