//! What an organization tells a relay that came back from a backup.
#![allow(clippy::unwrap_used)] // a test's failure is a panic

#[path = "world/loopback.rs"]
mod loopback;
mod world;

use std::sync::Arc;

use sealcare_protocol::Revocation;
use sealcare_provider::{Clock as _, InvitationChannel, LinkState, Subscriber, SystemClock};
use sealcare_relay::store::{
    Backup as _,
    embedded::{self, EngineName},
};

use loopback::{Loopback, PATIENCE, confirmation, told};
use world::Patient;

/// A backup of the relay's store, which does not run.
async fn back_up(loopback: &Loopback) -> std::path::PathBuf {
    let (data, file) = (loopback.relay_dir(), loopback.dir.path().join("relay.backup"));
    let to = file.clone();
    let work = move || embedded::open(&data, EngineName::Fjall, 0).unwrap().back_up(&to).unwrap();
    tokio::task::spawn_blocking(work).await.unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_a_restored_relay_has_open_again_is_closed_by_the_organizations_word() {
    let mut loopback = Loopback::start().await;
    let clinic = loopback.clinic().await;
    let now = SystemClock.now();
    let invitation = world::invite(&clinic, InvitationChannel::SignIn, now);
    let (patient, key) = Patient::of(&clinic, &invitation);
    let channel = loopback.channel(key);
    channel.accept_invitation(&invitation.ticket).await.unwrap();
    let init = patient.start_at(&clinic, 0, now);
    channel.deposit(vec![init.envelope.into()]).await.unwrap();
    loopback.stop_relay().await;
    let backup = back_up(&loopback).await;
    loopback.serve().await;

    let subscriber = Subscriber::new(Arc::clone(&clinic), &loopback.trust, Arc::new(SystemClock)).unwrap();
    let (mut state, stopping) = (subscriber.state(), loopback.stop.child_token());
    loopback.tasks.spawn(async move { subscriber.run(stopping).await.unwrap() });
    state.wait_for(|state| *state == LinkState::Live).await.unwrap();
    let revocation: Revocation = patient.revocation(&clinic);
    channel.revoke_grant(&revocation).await.unwrap();
    assert_eq!(told(&clinic, 1).await, ["revoked"]);
    confirmation(&channel, &revocation).await;

    loopback.stop_relay().await;
    std::fs::remove_dir_all(loopback.relay_dir()).unwrap();
    let (data, file) = (loopback.relay_dir(), backup);
    let restored = move || embedded::restore(&data, EngineName::Fjall, &file).unwrap();
    tokio::task::spawn_blocking(restored).await.unwrap();
    loopback.serve().await;
    // Nobody revokes again.
    let closed = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            pace.tick().await;
            let status = channel.grant_status().await;
            if let Some(confirmation) = status.ok().and_then(|status| status.confirmation) {
                return confirmation;
            }
        }
    };
    let confirmation = tokio::time::timeout(PATIENCE, closed).await.unwrap();
    assert!(confirmation.verify(clinic.bundle().authority()).is_ok());
    loopback.end().await;
}
