//! Stories of the stop, in the middle of everything.

use std::collections::BTreeSet;

use sealcare_client::{PassOutcome, RevocationState, TransportError};
use sealcare_tests::world::{World, heart_rate};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_records_are_deposited_ends_them() {
    let world = World::new().await;
    let clinic = world.clinic("clinic").await;
    let ana = world.patient("ana").await;
    let grant = ana.accepts(clinic.invites(), &[]).await;
    let sharing = async {
        for number in 0.. {
            ana.reads([heart_rate(number, 60)]).await;
            match ana.tries_to_share().await.unwrap() {
                PassOutcome::RevocationPending | PassOutcome::Revoked => return number,
                _ => {}
            }
        }
        unreachable!("a stop ends it")
    };
    let stopping = async {
        clinic.sees("a few records", |view| view.changes >= 3).await;
        let answered = ana.revoke(grant).await.unwrap();
        assert_eq!(answered, RevocationState::Pending);
        world.courier.handed_over()
    };
    let (deposited, handed_over) = tokio::join!(sharing, stopping);
    ana.sees_the_stop_confirmed(grant).await;
    assert!(deposited >= 2, "{deposited}");
    assert_eq!(world.courier.handed_over(), handed_over, "nothing leaves the relay after its answer");
    let view = clinic.view();
    assert_eq!((view.records.len(), view.after_end, view.doubled), (0, 0, 0));
    assert_eq!(view.events, ["revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_a_backlog_is_delivered_ends_it() {
    let world = World::new().await;
    let mut clinic = world.absent_clinic("clinic").await;
    let mut stranger = world.stranger(&clinic).await;
    stranger.deposits(std::slice::from_ref(&stranger.init)).await;
    for page in 0..20 {
        let sealed: Vec<_> = (0..100).map(|n| stranger.seals(&heart_rate(page * 100 + n, 60))).collect();
        stranger.deposits(&sealed).await;
    }
    clinic.subscribe();
    world.courier.has_handed_over(1).await;
    stranger.stops().await;
    let handed_over = world.courier.handed_over();
    clinic.is_told("revoked").await;
    stranger.sees_the_stop_confirmed().await;
    assert!(handed_over < 2_001, "the stop came in the middle");
    assert_eq!(world.courier.handed_over(), handed_over, "nothing leaves the relay after its answer");
    let view = clinic.view();
    assert_eq!((view.records.len(), view.after_end), (0, 0));
    assert!(clinic.organization.grant(&stranger.grant, world.now()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_a_deposit_is_refused_by_name_and_a_replay_opens_nothing() {
    let world = World::new().await;
    let mut clinic = world.clinic("clinic").await;
    let mut stranger = world.stranger(&clinic).await;
    let sealed = [stranger.init.clone(), stranger.seals(&heart_rate(1, 61))];
    stranger.deposits(&sealed).await;
    clinic.sees("the record", |view| view.words() == ["61 /min"]).await;
    stranger.stops().await;
    let late = stranger.seals(&heart_rate(2, 62));
    assert!(matches!(
        stranger.tries_to_deposit(std::slice::from_ref(&late)).await,
        Err(TransportError::GrantRevoked)
    ));
    clinic.is_told("revoked").await;
    // A relay that kept copies plays them to the organization.
    clinic.leaves().await;
    clinic.is_given(&stranger.grant, &[sealed[0].clone(), sealed[1].clone(), late], world.now());
    assert!(clinic.view().records.is_empty());
    let refused: BTreeSet<_> = clinic.organization.refusals().unwrap().into_keys().collect();
    assert!(
        refused.is_subset(&["init-revoked", "data-revoked", "data-unknown-session"].map(String::from).into())
    );
}
