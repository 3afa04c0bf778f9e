//! A certificate authority for one story, and the certificate of `localhost` that every server shows.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sealcare_provider::{Trust, danger::Exceptions};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// Where the certificates lie.
pub struct Certificates {
    /// What the others trust.
    pub roots: PathBuf,
    /// The servers' chain.
    pub chain: PathBuf,
    /// The servers' key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    pub fn make(folder: &Path) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let chain = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
        let place = |name: &str| folder.join(name);
        let made = Self { roots: place("roots.pem"), chain: place("chain.pem"), key: place("key.pem") };
        std::fs::write(&made.roots, root).unwrap();
        std::fs::write(&made.chain, chain).unwrap();
        std::fs::write(&made.key, key.serialize_pem()).unwrap();
        made
    }

    /// Trusts these, and finds `localhost` on the loopback interface.
    pub fn trust(&self) -> Trust {
        let root_certificates_pem = std::fs::read(&self.roots).unwrap();
        let addresses = [("localhost".to_owned(), [127, 0, 0, 1].into())].into();
        Exceptions { root_certificates_pem, addresses }.into_trust().unwrap()
    }

    /// For a server that speaks `protocols` (ALPN).
    pub(crate) fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let chain = CertificateDer::pem_file_iter(&self.chain).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
