//! Stories of keys: those that are over are gone, and those that somebody made up are refused.

use std::time::Duration;

use bytes::Bytes;
use sealcare_client::{ClientError, TransportError};
use sealcare_tests::world::{World, heart_rate};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test(flavor = "multi_thread")]
async fn a_harvested_session_opens_while_its_key_lives_and_never_after() {
    let world = World::new().await;
    let clinic = world.absent_clinic("clinic").await;
    let (early, late) = (world.stranger(&clinic).await, world.stranger(&clinic).await);
    let then = world.now();
    clinic.is_given(&early.grant, std::slice::from_ref(&early.init), then);
    assert!(clinic.organization.grant(&early.grant, then).is_ok());
    for _ in 0..16 {
        world.clock.advance(DAY);
        clinic.rotates();
    }
    // Whoever has the organization's vault now can set its clock back, and finds no key all the same.
    for now in [world.now(), then] {
        clinic.is_given(&late.grant, std::slice::from_ref(&late.init), now);
    }
    assert_eq!(clinic.refusals("init-destroyed-key"), 2);
    assert!(clinic.organization.grant(&late.grant, world.now()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn sharing_goes_on_while_keys_rotate_and_every_week_has_its_own() {
    let world = World::new().await;
    let clinic = world.clinic("clinic").await;
    let recorded = world.courier.records();
    let ana = world.patient("ana").await;
    ana.accepts(clinic.invites(), &[]).await;
    for week in 0..4 {
        ana.reads([heart_rate(week, 60 + week)]).await;
        ana.shares().await;
        clinic.sees("this week's record", |view| view.changes == u64::from(week) + 1).await;
        ana.shares_until("confirmed", |grant| grant.records_pending == 0).await;
        for _ in 0..7 {
            world.clock.advance(DAY);
            clinic.rotates();
        }
    }
    let recorded = std::mem::take(&mut *recorded.lock().unwrap());
    let keys: std::collections::BTreeSet<_> = recorded.iter().filter_map(epoch_key).collect();
    assert_eq!(keys.len(), 4, "each week's session is sealed to another key");
    assert_eq!((clinic.view().doubled, clinic.view().events.len()), (0, 0));
}

fn epoch_key(envelope: &Bytes) -> Option<[u8; 8]> {
    match sealcare_protocol::EnvelopeHeader::parse(envelope) {
        Some(sealcare_protocol::EnvelopeHeader::Init(header)) => Some(*header.key.as_bytes()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_domain_made_up_are_refused_before_anything_is_sealed() {
    let world = World::new().await;
    let (clinic, impostor) = (world.clinic("clinic").await, world.clinic("impostor").await);
    let ana = world.patient("ana").await;
    let mut forged = clinic.organization.bundle_bytes();
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    for made_up in [impostor.organization.bundle_bytes(), forged] {
        clinic.domain.serve(made_up);
        let refused = ana.consider(clinic.invites()).await.map(|_| ()).unwrap_err();
        assert!(matches!(
            refused,
            ClientError::Protocol(_) | ClientError::Transport(TransportError::Bundle(_))
        ));
    }
    assert!(ana.status().await.unwrap().is_empty());
    clinic.domain.serve(clinic.organization.bundle_bytes());
    ana.accepts(clinic.invites(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_relay_made_up_are_refused_before_anything_is_sealed() {
    let mut world = World::new().await;
    let (clinic, impostor) = (world.clinic("clinic").await, world.clinic("impostor").await);
    let ana = world.patient("ana").await;
    ana.reads([heart_rate(1, 61)]).await;
    ana.accepts(clinic.invites(), &[]).await;
    world.clock.advance(8 * DAY);
    impostor.rotates();
    // Relay and domain conspire, and what the app has kept is over.
    let relay = world.usurp_relay(impostor.organization.bundle().signed().clone()).await;
    clinic.domain.serve(impostor.organization.bundle_bytes());
    let refused = ana.tries_to_share().await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Protocol(sealcare_protocol::Error::WrongOrganization)),
        "{refused}"
    );
    assert_eq!((relay.bundles(), relay.deposits()), (1, 0));
    drop(relay);
    world.start_relay().await;
    clinic.rotates();
    // The relay takes no session to keys that it has not heard of from the organization yet.
    ana.shares_until("confirmed after all", |grant| grant.records_confirmed == 1).await;
    assert_eq!(clinic.view().words(), ["61 /min"]);
}
