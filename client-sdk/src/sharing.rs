//! Sharing: one pass over every grant's outbox, and passes that follow one another. Each step reads the grant anew
//! from the vault, so that a stop takes effect between any two.

use std::time::Duration;

use rand::RngExt as _;
use sealcare_protocol::{GrantId, RelayOrigin};
use sealcare_transport::{PatientChannel, TransportError};

use crate::{
    account::Account,
    error::{ClientError, Result},
    grant::{GrantRow, Outbox, Phase},
    outbox::{
        bodies::{self, Packed},
        flight::{self, Flight},
        renew_sender, replies,
        settle::{self, Settled},
    },
    patient::Patient,
};

/// New sessions of a grant in one pass, for a relay that has forgotten or closed the one before.
const SESSIONS_A_PASS_MAX: u32 = 3;

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
    /// unfinished; asks again for revocations that are not confirmed. Errors of one grant are in its outcome.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn share(
        &self,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<Vec<SharedGrant>> {
        let _one = self.passes.lock().await;
        let grants = self.store.read(GrantRow::all).await?;
        let mut shared = Vec::new();
        for (grant, row) in grants {
            let outcome = match row.phase {
                Phase::Active => self.share_grant(grant, on_progress).await,
                Phase::Revoking => self.repeat_revocation(grant).await,
                Phase::Revoked(_) => Ok(PassOutcome::Revoked),
            };
            if let Err(error) = &outcome {
                tracing::debug!(%error, "a grant was not shared");
            }
            shared.push(SharedGrant { grant, outcome });
        }
        Ok(shared)
    }

    /// Shares again and again, `every` so often with jitter, until dropped. `on_pass` hears each pass.
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
            on_pass(self.share(on_progress).await?);
            let jittered = every.mul_f64(rand::rng().random_range(0.5..=1.5));
            tokio::time::sleep(jittered).await;
        }
    }

    async fn share_grant(
        &self,
        grant: GrantId,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<PassOutcome> {
        match self.share_active(grant, on_progress).await {
            // Stopped meanwhile: here, on another device, or by a lapse.
            Err(ClientError::Revoked | ClientError::Transport(TransportError::GrantRevoked)) => {
                self.repeat_revocation(grant).await
            }
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
        let mut bodies = 0;
        loop {
            let packed = self.store.write(move |tx| bodies::pack(tx, &grant)).await?;
            bodies += self.deposit_all(grant, &channel, on_progress).await?;
            match packed {
                Packed::Some => {}
                Packed::All => break Ok(PassOutcome::Deposited { bodies }),
                Packed::Full => break Ok(PassOutcome::Waiting { bodies }),
            }
        }
    }

    /// A database that was restored without its wrapping keys holds no session state: another installation's.
    async fn mend(&self, grant: GrantId) -> Result<()> {
        if self.store.read(move |tx| Ok(tx.has_wrapping_key(grant.as_bytes())?)).await? {
            return Ok(());
        }
        let mend = move |vault: &sealcare_vault::Vault| {
            vault.read(|tx| GrantRow::load_active(tx, &grant))?;
            vault.create_wrapping_key(grant.as_bytes())?;
            vault.write(|tx| {
                let mut row = GrantRow::load_active(tx, &grant)?;
                renew_sender(tx, &grant, &mut row)
            })
        };
        self.store.run(mend).await
    }

    pub(crate) async fn open_channel(&self, grant: GrantId) -> Result<PatientChannel> {
        let load = move |tx: &sealcare_vault::ReadTransaction<'_>| -> Result<(RelayOrigin, _)> {
            let row = GrantRow::load(tx, &grant)?;
            let key = Account::load(tx)?.secret.deposit_key(&row.relay, row.deposit_number);
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
        self.store.write(move |tx| replies::read(tx, &grant, &envelopes, now)).await?;
        let report = channel.grant_status().await?;
        if report.is_revoked {
            return Err(TransportError::GrantRevoked.into());
        }
        self.store.write(move |tx| settle::report(tx, &grant, &report, now)).await
    }

    /// Deposits batch after batch until none is left. Returns how many bodies went.
    async fn deposit_all(
        &self,
        grant: GrantId,
        channel: &PatientChannel,
        on_progress: &(dyn Fn(ShareProgress) + Send + Sync),
    ) -> Result<u64> {
        let (mut deposited, mut restarts) = (0, 0);
        while let Some(flight) = self.next_flight(grant).await? {
            match self.deposit(grant, channel, &flight).await? {
                Settled::Deposited => deposited += flight.bodies(),
                Settled::Again if restarts < SESSIONS_A_PASS_MAX => {
                    restarts += 1;
                    self.store.write(move |tx| bodies::pack(tx, &grant)).await?;
                }
                Settled::Again => return Err(ClientError::Unsettled),
            }
            self.report_progress(grant, on_progress).await?;
        }
        Ok(deposited)
    }

    async fn next_flight(&self, grant: GrantId) -> Result<Option<Flight>> {
        let bundle = self.bundle(grant).await?;
        let now = self.clock.now();
        self.store.write(move |tx| flight::next(tx, &grant, &bundle, now)).await
    }

    async fn deposit(&self, grant: GrantId, channel: &PatientChannel, flight: &Flight) -> Result<Settled> {
        let outcome = channel.deposit(flight.envelopes.clone()).await?;
        let (flight, now) = (flight.clone(), self.clock.now());
        self.store.write(move |tx| settle::deposit(tx, &grant, &flight, outcome, now)).await
    }

    async fn report_progress(
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
