//! The stop: durable here first, then at the relay, until the organization has confirmed by signature.

use sealcare_protocol::{GrantId, Revocation, Timestamp, UnverifiedConfirmation};

use crate::{
    account::Account,
    bundle,
    error::Result,
    grant::{GrantRow, Phase},
    outbox,
    patient::Patient,
    sharing::PassOutcome,
    store::LINK_CODES,
};

/// How far a stop has come. A confirmation is the organization's signed claim, not proof of erasure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RevocationState {
    /// The relay has closed the grant and deleted its envelopes; the organization has not confirmed yet.
    Pending,
    /// The organization has signed that it destroyed keys and copy.
    Confirmed {
        /// By its clock.
        at: Timestamp,
    },
}

impl Patient {
    /// Stops a grant. From its first step, which is durable, nothing of the grant is sealed or deposited from here,
    /// whatever becomes of the call; [`Patient::share`] repeats it until the organization has confirmed. Again for a
    /// stopped grant asks how far it has come.
    ///
    /// # Errors
    /// [`crate::ClientError::UnknownGrant`]; what any call can meet, and then the stop is still to reach the relay.
    pub async fn revoke(&self, grant: GrantId) -> Result<RevocationState> {
        if let Some(at) = self.stop_here(grant).await? {
            return Ok(RevocationState::Confirmed { at });
        }
        let sign = move |tx: &sealcare_vault::ReadTransaction<'_>| {
            let row = GrantRow::load(tx, &grant)?;
            let key = Account::load(tx)?.secret.deposit_key(&row.relay, row.deposit_number);
            Ok(Revocation::sign(&key, &row.organization))
        };
        let revocation = self.store.read(sign).await?;
        let channel = self.open_channel(grant).await?;
        match channel.revoke_grant(&revocation).await? {
            None => Ok(RevocationState::Pending),
            Some(confirmation) => self.confirm(grant, confirmation).await,
        }
    }

    /// The stop of an earlier call, or of another device, once more.
    pub(crate) async fn repeat_revocation(&self, grant: GrantId) -> Result<PassOutcome> {
        Ok(match self.revoke(grant).await? {
            RevocationState::Pending => PassOutcome::RevocationPending,
            RevocationState::Confirmed { .. } => PassOutcome::Revoked,
        })
    }

    /// Marks the grant as stopped and destroys what it had in its outbox. Tells when it was confirmed, if it was.
    async fn stop_here(&self, grant: GrantId) -> Result<Option<Timestamp>> {
        let stop = move |vault: &sealcare_vault::Vault| {
            let confirmed = vault.write(|tx| {
                let mut row = GrantRow::load(tx, &grant)?;
                if let Phase::Revoked(at) = row.phase {
                    return Ok(Some(Timestamp::from_millis(at)));
                }
                row.phase = Phase::Revoking;
                (row.session, row.outbox.records_pending) = (None, 0);
                outbox::clear(tx, &grant)?;
                tx.delete(LINK_CODES, grant.as_bytes())?;
                row.save(tx, &grant)?;
                Ok::<_, crate::ClientError>(None)
            })?;
            vault.destroy_wrapping_key(grant.as_bytes())?;
            Ok(confirmed)
        };
        self.store.run(stop).await
    }

    /// Takes a confirmation that the pinned organization signed for this grant. Anything else is the relay's noise:
    /// the stop stays pending.
    async fn confirm(&self, grant: GrantId, confirmation: UnverifiedConfirmation) -> Result<RevocationState> {
        let take = move |tx: &mut sealcare_vault::WriteTransaction<'_>| {
            let mut row = GrantRow::load(tx, &grant)?;
            let authority = bundle::load(tx, &grant, &row)?;
            if *confirmation.grant() != grant {
                return Ok(RevocationState::Pending);
            }
            match confirmation.verify(authority.authority()) {
                Err(_) => Ok(RevocationState::Pending),
                Ok(confirmation) => {
                    let at = confirmation.time();
                    row.phase = Phase::Revoked(at.as_millis());
                    row.save(tx, &grant)?;
                    Ok(RevocationState::Confirmed { at })
                }
            }
        };
        self.store.write(take).await
    }
}
