//! Patients at a store without a relay around it: grants with an open session each, and producers that deposit
//! for them.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rand::RngExt as _;
use sealcare_protocol::{
    Clock as _, DepositKey, DepositPublicKey, OrganizationId, Revocation, SystemClock, TicketId,
};
use sealcare_relay::store::{
    AcceptOutcome, Acceptance, DepositBatch, Deposited, FetchOutcome, LANES, LanePlace, Mailboxes as _,
    OrganizationState, PageLimit, Progress, Reclaimed, Registry as _, SequenceRange,
    embedded::{self, EngineName},
    ordered::OrderedStore,
};
use tokio::task::JoinSet;

use crate::{
    clinic::Clinic,
    envelopes::{EnvelopeMill, session},
    processor,
};

/// Waiting at the store while grants are made: as many as one group commit takes.
const MAKERS: u64 = 512;
/// As a subscription reads.
const PAGE: PageLimit = PageLimit { items_max: 100, bytes_max: 256 * 1024 };
const STORED_BYTES_MAX: u64 = 1 << 32;
const TICKET_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// Version, kind, session and counter of an envelope.
const CLEAR_BYTES: usize = 26;
/// A store that uses less processor time than a tenth of this in it has nothing left to do.
const CALM: Duration = Duration::from_millis(100);
const CALM_WITHIN: Duration = Duration::from_mins(1);

/// A store and the patients that it knows.
pub(crate) struct Population {
    store: Arc<OrderedStore>,
    organization: OrganizationId,
    keys: Vec<DepositPublicKey>,
    /// The counter of each session's next data envelope.
    counters: Vec<u64>,
    mill: EnvelopeMill,
    /// How far each lane was read.
    after: [u64; LANES as usize],
}

/// What a piece of work took: on the clock, and of this process's processor time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) processor: Duration,
}

/// How long after its beginning a revocation came how far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freed {
    pub(crate) answered: Duration,
    /// No row is left in a lane.
    pub(crate) deleted: Duration,
    /// The engine's files hold nothing of it.
    pub(crate) gone: Duration,
}

impl Population {
    /// A new store of `engine` in the data folder `folder` with `grants` grants, each with a session whose start is stored.
    pub(crate) async fn settle(folder: &Path, engine: EngineName, grants: u32) -> anyhow::Result<Self> {
        let clinic = Clinic::new()?;
        let store = embedded::open(folder, engine, 0)?;
        store.register(clinic.registrant(), SystemClock.now()).await?;
        store.decide(clinic.bundle.domain().clone(), OrganizationState::Approved).await?;
        let mut population = Self {
            store: Arc::new(store),
            organization: clinic.id(),
            keys: (0..grants).map(|index| key(index).public()).collect(),
            counters: vec![0; usize::try_from(grants)?],
            mill: EnvelopeMill::new(),
            after: [0; LANES as usize],
        };
        population.open_grants(&clinic).await?;
        Ok(population)
    }

    async fn open_grants(&mut self, clinic: &Clinic) -> anyhow::Result<()> {
        let (epoch, now) = (clinic.epoch()?, SystemClock.now());
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        for (index, key) in (0..).zip(&self.keys) {
            if tasks.len() as u64 >= MAKERS
                && let Some(done) = tasks.join_next().await
            {
                done??;
            }
            let start = DepositBatch::new(vec![self.mill.init(&session(index), epoch)])?;
            let (store, key) = (Arc::clone(&self.store), *key);
            let acceptance = Acceptance {
                organization: self.organization,
                ticket: TicketId::random(&mut rand::rng()),
                ticket_expires: now.plus(TICKET_LIFETIME),
                stored_bytes_max: STORED_BYTES_MAX,
                key,
            };
            tasks.spawn(async move {
                let accepted = store.accept_invitation(acceptance, now).await?;
                anyhow::ensure!(accepted == AcceptOutcome::Accepted, "an invitation was not accepted");
                stored(store.deposit(key, start, now).await?)
            });
        }
        tasks.join_all().await.into_iter().collect()
    }

    /// Deposits `count` envelopes one by one from `producers` at a time, each for a patient drawn at random.
    pub(crate) async fn deposit(&mut self, producers: usize, count: usize) -> anyhow::Result<Took> {
        let mut work = vec![Vec::new(); producers];
        for _ in 0..count {
            let index = rand::rng().random_range(0..self.keys.len());
            let counter = self.counters[index];
            self.counters[index] += 1;
            let envelope = self.mill.data(&session(index as u64), counter);
            // One patient's envelopes come from one producer, in order.
            work[index % producers].push((self.keys[index], DepositBatch::new(vec![envelope])?));
        }
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let start = Started::now();
        for batches in work {
            let store = Arc::clone(&self.store);
            tasks.spawn(async move {
                let now = SystemClock.now();
                for (key, batch) in batches {
                    stored(store.deposit(key, batch, now).await?)?;
                }
                Ok(())
            });
        }
        tasks.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
        start.took_when_calm().await
    }

    /// Deposits `count` envelopes for the last patient, a hundred at a time; returns bytes that nothing else in
    /// the store holds.
    pub(crate) async fn fill_last(&mut self, count: u64) -> anyhow::Result<Vec<u8>> {
        let (last, now) = (self.last()?, SystemClock.now());
        let end = self.counters[last] + count;
        let mut mark = Vec::new();
        while self.counters[last] < end {
            let from = self.counters[last];
            self.counters[last] = end.min(from + 100);
            let seal = |counter| self.mill.data(&session(last as u64), counter);
            let envelopes: Vec<_> = (from..self.counters[last]).map(seal).collect();
            if mark.is_empty() {
                mark = envelopes[0][..CLEAR_BYTES].to_vec();
            }
            stored(self.store.deposit(self.keys[last], DepositBatch::new(envelopes)?, now).await?)?;
        }
        Ok(mark)
    }

    /// Reads what was deposited since the last time; returns how many items.
    pub(crate) async fn fetch(&mut self) -> anyhow::Result<(Took, u64)> {
        let start = Started::now();
        let mut count = 0;
        for lane in 0..LANES {
            loop {
                let after = self.after[usize::from(lane)];
                let place = LanePlace { organization: self.organization, lane, after };
                let FetchOutcome::Page(page) = self.store.fetch_after(place, PAGE).await? else {
                    anyhow::bail!("the organization is not approved");
                };
                count += page.items.len() as u64;
                self.after[usize::from(lane)] = page.after;
                if page.more == Progress::Done {
                    break;
                }
            }
        }
        Ok((start.took_when_calm().await?, count))
    }

    /// Acknowledges everything that was read.
    pub(crate) async fn acknowledge(&self) -> anyhow::Result<()> {
        let read = (0..LANES).zip(self.after).filter(|(_, after)| *after > 0);
        let ranges = read.map(|(lane, after)| SequenceRange { lane, sequences: 0..=after });
        Ok(self.store.acknowledge(self.organization, ranges.collect()).await?)
    }

    /// Revokes the grant of the last patient, who leaves, and waits until its bytes are gone.
    pub(crate) async fn revoke_last(&mut self) -> anyhow::Result<Freed> {
        let last = self.last()?;
        self.keys.truncate(last);
        let start = Instant::now();
        let revocation = Revocation::sign(&key(u32::try_from(last)?), &self.organization);
        self.store.revoke_grant(revocation, SystemClock.now()).await?;
        let answered = start.elapsed();
        while self.store.purge(SystemClock.now()).await? == Progress::More {}
        let deleted = start.elapsed();
        anyhow::ensure!(self.store.reclaim().await? == Reclaimed::Gone, "nothing was reclaimed");
        Ok(Freed { answered, deleted, gone: start.elapsed() })
    }

    fn last(&self) -> anyhow::Result<usize> {
        self.keys.len().checked_sub(1).context("every patient left")
    }
}

fn key(index: u32) -> DepositKey {
    let mut seed = [0x5e; 32];
    seed[..4].copy_from_slice(&index.to_be_bytes());
    DepositKey::from_seed(&seed)
}

fn stored(outcome: Deposited) -> anyhow::Result<()> {
    anyhow::ensure!(outcome == Deposited::Stored, "a deposit was not stored");
    Ok(())
}

/// The clock and this process's processor time at a beginning.
struct Started {
    at: Instant,
    processor: Duration,
}

impl Started {
    fn now() -> Self {
        Self { processor: processor::own(), at: Instant::now() }
    }

    /// Waits until what the engine does in the background is done too: it belongs to the cost.
    async fn took_when_calm(self) -> anyhow::Result<Took> {
        let wall = self.at.elapsed();
        calm().await;
        Ok(Took { wall, processor: processor::own().saturating_sub(self.processor) })
    }
}

/// Returns once this process does nothing, or after a minute.
pub(crate) async fn calm() {
    let end = Instant::now() + CALM_WITHIN;
    loop {
        let before = processor::own();
        tokio::time::sleep(CALM).await;
        if processor::own().saturating_sub(before) < CALM / 10 || Instant::now() > end {
            return;
        }
    }
}
