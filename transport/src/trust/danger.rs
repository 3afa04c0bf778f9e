//! Exceptions from the web's trust, for tests and the demo only: whoever controls them can pose as any
//! organization and any relay.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::Trust;
use crate::error::{Result, TransportError};

/// What is trusted beside the web's roots.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// Root certificates, PEM, one or more; empty for none.
    pub root_certificates_pem: Vec<u8>,
    /// Hosts whose address is not asked of the system's resolver. Ports are those of the origin or domain.
    pub addresses: BTreeMap<String, IpAddr>,
}

impl Exceptions {
    /// The web's trust with these exceptions.
    ///
    /// # Errors
    /// [`TransportError::Configuration`] if there is no certificate in the PEM, or one that cannot be used.
    pub fn into_trust(self) -> Result<Trust> {
        let unusable = TransportError::Configuration("root certificate");
        let mut roots = Arc::unwrap_or_clone(Trust::web().roots);
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(&self.root_certificates_pem) {
            roots.add(certificate.map_err(|_| unusable)?).map_err(|_| unusable)?;
            added += 1;
        }
        if added == 0 && !self.root_certificates_pem.is_empty() {
            return Err(unusable);
        }
        Ok(Trust { roots: Arc::new(roots), overrides: Arc::new(self.addresses) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let exceptions =
            |pem: &[u8]| Exceptions { root_certificates_pem: pem.to_vec(), ..Exceptions::default() };
        assert!(exceptions(b"").into_trust().is_ok());
        assert!(exceptions(b"not a certificate").into_trust().is_err());
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(exceptions(pem).into_trust().is_err());
    }
}
