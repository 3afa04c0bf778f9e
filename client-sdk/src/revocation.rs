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

#[cfg(test)]
mod tests {
    use sealcare_protocol::Confirmation;

    use super::*;
    use crate::fixture::{Fixture, NOW, organization};

    async fn confirmed(signed: impl FnOnce(&Fixture) -> Confirmation) -> RevocationState {
        let fixture = Fixture::new().await;
        let confirmation = signed(&fixture).signed().clone();
        fixture.patient.stop_here(fixture.grant).await.unwrap();
        let confirmation = UnverifiedConfirmation::new(confirmation).unwrap();
        let state = fixture.patient.confirm(fixture.grant, confirmation).await.unwrap();
        let is_final = matches!(fixture.row().await.phase, Phase::Revoked(_));
        assert_eq!(is_final, state != RevocationState::Pending);
        state
    }

    #[tokio::test]
    async fn the_organizations_signature_confirms() {
        let sign = |f: &Fixture| Confirmation::sign(&f.grant, f.bundle.delegation(), &f.gateway, NOW);
        assert_eq!(confirmed(sign).await, RevocationState::Confirmed { at: NOW });
    }

    #[tokio::test]
    async fn another_signature_or_another_grant_confirms_nothing() {
        let (gateway, bundle) = organization(9);
        let forged = |f: &Fixture| Confirmation::sign(&f.grant, bundle.delegation(), &gateway, NOW);
        assert_eq!(confirmed(forged).await, RevocationState::Pending);
        let stranger = |f: &Fixture| Confirmation::sign(&f.grant, f.bundle.delegation(), &gateway, NOW);
        assert_eq!(confirmed(stranger).await, RevocationState::Pending);
        let other = GrantId::from_bytes([7; 32]);
        let misplaced = |f: &Fixture| Confirmation::sign(&other, f.bundle.delegation(), &f.gateway, NOW);
        assert_eq!(confirmed(misplaced).await, RevocationState::Pending);
    }
}
