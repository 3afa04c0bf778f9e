//! Sharing: one pass over every grant's outbox, and passes that follow one another. Each step reads the grant anew
//! from the vault, so that a stop takes effect between any two. Not here: how batches are deposited (`depositing`).

use std::time::Duration;

use rand::{RngExt as _, seq::SliceRandom as _};
use sealcare_protocol::{GrantId, RelayOrigin};
use sealcare_transport::{PatientChannel, TransportError};

use crate::{
    account::Account,
    depositing::Deposits,
    error::{ClientError, Result},
    grant::{GrantRow, Outbox, Phase},
    outbox::{
        bodies::{self, Packed},
        renew_sender, replies, settle,
    },
    patient::Patient,
    recovery::{self, offer, state::Urgency},
    store::LINK_CODES,
};

/// Between two grants of a pass that nobody waits for, so that their connections do not tell whose they are.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// How close the grants of a pass follow one another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pace {
    AtOnce,
    Apart,
}

/// What a pass did for one grant.
#[derive(Debug)]
pub struct SharedGrant {
    /// Which.
    pub grant: GrantId,
    /// How it went; an error of one grant keeps no other from being shared.
    pub outcome: Result<PassOutcome>,
}

/// What was done for a grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PassOutcome {
    /// Everything in scope is with the relay; this many bodies were deposited now.
    Deposited {
        /// Data envelopes.
        bodies: u64,
    },
    /// As much as may be unconfirmed is with the relay; the rest goes once the organization has confirmed.
    Waiting {
        /// Data envelopes that were deposited now.
        bodies: u64,
    },
    /// The patient has paused the grant, or it is not known yet what was chosen last: signs of life go, and no
    /// record.
    Paused,
    /// The grant is stopped, and the organization has not confirmed yet.
    RevocationPending,
    /// The grant is stopped and confirmed; there is nothing to do.
    Revoked,
}

/// How far a pass is with a grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShareProgress {
    /// Which grant.
    pub grant: GrantId,
    /// Bodies (each up to 64 KiB of records) that are with the relay or confirmed.
    pub bodies_deposited: u64,
    /// Bodies so far.
    pub bodies_total: u64,
}

impl Patient {
    /// Shares what is new with every grant: reads replies, packs, seals, deposits; repeats what a crash left
    /// unfinished; asks again for revocations that are not confirmed. The grants come in a new order each time.
    /// Errors of one grant are in its outcome.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn share(
        &self,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<Vec<SharedGrant>> {
        self.pass(Pace::AtOnce, on_progress).await
    }

    /// As [`Patient::share`], for a pass that nobody waits for: with a random pause of up to 3 seconds between two
    /// grants, so that a relay cannot tell from their times that they are one person's.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn share_apart(
        &self,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<Vec<SharedGrant>> {
        self.pass(Pace::Apart, on_progress).await
    }

    /// As [`Patient::share`], with one grant.
    ///
    /// # Errors
    /// [`ClientError::UnknownGrant`], and what its relay, its organization's keys and the vault can meet.
    pub async fn share_with(
        &self,
        grant: GrantId,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<PassOutcome> {
        let _one = self.passes.lock().await;
        self.share_grant(grant, on_progress).await
    }

    async fn pass(
        &self,
        pace: Pace,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<Vec<SharedGrant>> {
        let _one = self.passes.lock().await;
        let grants = self.store.read(GrantRow::all).await?.into_iter();
        let mut shared = self.share_each(grants.map(|(grant, _)| grant).collect(), pace, on_progress).await?;
        // After what is known: no relay can keep that waiting with what it claims to know.
        let report = self.search_alone(Urgency::Usual, &|_| ()).await?;
        for failure in report.failures {
            tracing::debug!(error = %failure.error, "a relay was not searched to its end");
        }
        shared.extend(self.share_each(report.found, pace, on_progress).await?);
        self.store.write(recovery::forget_former).await?;
        shared.sort_unstable_by(|a, b| a.grant.as_bytes().cmp(b.grant.as_bytes()));
        Ok(shared)
    }

    /// In another order each time.
    async fn share_each(
        &self,
        mut grants: Vec<GrantId>,
        pace: Pace,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<Vec<SharedGrant>> {
        grants.shuffle(&mut rand::rng());
        let (mut shared, mut pause) = (Vec::new(), Duration::ZERO);
        for grant in grants {
            let row = self.store.read(move |tx| GrantRow::load(tx, &grant)).await?;
            if matches!(row.phase, Phase::Revoked(_)) {
                self.destroy_key(grant).await?;
                shared.push(SharedGrant { grant, outcome: Ok(PassOutcome::Revoked) });
                continue;
            }
            tokio::time::sleep(pause).await;
            if pace == Pace::Apart {
                pause = PAUSE_MAX.mul_f64(rand::rng().random_range(0.0..=1.0));
            }
            let outcome = self.share_grant(grant, on_progress).await;
            if let Err(error) = &outcome {
                tracing::debug!(%error, "a grant was not shared");
            }
            shared.push(SharedGrant { grant, outcome });
        }
        Ok(shared)
    }

    /// Shares again and again, `every` so often with jitter, as [`Patient::share_apart`] does, until dropped.
    /// `on_pass` hears each pass.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn follow(
        &self,
        every: Duration,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
        on_pass: &(dyn Fn(Vec<SharedGrant>) + Send + Sync),
    ) -> Result<()> {
        loop {
            on_pass(self.share_apart(on_progress).await?);
            let jittered = every.mul_f64(rand::rng().random_range(0.5..=1.5));
            tokio::time::sleep(jittered).await;
        }
    }

    async fn share_grant(
        &self,
        grant: GrantId,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<PassOutcome> {
        if self.store.read(move |tx| GrantRow::load(tx, &grant)).await?.phase != Phase::Active {
            return self.repeat_revocation(grant).await;
        }
        match self.share_active(grant, on_progress).await {
            // Stopped here meanwhile.
            Err(ClientError::Revoked) => self.repeat_revocation(grant).await,
            // On another device or by a lapse, if the relay can show it.
            Err(ClientError::Transport(TransportError::GrantRevoked)) => self.believe_closed(grant).await,
            outcome => outcome,
        }
    }

    async fn share_active(
        &self,
        grant: GrantId,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<PassOutcome> {
        self.mend(grant).await?;
        let channel = self.open_channel(grant).await?;
        self.listen(grant, &channel).await?;
        let mut deposits = Deposits::new(grant, &channel, on_progress);
        loop {
            let packed = self.store.write(move |tx| bodies::pack(tx, &grant)).await?;
            self.deposit_all(&mut deposits).await?;
            let bodies = deposits.bodies;
            match packed {
                Packed::Some => {}
                Packed::All => break Ok(PassOutcome::Deposited { bodies }),
                Packed::Full => break Ok(PassOutcome::Waiting { bodies }),
                Packed::Paused => break Ok(PassOutcome::Paused),
            }
        }
    }

    /// A database that was restored without its wrapping keys holds no session state: another installation's.
    async fn mend(&self, grant: GrantId) -> Result<()> {
        if self.store.read(move |tx| Ok(tx.has_wrapping_key(grant.as_bytes())?)).await? {
            return Ok(());
        }
        let mend = move |vault: &sealcare_vault::Vault| {
            // In this order: a crash in between leaves a grant without a key, which is mended again.
            vault.write(|tx| {
                let mut row = GrantRow::load_active(tx, &grant)?;
                // It can be opened no more, and would keep every session from starting.
                tx.delete(LINK_CODES, grant.as_bytes())?;
                offer::doubt(&mut row);
                renew_sender(tx, &grant, &mut row)
            })?;
            Ok(vault.create_wrapping_key(grant.as_bytes())?)
        };
        self.store.run(mend).await
    }

    pub(crate) async fn open_channel(&self, grant: GrantId) -> Result<PatientChannel> {
        let load = move |tx: &sealcare_vault::ReadTransaction<'_>| -> Result<(RelayOrigin, _)> {
            let row = GrantRow::load(tx, &grant)?;
            let key = Account::load(tx)?.deposit_key(&row)?;
            Ok((row.relay, key))
        };
        let (relay, key) = self.store.read(load).await?;
        self.channel(&relay, key)
    }

    /// Reads the replies, then what the relay says of the session.
    async fn listen(&self, grant: GrantId, channel: &PatientChannel) -> Result<()> {
        let sessions = self.store.read(move |tx| replies::sessions(tx, &grant)).await?;
        if sessions.is_empty() {
            return Ok(());
        }
        let envelopes = channel.fetch_replies(&sessions).await?;
        let now = self.clock.now();
        let store = self.store.clone();
        self.store.write(move |tx| replies::read(tx, &store, &grant, &envelopes, now)).await?;
        let report = channel.grant_status().await?;
        if report.is_revoked {
            return Err(TransportError::GrantRevoked.into());
        }
        self.store.write(move |tx| settle::report(tx, &grant, &report, now)).await
    }

    pub(crate) async fn report_progress(
        &self,
        grant: GrantId,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<()> {
        let row = self.store.read(move |tx| GrantRow::load(tx, &grant)).await?;
        let Outbox { sealed_below, next, .. } = row.outbox;
        on_progress(ShareProgress { grant, bodies_deposited: sealed_below, bodies_total: next });
        Ok(())
    }
}
