//! The stop: durable here first, then at the relay, until the organization has confirmed by signature. And what a
//! relay must show before a stop that was not made here is believed.

use sealcare_protocol::{
    GrantId, KeyBundle, Revocation, Timestamp, UnverifiedConfirmation, UnverifiedRevocation,
};
use sealcare_transport::GrantReport;
use sealcare_vault::{ReadTransaction, Vault, WriteTransaction};

use crate::{
    account::Account,
    bundle,
    error::{ClientError, Result},
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
        self.begin_revocation(grant).await?;
        self.tell_relay(grant).await
    }

    /// The first step of [`Patient::revoke`] alone: durable here, from now on nothing of the grant leaves, and the
    /// next [`Patient::share`] or [`Patient::revoke`] tells the relay.
    ///
    /// # Errors
    /// [`crate::ClientError::UnknownGrant`], and those of the vault.
    pub async fn begin_revocation(&self, grant: GrantId) -> Result<()> {
        let stops = self.stops.clone();
        let stop = move |vault: &Vault| {
            vault.write(|tx| match GrantRow::load(tx, &grant)?.phase {
                Phase::Active => stop(tx, &grant, Phase::Revoking),
                Phase::Revoking | Phase::Revoked(_) | Phase::Ended(_) => Ok(()),
            })?;
            stops.send_modify(|count| *count = count.wrapping_add(1));
            Ok(vault.destroy_wrapping_key(grant.as_bytes())?)
        };
        self.store.run(stop).await
    }

    /// The stop of an earlier call once more.
    pub(crate) async fn repeat_revocation(&self, grant: GrantId) -> Result<PassOutcome> {
        self.destroy_key(grant).await?;
        Ok(match self.tell_relay(grant).await? {
            RevocationState::Pending => PassOutcome::RevocationPending,
            RevocationState::Confirmed { .. } => PassOutcome::Revoked,
        })
    }

    /// Again for a stopped grant: a crash may have come between the stop and this.
    pub(crate) async fn destroy_key(&self, grant: GrantId) -> Result<()> {
        let is_left = move |tx: &ReadTransaction<'_>| Ok(tx.has_wrapping_key(grant.as_bytes())?);
        if self.store.read(is_left).await? {
            self.store.run(move |vault| Ok(vault.destroy_wrapping_key(grant.as_bytes())?)).await?;
        }
        Ok(())
    }

    /// What the relay refuses as closed. It is believed only if it shows what it cannot make: the revocation that
    /// this grant's own key signed (another device's), or the organization's confirmation (of a lapse too).
    pub(crate) async fn believe_closed(&self, grant: GrantId) -> Result<PassOutcome> {
        let report = self.open_channel(grant).await?.grant_status().await?;
        if let Some(confirmation) = &report.confirmation {
            self.renew_authority(grant, confirmation).await?;
        }
        let adopt = move |vault: &Vault| {
            vault.write(|tx| {
                let row = GrantRow::load(tx, &grant)?;
                if row.phase == Phase::Active {
                    stop(tx, &grant, proven_phase(tx, &grant, &row, report)?)?;
                }
                Ok::<_, ClientError>(())
            })?;
            Ok(vault.destroy_wrapping_key(grant.as_bytes())?)
        };
        self.store.run(adopt).await?;
        self.repeat_revocation(grant).await
    }

    /// Signs and sends the revocation of a grant that was stopped; of an active one nothing is ever signed.
    async fn tell_relay(&self, grant: GrantId) -> Result<RevocationState> {
        let sign = move |tx: &ReadTransaction<'_>| {
            let row = GrantRow::load(tx, &grant)?;
            match row.phase {
                Phase::Active => Err(ClientError::ClosedByRelay),
                Phase::Revoked(at) | Phase::Ended(at) => Ok(Err(Timestamp::from_millis(at))),
                Phase::Revoking => {
                    let key = Account::load(tx)?.deposit_key(&row)?;
                    Ok(Ok(Revocation::sign(&key, &row.organization)))
                }
            }
        };
        let revocation = match self.store.read(sign).await? {
            Ok(revocation) => revocation,
            Err(at) => return Ok(RevocationState::Confirmed { at }),
        };
        let channel = self.open_channel(grant).await?;
        match channel.revoke_grant(&revocation).await? {
            None => Ok(RevocationState::Pending),
            Some(confirmation) => self.confirm(grant, confirmation).await,
        }
    }

    /// Takes a confirmation that the pinned organization signed for this grant. Anything else is the relay's noise:
    /// the stop stays pending.
    async fn confirm(&self, grant: GrantId, confirmation: UnverifiedConfirmation) -> Result<RevocationState> {
        self.renew_authority(grant, &confirmation).await?;
        let take = move |tx: &mut sealcare_vault::WriteTransaction<'_>| {
            let mut row = GrantRow::load(tx, &grant)?;
            let authority = bundle::load(tx, &grant, &row)?;
            let Some(at) = confirmed_at(&grant, &authority, confirmation) else {
                return Ok(RevocationState::Pending);
            };
            row.phase = Phase::Revoked(at.as_millis());
            row.save(tx, &grant)?;
            Ok(RevocationState::Confirmed { at })
        };
        self.store.write(take).await
    }

    /// A confirmation that the kept bundle does not vouch for may be signed by a later key of the organization's:
    /// then a newer bundle is looked for, which the pin must allow. Without one, the confirmation stays noise.
    async fn renew_authority(&self, grant: GrantId, shown: &UnverifiedConfirmation) -> Result<()> {
        let shown = shown.clone();
        let is_vouched = move |tx: &ReadTransaction<'_>| {
            let authority = bundle::load(tx, &grant, &GrantRow::load(tx, &grant)?)?;
            Ok(confirmed_at(&grant, &authority, shown).is_some())
        };
        if self.store.read(is_vouched).await? {
            return Ok(());
        }
        if let Err(error) = self.renew_bundle(grant).await {
            tracing::debug!(%error, "no newer bundle for a confirmation");
        }
        Ok(())
    }
}

/// Marks a grant as stopped and deletes what it had in its outbox; its wrapping key is to be destroyed after.
pub(crate) fn stop(tx: &mut WriteTransaction<'_>, grant: &GrantId, phase: Phase) -> Result<()> {
    let mut row = GrantRow::load(tx, grant)?;
    row.phase = phase;
    (row.session, row.outbox.records_pending) = (None, 0);
    outbox::clear(tx, grant)?;
    tx.delete(LINK_CODES, grant.as_bytes())?;
    row.save(tx, grant)
}

/// How far a stop has come that `report` proves.
pub(crate) fn proven_phase(
    tx: &ReadTransaction<'_>,
    grant: &GrantId,
    row: &GrantRow,
    report: GrantReport,
) -> Result<Phase> {
    let authority = bundle::load(tx, grant, row)?;
    let confirmed = report.confirmation.and_then(|shown| confirmed_at(grant, &authority, shown));
    let is_revoked = report.revocation.is_some_and(|shown| is_revocation_of(grant, shown));
    match (confirmed, is_revoked) {
        (Some(at), true) => Ok(Phase::Revoked(at.as_millis())),
        (Some(at), false) => Ok(Phase::Ended(at.as_millis())),
        (None, true) => Ok(Phase::Revoking),
        (None, false) => Err(ClientError::ClosedByRelay),
    }
}

/// The grant id is made of the deposit key, so that no other key's signature passes.
fn is_revocation_of(grant: &GrantId, shown: UnverifiedRevocation) -> bool {
    shown.verify().is_ok_and(|revocation| revocation.grant() == grant)
}

/// When the organization confirmed the end of `grant`, if it did.
fn confirmed_at(grant: &GrantId, bundle: &KeyBundle, shown: UnverifiedConfirmation) -> Option<Timestamp> {
    let confirmation = shown.verify(bundle.authority()).ok()?;
    (confirmation.grant() == grant).then(|| confirmation.time())
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::{Confirmation, DepositKey};

    use super::*;
    use crate::fixture::{Fixture, NOW, organization};

    async fn confirmed(signed: impl FnOnce(&Fixture) -> Confirmation) -> RevocationState {
        let fixture = Fixture::new().await;
        let confirmation = signed(&fixture).signed().clone();
        fixture.patient.begin_revocation(fixture.grant).await.unwrap();
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
    async fn a_key_that_a_crash_left_behind_a_stop_is_destroyed_by_the_next_pass() {
        for phase in [Phase::Revoking, Phase::Revoked(1), Phase::Ended(1)] {
            let fixture = Fixture::new().await;
            let grant = fixture.grant;
            fixture.patient.store.write(move |tx| stop(tx, &grant, phase)).await.unwrap();
            // Nothing answers at its relay.
            fixture.patient.share(&|_| ()).await.unwrap();
            let is_left = move |tx: &ReadTransaction<'_>| Ok(tx.has_wrapping_key(grant.as_bytes())?);
            assert!(!fixture.patient.store.read(is_left).await.unwrap(), "{phase:?}");
        }
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

    fn report(
        fixture: &Fixture,
        confirmation: Option<&Confirmation>,
        revocation: Option<&Revocation>,
    ) -> GrantReport {
        let confirmation =
            confirmation.map(|made| UnverifiedConfirmation::new(made.signed().clone()).unwrap());
        GrantReport {
            organization: *fixture.bundle.organization(),
            is_revoked: true,
            sessions: Vec::new(),
            confirmation,
            revocation: revocation.map(|made| UnverifiedRevocation::new(made.to_wire())),
            stored_bytes: 0,
        }
    }

    async fn proven(fixture: &Fixture, report: GrantReport) -> Result<Phase> {
        let grant = fixture.grant;
        let read =
            move |tx: &ReadTransaction<'_>| proven_phase(tx, &grant, &GrantRow::load(tx, &grant)?, report);
        fixture.patient.store.read(read).await
    }

    #[tokio::test]
    async fn a_relays_bare_word_closes_no_grant() {
        let fixture = Fixture::new().await;
        let stranger = Revocation::sign(&DepositKey::from_seed(&[9; 32]), fixture.bundle.organization());
        let (gateway, bundle) = organization(9);
        let forged = Confirmation::sign(&fixture.grant, bundle.delegation(), &gateway, NOW);
        for shown in [
            report(&fixture, None, None),
            report(&fixture, None, Some(&stranger)),
            report(&fixture, Some(&forged), None),
        ] {
            assert!(matches!(proven(&fixture, shown).await, Err(ClientError::ClosedByRelay)));
        }
        let signed = fixture.patient.tell_relay(fixture.grant).await;
        assert!(matches!(signed, Err(ClientError::ClosedByRelay)), "nothing is signed for an active grant");
        assert_eq!(fixture.row().await.phase, Phase::Active);
    }

    #[tokio::test]
    async fn the_grants_own_revocation_or_a_confirmation_closes_it() {
        let fixture = Fixture::new().await;
        let key = fixture.deposit_key().await;
        let own = Revocation::sign(&key, fixture.bundle.organization());
        assert_eq!(proven(&fixture, report(&fixture, None, Some(&own))).await.unwrap(), Phase::Revoking);
        let confirmation =
            Confirmation::sign(&fixture.grant, fixture.bundle.delegation(), &fixture.gateway, NOW);
        let shown = report(&fixture, Some(&confirmation), Some(&own));
        assert_eq!(proven(&fixture, shown).await.unwrap(), Phase::Revoked(NOW.as_millis()));
        let shown = report(&fixture, Some(&confirmation), None);
        assert_eq!(proven(&fixture, shown).await.unwrap(), Phase::Ended(NOW.as_millis()));
    }
}
