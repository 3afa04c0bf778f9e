//! Stories of a relay that forges, replays, reorders and drops: each is refused or told by name, nothing false is
//! delivered, nothing twice, and the patient's app mends what was lost.

use std::time::Duration;

use bytes::Bytes;
use sealcare_tests::world::{Clinic, Courier, Stranger, World, heart_rate};

/// A stranger whose session has begun, and three envelopes of it.
async fn three(world: &World, clinic: &Clinic) -> (Stranger, [Bytes; 3]) {
    let mut stranger = world.stranger(clinic).await;
    let sealed = [1, 2, 3].map(|number| stranger.seals(&heart_rate(number, 60 + number)));
    (stranger, sealed)
}

/// Hands over these, in this order, instead of what is there.
fn hands_over(courier: &Courier, instead: impl IntoIterator<Item = Bytes>) {
    let mut instead = instead.into_iter().collect::<std::collections::VecDeque<_>>();
    courier.does(move |envelope| instead.pop_front().unwrap_or(envelope));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_refused_by_name_and_the_app_sends_again() {
    let world = World::new().await;
    let clinic = world.clinic("clinic").await;
    let ana = world.patient("ana").await;
    ana.accepts(clinic.invites(), &[]).await;
    world.courier.flips_a_bit_of_the_next();
    ana.reads([heart_rate(1, 61)]).await;
    ana.shares().await;
    clinic.is_told("data-open").await;
    assert!(clinic.view().records.is_empty());
    world.clock.advance(Duration::from_hours(25));
    clinic.rotates();
    ana.shares_until("confirmed after all", |grant| grant.records_confirmed == 1).await;
    let view = clinic.view();
    assert_eq!((view.words(), view.doubled), (vec!["61 /min"], 0));
    // Once because the organization asked, and before that by itself if the word came after the day was over.
    assert!((1..=2).contains(&view.changes), "{}", view.changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_relay_writes_itself_is_refused_by_name() {
    let world = World::new().await;
    let mut clinic = world.absent_clinic("clinic").await;
    let (stranger, [first, second, third]) = three(&world, &clinic).await;
    let garbage = Bytes::from(vec![7; first.len()]);
    let mut session = first.to_vec();
    session[2] ^= 1;
    let mut init = stranger.init.to_vec();
    *init.last_mut().unwrap() ^= 1;
    stranger.deposits(&[stranger.init.clone(), first, second, third]).await;
    hands_over(&world.courier, [init.into(), garbage, session.into(), Bytes::new()]);
    clinic.subscribe();
    world.courier.has_handed_over(4).await;
    let names = ["init-open", "init-version", "data-unknown-session"];
    let refused = || names.map(|name| clinic.refusals(name));
    while refused() != [1, 2, 1] {
        tokio::task::yield_now().await;
    }
    assert!(clinic.view().records.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_replayed_is_not_delivered_again() {
    let world = World::new().await;
    let mut clinic = world.absent_clinic("clinic").await;
    let (stranger, [first, second, third]) = three(&world, &clinic).await;
    stranger.deposits(&[stranger.init.clone(), first.clone(), second, third]).await;
    hands_over(&world.courier, [stranger.init.clone(), first.clone(), stranger.init.clone(), first]);
    clinic.subscribe();
    assert_eq!(stranger.is_answered(1).await.refusals.len(), 0);
    assert_eq!((clinic.view().words(), clinic.view().changes), (vec!["61 /min"], 1));
    assert!(clinic.view().events.is_empty(), "a duplicate is passed over in silence");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_out_of_order_is_a_gap_and_nothing_after_it_is_delivered() {
    let world = World::new().await;
    let mut clinic = world.absent_clinic("clinic").await;
    let (stranger, [first, second, third]) = three(&world, &clinic).await;
    stranger.deposits(&[stranger.init.clone(), first.clone(), second.clone(), third.clone()]).await;
    hands_over(&world.courier, [stranger.init.clone(), first, third, second]);
    clinic.subscribe();
    clinic.is_told("gap").await;
    let reply = stranger.is_answered(1).await;
    assert_eq!((reply.next_sequence, reply.refusals.len()), (1, 0), "the rest is not confirmed");
    assert_eq!(clinic.view().words(), ["61 /min"]);
    assert_eq!(clinic.refusals("data-gap"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_noticed_and_the_app_sends_it_again() {
    let world = World::new().await;
    let clinic = world.clinic("clinic").await;
    let ana = world.patient("ana").await;
    ana.accepts(clinic.invites(), &[]).await;
    ana.reads([heart_rate(1, 61)]).await;
    ana.shares().await;
    clinic.sees("the first", |view| view.changes == 1).await;
    world.courier.drops_the_next();
    for number in [2, 3] {
        ana.reads([heart_rate(number, 60 + number)]).await;
        ana.shares().await;
    }
    clinic.is_told("gap").await;
    assert_eq!(clinic.view().words(), ["61 /min"]);
    world.clock.advance(Duration::from_hours(25));
    clinic.rotates();
    ana.shares_until("confirmed after all", |grant| grant.records_confirmed == 3).await;
    assert_eq!(clinic.view().words(), ["61 /min", "62 /min", "63 /min"]);
    assert_eq!(clinic.view().doubled, 0);
    // All three because the organization asked, and before that two by itself if the word came after the day was over.
    assert!([4, 6].contains(&clinic.view().changes), "{}", clinic.view().changes);
}
