//! What can go wrong on the way to a relay or a domain. No text holds a name, key, token or id.

/// This crate's result.
pub type Result<T, E = TransportError> = std::result::Result<T, E>;

/// Why a call was not answered, or what the relay refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection, or it broke, until the deadline.
    #[error("the relay cannot be reached")]
    Unreachable,
    /// The certificate is not valid for the name, or the peer does not speak TLS.
    #[error("the relay's TLS certificate is not valid for its name")]
    Tls,
    /// No answer in time.
    #[error("the relay did not answer in time")]
    Deadline,
    /// The relay's store is failed or it is shutting down.
    #[error("the relay is unavailable; try again later")]
    Unavailable,
    /// Too many calls.
    #[error("the relay refuses more calls for now")]
    RateLimited,
    /// This machine's clock is off, and correcting for it did not help.
    #[error("this machine's clock and the relay's are too far apart")]
    ClockSkew,
    /// The relay found a field missing, malformed or out of bounds.
    #[error("the relay found the call malformed")]
    Malformed,
    /// The relay does not take the signature, token or key.
    #[error("the relay does not accept the caller's key")]
    Unauthenticated,
    /// It is not there, or not for this caller.
    #[error("the relay does not know it")]
    NotFound,
    /// The invitation came too late.
    #[error("the invitation has expired")]
    TicketExpired,
    /// Somebody else accepted the invitation.
    #[error("the invitation was accepted with another key")]
    TicketSpent,
    /// The grant is closed.
    #[error("the grant is revoked")]
    GrantRevoked,
    /// More lies undelivered for the grant than its ticket allows.
    #[error("the relay holds as much for this grant as it may")]
    GrantFull,
    /// The operator has not approved the organization, or has suspended it.
    #[error("the relay's operator has not approved the organization, or has suspended it")]
    OrganizationNotApproved,
    /// An older or different bundle than the one that is there.
    #[error("the relay has a newer bundle")]
    Stale,
    /// It contradicts what is there.
    #[error("it contradicts what the relay has")]
    Conflict,
    /// A reason that a later version of the relay gives.
    #[error("the relay refused for a reason that this version does not know")]
    UnknownReason,
    /// An answer that is not in form.
    #[error("the relay answered with a malformed {0}")]
    Response(&'static str),
    /// A root certificate, key or address that cannot be used.
    #[error("unusable {0}")]
    Configuration(&'static str),
    /// The organization's bundle could not be had at its domain.
    #[error("the organization's keys cannot be fetched at its domain: {0}")]
    Bundle(BundleFault),
}

/// What was wrong at an organization's domain.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleFault {
    /// No connection, or it broke.
    #[error("the domain cannot be reached")]
    Unreachable,
    /// The certificate is not valid for the domain.
    #[error("its TLS certificate is not valid")]
    Tls,
    /// No answer in time.
    #[error("it did not answer in time")]
    Timeout,
    /// It redirects to another host.
    #[error("it redirects elsewhere")]
    Redirect,
    /// Another HTTP status than 200.
    #[error("it answered with http status {0}")]
    Status(u16),
    /// More than 64 KiB.
    #[error("the answer is too large")]
    TooLarge,
    /// A web page.
    #[error("it answered with a web page")]
    Html,
    /// Not a signed bundle.
    #[error("the answer is not a bundle")]
    Malformed,
}

impl TransportError {
    /// Whether the same call may succeed a moment later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Deadline | Self::Unavailable | Self::RateLimited)
    }
}

/// Whether a rustls error lies anywhere below `error`.
pub(crate) fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // `io::Error::source` skips the error that it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_inside_io_errors() {
        let tls = std::io::Error::new(std::io::ErrorKind::InvalidData, rustls::Error::HandshakeNotComplete);
        let outer = std::io::Error::other(tls);
        assert!(is_tls(&outer));
        assert!(!is_tls(&std::io::Error::other("x")));
    }
}
