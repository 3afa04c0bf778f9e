//! What waits too long for the application holds up its own grant and no end.

use sealcare_protocol::{AccountSecret, Revocation, UnverifiedRevocation};
use sealcare_vault::KeyRange;

use super::*;
use crate::fixture::{GRANT, NOW, bind, found};
use crate::spaces::{QUEUE, TOMBSTONES};

const OTHER: GrantId = GrantId::from_bytes([8; 32]);

fn data(grant: GrantId) -> Item {
    Item { sequence: 1, grant, content: Content::Envelope(bytes::Bytes::from_static(b"an envelope")) }
}

fn stop(organization: &Organization) -> Item {
    let account = AccountSecret::random(&mut rand::rng());
    let stop = Revocation::sign(&account.deposit_key(organization.relay(), 0), organization.id());
    let content = Content::Revocation(UnverifiedRevocation::new(stop.to_wire()));
    Item { sequence: 2, grant: *stop.grant(), content }
}

fn wait(organization: &Organization, events: u64) {
    let put = |tx: &mut WriteTransaction<'_>| {
        (0..events).try_for_each(|_| queue::put(tx, &GRANT, NOW, &queue::KeptEvent::Stale))
    };
    organization.vault.write(put).unwrap();
}

fn is_over(organization: &Organization, item: &Item) -> bool {
    organization.vault.read(|tx| tx.get(TOMBSTONES, item.grant.as_bytes())).unwrap().is_some()
}

#[test]
fn a_stuck_grant_is_halted_and_nothing_else_is_held_up() {
    let (_dir, organization) = found();
    bind(&organization);
    wait(&organization, queue::WAITING_MAX);
    let mut halted = Halted::default();
    let batch = [data(GRANT), data(OTHER), stop(&organization)];
    assert!(matches!(organization.receive(&batch, &mut halted, NOW), Err(ProviderError::Full)));
    assert!(organization.process(|_, _| Err(ProviderError::application("down"))).is_err());
    let settlements = organization.receive(&batch, &mut halted, NOW).unwrap();
    assert_eq!(settlements, [Settlement::Unsettled, Settlement::Settled, Settlement::Settled]);
    assert!(is_over(&organization, &batch[2]));
    // The sweep says nothing of who cannot be heard.
    assert!(organization.link.halted().contains(&GRANT));
    for day in 0..200 {
        assert_eq!(organization.sweep(NOW.plus(std::time::Duration::from_hours(24 * day))).unwrap().ended, 0);
    }
    organization.process(|_, _| Ok(())).unwrap();
    assert_eq!(organization.vault.read(|tx| tx.count(crate::spaces::WAITING, &KeyRange::all())).unwrap(), 0);
    let settlements = organization.receive(&batch, &mut Halted::default(), NOW).unwrap();
    assert_eq!(settlements, [Settlement::Settled; 3]);
}

#[test]
fn an_end_is_taken_in_whatever_waits() {
    let (_dir, organization) = found();
    bind(&organization);
    wait(&organization, queue::WAITING_MAX);
    let mut halted = Halted::default();
    let batch = [data(GRANT), stop(&organization)];
    assert!(matches!(organization.receive(&batch[..1], &mut halted, NOW), Err(ProviderError::Full)));
    organization.receive(&batch[1..], &mut halted, NOW).unwrap();
    assert!(is_over(&organization, &batch[1]));
    let next = [data(GRANT), stop(&organization)];
    halted.pass_over(&next);
    let settlements = organization.receive(&next, &mut halted, NOW).unwrap();
    assert_eq!(settlements, [Settlement::Unsettled, Settlement::Settled]);
    assert!(is_over(&organization, &next[1]));
    let waiting = organization.vault.read(|tx| tx.count(QUEUE, &KeyRange::all())).unwrap();
    assert_eq!(waiting, queue::WAITING_MAX, "nothing was lost");
}
