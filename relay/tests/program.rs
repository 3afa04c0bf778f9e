//! The program itself: its exit status, and what it keeps when it is killed.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actors;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use actors::{Organization, Patient, Running, config, data, origin, subscriber::Subscriber};
use sealcare_proto::v1::DepositOutcome;
use sealcare_relay::operator::{self, OrganizationCommand, Output};

/// Deposits that were acknowledged before the relay is killed.
const DEPOSITS: u64 = 300;
const KILLS: u8 = 3;

fn relay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealcare-relay"));
    command.args(arguments).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn outcome(arguments: &[&str]) -> (Option<i32>, String) {
    let output = relay(arguments).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Starts the program on a free port and waits until it says that it serves.
fn serve(folder: &Path, port: u16) -> Child {
    let data = folder.join("data");
    let listen = format!("127.0.0.1:{port}");
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    let mut child = relay(&["serve", "--listen", &listen, "--origin", origin().as_str()])
        .arg("--data")
        .arg(data)
        .arg("--tls-cert")
        .arg(chain)
        .arg("--tls-key")
        .arg(key)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the relay ended");
    }
    child.stderr = Some(log.into_inner());
    child
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (_, certificate) = config(folder.path());
    let port = free_port();
    let mut child = serve(folder.path(), port);
    let reach = |folder| Running::elsewhere(folder, ([127, 0, 0, 1], port).into(), certificate.clone());
    let mut running = reach(folder);
    let clinic = Organization::open(&running, "clinic.example").await;
    let mut ana = Patient::of(&running, &clinic).await;
    assert_eq!(ana.deposit(vec![clinic.init(1)]).await.unwrap(), [DepositOutcome::Stored]);
    for kill in 0..KILLS {
        let first = u64::from(kill) * DEPOSITS;
        for counter in first..first + DEPOSITS {
            assert_eq!(ana.deposit(vec![data(1, counter)]).await.unwrap(), [DepositOutcome::Stored]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        child = serve(running.folder.path(), port);
        running = reach(running.folder);
        ana = ana.reconnected(&running).await;
        let last = first + DEPOSITS - 1;
        assert_eq!(ana.deposit(vec![data(1, last)]).await.unwrap(), [DepositOutcome::Already]);
        assert_eq!(ana.status().await.unwrap().sessions[0].next_counter, last + 1);
    }
    assert_eq!(ana.revoke(&clinic).await.unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
    child = serve(running.folder.path(), port);
    running = reach(running.folder);
    ana = ana.reconnected(&running).await;
    assert!(ana.status().await.unwrap().revoked);
    assert!(ana.deposit(vec![data(1, DEPOSITS * u64::from(KILLS))]).await.is_err());
    let data = running.folder.path().join("data");
    let listed = operator::run(&data, OrganizationCommand::List, Output::Text).await.unwrap();
    assert!(listed.contains("approved"));
    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    for secret in [clinic.id().to_hex(), ana.grant(&clinic).to_hex(), "clinic.example".into()] {
        assert!(!log.contains(&secret), "the log names an organization or a grant");
    }
}

#[test]
fn bad_usage_and_configuration_end_with_64() {
    let (status, text) = outcome(&["serve"]);
    assert_eq!(status, Some(64), "{text}");
    assert!(text.contains("`data` is not set"), "{text}");
    assert_eq!(outcome(&["dance"]).0, Some(64));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    std::fs::write(&file, "colour = 1").unwrap();
    let (status, text) = outcome(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(status, Some(64));
    assert!(text.contains("colour"), "{text}");
    assert_eq!(outcome(&["--help"]).0, Some(0));
}

#[test]
fn without_a_relay_the_operator_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (status, text) = outcome(&["organization", "list", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(text.contains("is it running?"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn approving_compares_the_root_fingerprint() {
    let relay = Running::start().await;
    let clinic = Organization::new("clinic.example");
    clinic.register(&relay).await.unwrap();
    let data = relay.folder.path().join("data").display().to_string();
    let approve = |fingerprint: Option<String>| {
        let mut arguments = vec!["organization", "approve", "clinic.example", "--data", &data];
        arguments.extend(fingerprint.iter().flat_map(|text| ["--fingerprint", text]));
        outcome(&arguments)
    };
    let (status, text) = approve(None);
    assert_eq!(status, Some(1));
    assert!(text.contains("--fingerprint"), "{text}");
    let known = operator::fingerprint(relay.folder.path().join("data").as_path(), "clinic.example").await;
    let known = known.unwrap().to_string();
    assert!(text.contains(&known), "{text}");
    let (status, text) = approve(Some("ab".repeat(32)));
    assert_eq!(status, Some(1));
    assert!(text.contains("another root fingerprint"), "{text}");
    assert_eq!(approve(Some("ab".into())).0, Some(64));
    assert!(Patient::new(&relay).await.accept(clinic.ticket()).await.is_err());
    assert_eq!(approve(Some(known)).0, Some(0));
    assert!(Patient::new(&relay).await.accept(clinic.ticket()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_written_by_the_running_relay_and_restored_into_an_empty_folder() {
    let relay = Running::start().await;
    let clinic = Organization::open(&relay, "clinic.example").await;
    let (mut ana, mut ben) = (Patient::of(&relay, &clinic).await, Patient::of(&relay, &clinic).await);
    ana.deposit(vec![clinic.init(1), data(1, 0)]).await.unwrap();
    ben.revoke(&clinic).await.unwrap();
    let (from, to) = (relay.folder.path().join("data"), tempfile::tempdir().unwrap());
    let file = to.path().join("relay.backup").display().to_string();
    let backup = || outcome(&["backup", &file, "--json", "--data", from.to_str().unwrap()]);
    relay.suspend("clinic.example").await;
    let (status, text) = backup();
    assert_eq!((status, text.trim()), (Some(0), r#"{"grants":2,"organizations":1,"tombstones":1}"#));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (status, text) = backup();
    assert!(status == Some(1) && text.contains("there already"), "{text}");

    let place = to.path().join("data").display().to_string();
    let restore = || outcome(&["restore", &file, "--data", &place]);
    let (status, text) = outcome(&["restore", &file]);
    assert!(status == Some(64) && text.contains("--data"), "{text}");
    let (status, text) = restore();
    assert!(status == Some(0) && text.contains("next: `sealcare-relay serve`"), "{text}");
    let state = text.lines().find(|line| line.ends_with("clinic.example")).unwrap();
    assert!(state.starts_with("suspended") && text.contains("check these states"), "{text}");
    let (status, text) = restore();
    assert!(status == Some(1) && text.contains("a store already"), "{text}");
    let (_, certificate) = config(to.path());
    let port = free_port();
    let mut child = serve(to.path(), port);
    let restored = Running::elsewhere(to, ([127, 0, 0, 1], port).into(), certificate);
    restored.approve("clinic.example").await;
    (ana, ben) = (ana.reconnected(&restored).await, ben.reconnected(&restored).await);
    assert!(ben.status().await.unwrap().revoked);
    assert_eq!(ana.deposit(vec![data(1, 1)]).await.unwrap(), [DepositOutcome::UnknownSession]);
    assert_eq!(ana.deposit(vec![clinic.init(2), data(2, 0)]).await.unwrap()[0], DepositOutcome::Stored);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_restore_that_was_cut_off_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    config(folder.path());
    std::fs::create_dir_all(folder.path().join("data/restoring")).unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (data, chain, key) = (place("data"), place("chain.pem"), place("key.pem"));
    let tls = ["--tls-cert", &chain, "--tls-key", &key];
    let relay_origin = origin();
    let listen = ["--listen", "127.0.0.1:0", "--origin", relay_origin.as_str()];
    let (status, text) = outcome(&[&["serve", "--data", &data][..], &listen, &tls].concat());
    assert!(status == Some(1) && text.contains("restore` again"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_acknowledged_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (_, certificate) = config(folder.path());
    let port = free_port();
    let mut child = serve(folder.path(), port);
    let reach = |folder| Running::elsewhere(folder, ([127, 0, 0, 1], port).into(), certificate.clone());
    let mut running = reach(folder);
    let clinic = Organization::open(&running, "clinic.example").await;
    let mut ana = Patient::of(&running, &clinic).await;
    ana.deposit(vec![clinic.init(1)]).await.unwrap();
    let batch = |first: u64| (first..first + 100).map(|counter| data(1, counter)).collect();
    let mut answered = 0;
    for _ in 0..KILLS {
        let mut stream = ana.next_stream().await;
        for first in (answered..answered + 400).step_by(100) {
            stream.deposit(batch(first)).await;
        }
        answered = stream.progress().await.unwrap().unwrap().0;
        child.kill().unwrap();
        child.wait().unwrap();
        child = serve(running.folder.path(), port);
        running = reach(running.folder);
        ana = ana.reconnected(&running).await;
        assert!(ana.status().await.unwrap().sessions[0].next_counter >= answered);
    }
    // The same batches again, from the first without an answer, whatever of them was stored.
    let mut stream = ana.stream().await.unwrap();
    for first in (answered..answered + 400).step_by(100) {
        stream.deposit(batch(first)).await;
    }
    stream.until(answered + 400).await;
    let items = Subscriber::begin(&running, &clinic, 10_000).await.until_caught_up().await;
    assert_eq!(u64::try_from(items.len()).unwrap(), 1 + answered + 400);
    child.kill().unwrap();
    child.wait().unwrap();
}
