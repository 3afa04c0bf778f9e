//! The program without a network: an account, files, bad input at each door, exit statuses, help.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod program;

use std::{
    fs,
    io::{Cursor, Write as _},
};

use program::{BIRTH_DATE, EXPORT, Machine, NAME};
use sealcare_client::{Unlock, Vault};
use serde_json::json;
use zip::{ZipWriter, write::SimpleFileOptions};

fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, SimpleFileOptions::default()).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

fn bundle(resource: &serde_json::Value) -> String {
    json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "resource": resource }] }).to_string()
}

#[test]
fn an_account_takes_files_and_counts_what_it_leaves_out() {
    let machine = Machine::with_account();
    let files =
        [machine.file("a.xml", EXPORT), machine.file("b.zip", archive("x/export.xml", EXPORT.as_bytes()))];
    let imported = machine.json(&["import", &files[0], &files[1]]);
    assert_eq!(imported["files"][0]["imported"], json!({ "heart-rate": 1 }));
    assert_eq!(imported["files"][1]["skipped"], json!({ "workout": 1 }));
    assert_eq!((&imported["added"], &imported["unchanged"]), (&json!(1), &json!(1)));
    assert_eq!(machine.json(&["status"])["records"]["heart-rate"], 1);
    let text = machine.run(&["import", &files[0]]);
    assert!(text.out.contains("0 new, 0 updated, 1 known before."), "{text:?}");
}

#[test]
fn what_a_complete_file_lacks_is_deleted_on_the_persons_word_alone() {
    let machine = Machine::with_account();
    let whole = machine.file("whole.xml", EXPORT);
    let empty = machine.file("empty.xml", EXPORT.replace("<Record", "<Other").replace("</Record", "</Other"));
    let count = || machine.json(&["status"])["records"]["heart-rate"].clone();
    machine.refused(&["import", "--confirm-deletions", &whole], 64, "--complete");
    assert_eq!(machine.json(&["import", "--complete", &whole])["absent"], json!(null));
    assert_eq!(machine.json(&["import", &empty])["absent"], json!(null), "a part deletes nothing");
    let asked = machine.json(&["import", "--complete", &empty]);
    assert_eq!(asked["absent"]["types"]["heart-rate"]["count"], 1);
    assert_eq!(
        (&asked["absent"]["warning"], &asked["absent"]["deleted"]),
        (&json!("nothing-left"), &json!(0))
    );
    let text = machine.run(&["import", "--complete", &empty]);
    assert!(text.out.contains("WARNING") && text.out.contains("--confirm-deletions"), "{text:?}");
    assert_eq!(count(), 1, "nobody has said so");
    let confirmed = machine.json(&["import", "--complete", "--confirm-deletions", &empty]);
    assert_eq!(confirmed["absent"]["deleted"], 1);
    assert_eq!(count(), 0);
    let fhir = machine.file("a.json", bundle(&json!({ "resourceType": "Patient", "id": "1" })));
    machine.refused(&["import", "--complete", &fhir], 65, "cannot be complete");
}

#[test]
fn a_file_that_cannot_be_read_is_refused_whole() {
    let machine = Machine::with_account();
    let good = machine.file("good.xml", EXPORT);
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("a", archive("export.xml", EXPORT.as_bytes())[..80].to_vec(), "zip archive refused"),
        ("b", archive("../../export.xml", EXPORT.as_bytes()), "leads out of the archive"),
        ("c", bundle(&json!({ "resourceType": "MedicationOrder" })).into(), "DSTU2"),
        ("d", b"Dear Rosa Exemplar, thank you".to_vec(), "Apple Health export"),
        ("e", EXPORT.replace("</HealthData>", "<").into(), "xml refused"),
        ("f", b"{\"resourceType\":\"Bundle\",\"entry\":[".to_vec(), "json"),
        ("g", b"{\"a\":1}".to_vec(), "fhir bundle or resource"),
        ("h", Vec::new(), "neither"),
    ];
    for (name, content, word) in cases {
        let bad = machine.file(name, content);
        machine.refused(&["import", &good, &bad], 65, word);
    }
    // Without the look at whose it is, the first reading is what keeps the first file out.
    machine.refused(&["import", "--yes", &good, &machine.path("e")], 65, "file 2 was not imported");
    machine.refused(&["import", &good, &machine.path("missing")], 66, "file 2 cannot be read");
    machine.refused(&["import", &machine.path("")], 66, "file 1 cannot be read");
}

#[test]
fn records_of_somebody_else_need_a_word() {
    let machine = Machine::with_account();
    let patient = |name: &str| json!({ "resourceType": "Patient", "name": [{ "text": name }], "birthDate": "1980-01-01" });
    let other = machine.file("other.json", bundle(&patient("Rosa Exemplar")));
    machine.refused(&["import", &other], 77, "another person");
    let two = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "fullUrl": "urn:uuid:1", "resource": patient("A") }, { "fullUrl": "urn:uuid:2", "resource": patient("B") } ] });
    let two = machine.file("two.json", two.to_string());
    machine.refused(&["import", &two], 77, "more than one person");
    assert_eq!(machine.json(&["import", "--yes", &other])["files"][0]["people"], 1);
}

#[test]
fn what_is_not_an_invitation_is_refused() {
    let machine = Machine::with_account();
    let garbage = machine.file("garbage", [0xff; 64]);
    for bad in ["", "hello", "sealcare:", "sealcare:AAAA", "https://clinic.example/", &format!("@{garbage}")]
    {
        machine.refused(&["accept", "--yes", bad], 65, "not an invitation");
    }
    machine.refused(&["accept", "@missing file"], 66, "cannot be read");
    machine.refused(&["accept", "-", "--passphrase-file", "-"], 64, "standard input");
}

#[test]
fn an_account_is_made_once_and_only_for_a_person() {
    let machine = Machine::new();
    let passphrase = machine.path("passphrase");
    let init = |name: &'static str, birth_date: &'static str| {
        ["init", "--name", name, "--birth-date", birth_date, "--passphrase-file"]
    };
    machine.refused(&[&init("", BIRTH_DATE)[..], &[&passphrase]].concat(), 64, "name");
    machine.refused(&[&init(NAME, "9.3.1961")[..], &[&passphrase]].concat(), 64, "YYYY-MM-DD");
    let short = machine.file("short", "short\n");
    machine.refused(&[&init(NAME, BIRTH_DATE)[..], &[&short]].concat(), 64, "too short");
    machine.refused(&[&init(NAME, BIRTH_DATE)[..], &["no such file"]].concat(), 64, "passphrase file");
    machine.refused(&["status"], 64, "sealcare init");
    machine.refused(&["status", "--passphrase-file", &passphrase], 64, "sealcare init");

    let machine = Machine::with_account();
    machine.refused(
        &[&init(NAME, BIRTH_DATE)[..], &[&machine.path("passphrase")]].concat(),
        64,
        "account already",
    );
}

#[test]
fn a_home_opens_with_its_own_passphrase_only() {
    let machine = Machine::with_account();
    let wrong = machine.file("wrong", "correct horse batterz\n");
    machine.refused(&["status", "--passphrase-file", &wrong], 77, "wrong passphrase");
    fs::remove_file(machine.home().join("config.toml")).unwrap();
    let answer = machine.run(&["status"]);
    assert_eq!(answer.status, 64, "{answer:?}");
    assert!(answer.err.contains("a passphrase") && answer.err.contains("--passphrase-file"), "{answer:?}");
}

#[test]
fn a_configuration_that_cannot_be_used_stops_every_command() {
    let machine = Machine::with_account();
    let good = fs::read_to_string(machine.home().join("config.toml")).unwrap();
    for bad in ["passphrase = \"x\"", "passphrase_file = 1", "{", &"#".repeat(70_000)] {
        fs::write(machine.home().join("config.toml"), bad).unwrap();
        for command in ["status", "share", "grants", "doctor"] {
            let answer = machine.run(&[command]);
            assert_eq!(answer.status, 64, "{answer:?}");
            assert!(answer.err.contains("config.toml") && answer.out.is_empty(), "{answer:?}");
        }
    }
    fs::write(machine.home().join("config.toml"), good).unwrap();
    assert_eq!(machine.json(&["grants"]), json!({ "grants": [] }));
}

#[test]
fn a_command_waits_for_another_and_then_says_so() {
    let machine = Machine::with_account();
    let unlock = Unlock::Passphrase("correct horse battery".to_owned().into());
    let held = Vault::open(&machine.home().join("vault"), &unlock).unwrap();
    let answer = machine.run(&["status", "--wait", "0"]);
    assert_eq!(answer.status, 75, "{answer:?}");
    assert!(answer.err.contains("Another sealcare command"), "{answer:?}");
    let waiting =
        machine.command(&["status", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(held);
    assert!(waiting.wait_with_output().unwrap().status.success());
}

#[test]
fn the_doctor_names_damage() {
    let machine = Machine::with_account();
    let healthy = machine.json(&["doctor", "--offline"]);
    assert_eq!(healthy["healthy"], true);
    let database = machine.home().join("vault/vault.db");
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xa5);
    fs::write(&database, bytes).unwrap();
    let answer = machine.run(&["doctor", "--offline", "--json"]);
    assert_eq!(answer.status, 1, "{answer:?}");
    let findings: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(findings["checks"][0]["check"], "storage");
    assert_eq!(findings["checks"][0]["outcome"], "failed");
}

#[test]
fn errors_are_json_for_programs() {
    let machine = Machine::new();
    let answer = machine.run(&["grants", "--json", "--passphrase-file", &machine.path("passphrase")]);
    assert_eq!(answer.status, 64);
    let error: serde_json::Value = serde_json::from_str(&answer.err).unwrap();
    assert_eq!((&error["status"], error["error"].as_str()), (&json!(64), Some("no vault is in this folder")));
    assert!(error["advice"].as_str().unwrap().contains("sealcare init"));
}

#[test]
fn sharing_with_nobody_says_how_to_begin() {
    let machine = Machine::with_account();
    for command in ["share", "grants", "status"] {
        let answer = machine.run(&[command]);
        assert!(answer.status == 0 && answer.out.contains("sealcare accept"), "{answer:?}");
    }
    machine.refused(&["revoke", "ABCD-EFGH"], 64, "no such grant");
}

#[test]
fn wrong_usage_is_told_apart() {
    let machine = Machine::new();
    for bad in [
        &["nonsense"][..],
        &[],
        &["import"],
        &["share", "--every", "9"],
        &["accept", "x", "--types", "steps"],
    ] {
        let answer = machine.run(bad);
        assert_eq!(answer.status, 64, "{bad:?}: {answer:?}");
        assert!(!answer.err.is_empty() && answer.out.is_empty(), "{bad:?}: {answer:?}");
    }
    assert!(machine.run(&["--version"]).out.starts_with("sealcare "));
}

#[test]
fn help_reads_as_reviewed() {
    let machine = Machine::new();
    insta::assert_snapshot!("help", machine.run(&["--help"]).out);
    insta::assert_snapshot!("help_accept", machine.run(&["accept", "--help"]).out);
}
