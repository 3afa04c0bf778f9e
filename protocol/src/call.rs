//! A patient's calls to a relay: proof of the deposit key, good for five minutes.

use std::time::Duration;

use bytes::Bytes;
use sealcare_proto::v1 as wire;

use crate::{
    address::RelayOrigin,
    error::CallError,
    keys::{DepositKey, DepositPublicKey},
    time::Timestamp,
    transcript::{Label, sha256},
};

/// How far a call's time may be from the relay's.
pub const CALL_SKEW: Duration = Duration::from_mins(5);

/// The table of methods that a patient signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum CallMethod {
    /// `MailboxService.AcceptInvitation`.
    AcceptInvitation = 1,
    /// `MailboxService.Deposit`.
    Deposit = 2,
    /// `MailboxService.FetchReplies`.
    FetchReplies = 3,
    /// `MailboxService.GrantStatus`.
    GrantStatus = 4,
    /// `MailboxService.RevokeGrant`.
    RevokeGrant = 5,
    /// `MailboxService.DepositStream`; the request is the relay's challenge, so that no replay opens a stream.
    DepositStream = 6,
}

impl CallMethod {
    const fn number(self) -> u16 {
        self as u16
    }
}

/// Signs `request` for `method` at `relay`.
pub fn sign_call(
    key: &DepositKey,
    relay: &RelayOrigin,
    method: CallMethod,
    request: Bytes,
    now: Timestamp,
) -> wire::SignedCall {
    let deposit_key = key.public();
    let parts = parts(relay, method, &deposit_key, now, &request);
    let signature = key.sign(Label::Call, &[&parts]);
    wire::SignedCall {
        deposit_key: Bytes::copy_from_slice(deposit_key.as_bytes()),
        time_ms: now.as_millis(),
        method: u32::from(method.number()),
        request,
        signature: Bytes::copy_from_slice(&signature),
    }
}

/// SHA-256(relay origin) ‖ method u16 ‖ deposit key ‖ time u64 ‖ SHA-256(request).
fn parts(
    relay: &RelayOrigin,
    method: CallMethod,
    key: &DepositPublicKey,
    time: Timestamp,
    request: &[u8],
) -> Vec<u8> {
    [
        &sha256(relay.as_str().as_bytes())[..],
        &method.number().to_be_bytes(),
        key.as_bytes(),
        &time.as_millis().to_be_bytes(),
        &sha256(request),
    ]
    .concat()
}

/// A call whose caller is proven.
#[derive(Clone, Debug)]
pub struct VerifiedCall {
    /// The caller.
    pub deposit_key: DepositPublicKey,
    /// The request's bytes, still to be decoded.
    pub request: Bytes,
}

/// Checks that `call` is for `method` at `relay`, of now, and signed by its deposit key.
///
/// # Errors
/// A [`CallError`]; [`CallError::Skew`] only where everything but the time is in form.
pub fn verify_call(
    call: wire::SignedCall,
    relay: &RelayOrigin,
    method: CallMethod,
    now: Timestamp,
) -> Result<VerifiedCall, CallError> {
    let deposit_key = DepositPublicKey::from_slice(&call.deposit_key).map_err(|_| CallError::Malformed)?;
    if call.method != u32::from(method.number()) {
        return Err(CallError::Method);
    }
    let time = Timestamp::from_millis(call.time_ms);
    if now.since(time) > CALL_SKEW || time.since(now) > CALL_SKEW {
        return Err(CallError::Skew);
    }
    let parts = parts(relay, method, &deposit_key, time, &call.request);
    deposit_key.verify(Label::Call, &[&parts], &call.signature, "call").map_err(|_| CallError::Signature)?;
    Ok(VerifiedCall { deposit_key, request: call.request })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_good_for_its_relay_method_time_and_bytes_only() {
        let key = DepositKey::from_seed(&[4; 32]);
        let relay = "https://relay.example:443".parse().unwrap();
        let other = "https://other.example:443".parse().unwrap();
        let now = Timestamp::from_millis(1_700_000_000_000);
        let call = sign_call(&key, &relay, CallMethod::Deposit, Bytes::from_static(b"x"), now);
        let verify = |call: &wire::SignedCall, relay, method, now| {
            verify_call(call.clone(), relay, method, now).map(|c| c.deposit_key).err()
        };
        assert_eq!(verify(&call, &relay, CallMethod::Deposit, now), None);
        assert_eq!(verify(&call, &other, CallMethod::Deposit, now), Some(CallError::Signature));
        assert_eq!(verify(&call, &relay, CallMethod::RevokeGrant, now), Some(CallError::Method));
        let late = now.plus(CALL_SKEW + Duration::from_millis(1));
        assert_eq!(verify(&call, &relay, CallMethod::Deposit, late), Some(CallError::Skew));
        let altered = wire::SignedCall { request: Bytes::from_static(b"y"), ..call };
        assert_eq!(verify(&altered, &relay, CallMethod::Deposit, now), Some(CallError::Signature));
    }
}
