//! A certificate authority for one test, the certificate of `localhost`, and a domain that serves a bundle under it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

pub(crate) struct Certificates {
    pub(crate) root: String,
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn make() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let chain = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
        Self { root, chain, key: key.serialize_pem() }
    }

    /// Answers every request on `listener` with `body`, until `stopped`.
    pub(crate) fn serve_domain(
        &self,
        listener: TcpListener,
        body: Vec<u8>,
        stopped: oneshot::Receiver<()>,
    ) -> impl Future<Output = ()> + use<> {
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config()));
        let serve = async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                // Who does not trust the certificate hangs up.
                let _ = answer(&acceptor, socket, &body).await;
            }
        };
        async move {
            tokio::select! { () = serve => {} _ = stopped => {} }
        }
    }

    fn server_config(&self) -> ServerConfig {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap()
    }
}

async fn answer(acceptor: &TlsAcceptor, socket: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let mut stream = acceptor.accept(socket).await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    stream.shutdown().await
}
