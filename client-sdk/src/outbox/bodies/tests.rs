use std::collections::BTreeSet;

use sealcare_records::RecordId;

use super::*;
use crate::{
    fixture::{Fixture, Noise, noise},
    record_store::{NewRecord, RecordWriter},
};

async fn pack_all(fixture: &Fixture) -> Packed {
    let grant = fixture.grant;
    loop {
        match fixture.patient.store.write(move |tx| pack(tx, &grant)).await.unwrap() {
            Packed::Some => {}
            packed => return packed,
        }
    }
}

async fn packed_ids(fixture: &Fixture) -> Vec<String> {
    let (grant, next) = (fixture.grant, fixture.row().await.outbox.next);
    let read = move |tx: &ReadTransaction<'_>| {
        let mut ids = Vec::new();
        for number in 0..next {
            let body = load(tx, &grant, number)?.unwrap().decode()?;
            ids.extend(body.changes.into_iter().map(|change| change.record_id));
        }
        Ok(ids)
    };
    fixture.patient.store.read(read).await.unwrap()
}

#[tokio::test]
async fn every_change_is_in_exactly_one_body() {
    let fixture = Fixture::new().await;
    fixture.patient.read(Noise { records: 0..200, note_bytes: 3_000 }).await.unwrap();
    assert_eq!(pack_all(&fixture).await, Packed::All);
    let ids = packed_ids(&fixture).await;
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (200, 200));
    let row = fixture.row().await;
    assert!((5..30).contains(&row.outbox.next), "{} bodies", row.outbox.next);
    assert_eq!(row.outbox.records_pending, 200);
}

#[tokio::test]
async fn records_that_are_alike_fill_a_body() {
    let fixture = Fixture::new().await;
    fixture.patient.read(Noise { records: 0..1_500, note_bytes: 0 }).await.unwrap();
    pack_all(&fixture).await;
    assert_eq!((packed_ids(&fixture).await.len(), fixture.row().await.outbox.next), (1_500, 1));
}

#[tokio::test]
async fn a_record_that_fits_no_body_is_counted_and_keeps_no_other_back() {
    let fixture = Fixture::new().await;
    fixture.patient.read(Noise { records: 0..1, note_bytes: 10 }).await.unwrap();
    fixture.patient.read(Noise { records: 1..2, note_bytes: 200_000 }).await.unwrap();
    fixture.patient.read(Noise { records: 2..3, note_bytes: 10 }).await.unwrap();
    assert_eq!(pack_all(&fixture).await, Packed::All);
    assert_eq!(packed_ids(&fixture).await, ["r0", "r2"]);
    assert_eq!(fixture.row().await.outbox.records_too_large, 1);
}

#[tokio::test]
async fn no_more_numbers_are_given_than_may_be_unconfirmed() {
    let fixture = Fixture::new().await;
    let (store, grant) = (fixture.patient.store.clone(), fixture.grant);
    let fill = move |tx: &mut WriteTransaction<'_>| {
        let mut row = GrantRow::load(tx, &grant)?;
        row.outbox.next = row.outbox.confirmed_below + UNCONFIRMED_MAX - 1;
        row.save(tx, &grant)?;
        let mut writer = RecordWriter::new(tx, &store)?;
        (0..60).try_for_each(|number| writer.take(&NewRecord::new(&noise(number, 30_000), None)))?;
        writer.finish()
    };
    fixture.patient.store.write(fill).await.unwrap();
    assert_eq!(pack_all(&fixture).await, Packed::Full);
    assert_eq!(fixture.row().await.outbox.next, UNCONFIRMED_MAX);
}

fn told(row: &GrantRow, record: &RecordRow) -> Option<(String, &'static str)> {
    change(row, record, &Bytes::from_static(b"{}"), |_, _| false).unwrap().map(|change| {
        let state = match change.state {
            ChangeState::Upsert(_) => "upsert",
            ChangeState::Tombstone => "tombstone",
        };
        (change.type_name.as_str().to_owned(), state)
    })
}

#[tokio::test]
async fn a_grant_hears_of_no_record_that_was_gone_before_it() {
    let fixture = Fixture::new().await;
    fixture.patient.read(Noise { records: 0..2, note_bytes: 1 }).await.unwrap();
    let (store, grant) = (fixture.patient.store.clone(), fixture.grant);
    let work = move |tx: &mut WriteTransaction<'_>| {
        let mut writer = RecordWriter::new(tx, &store)?;
        writer.delete(&RecordId::new("r0").unwrap())?;
        writer.finish()?;
        let mut row = GrantRow::load(tx, &grant)?;
        row.accepted_version = crate::record_store::newest_version(tx)?;
        row.save(tx, &grant)
    };
    fixture.patient.store.write(work).await.unwrap();
    pack_all(&fixture).await;
    assert_eq!(packed_ids(&fixture).await, ["r1"]);
}

#[tokio::test]
async fn what_an_update_moves_out_of_the_scope_is_taken_back() {
    let mut row = Fixture::new().await.row().await;
    row.from = Some(sealcare_protocol::Timestamp::from_millis(100));
    let mut record = RecordRow {
        id: "r".to_owned(),
        type_name: "heart-rate".to_owned(),
        version: 1,
        start_ms: Some(100),
        state: RecordState::Present,
        former: std::collections::BTreeMap::new(),
        sources: std::collections::BTreeSet::new(),
    };
    let heart = |state| Some(("heart-rate".to_owned(), state));
    assert_eq!(told(&row, &record), heart("upsert"));
    record.start_ms = Some(99);
    assert_eq!(told(&row, &record), None, "it was never covered");
    record.former.insert("heart-rate".to_owned(), Some(100));
    assert_eq!(told(&row, &record), heart("tombstone"));
    record.type_name = "lab-result".to_owned();
    assert_eq!(told(&row, &record), heart("tombstone"));
    record.start_ms = Some(200);
    row.types.insert("lab-result".parse().unwrap());
    assert_eq!(told(&row, &record), Some(("lab-result".to_owned(), "upsert")));
    row.accepted_version = 1;
    record.state = RecordState::Deleted;
    assert_eq!(told(&row, &record), None);
}
