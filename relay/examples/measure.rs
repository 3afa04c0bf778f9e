//! Measures the store on this machine's disk: durable deposits, fetches, and the time within which a
//! revoked grant's bytes leave the files.
//!
//! `cargo run --release -p sealcare-relay --example measure [DIR]`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use futures::future::try_join_all;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    BundleHash, BundlePin, Clock as _, DepositKey, INIT_BYTES, Incarnation, KeyId, OrganizationId,
    Revocation, SystemClock, TicketId,
};
use sealcare_relay::store::{
    Acceptance, DepositBatch, FetchOutcome, LANES, LanePlace, Mailboxes as _, OrganizationState, PageLimit,
    Progress, Registrant, Registry as _,
    ordered::{FjallKeys, OrderedStore},
};

/// A data envelope of 1 KiB: 42 bytes of header, 960 padded, 16 of tag.
const ENVELOPE_BYTES: usize = 42 + 960 + 16;
const KEY: [u8; 8] = [7; 8];

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let folder = tempfile::tempdir_in(folder)?;
    let engine = FjallKeys::open(folder.path())?;
    let store = Arc::new(OrderedStore::open(Arc::new(engine), Incarnation::from_bytes([1; 16]), 0)?);
    let organization = open_organization(&store).await?;
    for (producers, batch, rounds) in [(1, 1, 300), (64, 1, 200), (512, 1, 60), (64, 100, 20)] {
        deposits(&store, organization, producers, batch, rounds).await?;
    }
    fetches(&store, organization).await?;
    revocation(&store, organization).await
}

async fn open_organization(store: &OrderedStore) -> Result<OrganizationId> {
    let now = SystemClock.now();
    let organization = OrganizationId::from_bytes([1; 32]);
    let domain: sealcare_protocol::Domain = "clinic.example".parse()?;
    let registrant = Registrant {
        organization,
        domain: domain.clone(),
        oauth_jwk: Some(String::new()),
        oauth_created: now,
        bundle: wire::Signed::default(),
        pin: BundlePin { root: 0, delegation: 1, serial: 1, hash: BundleHash::from_bytes([1; 32]) },
        bundle_expires: now,
        epochs: vec![(KeyId::from_bytes(KEY), now.plus(Duration::from_hours(24)))],
        root_fingerprint: [1; 32],
    };
    store.register(registrant, now).await?;
    store.decide(domain, OrganizationState::Approved).await?;
    Ok(organization)
}

struct Producer {
    key: DepositKey,
    next: u64,
}

impl Producer {
    async fn open(store: &OrderedStore, organization: OrganizationId) -> Result<Self> {
        let now = SystemClock.now();
        let key = DepositKey::random(&mut rand::rng());
        let acceptance = Acceptance {
            organization,
            ticket: TicketId::random(&mut rand::rng()),
            ticket_expires: now.plus(Duration::from_hours(24)),
            stored_bytes_max: u64::MAX,
            key: key.public(),
        };
        store.accept_invitation(acceptance, now).await?;
        let mut init = vec![0; INIT_BYTES];
        init[..2].copy_from_slice(&[1, 1]);
        init[18..26].copy_from_slice(&KEY);
        store.deposit(key.public(), DepositBatch::new(vec![init.into()])?, now).await?;
        Ok(Self { key, next: 0 })
    }

    async fn deposit(&mut self, store: &OrderedStore, count: u64) -> Result<Duration> {
        let envelopes = (self.next..self.next + count).map(envelope).collect();
        self.next += count;
        let started = Instant::now();
        store.deposit(self.key.public(), DepositBatch::new(envelopes)?, SystemClock.now()).await?;
        Ok(started.elapsed())
    }
}

fn envelope(counter: u64) -> Bytes {
    let mut envelope = vec![0x5a; ENVELOPE_BYTES];
    envelope[..2].copy_from_slice(&[1, 2]);
    envelope[2..18].fill(0);
    envelope[18..26].copy_from_slice(&counter.to_be_bytes());
    envelope.into()
}

async fn deposits(
    store: &Arc<OrderedStore>,
    organization: OrganizationId,
    producers: usize,
    batch: u64,
    rounds: usize,
) -> Result<()> {
    let opened = (0..producers).map(|_| Producer::open(store, organization));
    let opened = try_join_all(opened).await?;
    let (started, cpu) = (Instant::now(), cpu_time()?);
    let mut waits = try_join_all(opened.into_iter().map(|mut producer| async move {
        let mut waits = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            waits.push(producer.deposit(store, batch).await?);
        }
        anyhow::Ok(waits)
    }))
    .await?
    .concat();
    let (took, cpu) = (started.elapsed(), cpu_time()?.saturating_sub(cpu));
    waits.sort();
    let count = f64::from(u32::try_from(waits.len())?) * f64::from(u32::try_from(batch)?);
    println!(
        "deposit: {producers} producers, batches of {batch}: {:.0}/s, cpu {:.1} us each, p50 {:?}, p99 {:?}",
        count / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count,
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
    );
    Ok(())
}

async fn fetches(store: &OrderedStore, organization: OrganizationId) -> Result<()> {
    let (started, cpu, mut count) = (Instant::now(), cpu_time()?, 0_u32);
    for lane in 0..LANES {
        let mut place = LanePlace { organization, lane, after: 0 };
        loop {
            let limit = PageLimit { items_max: 100, bytes_max: 256 << 10 };
            let FetchOutcome::Page(page) = store.fetch_after(place, limit).await? else { break };
            count += u32::try_from(page.items.len())?;
            place.after = page.after;
            if page.more == Progress::Done {
                break;
            }
        }
    }
    let (took, cpu) = (started.elapsed(), cpu_time()?.saturating_sub(cpu));
    let count = f64::from(count);
    println!(
        "fetch: {count} envelopes in pages of 100: {:.0}/s, cpu {:.1} us each",
        count / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count
    );
    Ok(())
}

async fn revocation(store: &OrderedStore, organization: OrganizationId) -> Result<()> {
    let mut producer = Producer::open(store, organization).await?;
    for _ in 0..100 {
        producer.deposit(store, 100).await?;
    }
    let started = Instant::now();
    store.revoke_grant(Revocation::sign(&producer.key, &organization), SystemClock.now()).await?;
    println!("revoke: answered after {:?}", started.elapsed());
    while store.purge(SystemClock.now()).await? == Progress::More {}
    println!("revoke: 10,000 envelopes deleted after {:?}", started.elapsed());
    store.reclaim().await?;
    println!("revoke: their bytes gone from the files after {:?}", started.elapsed());
    Ok(())
}

/// User and system time of this process.
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>()?;
    // Linux counts 100 ticks a second for every program.
    Ok(Duration::from_millis(ticks * 10))
}
