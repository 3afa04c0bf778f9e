//! What a patient's app refuses: the wrong organization, a wrong domain, a wrong certificate.

use crate::world::{World, accept, organization::Answer};
use sealcare_client::{BundleFault, ClientError, Invitation, Patient, Person, TransportError};

fn fault(error: &ClientError) -> Option<BundleFault> {
    match error {
        ClientError::Transport(TransportError::Bundle(fault)) => Some(*fault),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_of_another_organization_at_that_domain_is_refused() {
    let world = World::new().await;
    let (mut clinic, other) = (world.organization().await, world.organization().await);
    let ana = world.patient("ana").await;
    let mut invitation = Invitation::from_text(&clinic.invite(&world)).unwrap();
    invitation.domain = other.domain.clone();
    let refused = ana.consider(invitation).await.unwrap_err();
    assert!(matches!(refused, ClientError::Protocol(sealcare_protocol::Error::WrongOrganization)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_serves_instead_of_a_bundle_is_named() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    let invitation = clinic.invite(&world);
    for (served, expected) in [
        (&b"<html>not found</html>"[..], BundleFault::Html),
        (b"{}", BundleFault::Malformed),
        (&vec![0; 65 * 1024], BundleFault::TooLarge),
    ] {
        clinic.serve_instead(served);
        let error = ana.consider(Invitation::from_text(&invitation).unwrap()).await.unwrap_err();
        assert_eq!(fault(&error), Some(expected));
    }
    let trusting_the_web_only = Patient::builder(world.vault("bob"));
    let bob = trusting_the_web_only.create(Person::new("Bob", "1990-01-01").unwrap()).await.unwrap();
    let error = bob.consider(Invitation::from_text(&invitation).unwrap()).await.unwrap_err();
    assert_eq!(fault(&error), Some(BundleFault::Tls));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_ticket_is_refused_and_the_same_app_may_ask_again() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let (ana, thief) = (world.patient("ana").await, world.patient("thief").await);
    let invitation = clinic.invite(&world);
    let everything = sealcare_client::SharedScope::everything();
    accept(&ana, &invitation, &[]).await;
    let again = ana.consider(Invitation::from_text(&invitation).unwrap()).await.unwrap();
    assert!(matches!(again.accept(&everything).await, Err(ClientError::AlreadyAccepted)));
    let stolen = thief.consider(Invitation::from_text(&invitation).unwrap()).await.unwrap();
    let refused = stolen.accept(&everything).await;
    assert!(matches!(refused, Err(ClientError::Transport(TransportError::TicketSpent))));
    assert_eq!(thief.status().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_grants_have_nothing_in_common_that_a_relay_sees() {
    let world = World::new().await;
    let (mut clinic, mut lab) = (world.organization().await, world.organization().await);
    let ana = world.patient("ana").await;
    let first = accept(&ana, &clinic.invite(&world), &[]).await;
    let second = accept(&ana, &lab.invite(&world), &[]).await;
    assert_ne!(first.id, second.id);
    crate::world::share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    lab.receive(&world, Answer::Sealed).await;
    assert_eq!((clinic.refusals.len(), lab.refusals.len()), (0, 0));
}
