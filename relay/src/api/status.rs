//! Refusals as they leave the relay: the one map from reason to code, public text and log level, with a
//! `google.rpc.ErrorInfo`. What happened inside never leaves.

use std::collections::HashMap;

use sealcare_proto::{ERROR_DOMAIN, v1::Reason};
use sealcare_protocol::Timestamp;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::store::StoreError;

/// Where a refusal is logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Level {
    /// The caller's business.
    Debug,
    /// The operator's business.
    Warn,
}

const fn entry(reason: Reason) -> (Code, &'static str, Level) {
    match reason {
        Reason::Malformed => {
            (Code::InvalidArgument, "a field is missing, malformed or out of bounds", Level::Debug)
        }
        Reason::Unauthenticated => (Code::Unauthenticated, "the caller is not proven", Level::Debug),
        Reason::ClockSkew => {
            (Code::Unauthenticated, "the call's time is more than 5 minutes off", Level::Debug)
        }
        Reason::NotFound => (Code::NotFound, "not found", Level::Debug),
        Reason::TicketExpired => (Code::FailedPrecondition, "the ticket has expired", Level::Debug),
        Reason::TicketSpent => (Code::AlreadyExists, "the ticket is spent", Level::Debug),
        Reason::GrantRevoked => (Code::FailedPrecondition, "the grant is revoked", Level::Debug),
        Reason::GrantFull => (Code::ResourceExhausted, "the grant holds all that it may", Level::Debug),
        Reason::OrganizationNotApproved => {
            (Code::FailedPrecondition, "the organization is not approved at this relay", Level::Debug)
        }
        Reason::Stale => (Code::FailedPrecondition, "a newer or different bundle is there", Level::Debug),
        Reason::RateLimited => (Code::ResourceExhausted, "too many calls, try again later", Level::Warn),
        Reason::Unavailable | Reason::Unspecified => (Code::Unavailable, "try again later", Level::Warn),
        Reason::Conflict => (Code::AlreadyExists, "something else is there already", Level::Debug),
    }
}

/// A refusal for `reason`.
pub(crate) fn refuse(reason: Reason) -> Status {
    refuse_with(reason, HashMap::new())
}

/// A refusal for a wrong clock, which tells the relay's.
pub(crate) fn refuse_skew(now: Timestamp) -> Status {
    let time = ("relay_time_ms".to_owned(), now.as_millis().to_string());
    refuse_with(Reason::ClockSkew, HashMap::from([time]))
}

fn refuse_with(reason: Reason, metadata: HashMap<String, String>) -> Status {
    let (code, text, level) = entry(reason);
    let name = reason.as_str_name();
    metrics::counter!("relay_refusals_total", "reason" => name).increment(1);
    match level {
        Level::Debug => tracing::debug!(reason = name, "refused"),
        Level::Warn => tracing::warn!(reason = name, "refused"),
    }
    Status::with_error_details(code, text, ErrorDetails::with_error_info(name, ERROR_DOMAIN, metadata))
}

/// What a store's error is to the caller. Damage is the operator's business: named in the log only.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn store_refusal(error: StoreError) -> Status {
    match error {
        StoreError::NotFound => refuse(Reason::NotFound),
        StoreError::Conflict => refuse(Reason::Conflict),
        StoreError::Unavailable => refuse(Reason::Unavailable),
        StoreError::Corrupt(kind) => {
            tracing::error!(kind, "stored row is damaged");
            metrics::counter!("relay_damage_total", "kind" => kind).increment(1);
            refuse(Reason::Unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_leaves_with_its_name_and_domain() {
        for number in 1..=13 {
            let reason = Reason::try_from(number).unwrap();
            let details = refuse(reason).get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason.as_str_name(), "sealcare"));
        }
    }

    #[test]
    fn skew_tells_the_time_and_damage_tells_nothing() {
        let details = refuse_skew(Timestamp::from_millis(7)).get_error_details();
        assert_eq!(details.error_info().unwrap().metadata["relay_time_ms"], "7");
        let status = store_refusal(StoreError::Corrupt("grant"));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!format!("{status:?}").contains("grant"));
    }
}
