//! A crash at any point, and copies of an installation that should not be: nothing is lost, nothing is doubled.

use std::{
    future::Future,
    path::Path,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use sealcare_client::RecordType;

use crate::world::{World, accept, import, organization::Answer, share};

const HEART: &[RecordType] = &[RecordType::HeartRate];

/// Runs a future for so many polls and then drops it, as a process that ends between two steps. What a vault or a
/// relay had begun by then goes on, as it would on a disk or at a server.
pub(crate) struct Crash<F> {
    pub(crate) future: F,
    pub(crate) polls_left: u32,
}

impl<F: Future + Unpin> Future for Crash<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls_left == 0 {
            return Poll::Ready(None);
        }
        self.polls_left -= 1;
        Pin::new(&mut self.future).poll(context).map(Some)
    }
}

/// True if the pass came to its end.
pub(crate) async fn share_for(polls: u32, patient: &sealcare_client::Patient) -> bool {
    let future = pin!(patient.share(&|_| ()));
    Crash { future, polls_left: polls }.await.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_cut_anywhere_loses_and_doubles_nothing() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let mut ana = world.patient("ana").await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    let mut expected = 0;
    for polls in 1..40 {
        import(&ana, [(polls, 40 + polls)]).await;
        expected += 1;
        share_for(polls, &ana).await;
        drop(ana);
        ana = world.reopen_when_closed("ana").await;
        if polls % 3 == 0 {
            clinic.receive(&world, Answer::Sealed).await;
        }
    }
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    assert_eq!(clinic.records.len(), expected);
    assert_eq!(clinic.deliveries, u64::try_from(expected).unwrap());
    share(&ana).await;
    assert_eq!(ana.status().await.unwrap()[0].records_pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_that_is_cut_anywhere_can_be_repeated() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let mut ana = world.patient("ana").await;
    let parse = |text: &str| sealcare_client::Invitation::from_text(text).unwrap();
    let everything = sealcare_client::SharedScope::everything();
    for polls in 1..30 {
        let (cut, other) = (clinic.invite(&world), clinic.invite(&world));
        let pending = ana.consider(parse(&cut)).await.unwrap();
        let accepting = Box::pin(pending.accept(&everything));
        Crash { future: accepting, polls_left: polls }.await;
        drop(ana);
        ana = world.reopen_when_closed("ana").await;
        // Another grant in between must not take the key of the first.
        for text in [other, cut] {
            match ana.consider(parse(&text)).await.unwrap().accept(&everything).await {
                Ok(_) | Err(sealcare_client::ClientError::AlreadyAccepted) => {}
                Err(error) => panic!("after {polls} polls: {error}"),
            }
        }
    }
    assert_eq!(ana.status().await.unwrap().len(), 58);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_pass_ends_it() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, (0..50).map(|number| (number, 60))).await;
    for polls in 1..25 {
        let grant = accept(&ana, &clinic.invite(&world), HEART).await.id;
        share_for(polls, &ana).await;
        let (shared, stopped) = tokio::join!(ana.share(&|_| ()), ana.revoke(grant));
        stopped.unwrap();
        for shared in shared.unwrap() {
            shared.outcome.unwrap();
        }
    }
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    let is_confirmed = |status: &sealcare_client::GrantStatus| {
        matches!(status.state, sealcare_client::GrantState::Revoked { .. })
    };
    assert!(ana.status().await.unwrap().iter().all(is_confirmed));
    assert!(clinic.records.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_of_an_installation_becomes_another_sender() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61)]).await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    drop(ana);
    world.copy_vault("ana", "before");
    let ana = world.reopen("ana").await;
    import(&ana, [(2, 62)]).await;
    share(&ana).await;
    drop(ana);
    world.copy_vault("before", "ana");
    let ana = world.reopen("ana").await;
    import(&ana, [(3, 63)]).await;
    for _ in 0..3 {
        share(&ana).await;
        clinic.receive(&world, Answer::Sealed).await;
    }
    share(&ana).await;
    assert_eq!(clinic.beats(), ["61", "62", "63"]);
    assert_eq!(ana.status().await.unwrap()[0].records_pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_before_the_stop_stops_too() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    let grant = accept(&ana, &clinic.invite(&world), HEART).await.id;
    import(&ana, [(1, 61)]).await;
    share(&ana).await;
    drop(ana);
    world.copy_vault("ana", "before");
    let ana = world.reopen("ana").await;
    ana.revoke(grant).await.unwrap();
    drop(ana);
    world.copy_vault("before", "ana");
    let ana = world.reopen("ana").await;
    let outcome = ana.share(&|_| ()).await.unwrap().remove(0).outcome;
    assert_eq!(outcome.unwrap(), sealcare_client::PassOutcome::RevocationPending);
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    let state = ana.status().await.unwrap()[0].state;
    assert!(matches!(state, sealcare_client::GrantState::Revoked { .. }));
    assert!(clinic.records.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_its_wrapping_keys_is_another_sender() {
    let world = World::new().await;
    let mut clinic = world.organization().await;
    let ana = world.patient("ana").await;
    import(&ana, [(1, 61)]).await;
    accept(&ana, &clinic.invite(&world), HEART).await;
    share(&ana).await;
    clinic.receive(&world, Answer::Sealed).await;
    share(&ana).await;
    drop(ana);
    empty(&world.vault_dir("ana").join("wrapping"));
    let ana = world.reopen("ana").await;
    import(&ana, [(2, 62)]).await;
    for _ in 0..2 {
        share(&ana).await;
        clinic.receive(&world, Answer::Sealed).await;
    }
    assert_eq!((clinic.beats(), clinic.refusals.len()), (vec!["61".to_owned(), "62".to_owned()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_import_leaves_nothing() {
    let world = World::new().await;
    let ana = world.patient("ana").await;
    let broken = std::io::Cursor::new(b"{\"resourceType\":\"Bundle\",\"entry\":[".to_vec());
    let good = crate::world::heart_rates([(1, 61)]);
    let refused = ana.import(vec![good, broken], |_, _| ()).await;
    assert!(matches!(refused, Err(sealcare_client::ClientError::Import { file: 1, .. })));
    assert!(ana.record_counts().await.unwrap().is_empty());
}

pub(crate) fn empty(dir: &Path) {
    for file in std::fs::read_dir(dir).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
}
