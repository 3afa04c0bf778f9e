//! Where organizations and relays are: domains and origins, in the one spelling that is signed.

use std::{fmt, str::FromStr};

use crate::error::{Error, Result};

/// An organization's domain: `host[:port]`, lower case, at most 253 bytes of host.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Domain(String);

impl Domain {
    /// The text as it is hashed into the organization id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the organization serves its bundle.
    pub fn bundle_url(&self) -> String {
        format!("https://{}/.well-known/sealcare-organization", self.0)
    }
}

impl FromStr for Domain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (host, port) = split_port(text).ok_or(Error::Malformed("domain"))?;
        if is_host(host) && port.is_none_or(|p| p != 0) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Malformed("domain"))
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A relay's origin: `https://host:port`, lower case, the port always written.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RelayOrigin(String);

impl RelayOrigin {
    /// The text as it is signed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        let authority = &self.0["https://".len()..];
        authority.rsplit_once(':').map_or(authority, |(host, _)| host)
    }
}

impl FromStr for RelayOrigin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let authority = text.strip_prefix("https://").ok_or(Error::Malformed("relay origin"))?;
        match split_port(authority) {
            Some((host, Some(port))) if is_host(host) && port != 0 => Ok(Self(text.to_owned())),
            _ => Err(Error::Malformed("relay origin")),
        }
    }
}

impl fmt::Display for RelayOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and port; `None` where a port is written and is not a plain number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Some((authority, None));
    };
    let plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    port.parse().ok().filter(|_| plain).map(|port| (host, Some(port)))
}

/// RFC 1123 labels, lower case, or an IPv4 address (which has the same form).
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_have_one_spelling() {
        for good in ["clinic.example", "clinic.example:8443", "localhost:1", "127.0.0.1:443"] {
            assert!(good.parse::<Domain>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Clinic.example",
            "a..b",
            "a:",
            "a:0",
            "a:070",
            "a:+1",
            "a:99999",
            "-a",
            "a/b",
            "a b",
            "[::1]",
        ] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_https_with_a_port() {
        let origin: RelayOrigin = "https://relay.example:7443".parse().unwrap();
        assert_eq!(origin.host(), "relay.example");
        for bad in [
            "relay.example:7443",
            "http://relay.example:7443",
            "https://relay.example",
            "https://relay.example:7443/",
        ] {
            assert!(bad.parse::<RelayOrigin>().is_err(), "{bad}");
        }
    }
}
