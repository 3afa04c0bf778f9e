//! Storing one batch for a patient, whether it came by a call or on a stream.

use bytes::Bytes;
use sealcare_proto::v1::{self as wire, DepositOutcome, Reason};
use sealcare_protocol::{DepositPublicKey, SessionId};
use tonic::Status;

use super::{
    Services,
    status::{refuse, store_refusal},
};
use crate::store::{DepositBatch, Deposited};

/// What became of a batch, and where its session stands after it.
pub(super) struct Answer {
    /// The same for all of its envelopes.
    pub(super) outcome: DepositOutcome,
    /// How many envelopes.
    pub(super) count: usize,
    session: SessionId,
    next_counter: u64,
}

impl Answer {
    /// Whether the batch is durable, now or since before.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self.outcome, DepositOutcome::Stored | DepositOutcome::Already)
    }

    /// As a stream tells it.
    pub(super) fn progress(&self) -> wire::DepositProgress {
        let outcome = if self.is_stored() { DepositOutcome::Stored } else { self.outcome };
        wire::DepositProgress {
            session_id: Bytes::copy_from_slice(self.session.as_bytes()),
            next_counter: self.next_counter,
            outcome: outcome.into(),
        }
    }
}

/// Stores a batch whole, or not at all.
///
/// # Errors
/// The refusal of what is no batch, or of all that the grant could deposit.
pub(super) async fn deposit(
    services: &Services,
    key: DepositPublicKey,
    request: wire::DepositRequest,
) -> Result<Answer, Status> {
    let batch = DepositBatch::new(request.envelopes).map_err(|_| refuse(Reason::Malformed))?;
    let (count, session, next_counter) = (batch.count(), batch.session(), batch.next_counter());
    let deposited = services.store.deposit(key, batch, services.clock.now()).await;
    let outcome = match deposited.map_err(store_refusal)? {
        Deposited::Stored => DepositOutcome::Stored,
        Deposited::Already => DepositOutcome::Already,
        Deposited::Conflict => DepositOutcome::Conflict,
        Deposited::OutOfOrder => DepositOutcome::OutOfOrder,
        Deposited::UnknownSession => DepositOutcome::UnknownSession,
        Deposited::EpochClosed => DepositOutcome::EpochClosed,
        Deposited::GrantRevoked => return Err(refuse(Reason::GrantRevoked)),
        Deposited::GrantFull => return Err(refuse(Reason::GrantFull)),
        Deposited::NotApproved => return Err(refuse(Reason::OrganizationNotApproved)),
    };
    metrics::counter!("relay_deposited_envelopes_total", "outcome" => outcome.as_str_name())
        .increment(count as u64);
    Ok(Answer { outcome, count, session, next_counter })
}
