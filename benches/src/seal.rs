//! Sealing and opening: records in bodies as the outbox fills them, single records, and the chain and AEAD alone,
//! each beside plain AES-256-GCM over the same bytes. One thread.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use anyhow::Context as _;
use bytes::Bytes;
use sealcare_protocol::{
    Body, Change, ChangeState, Clock as _, EncodedBody, ReceiverSession, SealError, SenderSession,
    SystemClock, Timestamp,
};
use sealcare_records::{Record, RecordId, import};

use crate::{
    clinic::Clinic,
    patient::{Patient, TYPE},
    report::{Report, real},
};

/// Heart rates in the backlog: somewhat more than two months of a reading every five minutes.
const RECORDS: usize = 20_000;
/// Records that are sealed one by one.
const SINGLE_RECORDS: usize = 2_000;
/// Envelopes around a padded body of 1 KiB.
const SMALL_ENVELOPES: usize = 20_000;
const SMALL_BODY_BYTES: u32 = 1_024;
/// As the outbox fills bodies.
const BODY_TARGET_BYTES: usize = 900 * 1024;
const CHANGE_OVERHEAD: usize = 128;

/// Measures all of it.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let changes = heart_rates(RECORDS)?;
    report.begin("seal, open (one thread)");
    for _ in 0..report.rounds() {
        backlog(report, &changes)?;
        one_by_one(report, &changes[..SINGLE_RECORDS])?;
        chain_alone(report)?;
    }
    report.end();
    Ok(())
}

/// Records as an Apple Health export brings them, in the form in which they wait in the outbox.
fn heart_rates(count: usize) -> anyhow::Result<Vec<Change>> {
    let mut xml = String::from("<HealthData>");
    for n in 0..count {
        let (month, day) = (n / 288 / 28 % 12 + 1, n / 288 % 28 + 1);
        let (hour, minute, second) = (n % 288 / 12, n % 12 * 5, n * 7 % 60);
        let at = format!("2025-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0200");
        let rate = 58 + n * 37 % 61;
        // Writing to a string does not fail.
        let _ = write!(
            xml,
            r#"<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" sourceVersion="11.2" device="&lt;&lt;HKDevice: 0x3021a4e60&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,1, software:11.2&gt;" unit="count/min" creationDate="{at}" startDate="{at}" endDate="{at}" value="{rate}"/>"#
        );
    }
    xml.push_str("</HealthData>");
    let mut records: Vec<Record> = Vec::with_capacity(count);
    import(std::io::Cursor::new(xml.into_bytes()), &mut |record: Record| {
        records.push(record);
        Ok::<_, std::convert::Infallible>(())
    })?;
    anyhow::ensure!(records.len() == count, "not every record was imported");
    records.iter().map(change).collect()
}

fn change(record: &Record) -> anyhow::Result<Change> {
    let state = ChangeState::Upsert(Bytes::from(record.fhir_json()));
    Ok(Change { record_id: record.id().as_str().to_owned(), type_name: TYPE.parse()?, state })
}

/// Both ends of a session that has just begun.
fn session() -> anyhow::Result<(SenderSession, ReceiverSession)> {
    let clinic = Clinic::new()?;
    let patient = Patient::of(&clinic);
    let init = patient.start_session(&clinic)?;
    let opened = clinic.open_session(&patient.grant.id, &init.envelope)?;
    Ok((init.session, opened.session))
}

fn backlog(report: &mut Report, changes: &[Change]) -> anyhow::Result<()> {
    let (mut sender, receiver) = session()?;
    let pieces: Vec<Vec<u8>> = changes.chunks(1_000).map(json_of).collect();
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let (envelopes, sealing) = timed(|| seal_filled(&mut sender, changes))?;
    let (sealed, plain_sealing) = timed(|| plain_seal(&pieces))?;
    let (opened, opening) = timed(|| open(receiver, &envelopes))?;
    let ((), plain_opening) = timed(|| plain_open(&sealed))?;
    let (parsed, parsing) = timed(|| opened.iter().map(parse).collect::<anyhow::Result<Vec<_>>>())?;
    anyhow::ensure!(opened == changes && parsed.len() == changes.len(), "not what was sealed");
    let sealed_bytes: usize = envelopes.iter().map(Vec::len).sum();
    let records = changes.len() as u64;
    report.add("backlog: FHIR JSON of a record", "bytes", real(bytes as u64) / real(records));
    report.add("backlog: records in an envelope", "records", real(records) / real(envelopes.len() as u64));
    report.add("backlog: record on the wire", "bytes", real(sealed_bytes as u64) / real(records));
    report.add("backlog: encode and seal", "records/s", rate(records, sealing));
    report.add("backlog: open and decode", "records/s", rate(records, opening));
    report.add("backlog: open, decode and parse the FHIR", "records/s", rate(records, opening + parsing));
    report.add("backlog: plain AES-256-GCM of the JSON, seal", "records/s", rate(records, plain_sealing));
    report.add("backlog: plain AES-256-GCM of the JSON, open", "records/s", rate(records, plain_opening));
    report.add("backlog: seal / plain AES-256-GCM", "ratio", ratio(plain_sealing, sealing));
    report.add("backlog: open / plain AES-256-GCM", "ratio", ratio(plain_opening, opening));
    Ok(())
}

/// Fills bodies as the outbox does: up to the target, halved while they compress to too much.
fn seal_filled(sender: &mut SenderSession, changes: &[Change]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut envelopes = Vec::new();
    let mut rest = changes;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|change| {
            bytes += json(change).len() + change.record_id.len() + CHANGE_OVERHEAD;
            bytes <= BODY_TARGET_BYTES
        });
        let mut count = fits.count().max(1);
        let body = loop {
            match (Body { changes: rest[..count].to_vec() }).encode() {
                Err(SealError::BodyTooLarge) => count /= 2,
                encoded => break encoded?,
            }
        };
        envelopes.push(sender.seal(&body, &mut rand::rng())?);
        rest = &rest[count..];
    }
    Ok(envelopes)
}

fn one_by_one(report: &mut Report, changes: &[Change]) -> anyhow::Result<()> {
    let (mut sender, receiver) = session()?;
    let pieces: Vec<Vec<u8>> = changes.iter().map(|change| json(change).to_vec()).collect();
    let seal_each = || {
        let seal = |change: &Change| {
            let body = Body { changes: vec![change.clone()] }.encode()?;
            Ok(sender.seal(&body, &mut rand::rng())?)
        };
        changes.iter().map(seal).collect::<anyhow::Result<Vec<_>>>()
    };
    let (envelopes, sealing) = timed(seal_each)?;
    let (sealed, plain_sealing) = timed(|| plain_seal(&pieces))?;
    let (opened, opening) = timed(|| open(receiver, &envelopes))?;
    let ((), plain_opening) = timed(|| plain_open(&sealed))?;
    anyhow::ensure!(opened == changes, "not what was sealed");
    let count = changes.len() as u64;
    report.add("one record in an envelope: encode and seal", "us", micros(sealing, count));
    report.add("one record in an envelope: open and decode", "us", micros(opening, count));
    report.add("one record: seal / plain AES-256-GCM", "ratio", ratio(plain_sealing, sealing));
    report.add("one record: open / plain AES-256-GCM", "ratio", ratio(plain_opening, opening));
    Ok(())
}

fn chain_alone(report: &mut Report) -> anyhow::Result<()> {
    let (mut sender, receiver) = session()?;
    let body = EncodedBody::from_kept(&SMALL_BODY_BYTES.to_be_bytes())?;
    let pieces = vec![vec![0; body.padded_len()]; SMALL_ENVELOPES];
    let seal_all = || {
        let seal = |_| Ok(sender.seal(&body, &mut rand::rng())?);
        (0..SMALL_ENVELOPES).map(seal).collect::<anyhow::Result<Vec<_>>>()
    };
    let (envelopes, sealing) = timed(seal_all)?;
    let (sealed, plain_sealing) = timed(|| plain_seal(&pieces))?;
    let (opened, opening) = timed(|| open(receiver, &envelopes))?;
    let ((), plain_opening) = timed(|| plain_open(&sealed))?;
    anyhow::ensure!(opened.is_empty(), "not what was sealed");
    let count = SMALL_ENVELOPES as u64;
    report.add("chain and AEAD alone, 1 KiB: seal", "us", micros(sealing, count));
    report.add("chain and AEAD alone, 1 KiB: open", "us", micros(opening, count));
    report.add("plain AES-256-GCM, 1 KiB: seal", "us", micros(plain_sealing, count));
    report.add("plain AES-256-GCM, 1 KiB: open", "us", micros(plain_opening, count));
    report.add("chain and AEAD: seal / plain AES-256-GCM", "ratio", ratio(plain_sealing, sealing));
    report.add("chain and AEAD: open / plain AES-256-GCM", "ratio", ratio(plain_opening, opening));
    Ok(())
}

fn open(mut session: ReceiverSession, envelopes: &[Vec<u8>]) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    let now: Timestamp = SystemClock.now();
    for envelope in envelopes {
        let opened = session.open(envelope, now)?;
        changes.extend(opened.body?.changes);
        session = opened.session;
    }
    Ok(changes)
}

/// As the organization's side does, to check the scope on what is there rather than on what is declared.
fn parse(change: &Change) -> anyhow::Result<Record> {
    Ok(Record::from_fhir_json(json(change), RecordId::new(change.record_id.clone())?)?)
}

fn json(change: &Change) -> &[u8] {
    match &change.state {
        ChangeState::Upsert(json) => json,
        ChangeState::Tombstone => &[],
    }
}

fn json_of(changes: &[Change]) -> Vec<u8> {
    changes.iter().flat_map(|change| json(change).iter().copied()).collect()
}

fn cipher() -> Aes256Gcm {
    Aes256Gcm::new(&[7; 32].into())
}

fn nonce(index: usize) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&(index as u64).to_be_bytes());
    nonce
}

fn plain_seal(pieces: &[Vec<u8>]) -> anyhow::Result<Vec<Vec<u8>>> {
    let cipher = cipher();
    let seal = |(index, piece): (usize, &Vec<u8>)| {
        let sealed = cipher.encrypt(&nonce(index).into(), Payload { msg: piece, aad: &[] });
        sealed.ok().context("plain AES-256-GCM")
    };
    pieces.iter().enumerate().map(seal).collect()
}

fn plain_open(sealed: &[Vec<u8>]) -> anyhow::Result<()> {
    let cipher = cipher();
    for (index, piece) in sealed.iter().enumerate() {
        let opened = cipher.decrypt(&nonce(index).into(), Payload { msg: piece, aad: &[] });
        std::hint::black_box(opened.ok().context("plain AES-256-GCM")?);
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed()))
}

fn rate(count: u64, took: Duration) -> f64 {
    real(count) / took.as_secs_f64()
}

fn micros(took: Duration, count: u64) -> f64 {
    took.as_secs_f64() * 1e6 / real(count)
}

/// How many times as fast as plain encryption.
fn ratio(plain: Duration, ours: Duration) -> f64 {
    plain.as_secs_f64() / ours.as_secs_f64()
}
