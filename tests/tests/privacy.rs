//! A whole story by real processes, with everything logged that can be logged and every error provoked that a person
//! can provoke. Afterwards nothing of the patient is in any log or error, and no token, key or raw id.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::path::Path;

use sealcare_client::{GrantId, Invitation, Patient, Unlock, Vault};
use sealcare_tests::{
    cast::{BIRTH_DATE, CHART, Cast, NAME, PASSPHRASE, Phone},
    needles::Needles,
    relay_files::{contents, sessions},
    world::PATIENCE,
};
use sha2::{Digest as _, Sha256};

const BEATS: &str = "71.8263";
const LOT: &str = "LOT-QX7731";
const LAB_VALUE: &str = "4.72915";
const RECORD_ID: &str = "5d2f8f6e-6a0b-4c53-9b0e-7f3c2a1d9e44";

fn records() -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{RECORD_ID}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"subject":{{"reference":"Patient/1"}},"effectiveDateTime":"2024-01-02T10:00:00Z","valueQuantity":{{"value":{BEATS},"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}
{{"resourceType":"Observation","id":"lab","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"2345-7","display":"Glucose"}}]}},"subject":{{"reference":"Patient/1"}},"effectiveDateTime":"2024-01-03T10:00:00Z","valueQuantity":{{"value":{LAB_VALUE},"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}}}}
{{"resourceType":"Immunization","id":"shot","status":"completed","vaccineCode":{{"coding":[{{"system":"http://hl7.org/fhir/sid/cvx","code":"140"}}]}},"patient":{{"reference":"Patient/1"}},"occurrenceDateTime":"2023-10-01","lotNumber":"{LOT}"}}
"#
    )
}

/// Everything that goes wrong for a person before it goes well.
async fn go_wrong(cast: &Cast, rosa: &Phone, invitation: &str) {
    let name = ["--name", NAME, "--birth-date", BIRTH_DATE];
    rosa.is_refused(&[&["init"][..], &name].concat()).await;
    let other = cast.blank_phone("other");
    other.is_refused(&["init", "--name", NAME, "--birth-date", "1961-03-09T00:00"]).await;
    rosa.is_refused(&["import", &cast.file("cut.json", &records()[..300])]).await;
    let broken = format!(r#"<HealthData><Record type="{NAME}" value="{BEATS}" startDate="{BIRTH_DATE}"<"#);
    rosa.is_refused(&["import", &cast.file("export.xml", broken)]).await;
    let damaged = invitation.replace(&invitation[20..24], "xxxx");
    for bad in [&invitation[..invitation.len() / 2], &damaged, NAME] {
        rosa.is_refused(&["accept", "--yes", bad]).await;
    }
    rosa.with_passphrase("correct horse battery!").is_refused(&["status"]).await;
    let staff = |patient, date| ["invite", "--patient", patient, "--name", NAME, "--birth-date", date];
    cast.staff_is_refused(&staff("MRN-88213", BIRTH_DATE)).await;
    cast.staff_is_refused(&staff(CHART, "1961-03-09T00:00")).await;
    cast.staff_is_refused(&["admit", NAME]).await;
}

/// The story until everything has arrived; returns the short code.
async fn share(cast: &Cast, rosa: &Phone, invitation: &str) -> String {
    rosa.does(&["import", "--yes", &cast.file("records.ndjson", records())]).await;
    let accepted = rosa.tells(&["accept", "--yes", invitation]).await;
    let code = accepted["code"].as_str().unwrap().to_owned();
    rosa.is_refused(&["accept", "--yes", invitation]).await;
    let thief = cast.blank_phone("thief");
    thief.does(&["init", "--name", "Bo Thief", "--birth-date", "1990-01-01"]).await;
    thief.is_refused(&["accept", "--yes", invitation]).await;
    rosa.does(&["share"]).await;
    cast.until(&["held", "--json"], |held| held.contains(&code)).await;
    cast.staff(&["admit", &code]).await;
    let seen = cast.until(&["records"], |seen| seen.lines().count() == 3).await;
    assert!([BEATS, LAB_VALUE, LOT, "MRN-88213"].iter().all(|told| seen.contains(told)), "{seen}");
    rosa.shares_all(3).await;
    rosa.does(&["pause", &code]).await;
    rosa.does(&["resume", &code]).await;
    rosa.does(&["scope", &code, "--types", "heart-rate,lab-result", "--yes"]).await;
    rosa.does(&["sheet", "--out", &cast.text("sheet.txt")]).await;
    cast.until(&["records"], |seen| seen.lines().count() == 2).await;
    code
}

/// The stop, and what may not be done after it.
async fn stop(cast: &Cast, rosa: &Phone, code: &str) {
    rosa.does(&["revoke", code]).await;
    cast.sees(&[]).await;
    cast.staff_is_refused(&["admit", code]).await;
    rosa.does(&["share"]).await;
}

/// As the patient's own vault names it.
async fn grant(rosa: &Phone) -> GrantId {
    let unlock = Unlock::Passphrase(PASSPHRASE.to_owned().into());
    let vault = Vault::open(&rosa.home().join("vault"), &unlock).unwrap();
    let patient = Patient::builder(vault).open().await.unwrap();
    patient.status().await.unwrap()[0].grant
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_and_no_error_holds_anything_of_the_patient() {
    let mut cast = Cast::start().await;
    let rosa = cast.phone("home").await;
    let text = cast.invitation().await;
    let invitation = Invitation::from_text(&text).unwrap();
    tokio::time::timeout(PATIENCE, go_wrong(&cast, &rosa, &text)).await.unwrap();
    let code = share(&cast, &rosa, &text).await;
    let kept = contents(&cast.place("relay"));
    stop(&cast, &rosa, &code).await;
    let grant = grant(&rosa).await;
    cast.kill_gateway().await;
    cast.kill_relay().await;
    let (sessions, deposit_key) = (sessions(&kept, &cast.epochs()), deposit_key(&kept, &invitation, &grant));
    let mut secrets: Vec<(&'static str, &[u8])> = vec![
        ("first name", b"Rosa"),
        ("last name", b"Exemplar"),
        ("birth date", BIRTH_DATE.as_bytes()),
        ("chart id", b"MRN-88213"),
        ("passphrase", PASSPHRASE.as_bytes()),
        ("heart rate", BEATS.as_bytes()),
        ("lab value", LAB_VALUE.as_bytes()),
        ("lot number", LOT.as_bytes()),
        ("record id", RECORD_ID.as_bytes()),
        ("beginning of a JSON token", b"{\"alg\":\""),
        ("FHIR", b"resourceType"),
        ("link code", invitation.link_code.as_bytes()),
        ("ticket signature", &invitation.ticket.signature),
        ("organization id", invitation.organization.as_bytes()),
        ("grant id", grant.as_bytes()),
        ("deposit key", &deposit_key),
    ];
    assert!(!sessions.is_empty());
    secrets.extend(sessions.iter().map(|session| ("session id", &session[..])));
    let errors = cast.file("errors.log", cast.errors());
    for log in [cast.place("relay.log"), cast.place("gateway.log"), Path::new(&errors).to_path_buf()] {
        holds_nothing_of(&secrets, &log);
    }
}

/// The deposit key, public as it is, is whatever the relay has kept that makes the grant's id (HS/1, "Names").
fn deposit_key(kept: &[u8], invitation: &Invitation, grant: &GrantId) -> Vec<u8> {
    let id_of =
        |key| Sha256::digest([b"hs/1 grant\0", &invitation.organization.as_bytes()[..], key].concat());
    kept.windows(32).find(|key| id_of(key)[..] == *grant.as_bytes()).unwrap().to_vec()
}

/// Searches a log, and shows that the search finds what is there.
fn holds_nothing_of(secrets: &[(&'static str, &[u8])], log: &Path) {
    let needles = Needles::new(secrets);
    let told = std::fs::read(log).unwrap();
    let place = log.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(told.len() > 500, "{place} tells something");
    assert!(place == "errors.log" || told.windows(5).any(|word| word == b"DEBUG"), "{place}");
    let found = needles.found_in(&told);
    assert!(found.is_empty(), "{place} holds: {found:?}\n{}", String::from_utf8_lossy(&told));
    for (name, secret) in secrets {
        let planted = [&told[..], secret, &told[..]].concat();
        assert_eq!(needles.found_in(&planted).first(), Some(name), "{place}");
    }
}
