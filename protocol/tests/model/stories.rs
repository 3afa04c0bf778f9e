//! Histories that chance finds too rarely, told one by one: each needs one rule of HS/1, and fails without it.

use std::time::Duration;

use sealcare_protocol::{GrantState, Scope, UnverifiedTerms};

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

/// Rule: a later statement with the account's mark is followed, wider or narrower.
#[test]
fn what_is_chosen_on_one_device_is_followed_by_the_other() {
    let mut world = shared();
    world.sync(1);
    for types in [vec![TYPES[1]], TYPES.to_vec(), vec![TYPES[0]]] {
        let choice = Choice { types, ..Choice::everything() };
        world.now = world.now.plus(Duration::from_hours(1));
        world.devices[0].choose(choice.clone(), world.now);
        world.sync(0);
        world.receive(usize::MAX);
        world.sync(1);
        assert_eq!(world.devices[1].choice(), &choice);
        world.receive(usize::MAX);
        assert_eq!(world.organization.store.scope_types(), choice.types, "repeating it changes nothing");
    }
}

/// Rule: revision 0 says nothing, and the reply brings what stands.
#[test]
fn a_recovered_device_changes_nothing_and_learns_what_was_chosen() {
    let mut world = shared();
    world.devices[1].record("1-1", TYPES[1]);
    world.devices[1].recover(&mut world.rng);
    world.sync(1);
    world.receive(usize::MAX);
    assert_eq!(world.organization.store.scope_types(), TYPES);
    world.sync(1);
    assert_eq!(world.devices[1].choice(), &Choice::everything());
    settles(world);
}

/// Rule: without the account's mark nothing widens.
#[test]
fn an_organization_that_claims_a_wider_scope_is_not_believed() {
    let mut world = shared();
    let narrow = Choice { types: vec![TYPES[1]], state: GrantState::Paused };
    world.devices[0].choose(narrow.clone(), world.now);
    world.sync(0);
    world.receive(usize::MAX);
    let everything = Scope { types: TYPES.map(|name| name.parse().unwrap()).into(), from: None };
    let lie = UnverifiedTerms { state: GrantState::Active, scope: everything, mark: None };
    world.organization.lie = Some(lie);
    world.receive(usize::MAX);
    world.sync(0);
    assert_eq!(world.devices[0].choice(), &narrow);
}

/// Rule: without the account's mark sharing may end.
#[test]
fn an_organization_that_claims_a_narrower_scope_gets_no_more_than_it_asks_for() {
    let mut world = shared();
    let scope = Scope { types: [TYPES[1].parse().unwrap()].into(), from: None };
    world.organization.lie = Some(UnverifiedTerms { state: GrantState::Paused, scope, mark: None });
    world.receive(usize::MAX);
    world.sync(0);
    assert_eq!(world.devices[0].choice(), &Choice { types: vec![TYPES[1]], state: GrantState::Paused });
}
