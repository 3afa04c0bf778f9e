//! Deposits and delivery through a relay in a process of its own: TLS on the loopback interface, signed calls,
//! each envelope sealed, each deposit durable. Beside it, appending and syncing the same bytes in groups of the
//! size that the relay's store made of them.
//!
//! Clients and relay share this machine's processors, so the relay's own time is what to compare.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use sealcare_protocol::{DepositKey, EncodedBody, SenderSession, SystemClock};
use sealcare_transport::{
    Cursor, Delivery, DepositOutcome, DepositStream, DirectoryChannel, LaneRange, OrganizationChannel,
    PatientChannel, StreamAnswer, Subscription,
};
use tokio::task::JoinSet;

use crate::{
    clinic::{Clinic, DOMAIN},
    courier::Courier,
    disk,
    envelopes::ENVELOPE_BYTES,
    patient::Patient,
    report::{Report, real},
};

/// Patients who deposit at the same time, each on its own connection.
const PATIENTS: usize = 16;
/// What each patient does in a round.
const SHAPES: [Shape; 4] = [
    Shape { batch: 1, deposits: 400, way: Way::Calls },
    Shape { batch: 10, deposits: 200, way: Way::Calls },
    Shape { batch: 100, deposits: 40, way: Way::Stream },
    Shape { batch: 100, deposits: 40, way: Way::Calls },
];
/// Bytes of a padded body.
const BODY_BYTES: u32 = 1_024;
/// Envelopes that may be under way to the subscriber.
const CREDIT: u32 = 10_000;
/// How long acknowledgements may take, and how often they are looked for.
const SETTLED_WITHIN: Duration = Duration::from_mins(2);
const SETTLED_AGAIN: Duration = Duration::from_millis(5);
/// Envelopes after which the subscriber gives credit and acknowledges.
const CREDIT_STEP: u32 = 2_000;

/// How deposits go up.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Way {
    /// One after another, each a signed call.
    Calls,
    /// On one stream, as many unanswered as may be.
    Stream,
}

#[derive(Clone, Copy)]
struct Shape {
    /// Envelopes in a deposit.
    batch: usize,
    deposits: usize,
    way: Way,
}

/// A patient's session at the relay.
struct Depositor {
    channel: PatientChannel,
    session: SenderSession,
}

/// What the subscriber does with what it receives.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Receipt {
    Ignored,
    Acknowledged,
}

/// What one piece of work took.
struct Took {
    wall: Duration,
    processor: Duration,
}

/// Measures all of it with a relay whose store lies under `disk`.
pub(crate) async fn measure(report: &mut Report, disk: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(disk)?;
    let courier = Courier::start(folder.path()).await?;
    let clinic = Clinic::new()?;
    let directory = DirectoryChannel::new(&courier.origin, &courier.trust)?;
    directory.register(&clinic.registration(&courier.origin)).await?;
    courier.approve(DOMAIN).await?;
    let clock = Arc::new(SystemClock);
    let organization = OrganizationChannel::new(
        &courier.origin,
        clinic.id(),
        Arc::clone(&clinic.oauth),
        &courier.trust,
        clock,
    )?;
    let mut depositors = Vec::new();
    for _ in 0..PATIENTS {
        depositors.push(Depositor::open(&courier, &clinic).await?);
    }
    let mut subscriber = Subscriber { organization, cursors: Vec::new() };
    let acknowledging = subscriber.drain(PATIENTS, Receipt::Acknowledged).await?;
    settled(&depositors, acknowledging).await?;
    report.begin("relay (TLS, 1 KiB, 16 patients, clients on the same processors)");
    for _ in 0..report.rounds() {
        for shape @ Shape { batch, deposits, way } in SHAPES {
            let before = courier.commits().await?;
            let (took, returned) = deposit(&courier, depositors, shape).await?;
            depositors = returned;
            let group = courier.commits().await?.group_since(before);
            let count = PATIENTS * batch * deposits;
            let plain = append(folder.path(), group * real(batch as u64), count).await?;
            add_deposits(report, shape, count, &took, group, plain);
            // Only a full mailbox tells how fast it is emptied.
            if batch == 100 && way == Way::Calls {
                deliver(report, &courier, &mut subscriber, &depositors, count).await?;
            } else {
                let acknowledging = subscriber.drain(count, Receipt::Acknowledged).await?;
                settled(&depositors, acknowledging).await?;
            }
        }
    }
    report.end();
    Ok(())
}

fn add_deposits(report: &mut Report, shape: Shape, count: usize, took: &Took, group: f64, plain: Duration) {
    let Shape { batch, way, .. } = shape;
    let way = if way == Way::Stream { " on a stream" } else { "" };
    let name = |what: &str| format!("deposit, batches of {batch}{way}: {what}");
    let rate = real(count as u64) / took.wall.as_secs_f64();
    report.add(&name("rate"), "envelopes/s", rate);
    report.add(&name("relay CPU"), "us/envelope", took.processor.as_secs_f64() * 1e6 / real(count as u64));
    report.add(&name("envelopes in a group commit"), "envelopes", group * real(batch as u64));
    let plain_rate = real(count as u64) / plain.as_secs_f64();
    report.add(&name("append + fdatasync of such groups"), "envelopes/s", plain_rate);
    report.add(&name("rate / append + fdatasync"), "ratio", rate / plain_rate);
}

/// The same envelopes twice: first only received, then received and acknowledged until nothing lies at the relay.
async fn deliver(
    report: &mut Report,
    courier: &Courier,
    subscriber: &mut Subscriber,
    depositors: &[Depositor],
    count: usize,
) -> anyhow::Result<()> {
    let began = subscriber.cursors.clone();
    let start = Started::now(courier)?;
    drop(subscriber.drain(count, Receipt::Ignored).await?);
    let fetched = start.took(courier)?;
    subscriber.cursors = began;
    let start = Started::now(courier)?;
    let acknowledging = subscriber.drain(count, Receipt::Acknowledged).await?;
    settled(depositors, acknowledging).await?;
    let acknowledged = start.took(courier)?;
    for (name, took) in [("fetch", fetched), ("fetch and acknowledge", acknowledged)] {
        let count = real(count as u64);
        report.add(&format!("{name}: rate"), "envelopes/s", count / took.wall.as_secs_f64());
        let processor = took.processor.as_secs_f64() * 1e6 / count;
        report.add(&format!("{name}: relay CPU"), "us/envelope", processor);
    }
    Ok(())
}

impl Depositor {
    /// Accepts an invitation and deposits the start of a session.
    async fn open(courier: &Courier, clinic: &Clinic) -> anyhow::Result<Self> {
        let patient = Patient::of(clinic);
        let key = DepositKey::from_seed(&patient.deposit_key.to_seed());
        let channel = PatientChannel::new(&courier.origin, key, &courier.trust, Arc::new(SystemClock))?;
        channel.accept_invitation(&clinic.ticket(&courier.origin)).await?;
        let init = patient.start_session(clinic)?;
        anyhow::ensure!(
            channel.deposit(vec![init.envelope.into()]).await? == DepositOutcome::Stored,
            "the session's start was not stored"
        );
        Ok(Self { channel, session: init.session })
    }

    async fn call(&self, batches: Vec<Vec<Bytes>>) -> anyhow::Result<()> {
        for envelopes in batches {
            let outcome = self.channel.deposit(envelopes).await?;
            anyhow::ensure!(outcome == DepositOutcome::Stored, "a deposit was not stored");
        }
        Ok(())
    }

    async fn stream(&self, batches: Vec<Vec<Bytes>>) -> anyhow::Result<()> {
        let mut stream = self.channel.deposit_stream().await?;
        for envelopes in batches {
            while !stream.has_room() {
                take_answer(&mut stream).await?;
            }
            stream.send(envelopes).await?;
        }
        while stream.unanswered() > 0 {
            take_answer(&mut stream).await?;
        }
        Ok(())
    }

    fn seal(&mut self, batch: usize, deposits: usize) -> anyhow::Result<Vec<Vec<Bytes>>> {
        let body = EncodedBody::from_kept(&BODY_BYTES.to_be_bytes())?;
        let mut seal = || Ok(Bytes::from(self.session.seal(&body, &mut rand::rng())?));
        (0..deposits).map(|_| (0..batch).map(|_| seal()).collect()).collect()
    }
}

async fn take_answer(stream: &mut DepositStream) -> anyhow::Result<()> {
    let answer = stream.answer().await?;
    anyhow::ensure!(matches!(answer, StreamAnswer::Stored(_)), "a batch on a stream was not stored");
    Ok(())
}

/// All patients deposit, each one batch after another; sealing is done before the clock starts.
async fn deposit(
    courier: &Courier,
    mut depositors: Vec<Depositor>,
    Shape { batch, deposits, way }: Shape,
) -> anyhow::Result<(Took, Vec<Depositor>)> {
    let sealed = depositors.iter_mut().map(|depositor| depositor.seal(batch, deposits));
    let sealed = sealed.collect::<anyhow::Result<Vec<_>>>()?;
    let mut tasks = JoinSet::new();
    let start = Started::now(courier)?;
    for (depositor, batches) in depositors.into_iter().zip(sealed) {
        tasks.spawn(async move {
            match way {
                Way::Calls => depositor.call(batches).await?,
                Way::Stream => depositor.stream(batches).await?,
            }
            Ok(depositor)
        });
    }
    let returned = tasks.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>();
    let took = start.took(courier)?;
    Ok((took, returned?))
}

async fn append(folder: &Path, group: f64, count: usize) -> anyhow::Result<Duration> {
    let folder = folder.to_owned();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand envelopes")]
    let group = group.round() as usize * ENVELOPE_BYTES;
    let appended =
        tokio::task::spawn_blocking(move || disk::append_synced(&folder, group, count * ENVELOPE_BYTES));
    Ok(appended.await??)
}

/// Waits until nothing of these patients lies at the relay, then ends the stream that acknowledged it.
async fn settled(depositors: &[Depositor], acknowledging: Subscription) -> anyhow::Result<()> {
    let wait = async {
        for depositor in depositors {
            while depositor.channel.grant_status().await?.stored_bytes > 0 {
                tokio::time::sleep(SETTLED_AGAIN).await;
            }
        }
        Ok(())
    };
    let settled = tokio::time::timeout(SETTLED_WITHIN, wait).await;
    drop(acknowledging);
    settled.context("acknowledged envelopes stayed at the relay")?
}

/// The organization's end, which remembers how far it has come.
struct Subscriber {
    organization: OrganizationChannel,
    cursors: Vec<Cursor>,
}

impl Subscriber {
    /// Receives `count` envelopes and the mark behind them. Acknowledgements go up without an answer, and what is
    /// not up when the stream is dropped is lost: keep the answer until they are seen to have come.
    async fn drain(&mut self, count: usize, receipt: Receipt) -> anyhow::Result<Subscription> {
        let mut subscription = self.organization.subscribe(&self.cursors, CREDIT).await?;
        let (mut received, mut spent, mut ranges) = (0, 0, Vec::new());
        loop {
            let delivery = subscription.next().await?.context("the relay ended the stream")?;
            if let Delivery::Batch(batch) = delivery {
                received += batch.items.len();
                spent += u32::try_from(batch.items.len())?;
                if let (Some(first), Some(last)) = (batch.items.first(), batch.items.last()) {
                    ranges.push(LaneRange { lane: batch.lane, first: first.sequence, last: last.sequence });
                }
                if let Some(cursor) = batch.cursor {
                    self.cursors.retain(|before| before.lane != cursor.lane);
                    self.cursors.push(cursor);
                }
                if spent < CREDIT_STEP && received < count {
                    continue;
                }
                subscription.grant_credit(std::mem::take(&mut spent)).await?;
                if receipt == Receipt::Acknowledged {
                    subscription.acknowledge(&ranges).await?;
                }
                ranges.clear();
            } else if received >= count {
                return Ok(subscription);
            }
        }
    }
}

/// The clock and the relay's processor time at a beginning.
struct Started {
    at: Instant,
    processor: Duration,
}

impl Started {
    fn now(courier: &Courier) -> anyhow::Result<Self> {
        Ok(Self { processor: courier.processor()?, at: Instant::now() })
    }

    fn took(&self, courier: &Courier) -> anyhow::Result<Took> {
        let wall = self.at.elapsed();
        Ok(Took { wall, processor: courier.processor()?.saturating_sub(self.processor) })
    }
}
