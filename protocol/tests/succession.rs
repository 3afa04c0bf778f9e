//! Roots that are succeeded and gateway keys that are rotated: what an old key can still do, and to whom.
#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "shared with the generator of HS/1's own vectors")]
#[path = "../examples/vectors/generator/mod.rs"]
mod generator;

use std::time::Duration;

use sealcare_protocol::{
    Confirmation, DelegationDraft, EpochEntry, Error, GatewayKey, GrantIdentity, KeyBundle, KeyBundleDraft,
    SealError, SessionStart, Successions, Timestamp, UnverifiedConfirmation,
};

use generator::world::{self, DAY, NOW};

fn thief() -> GatewayKey {
    GatewayKey::from_seed(&[0x66; 32])
}

fn bundle(
    successions: Successions,
    delegation: &DelegationDraft,
    key: &GatewayKey,
    now: Timestamp,
) -> Result<KeyBundle, Error> {
    let root = world::root(usize::try_from(delegation.root_index).unwrap());
    let draft = KeyBundleDraft {
        domain: "clinic.example".parse().unwrap(),
        successions,
        delegation: delegation.sign(&root)?,
        previous_serial: 0,
        epochs: vec![EpochEntry { key: world::epoch().public(), period: world::period() }],
    };
    draft.sign(key, now)
}

/// The organization after its root was succeeded: a new delegation, by the new root, which honours on what it can.
fn after_succession() -> KeyBundle {
    let delegation = DelegationDraft { number: 5, root_index: 1, ..world::delegation_draft() };
    bundle(world::succeeded(), &delegation, &world::gateway(), NOW.plus(Duration::from_secs(1))).unwrap()
}

/// The stolen first root names the thief's gateway key.
fn stolen(number: u32) -> DelegationDraft {
    DelegationDraft { number, gateway_key: thief().public(), ..world::delegation_draft() }
}

#[test]
fn a_succeeded_root_publishes_nothing_more() {
    let (before, now) = (world::bundle(), after_succession());
    assert_eq!(before.organization(), now.organization());
    assert_eq!(before.pin().check(&now), Ok(()));
    let refused = bundle(world::succeeded(), &stolen(99), &thief(), NOW);
    assert_eq!(refused.err(), Some(Error::Delegation));
    // With the chain cut short it verifies, as it did before the succession: the pin refuses it.
    let cut = bundle(world::successions(), &stolen(99), &thief(), NOW.plus(DAY)).unwrap();
    assert_eq!(now.pin().check(&cut), Err(Error::Stale));
}

#[test]
fn a_succeeded_root_confirms_nothing_more() {
    let now = after_succession();
    let grant = world::grant().id;
    let confirmed = |by: &KeyBundle, key: &GatewayKey| {
        let confirmation = Confirmation::sign(&grant, by.delegation(), key, NOW);
        let unverified = UnverifiedConfirmation::new(confirmation.signed().clone()).unwrap();
        unverified.verify(now.authority()).map(|_| ())
    };
    // With a number that is above, and with one between the floor and the present one.
    for number in [99, 4] {
        let cut = bundle(world::successions(), &stolen(number), &thief(), NOW).unwrap();
        assert_eq!(confirmed(&cut, &thief()), Err(Error::Delegation), "{number}");
    }
    assert_eq!(confirmed(&now, &world::gateway()), Ok(()));
    assert_eq!(confirmed(&world::bundle(), &world::gateway()), Err(Error::Delegation), "signed anew, then");
}

#[test]
fn a_fork_of_the_chain_is_refused_by_whoever_saw_the_chain() {
    let now = after_succession();
    // Whoever has the file of the first two roots makes a chain of its own from the first on.
    let (root, mine) = (world::root(1), sealcare_protocol::RootKey::from_seed(&[0x67; 32]));
    let next = sealcare_protocol::RootKey::from_seed(&[0x68; 32]).public();
    let fork = world::successions().succeeded_by(&root, &mine.public()).unwrap();
    let fork = fork.succeeded_by(&mine, &next).unwrap();
    let delegation = DelegationDraft { root_index: 2, ..stolen(99) };
    let draft = KeyBundleDraft {
        domain: "clinic.example".parse().unwrap(),
        successions: fork,
        delegation: delegation.sign(&mine).unwrap(),
        previous_serial: 0,
        epochs: vec![EpochEntry { key: world::epoch().public(), period: world::period() }],
    };
    let forked = draft.sign(&thief(), NOW.plus(DAY)).unwrap();
    assert_eq!(world::bundle().pin().check(&forked), Ok(()), "whoever saw only the first root takes it");
    assert_eq!(now.pin().check(&forked), Err(Error::Equivocation));
    assert_eq!(forked.pin().check(&now), Err(Error::Stale));
    // A pin from before chains were kept knows the newest root alone.
    let early = sealcare_protocol::BundlePin { chain: Vec::new(), lowest_honoured: 0, ..now.pin() };
    assert_eq!(early.check(&now), Ok(()));
    assert_eq!(early.check(&world::bundle()), Err(Error::Stale));
}

#[test]
fn a_floor_of_delegations_never_sinks() {
    let signed = |number, lowest_honoured, serial| {
        let draft = DelegationDraft { number, lowest_honoured, ..world::delegation_draft() };
        bundle(world::successions(), &draft, &world::gateway(), NOW.plus(serial)).unwrap()
    };
    let disowned = signed(5, 5, DAY);
    assert_eq!(disowned.pin().check(&signed(6, 1, DAY * 2)), Err(Error::Stale));
    assert_eq!(disowned.pin().check(&signed(6, 5, DAY * 2)), Ok(()));
}

#[test]
fn a_delegation_that_is_no_longer_honoured_confirms_nothing() {
    let raised = DelegationDraft { number: 2, lowest_honoured: 2, ..world::delegation_draft() };
    let raised = bundle(world::successions(), &raised, &world::gateway(), NOW).unwrap();
    let old = Confirmation::sign(&world::grant().id, world::bundle().delegation(), &world::gateway(), NOW);
    let old = UnverifiedConfirmation::new(old.signed().clone()).unwrap();
    assert_eq!(old.verify(raised.authority()), Err(Error::Delegation));
}

#[test]
fn pins_go_forward_only() {
    let first = world::bundle();
    let next = DelegationDraft { number: 2, ..world::delegation_draft() };
    let next = bundle(world::successions(), &next, &world::gateway(), NOW.plus(DAY)).unwrap();
    let late = bundle(world::successions(), &world::delegation_draft(), &world::gateway(), NOW.plus(DAY * 2));
    assert_eq!(first.pin().check(&next), Ok(()));
    assert_eq!(next.pin().check(&late.unwrap()), Err(Error::Stale), "a higher serial by an older delegation");
    assert_eq!(next.pin().check(&first), Err(Error::Stale));
    let mut twin = first.pin();
    twin.hash = next.hash();
    assert_eq!(twin.check(&first), Err(Error::Equivocation));
}

#[test]
fn a_bundle_ends_with_its_delegation() {
    let short = DelegationDraft { expires: NOW.plus(DAY * 2), ..world::delegation_draft() };
    let short = bundle(world::successions(), &short, &world::gateway(), NOW).unwrap();
    assert_eq!(short.expires(), NOW.plus(DAY * 2));
}

#[test]
fn a_session_is_sealed_to_the_grants_own_organization_only() {
    let delegation = DelegationDraft {
        organization: world::successions().organization_id(&"other.example".parse().unwrap()),
        ..world::delegation_draft()
    };
    let other = KeyBundleDraft {
        domain: "other.example".parse().unwrap(),
        successions: world::successions(),
        delegation: delegation.sign(&world::root(0)).unwrap(),
        previous_serial: 0,
        epochs: vec![EpochEntry { key: world::epoch().public(), period: world::period() }],
    };
    let other = other.sign(&world::gateway(), NOW).unwrap();
    let refused = |grant: &GrantIdentity, bundle: &KeyBundle, statement| {
        let start = SessionStart { grant, bundle, sender: world::sender(), base: 0 };
        start.seal(statement, NOW, &mut rand::rng()).err()
    };
    let grant = world::grant();
    assert_eq!(refused(&grant, &other, world::statement()), Some(SealError::WrongOrganization));
    assert_eq!(refused(&grant, &world::bundle(), world::statement()), None);
    let mut statement = world::statement();
    statement.scope.types = (b'a'..=b'z').chain(b'a'..=b'g').enumerate().map(name).collect();
    assert_eq!(refused(&grant, &world::bundle(), statement), Some(SealError::StatementTooLarge));
}

/// Short names, all different.
fn name((i, letter): (usize, u8)) -> sealcare_protocol::TypeName {
    format!("{}{}", char::from(letter), "x".repeat(i / 26)).parse().unwrap()
}
