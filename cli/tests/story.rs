//! The program against a real relay and a real organization: the whole way, and what is turned away.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod clinic;
mod program;

use std::{
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use clinic::Clinic;
use program::{EXPORT, Machine};
use sealcare_client::{Clock as _, SystemClock, Unlock, Vault};
use serde_json::{Value, json};

/// Repetitions of a command until something is so; each takes a tenth of a second or more.
const TRIES_MAX: usize = 100;

/// A glucose of 95 mg/dL as FHIR R4.
const LAB: &str = r#"{"resourceType":"Observation","id":"lab-1","status":"final","category":[{"coding":[{"system":
"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":
"http://loinc.org","code":"2345-7"}]},"effectiveDateTime":"2024-06-15T08:00:00Z","valueQuantity":{"value":95,
"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}"#;

/// Repeats a command until its answer is as wanted.
fn until(machine: &Machine, args: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
    let answers = (0..TRIES_MAX).map(|_| machine.json(args));
    answers.into_iter().find(is_so).unwrap_or_else(|| panic!("{args:?} never came to be so"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_goes_the_whole_way_and_the_stop_is_confirmed() {
    let clinic = Clinic::open().await;
    let machine = clinic.machine();
    machine.json(&["import", &machine.file("export.xml", EXPORT)]);
    let invitation = machine.file("invitation", clinic.invite().to_text().as_str());
    let types = ["--types", "heart-rate,lab-result"];
    let accepted = machine.json(&[&["accept", "--yes", &format!("@{invitation}")][..], &types].concat());
    assert_eq!(accepted["types"], json!(["heart-rate", "lab-result"]));
    let shared = machine.json(&["share"]);
    assert_eq!(
        (&shared["grants"][0]["outcome"], &shared["grants"][0]["deposited"]),
        (&json!("deposited"), &json!(1))
    );
    clinic.told("72 /min").await;
    until(&machine, &["share"], |pass| pass["grants"][0]["confirmed"] == 1);
    let status = machine.run(&["status"]).out;
    assert!(status.contains("1 arrived, 0 on the way"), "{status}");
    assert_eq!(machine.json(&["doctor"])["healthy"], true);

    let code = accepted["code"].as_str().unwrap();
    machine.json(&["revoke", code]);
    clinic.told("revoked").await;
    until(&machine, &["revoke", code], |answer| answer["state"] == "confirmed");
    assert_eq!(machine.json(&["share"])["grants"][0]["outcome"], "revoked");
    assert!(machine.run(&["status"]).out.contains("the organization confirmed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_changed_paused_and_resumed() {
    let clinic = Clinic::open().await;
    let machine = clinic.machine();
    machine.json(&["import", &machine.file("export.xml", EXPORT), &machine.file("lab.json", LAB)]);
    let accepted = machine.json(&["accept", "--yes", clinic.invite().to_text().as_str()]);
    let code = accepted["code"].as_str().unwrap();
    machine.json(&["share"]);
    clinic.told("72 /min").await;

    let narrower = machine.json(&["scope", code, "--types", "heart-rate", "--since", "2024-06-15"]);
    assert_eq!((&narrower["types"], &narrower["told"]), (&json!(["heart-rate"]), &json!(true)));
    assert!(narrower["removed"].as_array().unwrap().contains(&json!("lab-result")), "{narrower}");
    clinic.told("scope-changed").await;
    until(&machine, &["share"], |_| machine.json(&["status"])["grants"][0]["statement"] == "confirmed");
    machine.turned_away(&["scope", code, "--everything"], 77, "--yes");
    assert_eq!(machine.json(&["scope", code])["since"], "2024-06-15");

    assert_eq!(machine.json(&["pause", code])["state"], "paused");
    clinic.told("paused").await;
    machine.json(&["scope", code, "--everything", "--all-dates", "--yes"]);
    assert_eq!(machine.json(&["share"])["grants"][0]["outcome"], "paused");
    let paused = machine.run(&["status"]).out;
    assert!(paused.contains(&format!("paused (`sealcare resume {code}` ends it)")), "{paused}");

    assert_eq!(machine.json(&["resume", code])["told"], true);
    clinic.told("95 mg/dL").await;
    assert!(machine.run(&["pause", "nobody.example"]).err.contains("no such grant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_records_arrive_by_themselves_while_other_commands_work() {
    let clinic = Clinic::open().await;
    let machine = clinic.machine();
    machine.json(&["accept", "--yes", clinic.invite().to_text().as_str()]);
    let mut following = machine
        .command(&["share", "--follow", "--every", "1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    machine.json(&["import", &machine.file("export.xml", EXPORT)]);
    clinic.told("72 /min").await;
    let stopped = Command::new("kill").args(["-TERM", &following.id().to_string()]).status().unwrap();
    assert!(stopped.success() && following.wait().unwrap().success());
    let mut printed = String::new();
    following.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(printed.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_meets_another_command_is_carried_out_by_the_next() {
    let clinic = Clinic::open().await;
    let machine = clinic.machine();
    let accepted = machine.json(&["accept", "--yes", clinic.invite().to_text().as_str()]);
    let unlock = Unlock::Passphrase("correct horse battery".to_owned().into());
    let at_work = Vault::open(&machine.home().join("vault"), &unlock).unwrap();
    let answer = machine.run(&["--wait", "0", "revoke", accepted["code"].as_str().unwrap()]);
    assert_eq!(answer.status, 75, "{answer:?}");
    assert!(answer.err.contains("the stop is noted"), "{answer:?}");
    drop(at_work);
    assert_eq!(machine.json(&["status"])["grants"][0]["state"], "revocation-pending");
    let told = machine.json(&["share"]);
    assert_ne!(told["grants"][0]["outcome"], "failed", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_does_not_hold_is_turned_away() {
    let mut clinic = Clinic::open().await;
    let machine = clinic.machine();
    let accept = |text: &str, status, word| machine.turned_away(&["accept", "--yes", text], status, word);

    let good = clinic.invite();
    machine.turned_away(&["accept", &good.to_text()], 77, "--yes");
    let week_ago = SystemClock.now().minus(Duration::from_hours(24 * 8));
    accept(&clinic.invite_at(week_ago).to_text(), 65, "new invitation");

    let mut elsewhere = clinic.invite();
    elsewhere.relay = clinic.other_relay().await;
    accept(&elsewhere.to_text(), 65, "relay");
    let mut nowhere = clinic.invite();
    nowhere.domain = "localhost:1".parse().unwrap();
    accept(&nowhere.to_text(), 69, "cannot be reached");
    let mut other = clinic.invite();
    other.organization = sealcare_protocol::OrganizationId::from_bytes([7; 32]);
    accept(&other.to_text(), 77, "another organization");

    machine.json(&["accept", "--yes", &good.to_text()]);
    accept(&good.to_text(), 77, "accepted before");
    clinic.machine().turned_away(&["accept", "--yes", &good.to_text()], 77, "with another key");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_never_passed() {
    let clinic = Clinic::open().await;
    let mut machine = clinic.machine();
    machine.options.drain(..2);
    machine.turned_away(&["accept", "--yes", &clinic.invite().to_text()], 77, "TLS certificate is not valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sees_a_domain_that_is_gone() {
    let mut clinic = Clinic::open().await;
    let machine = clinic.machine();
    machine.json(&["accept", "--yes", &clinic.invite().to_text()]);
    clinic.leave_domain().await;
    let answer = machine.run(&["doctor"]);
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(answer.out.contains("ok       relay https://localhost:"), "{answer:?}");
    assert!(answer.out.contains("FAILED   organization-keys localhost:"), "{answer:?}");
}
