//! A relay that is killed, again and again, while patients share.

use sealcare_tests::world::{World, heart_rate};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_in_the_middle_loses_and_doubles_nothing() {
    let mut world = World::with_relay_process().await;
    let clinic = world.clinic("clinic").await;
    let (ana, bea) = (world.patient("ana").await, world.patient("bea").await);
    for app in [&ana, &bea] {
        app.accepts(clinic.invites(), &[]).await;
    }
    for life in 0..4 {
        for (person, app) in [(1, &ana), (2, &bea)] {
            app.reads((0..30).map(|n| heart_rate(life * 30 + n, 60 + person))).await;
        }
        let killing = async {
            world.end_relay().await;
            world.start_relay_process().await;
        };
        // Where a pass is when the relay ends is left to chance; it may fail, and the next one goes on.
        let _cut_off = tokio::join!(ana.tries_to_share(), bea.tries_to_share(), killing);
    }
    for app in [&ana, &bea] {
        app.shares_until("all is confirmed", |grant| grant.records_confirmed == 120).await;
        assert_eq!(app.grant().await.records_pending, 0);
    }
    let view = clinic.view();
    assert_eq!((view.records.len(), view.changes, view.doubled), (240, 240, 0));
    assert!(view.events.is_empty(), "no gap: {:?}", view.events);
}
