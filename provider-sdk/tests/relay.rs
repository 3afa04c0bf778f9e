//! The subscriber against a real relay on loopback: register, receive, reply, stop, confirm.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

#[path = "world/loopback.rs"]
mod loopback;
mod world;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use sealcare_provider::{
    Clock as _, DirectoryChannel, Halted, InvitationChannel, LinkState, Organization, ProviderError, Roots,
    Subscriber, SystemClock,
};
use sealcare_relay::operator::{self, OrganizationCommand, Output};
use sealcare_transport::DepositOutcome;
use sealcare_vault::Vault;
use tokio_util::sync::CancellationToken;

use loopback::{Loopback, PATIENCE, confirmation, reply, told};
use world::{Patient, heart_rate, seal};

#[tokio::test(flavor = "multi_thread")]
async fn a_share_arrives_is_answered_stopped_and_confirmed() {
    let mut loopback = Loopback::start().await;
    let clinic = loopback.clinic().await;
    let now = SystemClock.now();
    let invitation = world::invite(&clinic, InvitationChannel::SignIn, now);
    let (patient, key) = Patient::of(&clinic, &invitation);
    let channel = loopback.channel(key);
    channel.accept_invitation(&invitation.ticket).await.unwrap();
    let mut init = patient.start_at(&clinic, 0, now);
    let first = seal(&mut init.session, vec![heart_rate("a", 72)]);
    // A backlog from before the organization listens.
    let batch = [init.envelope, first].map(Bytes::from).into();
    assert_eq!(channel.deposit(batch).await.unwrap(), DepositOutcome::Stored);

    let stop = loopback.subscribe(&clinic);
    assert_eq!(told(&clinic, 1).await, ["72 /min"]);
    let second = seal(&mut init.session, vec![heart_rate("b", 73)]);
    channel.deposit(vec![second.into()]).await.unwrap();
    assert_eq!(told(&clinic, 1).await, ["73 /min"]);
    let answer = reply(&channel, &init.reply_key, 2).await;
    assert_eq!((answer.held, answer.resync, answer.stored_revision), (false, false, patient.revision));
    let status = channel.grant_status().await.unwrap();
    assert_eq!((status.stored_bytes, status.sessions[0].gone_below), (0, 2), "the relay has forgotten it");

    // Stopped while the organization is away: it learns of it when it is back.
    stop.cancel();
    let revocation = patient.revocation(&clinic);
    assert!(channel.revoke_grant(&revocation).await.unwrap().is_none());
    loopback.subscribe(&clinic);
    assert_eq!(told(&clinic, 1).await, ["revoked"]);
    let confirmation = confirmation(&channel, &revocation).await;
    assert_eq!(confirmation.grant(), patient.grant());
    assert!(confirmation.verify(clinic.bundle().authority()).is_ok());
    loopback.end().await;
}

/// The backup that must not be made, for it holds the wrapping keys too.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_folder_shows_nothing_that_was_revoked_since() {
    let mut loopback = Loopback::start().await;
    let clinic = loopback.clinic().await;
    let now = SystemClock.now();
    let invitation = world::invite(&clinic, InvitationChannel::SignIn, now);
    let (patient, key) = Patient::of(&clinic, &invitation);
    let channel = loopback.channel(key);
    channel.accept_invitation(&invitation.ticket).await.unwrap();
    let init = patient.start_at(&clinic, 0, now).envelope;
    clinic.receive(&[world::envelope_item(patient.grant(), &init)], &mut Halted::default(), now).unwrap();
    let (dir, unlock) = loopback.vault();
    let copy = loopback.dir.path().join("copy");
    copy_folder(&dir, &copy);
    let stop = loopback.subscribe(&clinic);
    let revocation = patient.revocation(&clinic);
    assert!(channel.revoke_grant(&revocation).await.unwrap().is_none());
    told(&clinic, 1).await;
    confirmation(&channel, &revocation).await;
    stop.cancel();

    let vault = Arc::new(Vault::open(&copy, &unlock).unwrap());
    let restored = Arc::new(Organization::open(vault, now, &mut rand::rng()).unwrap());
    assert!(restored.grant(patient.grant(), now).is_ok() && !restored.may_show().unwrap());
    loopback.subscribe(&restored);
    tokio::time::timeout(PATIENCE, restored.may_show_soon()).await.unwrap();
    assert!(restored.grant(patient.grant(), now).is_err());
    loopback.end().await;
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_does_not_know_the_organization_is_tried_again() {
    let mut loopback = Loopback::start().await;
    let (dir, unlock) = loopback.vault();
    let rng = &mut rand::rng();
    let vault = Arc::new(Vault::create(&dir, &unlock, rng).unwrap());
    let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
    let clinic = Organization::found(vault, &roots, &loopback.origin, SystemClock.now(), rng).unwrap();
    let clinic = Arc::new(clinic);
    let subscriber = Subscriber::new(Arc::clone(&clinic), &loopback.trust, Arc::new(SystemClock)).unwrap();
    let (mut state, stop) = (subscriber.state(), CancellationToken::new());
    let stopping = stop.clone();
    loopback.tasks.spawn(async move { subscriber.run(stopping).await.unwrap() });
    let directory = DirectoryChannel::new(&loopback.origin, &loopback.trust).unwrap();
    clinic.register(&directory, SystemClock.now()).await.unwrap();
    assert_eq!(*state.borrow(), LinkState::Connecting);
    let approve = OrganizationCommand::Approve { domain: "clinic.example".to_owned() };
    operator::run(&loopback.dir.path().join("relay"), approve, Output::Text).await.unwrap();
    let live = state.wait_for(|state| *state == LinkState::Live);
    assert!(tokio::time::timeout(PATIENCE, live).await.is_ok());
    stop.cancel();
    loopback.end().await;
    assert!(clinic.process(|_, _| Ok::<(), ProviderError>(())).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_days_of_silence_close_the_grant_at_the_relay_too() {
    let mut loopback = Loopback::start().await;
    let clinic = loopback.clinic().await;
    let now = SystemClock.now();
    let invitation = world::invite(&clinic, InvitationChannel::SignIn, now);
    let (patient, key) = Patient::of(&clinic, &invitation);
    let channel = loopback.channel(key);
    channel.accept_invitation(&invitation.ticket).await.unwrap();
    let mut init = patient.start_at(&clinic, 0, now);
    let data = seal(&mut init.session, vec![heart_rate("a", 72)]);
    channel.deposit([init.envelope.clone(), data].map(Bytes::from).into()).await.unwrap();
    let subscriber = Subscriber::new(Arc::clone(&clinic), &loopback.trust, Arc::new(SystemClock)).unwrap();
    let (mut state, stopping) = (subscriber.state(), loopback.stop.child_token());
    loopback.tasks.spawn(async move { subscriber.run(stopping).await.unwrap() });
    assert_eq!(told(&clinic, 1).await, ["72 /min"]);
    state.wait_for(|state| *state == LinkState::Live).await.unwrap();
    // As if it had been looked for every hour: an outage must be shorter than the relay's retention.
    for days in [0, 12, 24, 36, 48, 60, 72, 84] {
        clinic.sweep(now.plus(world::DAY * days)).unwrap();
    }
    assert_eq!(clinic.sweep(now.plus(world::DAY * 91)).unwrap().ended, 1);
    assert_eq!(told(&clinic, 1).await, ["ended"], "what it overtook is not told any more");

    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            let status = channel.grant_status().await.unwrap();
            if let Some(confirmation) = status.confirmation {
                return (status.is_revoked, status.revocation.is_none(), confirmation);
            }
        }
    };
    let (is_closed, is_unrevoked, confirmation) = tokio::time::timeout(PATIENCE, asking).await.unwrap();
    assert!(is_closed && is_unrevoked);
    assert!(confirmation.verify(clinic.bundle().authority()).is_ok());
    let refused = channel.deposit(vec![patient.start_at(&clinic, 0, now).envelope.into()]).await;
    assert!(matches!(refused, Err(sealcare_transport::TransportError::GrantRevoked)));
    loopback.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oauth_key_is_followed_by_another_after_a_year_and_after_a_restoration() {
    let loopback = Loopback::start().await;
    let year_ago = SystemClock.now().minus(Duration::from_hours(366 * 24));
    let clinic = loopback.clinic_founded(year_ago).await;
    let backup = loopback.dir.path().join("backup");
    clinic.back_up(&backup).unwrap();
    let first = clinic.oauth_key().public_jwk();
    live(&loopback, &clinic).await;
    let second = clinic.oauth_key().public_jwk();
    assert_ne!(first, second);
    live(&loopback, &clinic).await;
    assert_eq!(clinic.oauth_key().public_jwk(), second, "for a year");
    // The backup has the first key, which the relay does not know any more.
    drop(clinic);
    let (dir, unlock) = loopback.vault();
    let (restored_dir, now) = (dir.with_file_name("restored"), SystemClock.now());
    let restored = Organization::restore(&restored_dir, &backup, &unlock, now, &mut rand::rng()).unwrap();
    live(&loopback, &Arc::new(restored)).await;
    loopback.end().await;
}

/// Subscribes until everything that the relay had has come.
async fn live(loopback: &Loopback, clinic: &Arc<Organization>) {
    let subscriber = Subscriber::new(Arc::clone(clinic), &loopback.trust, Arc::new(SystemClock)).unwrap();
    let (mut state, stop) = (subscriber.state(), CancellationToken::new());
    let until_live = async {
        state.wait_for(|state| *state == LinkState::Live).await.unwrap();
        stop.cancel();
    };
    let both = async { tokio::join!(subscriber.run(stop.clone()), until_live).0 };
    tokio::time::timeout(PATIENCE, both).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_is_asked_for_again_in_the_next_reply() {
    let mut loopback = Loopback::start().await;
    let clinic = loopback.clinic().await;
    let now = SystemClock.now();
    let invitation = world::invite(&clinic, InvitationChannel::SignIn, now);
    let (patient, key) = Patient::of(&clinic, &invitation);
    let channel = loopback.channel(key);
    channel.accept_invitation(&invitation.ticket).await.unwrap();
    let mut init = patient.start_at(&clinic, 0, now);
    let mut damaged = seal(&mut init.session, vec![heart_rate("a", 72)]);
    *damaged.last_mut().unwrap() ^= 1;
    channel.deposit([init.envelope.clone(), damaged].map(Bytes::from).into()).await.unwrap();
    loopback.subscribe(&clinic);
    assert_eq!(told(&clinic, 2).await, ["data-open", "resync"]);
    let answer = reply(&channel, &init.reply_key, 0).await;
    assert!(answer.resync);
    loopback.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_organization_hears_of_stops_first_and_asks_for_everything() {
    let mut loopback = Loopback::start().await;
    let clinic = loopback.clinic().await;
    let now = SystemClock.now();
    let mut patients = Vec::new();
    for _ in 0..2 {
        let invitation = world::invite(&clinic, InvitationChannel::SignIn, now);
        let (patient, key) = Patient::of(&clinic, &invitation);
        let channel = loopback.channel(key);
        channel.accept_invitation(&invitation.ticket).await.unwrap();
        let init = patient.start_at(&clinic, 0, now).envelope;
        clinic.receive(&[world::envelope_item(patient.grant(), &init)], &mut Halted::default(), now).unwrap();
        patients.push((patient, channel));
    }
    let (backup, (dir, unlock)) = (loopback.dir.path().join("backup"), loopback.vault());
    clinic.back_up(&backup).unwrap();
    drop(clinic);
    std::fs::remove_dir_all(&dir).unwrap();
    let [(mut ana, channel), (eva, evas)] = <[_; 2]>::try_from(patients).ok().unwrap();
    let restored = Organization::restore(&dir, &backup, &unlock, now, &mut rand::rng()).unwrap();
    evas.revoke_grant(&eva.revocation(&restored)).await.unwrap();
    let restored = Arc::new(restored);
    assert!(!restored.may_show().unwrap());
    loopback.subscribe(&restored);
    tokio::time::timeout(PATIENCE, restored.may_show_soon()).await.unwrap();
    assert_eq!(told(&restored, 1).await, ["revoked"]);
    assert!(restored.grants(None, now).unwrap().is_empty(), "the other one is hidden");
    assert_eq!(restored.awaited().unwrap(), 1);
    // A recovered device that does not know what was chosen learns that nothing stands.
    let sender = std::mem::replace(&mut ana.sender, sealcare_protocol::SenderId::random(&mut rand::rng()));
    ana.revision = 0;
    let silent = ana.start_at(&restored, 0, now);
    channel.deposit(vec![silent.envelope.clone().into()]).await.unwrap();
    let answer = reply(&channel, &silent.reply_key, 0).await;
    assert!((answer.stored_revision, answer.held) == (0, false) && answer.stored.is_none());
    assert_eq!(restored.awaited().unwrap(), 1);
    (ana.revision, ana.sender) = (1, sender);
    // Its app goes on with the bundle that was published at once.
    let init = ana.start_at(&restored, 1, now);
    let deposited = channel.deposit(vec![init.envelope.clone().into()]).await.unwrap();
    assert_eq!(deposited, DepositOutcome::Stored);
    assert_eq!(told(&restored, 2).await, ["unknown-sender", "resync"]);
    assert!(reply(&channel, &init.reply_key, 1).await.resync);
    assert_eq!((restored.grants(None, now).unwrap().len(), restored.awaited().unwrap()), (1, 0));
    confirmation(&evas, &eva.revocation(&restored)).await;
    loopback.end().await;
}
