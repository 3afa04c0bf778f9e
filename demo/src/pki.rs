//! A certificate authority for one run, and the certificate of `localhost` that both servers show.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Where the certificates lie.
pub(crate) struct Certificates {
    /// What the others trust.
    pub(crate) roots: PathBuf,
    /// The servers' chain.
    pub(crate) chain: PathBuf,
    /// The servers' key.
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "Sealcare demo, this run only");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let root = authority.self_signed(&authority_key)?;
        let server_key = KeyPair::generate()?;
        let server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?
            .signed_by(&server_key, &Issuer::new(authority, authority_key))?;
        let certificates = Self {
            roots: folder.join("roots.pem"),
            chain: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        fs::write(&certificates.roots, root.pem())?;
        fs::write(&certificates.chain, server.pem())?;
        write_secret(&certificates.key, &server_key.serialize_pem())?;
        Ok(certificates)
    }
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(path)?, text.as_bytes())
}
