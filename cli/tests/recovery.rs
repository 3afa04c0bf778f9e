//! The recovery sheet by command: printed, typed from again, and used for a lost, a second and a stolen machine.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod clinic;
mod program;

use clinic::Clinic;
use program::{BIRTH_DATE, EXPORT, Machine, NAME};
use serde_json::{Value, json};

/// Repetitions of a command until something is so.
const TRIES_MAX: usize = 100;

/// A machine that shares a heart rate with the clinic, and its recovery sheet.
async fn sharing(clinic: &Clinic) -> (Machine, String) {
    let machine = clinic.machine();
    machine.json(&["import", &machine.file("export.xml", EXPORT)]);
    let invitation = machine.file("invitation", clinic.invite().to_text().as_str());
    let types = ["--types", "heart-rate"];
    let accepted = machine.json(&[&["accept", "--yes", &format!("@{invitation}")][..], &types].concat());
    assert_eq!(accepted["sheet"], "never-made");
    machine.json(&["share"]);
    clinic.told("72 /min").await;
    let sheet = machine.path("sheet.txt");
    let made = machine.json(&["sheet", "--out", &sheet]);
    assert_eq!(made["relays"].as_array().unwrap().len(), 1);
    assert_eq!(machine.json(&["status"])["sheet"], "complete");
    (machine, sheet)
}

/// A machine without an account, on which `recover` is tried.
fn bare(clinic: &Clinic) -> Machine {
    let (mut machine, with) = (Machine::new(), clinic.machine());
    machine.options.clone_from(&with.options);
    std::fs::write(machine.path("roots.pem"), std::fs::read(with.path("roots.pem")).unwrap()).unwrap();
    machine.options[1] = machine.path("roots.pem");
    machine.options.extend(["--passphrase-file".to_owned(), machine.path("passphrase")]);
    machine
}

fn recover(machine: &Machine, sheet: &str, how: &[&str]) -> Value {
    let args = ["recover", "--sheet", sheet, "--name", NAME, "--birth-date", BIRTH_DATE];
    machine.json(&[&args[..], how].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_machine_comes_back_from_its_sheet() {
    let clinic = Clinic::open().await;
    let (lost, sheet) = sharing(&clinic).await;
    let machine = bare(&clinic);
    let found = recover(&machine, &sheet, &["--keep"]);
    assert_eq!((&found["complete"], &found["sheet"]), (&json!(true), &json!("complete")));
    assert_eq!(
        (&found["grants"][0]["state"], &found["grants"][0]["types"]),
        (&json!("active"), &json!(["heart-rate"]))
    );
    machine.json(&["import", &machine.file("export.xml", EXPORT.replace("72", "73"))]);
    machine.json(&["share"]);
    clinic.told("73 /min").await;
    assert_eq!(machine.json(&["status"])["grants"][0]["code"], lost.json(&["status"])["grants"][0]["code"]);
    // The same command again finds nothing new and changes nothing.
    assert_eq!(recover(&machine, &sheet, &["--keep"])["grants"], machine.json(&["recover"])["grants"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_decision_nothing_is_shared() {
    let clinic = Clinic::open().await;
    let (_lost, sheet) = sharing(&clinic).await;
    let machine = bare(&clinic);
    let found = recover(&machine, &sheet, &[]);
    assert_eq!(found["grants"][0]["recovery"], json!({ "state": "offered", "types": ["heart-rate"] }));
    let status = machine.run(&["status"]).out;
    assert!(
        status.contains("nothing is shared yet") && status.contains("`sealcare recover --keep`"),
        "{status}"
    );
    assert_eq!(machine.json(&["recover", "--keep"])["grants"][0]["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_machine_is_shut_out_from_another_one_or_the_sheet() {
    let clinic = Clinic::open().await;
    let (stolen, sheet) = sharing(&clinic).await;
    let machine = bare(&clinic);
    recover(&machine, &sheet, &["--keep"]);
    let stop = || recover(&machine, &sheet, &["--stolen"]);
    let first = stop();
    assert_eq!(first["sheet"], "never-made", "the printed one is of the old secret");
    clinic.told("revoked").await;
    let confirmed =
        (0..TRIES_MAX).map(|_| machine.json(&["share"])).find(|p| p["grants"][0]["outcome"] == "revoked");
    assert!(confirmed.is_some());
    let pass = stolen.json(&["share"]);
    assert_ne!(pass["grants"][0]["outcome"], "deposited", "{pass}");
    // The old sheet is of no account here any more, and finds nothing but what is stopped elsewhere.
    machine.turned_away(
        &["recover", "--sheet", &sheet, "--name", NAME, "--birth-date", BIRTH_DATE, "--stolen"],
        64,
        "holds an account already",
    );
    let other = recover(&bare(&clinic), &sheet, &["--stolen"]);
    assert_eq!(other["grants"][0]["state"], "revoked");
}

#[test]
fn a_sheet_is_shown_to_people_only_and_never_replaced() {
    let machine = Machine::with_account();
    machine.refused(&["sheet"], 64, "on a terminal only");
    machine.refused(&["sheet", "--json"], 64, "on a terminal only");
    let there = machine.file("there", "mine");
    machine.refused(&["sheet", "--out", &there], 74, "cannot be written there");
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "mine");
    let text = machine.run(&["sheet", "--out", &machine.path("sheet")]).out;
    assert!(text.contains("names no relay yet"), "{text}");
}

#[test]
fn what_is_wrong_with_a_sheet_is_named_and_nothing_is_made() {
    let known = Machine::with_account();
    let file = known.path("sheet");
    known.json(&["sheet", "--out", &file]);
    let good = std::fs::read_to_string(&file).unwrap() + "relay: https://localhost:1\n";
    let code = good.lines().find_map(|line| line.strip_prefix("code: ")).unwrap();
    let second = code.split('-').nth(1).unwrap();
    let machine = Machine::new();
    let args = |sheet: &str| {
        let sheet = machine.file("sheet", sheet);
        ["recover", "--sheet", &sheet, "--name", NAME, "--birth-date", BIRTH_DATE].map(str::to_owned)
    };
    let refused = |sheet: &str, status: i32, word: &str| {
        let args = args(sheet);
        machine.refused(&args.each_ref().map(String::as_str), status, word);
    };
    refused(&good.replacen(second, &format!("{}U", &second[..4]), 1), 65, "group 2 of the code is mistyped");
    refused("relay: https://localhost:1\n", 65, "14 groups");
    refused(&good.replace("relay: https://localhost:1\n", ""), 65, "names no relay");
    refused(&good.replace("https://localhost:1", "no address"), 65, "relay 1");
    machine.refused(&["recover"], 64, "recovery needs the sheet");
    machine.refused(&["recover", "--sheet", &machine.path("none")], 66, "cannot be read");
    let given = machine.file("sheet", &good);
    machine.refused(
        &["recover", "--sheet", &given, "--name", " ", "--birth-date", BIRTH_DATE],
        64,
        "the name",
    );
    machine.refused(&["recover", "--keep", "--stolen"], 64, "cannot be used with");
}
