//! From a gRPC status to this crate's error: the one place that knows the relay's reason codes.

use sealcare_proto::{ERROR_DOMAIN, v1::Reason};
use sealcare_protocol::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::error::{TransportError, is_tls};

/// The relay's time in the `ErrorInfo` of a refusal for clock skew, milliseconds since 1970.
const RELAY_TIME: &str = "relay_time_ms";

/// The error that `status` means.
pub(crate) fn error_of(status: &Status) -> TransportError {
    if let Some(info) = status.get_details_error_info()
        && info.domain == ERROR_DOMAIN
    {
        return Reason::from_str_name(&info.reason).map_or(TransportError::UnknownReason, of_reason);
    }
    if std::error::Error::source(status).is_some_and(is_tls) {
        return TransportError::Tls;
    }
    of_code(status.code())
}

/// The time that the relay tells with its refusal.
pub(crate) fn relay_time(status: &Status) -> Option<Timestamp> {
    let info = status.get_details_error_info()?;
    info.metadata.get(RELAY_TIME)?.parse().ok().map(Timestamp::from_millis)
}

fn of_reason(reason: Reason) -> TransportError {
    match reason {
        Reason::Unspecified => TransportError::UnknownReason,
        Reason::Malformed => TransportError::Malformed,
        Reason::Unauthenticated => TransportError::Unauthenticated,
        Reason::ClockSkew => TransportError::ClockSkew,
        Reason::NotFound => TransportError::NotFound,
        Reason::TicketExpired => TransportError::TicketExpired,
        Reason::TicketSpent => TransportError::TicketSpent,
        Reason::GrantRevoked => TransportError::GrantRevoked,
        Reason::GrantFull => TransportError::GrantFull,
        Reason::OrganizationNotApproved => TransportError::OrganizationNotApproved,
        Reason::Stale => TransportError::Stale,
        Reason::RateLimited => TransportError::RateLimited,
        Reason::Unavailable => TransportError::Unavailable,
        Reason::Conflict => TransportError::Conflict,
    }
}

/// What has no reason comes from tonic, a proxy, or a broken connection.
fn of_code(code: Code) -> TransportError {
    match code {
        Code::DeadlineExceeded => TransportError::Deadline,
        Code::ResourceExhausted => TransportError::RateLimited,
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Aborted => TransportError::Unreachable,
        Code::Unauthenticated | Code::PermissionDenied => TransportError::Unauthenticated,
        Code::NotFound => TransportError::NotFound,
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => TransportError::Malformed,
        _ => TransportError::Response("status"),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(reason: &str, domain: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, domain, std::collections::HashMap::new());
        Status::with_error_details(Code::FailedPrecondition, "text", details)
    }

    #[test]
    fn reasons_have_their_variants() {
        for (reason, error) in [
            ("REASON_TICKET_SPENT", TransportError::TicketSpent),
            ("REASON_GRANT_REVOKED", TransportError::GrantRevoked),
            ("REASON_OF_NEXT_YEAR", TransportError::UnknownReason),
        ] {
            assert_eq!(error_of(&status(reason, ERROR_DOMAIN)), error);
        }
    }

    #[test]
    fn a_refusal_for_skew_tells_the_time() {
        let metadata = std::collections::HashMap::from([(RELAY_TIME.to_owned(), "1234".to_owned())]);
        let details = ErrorDetails::with_error_info("REASON_CLOCK_SKEW", ERROR_DOMAIN, metadata);
        let status = Status::with_error_details(Code::Unauthenticated, "text", details);
        assert_eq!(error_of(&status), TransportError::ClockSkew);
        assert_eq!(relay_time(&status), Some(Timestamp::from_millis(1234)));
        assert_eq!(relay_time(&Status::unavailable("x")), None);
    }

    #[test]
    fn reasons_of_other_domains_are_not_ours() {
        let foreign = status("REASON_TICKET_SPENT", "example.com");
        assert_eq!(error_of(&foreign), TransportError::Response("status"));
        assert_eq!(error_of(&Status::unavailable("x")), TransportError::Unreachable);
    }
}
