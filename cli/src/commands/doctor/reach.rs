//! Looking at relays and organizations from here, without signing a call or spending anything.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use sealcare_client::{ClientError, GrantStatus, Invitation, Patient, TransportError};
use tokio::{net::TcpStream, time::timeout};

use crate::error::Result;

/// How long a relay may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// An invitation to nobody, in the form that the library checks; a probe puts a grant's addresses into it.
const NOBODYS_INVITATION: &str = "\
    sealcare:CAESGWh0dHBzOi8vcmVsYXkuaW52YWxpZDo0NDMaFG9yZ2FuaXphdGlvbi5pbnZhbGlkIiAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAACoAMhAAAAAAAAAAAAAAAAAAAAAA";

/// Whether a relay takes connections.
///
/// # Errors
/// [`TransportError::Unreachable`], [`TransportError::Deadline`].
pub(super) async fn relay(origin: &str, addresses: &BTreeMap<String, IpAddr>) -> Result<()> {
    let authority = origin.trim_start_matches("https://");
    let (host, port) = authority.rsplit_once(':').ok_or(TransportError::Unreachable)?;
    let port: u16 = port.parse().map_err(|_| TransportError::Unreachable)?;
    let host = addresses.get(host).map_or_else(|| host.to_owned(), ToString::to_string);
    match timeout(CONNECT_WITHIN, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(TransportError::Unreachable.into()),
        Err(_) => Err(TransportError::Deadline.into()),
    }
}

/// Whether the grant's organization serves keys at its domain that hold now: the check of an acceptance, which tells
/// nothing to the relay.
///
/// # Errors
/// Those of [`Patient::consider`].
pub(super) async fn keys(patient: &Patient, grant: &GrantStatus) -> Result<()> {
    let mut probe = nobodys_invitation()?;
    (probe.relay, probe.domain, probe.organization) =
        (grant.relay.clone(), grant.domain.clone(), grant.organization);
    patient.consider(probe).await?;
    Ok(())
}

fn nobodys_invitation() -> Result<Invitation> {
    Ok(Invitation::from_text(NOBODYS_INVITATION).map_err(ClientError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_probe_is_an_invitation_to_nobody() {
        let probe = nobodys_invitation().unwrap();
        assert_eq!(probe.domain.as_str(), "organization.invalid");
        assert_eq!(probe.link_code.as_bytes(), &[0; 16]);
    }

    #[tokio::test]
    async fn a_relay_is_reached_where_the_override_says() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = BTreeMap::from([("relay.invalid".to_owned(), [127, 0, 0, 1].into())]);
        let origin = format!("https://relay.invalid:{port}");
        assert!(relay(&origin, &addresses).await.is_ok());
        drop(listener);
        let refused = relay(&origin, &addresses).await.unwrap_err();
        assert!(matches!(refused, Error::Client(ClientError::Transport(TransportError::Unreachable))));
    }
}
