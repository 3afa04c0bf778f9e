//! A relay's store in a process that is killed again and again, on each engine: what it acknowledged is there, in
//! order and once; what it revoked is gone. And the system calls by which it makes commits durable are counted.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use clap::ValueEnum as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    BundleHash, BundlePin, DepositKey, Domain, GrantId, INIT_BYTES, KeyId, OrganizationId, Revocation,
    TicketId, Timestamp,
};
use sealcare_relay::store::{
    AcceptOutcome, Acceptance, DepositBatch, Deposited, FetchOutcome, LANES, LanePlace, Mailboxes as _,
    OrganizationState, Page, PageItem, PageLimit, Progress, Registrant, Registry as _,
    embedded::{self, EngineName},
    ordered::OrderedStore,
};

const PLACE: &str = "SEALCARE_RELAY_KILL_TEST";
const ENGINE: &str = "SEALCARE_RELAY_KILL_ENGINE";
const COMMITS: &str = "SEALCARE_RELAY_KILL_COMMITS";
const KILLS: usize = 12;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const DAY: Duration = Duration::from_hours(24);
const KEY: [u8; 8] = [7; 8];
/// Deposits for ever.
const STEADY: u32 = 0;

fn organization() -> OrganizationId {
    OrganizationId::from_bytes([1; 32])
}

fn key(patient: u32) -> DepositKey {
    let mut seed = [3; 32];
    seed[..4].copy_from_slice(&patient.to_be_bytes());
    DepositKey::from_seed(&seed)
}

fn grant(patient: u32) -> GrantId {
    GrantId::derive(&organization(), &key(patient).public())
}

/// The envelope at a place of the patient's only session: an init at 0.
fn envelope(patient: u32, place: u64) -> Bytes {
    let counter = place.checked_sub(1);
    let mut bytes = vec![0; if counter.is_none() { INIT_BYTES } else { 42 + 1_024 + 16 }];
    bytes[..2].copy_from_slice(&[1, if counter.is_none() { 1 } else { 2 }]);
    bytes[2..6].copy_from_slice(&patient.to_be_bytes());
    bytes[18..26].copy_from_slice(&counter.map_or(KEY, u64::to_be_bytes));
    bytes.into()
}

async fn open(place: &Path, engine: EngineName) -> OrderedStore {
    let store = embedded::open(place, engine, 0).unwrap();
    let domain: Domain = "clinic.example".parse().unwrap();
    let registrant = Registrant {
        organization: organization(),
        domain: domain.clone(),
        oauth_jwk: Some(String::new()),
        oauth_created: NOW,
        bundle: wire::Signed::default(),
        pin: BundlePin {
            root: 0,
            chain: vec![[1; 32]],
            delegation: 1,
            lowest_honoured: 1,
            serial: 1,
            hash: BundleHash::from_bytes([1; 32]),
        },
        bundle_expires: NOW,
        epochs: vec![(KeyId::from_bytes(KEY), NOW.plus(DAY))],
        root_fingerprint: [1; 32],
    };
    store.register(registrant, NOW).await.unwrap();
    store.decide(domain, OrganizationState::Approved).await.unwrap();
    store
}

async fn accept(store: &OrderedStore, patient: u32) -> AcceptOutcome {
    let mut ticket = [0; 16];
    ticket[..4].copy_from_slice(&patient.to_be_bytes());
    let acceptance = Acceptance {
        organization: organization(),
        ticket: TicketId::from_bytes(ticket),
        ticket_expires: NOW.plus(7 * DAY),
        stored_bytes_max: u64::MAX,
        key: key(patient).public(),
    };
    store.accept_invitation(acceptance, NOW).await.unwrap()
}

async fn deposit(store: &OrderedStore, patient: u32, place: u64) -> Deposited {
    let batch = DepositBatch::new(vec![envelope(patient, place)]).unwrap();
    store.deposit(key(patient).public(), batch, NOW).await.unwrap()
}

async fn next_place(store: &OrderedStore, patient: u32) -> u64 {
    let report = store.grant_status(key(patient).public()).await.unwrap();
    report.sessions.first().map_or(0, |session| session.next)
}

fn acknowledge(act: &str, number: impl Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{act} {number}").unwrap();
    out.flush().unwrap();
}

/// Is nothing but a passing test, unless the tests below run it as a process.
#[tokio::test(flavor = "multi_thread")]
async fn storing_process() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let engine = EngineName::from_str(&std::env::var(ENGINE).unwrap(), true).unwrap();
    let store = open(Path::new(&place), engine).await;
    accept(&store, STEADY).await;
    match std::env::var(COMMITS) {
        Ok(commits) => deposit_steadily(&store, commits.parse().unwrap()).await,
        Err(_) => drop(tokio::join!(deposit_steadily(&store, u64::MAX), come_and_go(&store))),
    }
}

async fn deposit_steadily(store: &OrderedStore, commits: u64) {
    let first = next_place(store, STEADY).await;
    for place in first..first.saturating_add(commits) {
        assert_eq!(deposit(store, STEADY, place).await, Deposited::Stored);
        acknowledge("stored", place);
    }
}

/// Patients who deposit and revoke, and whose bytes leave the disk.
async fn come_and_go(store: &OrderedStore) {
    let mut patient = STEADY;
    loop {
        patient += 1;
        if accept(store, patient).await == AcceptOutcome::Revoked {
            continue;
        }
        for place in next_place(store, patient).await..20 {
            deposit(store, patient, place).await;
        }
        store.revoke_grant(Revocation::sign(&key(patient), &organization()), NOW).await.unwrap();
        acknowledge("revoked", patient);
        while store.purge(NOW).await.unwrap() == Progress::More {}
        store.reclaim().await.unwrap();
        acknowledge("reclaimed", patient);
    }
}

fn process(place: &Path, engine: EngineName) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "storing_process", "--nocapture"]);
    command.env(PLACE, place).env(ENGINE, engine.to_string()).stdout(Stdio::piped());
    command
}

/// Runs the process until it has acknowledged `count` acts, of the kind `of` if that says one, and kills it.
fn run_and_kill(place: &Path, engine: EngineName, count: usize, of: &str) -> Vec<(String, u64)> {
    let mut child = process(place, engine).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut acts = Vec::new();
    for line in out.lines() {
        let line = line.unwrap();
        let act = line.split_once(' ').and_then(|(act, number)| Some((act.to_owned(), number.parse().ok()?)));
        acts.extend(act.filter(|(act, _)| ["stored", "revoked", "reclaimed"].contains(&act.as_str())));
        if acts.iter().filter(|(act, _)| act.starts_with(of)).count() == count {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    acts
}

async fn everything(store: &OrderedStore) -> BTreeMap<GrantId, Vec<Bytes>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for lane in 0..LANES {
        let mut after = 0;
        loop {
            let place = LanePlace { organization: organization(), lane, after };
            let limit = PageLimit { items_max: 1_000, bytes_max: 64 << 20 };
            let FetchOutcome::Page(page) = store.fetch_after(place, limit).await.unwrap() else { panic!() };
            let Page { items, more, .. } = page;
            after = page.after;
            for item in items {
                if let PageItem::Envelope { grant, envelope, .. } = item {
                    found.entry(grant).or_default().push(envelope);
                }
            }
            if more == Progress::Done {
                break;
            }
        }
    }
    found
}

async fn survives_kills(engine: EngineName) {
    let place = tempfile::tempdir().unwrap();
    let (mut stored, mut revoked, mut reclaimed) = (0, 0, 0);
    for kill in 0..KILLS {
        // A rewriting of files takes long beside a deposit: some kills come in it, some after it.
        let (count, of) = if kill % 4 == 3 { (1, "reclaimed") } else { (3 + kill * 17 % 61, "") };
        for (act, number) in run_and_kill(place.path(), engine, count, of) {
            match act.as_str() {
                "stored" => stored = stored.max(number + 1),
                "revoked" => revoked = revoked.max(number),
                _ => reclaimed = reclaimed.max(number),
            }
        }
        let store = open(place.path(), engine).await;
        let found = everything(&store).await;
        let steady = found.get(&grant(STEADY)).cloned().unwrap_or_default();
        assert!(steady.len() as u64 >= stored, "{engine}: {} of {stored} are there", steady.len());
        for (place, envelope_there) in (0..).zip(&steady) {
            assert_eq!(*envelope_there, envelope(STEADY, place), "{engine}: place {place}");
        }
        assert_eq!(next_place(&store, STEADY).await, steady.len() as u64);
        for patient in 1..=u32::try_from(revoked).unwrap() {
            assert!(!found.contains_key(&grant(patient)), "{engine}: patient {patient} was revoked");
            assert_eq!(deposit(&store, patient, 20).await, Deposited::GrantRevoked);
        }
    }
    assert!(stored > 0 && reclaimed > 0, "{engine}: {stored} stored, {reclaimed} reclaimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_on_every_engine() {
    for engine in EngineName::value_variants() {
        survives_kills(*engine).await;
    }
}

/// Counted from outside, by the system calls themselves; where there is no `strace` (or it may not trace) only the
/// store's own count is left (`every_commit_is_synced_before_it_returns`).
#[test]
fn every_commit_is_followed_by_a_sync_of_the_system() {
    const COUNT: u64 = 40;
    for engine in EngineName::value_variants() {
        let place = tempfile::tempdir().unwrap();
        let counts = place.path().join("counts");
        let inner = process(&place.path().join("data"), *engine);
        let mut traced = Command::new("strace");
        traced.args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-o"]).arg(&counts).arg(inner.get_program());
        traced.args(inner.get_args()).env(COMMITS, COUNT.to_string()).stdout(Stdio::null());
        traced.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let Ok(true) = traced.status().map(|status| status.success()) else {
            eprintln!("strace does not run here: nothing is counted from outside");
            return;
        };
        let text = std::fs::read_to_string(counts).unwrap();
        let calls = |line: &str| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let is_sync = columns.last().is_some_and(|name| ["fdatasync", "fsync"].contains(name));
            columns.get(3).filter(|_| is_sync).and_then(|count| count.parse::<u64>().ok())
        };
        let syncs: u64 = text.lines().filter_map(calls).sum();
        assert!(syncs >= COUNT, "{engine}: {syncs} syncs for {COUNT} commits");
    }
}
