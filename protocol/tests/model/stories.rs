//! Histories that chance finds too rarely, told one by one: each needs one rule of HS/1, and fails without it.

use std::time::Duration;

use super::{
    World,
    device::{Choice, Device, TYPES},
};

/// Device 0 has shared one record, and knows it.
fn shared() -> World {
    let mut world = World::new(1);
    world.devices[0].record("0-0", TYPES[0]);
    world.sync(0);
    world.receive(usize::MAX);
    world.sync(0);
    assert!(world.devices[0].is_settled());
    world
}

fn settles(mut world: World) {
    world.settle();
    assert_eq!(world.organization.store.application, world.expected());
}

/// Rule: a base above what is known asks for everything again; the link code goes again while nothing answers.
#[test]
fn a_gateway_restored_from_before_the_grant_gets_everything_again() {
    let mut world = shared();
    world.organization.restore(&world.relay, world.now, &mut world.rng);
    settles(world);
}

/// Rule: a reply's next above what was sent draws a new id.
#[test]
fn a_phone_that_forgot_what_it_sent_is_noticed() {
    let mut world = World::new(1);
    world.devices[0].back_up();
    world.devices[0].record("0-0", TYPES[0]);
    world.sync(0);
    world.receive(usize::MAX);
    world.devices[0].roll_back();
    let sender = world.devices[0].sender();
    world.sync(0);
    world.receive(usize::MAX);
    world.sync(0);
    assert_ne!(world.devices[0].sender(), sender);
    settles(world);
}

/// Rule: other bytes under a number that is taken are a conflict, and a conflict draws a new id.
#[test]
fn a_session_that_went_back_in_time_is_noticed_and_everything_goes_again() {
    let mut world = shared();
    world.devices[0].back_up();
    world.devices[0].record("0-1", TYPES[0]);
    world.sync(0);
    world.devices[0].roll_back();
    world.devices[0].record("0-0", TYPES[0]);
    let sender = world.devices[0].sender();
    world.sync(0);
    assert_ne!(world.devices[0].sender(), sender);
    settles(world);
}

/// Rule: what is not confirmed within a day goes again in a new session, long before the weekly one. The first of
/// them lacks the link code, the second brings it, and its reply asks for everything under a new id.
#[test]
fn what_a_restored_gateway_could_not_open_goes_again_within_three_days() {
    let mut world = shared();
    world.devices[0].record("0-1", TYPES[0]);
    world.sync(0);
    world.organization.restore(&world.relay, world.now, &mut world.rng);
    world.receive(usize::MAX);
    for _ in 0..3 {
        world.wait(25);
        world.sync(0);
        world.receive(usize::MAX);
        world.sync(0);
    }
    assert!(world.devices.first().is_some_and(Device::is_settled));
    assert_eq!(world.organization.store.application, world.expected());
}

/// Rule: the reply carries the revision that stands, and the next statement goes above it.
#[test]
fn a_statement_from_a_fast_clock_does_not_lock_out_the_other_device() {
    let mut world = shared();
    let ahead = world.now.plus(Duration::from_hours(12));
    world.devices[0].choose(Choice::everything(), ahead);
    world.sync(0);
    world.receive(usize::MAX);
    let narrow = || Choice { types: vec![TYPES[1]], ..Choice::everything() };
    for _ in 0..2 {
        world.devices[1].choose(narrow(), world.now);
        world.sync(1);
        world.receive(usize::MAX);
        world.sync(1);
    }
    assert_eq!(world.organization.store.scope_types(), narrow().types);
}
