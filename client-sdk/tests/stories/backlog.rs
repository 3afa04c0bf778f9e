//! A backlog of many batches goes up on a deposit stream: once, in order, whatever is cut.

use std::io::Cursor;

use rand::distr::{Alphanumeric, SampleString as _};
use sealcare_client::{PassOutcome, Patient, RecordType};

use crate::{
    crash::share_for,
    world::{World, accept, heart_rates, organization::Answer, share},
};

const HEART: &[RecordType] = &[RecordType::HeartRate];
/// Characters of a note: a record fills most of a body, and five of them a batch.
const NOTE_CHARS: usize = 50_000;

/// Records whose notes do not compress.
async fn import_notes(patient: &Patient, numbers: std::ops::Range<u32>) {
    let lines = heart_rates(numbers.map(|number| (number, 60))).into_inner();
    let lines = String::from_utf8(lines).unwrap();
    let noted = lines.lines().map(|line| {
        let note = Alphanumeric.sample_string(&mut rand::rng(), NOTE_CHARS);
        line.replace(r#""status":"final","#, &format!(r#""status":"final","note":[{{"text":"{note}"}}],"#))
    });
    let noted = Cursor::new(noted.collect::<Vec<_>>().join("\n").into_bytes());
    patient.import(vec![noted], |_, _| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_arrives_once_and_in_order() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    import_notes(&ana, 0..21).await;
    let shared = ana.share(&|_| ()).await.unwrap();
    assert_eq!(shared[0].outcome.as_ref().unwrap(), &PassOutcome::Deposited { bodies: 21 });
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!((clinic.records.len(), clinic.deliveries), (21, 21));
    share(&ana).await;
    assert_eq!(ana.status().await.unwrap()[0].records_pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_is_cut_anywhere_loses_and_doubles_nothing() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let mut ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    let mut records = 0;
    for polls in (1..120).step_by(15) {
        import_notes(&ana, records..records + 6).await;
        records += 6;
        share_for(polls, &ana).await;
        drop(ana);
        ana = world.reopen_when_closed("ana").await;
    }
    // The relay may still hold the place of a stream that was cut: then single calls take over.
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    let records = usize::try_from(records).unwrap();
    assert_eq!((clinic.records.len(), clinic.deliveries), (records, u64::try_from(records).unwrap()));
}
