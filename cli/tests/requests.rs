//! Choices about a grant while another command holds the account, against a real relay and a real organization.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod clinic;
mod program;

use std::{process::Stdio, sync::Arc};

use clinic::Clinic;
use program::{Answer, EXPORT, Machine};
use sealcare_client::{Unlock, Vault};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
};

/// Sends a command through a [`Gate`].
const THROUGH_GATE: [&str; 2] = ["--danger-resolve", "localhost=127.0.0.2"];

fn unlock() -> Unlock {
    Unlock::Passphrase("correct horse battery".to_owned().into())
}

/// As another command at work does.
fn hold(machine: &Machine) -> Vault {
    Vault::open(&machine.home().join("vault"), &unlock()).unwrap()
}

/// The way to a clinic's relay and domain, shut until it is opened.
struct Gate {
    came: Arc<Notify>,
    open: watch::Sender<bool>,
    ways: JoinSet<()>,
}

impl Gate {
    async fn shut(clinic: &Clinic) -> Self {
        let mut gate = Self { came: Arc::default(), open: watch::Sender::new(false), ways: JoinSet::new() };
        let invitation = clinic.invite();
        for place in [invitation.relay.to_string(), invitation.domain.to_string()] {
            let port: u16 = place.rsplit(':').next().unwrap().parse().unwrap();
            let listener = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
            gate.ways.spawn(lead(listener, port, Arc::clone(&gate.came), gate.open.subscribe()));
        }
        gate
    }
}

async fn lead(listener: TcpListener, port: u16, came: Arc<Notify>, open: watch::Receiver<bool>) {
    let mut ways = JoinSet::new();
    loop {
        let (mut caller, _) = listener.accept().await.unwrap();
        came.notify_one();
        let mut open = open.clone();
        ways.spawn(async move {
            open.wait_for(|is_open| *is_open).await.unwrap();
            let mut place = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            // However the connection ends.
            let _ = tokio::io::copy_bidirectional(&mut caller, &mut place).await;
        });
    }
}

/// Begins a command.
fn begun(machine: &Machine, args: &[&str]) -> std::process::Child {
    let mut command = machine.command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: std::process::Child) -> Answer {
    child.wait_with_output().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_narrower_scope_take_effect_in_the_middle_of_another_commands_pass() {
    let clinic = Clinic::open().await;
    let machine = clinic.machine();
    machine.json(&["import", &machine.file("export.xml", EXPORT)]);
    let accepted = machine.json(&["accept", "--yes", &clinic.invite().to_text()]);
    let code = accepted["code"].as_str().unwrap();
    let gate = Gate::shut(&clinic).await;
    let mut sharing = begun(&machine, &[&THROUGH_GATE[..], &["share", "--json"]].concat());
    gate.came.notified().await;
    for choice in [&["scope", code, "--types", "heart-rate"][..], &["pause", code]] {
        assert_eq!(machine.run(&[&["--wait", "0"], choice].concat()).status, 75);
        while requests(&machine) > 0 {
            assert!(sharing.try_wait().unwrap().is_none(), "the pass was over before {choice:?} was heeded");
            tokio::task::yield_now().await;
        }
    }
    gate.open.send_replace(true);
    let shared = ended(sharing);
    assert_eq!(shared.status, 0, "{shared:?}");
    let pass: Value = serde_json::from_str(&shared.out).unwrap();
    let grant = &pass["grants"][0];
    assert_eq!((&grant["outcome"], &grant["deposited"]), (&json!("paused"), &json!(0)), "{pass}");
    assert_eq!(machine.json(&["scope", code])["types"], json!(["heart-rate"]));
    machine.json(&["resume", code]);
    clinic.told("72 /min").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn choices_that_meet_another_command_are_carried_out_in_their_order() {
    let clinic = Clinic::open().await;
    let machine = clinic.machine();
    let accepted = machine.json(&["accept", "--yes", &clinic.invite().to_text()]);
    let code = accepted["code"].as_str().unwrap();
    let at_work = hold(&machine);
    let noted = |args: &[&str], word: &str| {
        let answer = machine.run(&[&["--wait", "0"], args].concat());
        assert_eq!(answer.status, 75, "{answer:?}");
        assert!(answer.err.contains(word), "{word:?} in {answer:?}");
    };
    noted(&["pause", code], "the pause is noted");
    noted(&["resume", code], "the resumption is noted");
    noted(&["scope", code, "--types", "heart-rate,lab-result"], "the narrower scope is noted");
    noted(&["scope", code, "--types", "heart-rate,immunization"], "the narrower scope is noted");
    noted(&["scope", code, "--since", "2024-06-15", "--yes"], "the scope is noted");
    noted(&["scope", code, "--everything"], "another process");
    noted(&["pause", "nobody.example"], "the pause is noted");
    noted(&["pause", code], "the pause is noted");
    drop(at_work);
    let answer = machine.run(&["grants", "--json"]);
    assert!(answer.err.contains("no such grant"), "{answer:?}");
    let grants: Value = serde_json::from_str(&answer.out).unwrap();
    let grant = &grants["grants"][0];
    assert_eq!(grant["state"], "paused", "{grants}");
    assert_eq!(grant["types"], json!(["heart-rate"]), "nothing was added without a yes: {grants}");
    assert_eq!(grant["since"], "2024-06-15", "{grants}");
    assert!(machine.run(&["grants"]).err.is_empty(), "what is carried out is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_another_command_is_told_what_holds_in_the_end() {
    let clinic = Clinic::open().await;
    let machine = clinic.machine();
    let accepted = machine.json(&["accept", "--yes", &clinic.invite().to_text()]);
    let code = accepted["code"].as_str().unwrap();
    let waits = |args: &[&str]| {
        let at_work = hold(&machine);
        let before = requests(&machine);
        let child = begun(&machine, args);
        while requests(&machine) == before {
            std::thread::yield_now();
        }
        drop(at_work);
        ended(child)
    };
    let narrower = waits(&["scope", code, "--types", "heart-rate"]);
    assert!(narrower.status == 0 && narrower.out.contains("may receive: heart-rate;"), "{narrower:?}");
    let mixed = waits(&["scope", code, "--types", "lab-result", "--json"]);
    assert!(mixed.status == 77 && mixed.err.contains("is not added"), "{mixed:?}");
    assert_eq!(machine.json(&["scope", code])["types"], json!([]));
    let wider = waits(&["scope", code, "--types", "lab-result", "--yes"]);
    assert!(wider.status == 0 && wider.out.contains("may receive: lab-result;"), "{wider:?}");
    let paused = waits(&["pause", code]);
    assert!(paused.status == 0 && paused.out.starts_with("Paused."), "{paused:?}");
    let stopped = waits(&["revoke", code]);
    assert!(stopped.status == 0 && stopped.out.starts_with("Stopped."), "{stopped:?}");
    let late = waits(&["resume", code]);
    assert!(late.status == 77 && late.err.contains("new invitation"), "{late:?}");
    machine.json(&["import", &machine.file("export.xml", EXPORT)]);
}

fn requests(machine: &Machine) -> usize {
    let names = std::fs::read_dir(machine.home()).unwrap();
    names
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("request-"))
        .count()
}
