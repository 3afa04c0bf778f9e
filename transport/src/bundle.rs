//! An organization's bundle at its own domain: the one place where a first acceptance may get it.

use sealcare_protocol::{Domain, UnverifiedKeyBundle};

use crate::{
    error::{BundleFault, Result, TransportError, is_tls},
    trust::Trust,
};

/// Bytes of a bundle.
const BUNDLE_BYTES_MAX: usize = 64 * 1024;

/// Fetches the bundle that `domain` serves, over HTTPS and from that host only.
///
/// # Errors
/// [`TransportError::Bundle`] with the [`BundleFault`].
pub async fn fetch_bundle_at_domain(domain: &Domain, trust: &Trust) -> Result<UnverifiedKeyBundle> {
    let http = trust.http()?;
    fetch(&http, domain).await.map_err(TransportError::Bundle)
}

async fn fetch(http: &reqwest::Client, domain: &Domain) -> Result<UnverifiedKeyBundle, BundleFault> {
    let mut answer = http.get(domain.bundle_url()).send().await.map_err(|error| fault(&error))?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(BundleFault::Status(answer.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| fault(&error))? {
        if bytes.len() + chunk.len() > BUNDLE_BYTES_MAX {
            return Err(BundleFault::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<UnverifiedKeyBundle, BundleFault> {
    // A protobuf `Signed` begins with 0x0a, which is a line feed: look at what follows white space.
    let is_html = bytes.trim_ascii_start().starts_with(b"<");
    UnverifiedKeyBundle::decode(bytes).ok().filter(|_| !bytes.is_empty() && !is_html).ok_or(if is_html {
        BundleFault::Html
    } else {
        BundleFault::Malformed
    })
}

fn fault(error: &reqwest::Error) -> BundleFault {
    if is_tls(error) {
        BundleFault::Tls
    } else if error.is_redirect() {
        BundleFault::Redirect
    } else if error.is_timeout() {
        BundleFault::Timeout
    } else {
        BundleFault::Unreachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_and_noise_are_named() {
        assert_eq!(parse(b"\n <!doctype html><p>404").err(), Some(BundleFault::Html));
        assert_eq!(parse(b"").err(), Some(BundleFault::Malformed));
        assert_eq!(parse(b"{\"a\":1}").err(), Some(BundleFault::Malformed));
    }
}
