//! HS/1 as a whole under random histories: two devices, restored and recovered phones, restored gateways, lost
//! replies, lapsed leases, rotated keys, changed scopes, pauses, a stop. Whatever happened, once everyone is
//! back nothing is lost, nothing came twice, nobody is locked out.
#![allow(clippy::unwrap_used, reason = "a test")]

mod device;
mod organization;
mod relay;
mod stories;

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use sealcare_protocol::{
    AccountSecret, GrantId, GrantIdentity, GrantState, InitRefusal, LinkCode, Timestamp,
};

use device::{Choice, Device, TYPES};
use organization::Organization;
use relay::Relay;

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const CODE: [u8; 16] = [7; 16];
/// Days after which two honest ends that hear each other must agree.
const SETTLED_WITHIN_DAYS: usize = 8;
const HEARTBEAT_HOURS: u64 = 7 * 24;

#[derive(Clone, Copy, Debug)]
enum Action {
    Record { device: usize, record: usize },
    Sync { device: usize },
    Receive { envelopes: usize },
    LoseReplies,
    Wait { hours: u64 },
    RestorePhone { device: usize },
    RecoverPhone,
    BackUpGateway,
    RestoreGateway,
    RotateGatewayKey,
    Choose { device: usize, types: usize, state: GrantState },
}

fn action() -> impl Strategy<Value = Action> {
    let device = 0..2usize;
    let state = prop_oneof![3 => Just(GrantState::Active), 1 => Just(GrantState::Paused)];
    prop_oneof![
        6 => (device.clone(), 0..4usize).prop_map(|(device, record)| Action::Record { device, record }),
        6 => device.clone().prop_map(|device| Action::Sync { device }),
        5 => (1..6usize).prop_map(|envelopes| Action::Receive { envelopes }),
        2 => Just(Action::LoseReplies),
        3 => prop_oneof![6 => 1..30u64, 2 => 100..200u64, 1 => Just(24 * 31)]
            .prop_map(|hours| Action::Wait { hours }),
        1 => device.clone().prop_map(|device| Action::RestorePhone { device }),
        1 => Just(Action::RecoverPhone),
        1 => Just(Action::BackUpGateway),
        2 => Just(Action::RestoreGateway),
        1 => Just(Action::RotateGatewayKey),
        2 => (device, 0..4usize, state)
            .prop_map(|(device, types, state)| Action::Choose { device, types, state }),
    ]
}

struct World {
    now: Timestamp,
    rng: StdRng,
    relay: Relay,
    organization: Organization,
    devices: [Device; 2],
    grant: GrantId,
    /// Whether anything was chosen, so that everything in scope must be chosen once more.
    has_chosen: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let code = LinkCode::from_slice(&CODE).unwrap();
        let organization = Organization::new(code.hash(), START, &mut rng);
        let account = AccountSecret::random(&mut rng);
        let deposit = account.deposit_key(&"https://relay.example:7443".parse().unwrap(), 0);
        let identity = || GrantIdentity::derive(&account, organization.bundle.organization(), &deposit);
        let grant = identity().id;
        let devices = [0, 1].map(|_| Device::new(identity(), CODE, &mut rng));
        Self { now: START, rng, relay: Relay::default(), organization, devices, grant, has_chosen: false }
    }

    fn apply(&mut self, action: Action) {
        let (now, rng) = (self.now, &mut self.rng);
        match action {
            Action::Record { device, record } => {
                self.devices[device].record(&format!("{device}-{record}"), TYPES[record % 2]);
            }
            Action::Sync { device } => self.sync(device),
            Action::Receive { envelopes } => self.receive(envelopes),
            Action::LoseReplies => self.organization.loses_replies = true,
            Action::Wait { hours } => self.wait(hours),
            Action::RestorePhone { device } => self.devices[device].restore(rng),
            // The other device still has the link code, should the gateway have lost the grant.
            Action::RecoverPhone => self.devices[1].recover(rng),
            Action::BackUpGateway => self.organization.back_up(),
            Action::RestoreGateway => self.organization.restore(&self.relay, now, rng),
            Action::RotateGatewayKey => self.organization.rotate_gateway_key(now, rng),
            Action::Choose { device, types, state } => {
                let types = (0..2).filter(|i| types >> i & 1 == 1).map(|i| TYPES[i]).collect();
                self.devices[device].choose(Choice { types, state }, now);
                self.has_chosen = true;
            }
        }
        // No two things happen in the same instant.
        self.now = self.now.plus(Duration::from_millis(7));
    }

    fn sync(&mut self, device: usize) {
        self.devices[device].sync(&mut self.relay, &self.organization.bundle, self.now, &mut self.rng);
    }

    fn receive(&mut self, envelopes: usize) {
        self.organization.receive(&mut self.relay, &self.grant, envelopes, self.now, &mut self.rng);
        self.organization.loses_replies = false;
    }

    fn wait(&mut self, hours: u64) {
        self.now = self.now.plus(Duration::from_hours(hours));
        self.relay.expire(self.now);
        self.organization.rotate_epochs(self.now, &mut self.rng);
    }

    /// Everyone is online once a day. Nothing is sent again here for any other reason than the protocol's.
    fn settle(&mut self) {
        for device in 0..2 {
            self.sync(device);
            self.receive(usize::MAX);
            self.sync(device);
        }
        // One word on one device is enough: the other one follows.
        if self.has_chosen {
            self.devices[0].choose(Choice::everything(), self.now);
        }
        // A restored gateway shows itself to a device that has nothing to send with the next heartbeat.
        self.wait(HEARTBEAT_HOURS);
        for _ in 0..SETTLED_WITHIN_DAYS {
            for device in 0..2 {
                self.sync(device);
                self.receive(usize::MAX);
                self.sync(device);
            }
            if self.devices.iter().all(Device::is_settled) {
                return;
            }
            self.wait(25);
        }
        panic!("locked out");
    }

    fn expected(&self) -> BTreeMap<String, (String, u64)> {
        let records = self.devices.iter().flat_map(|device| &device.records);
        records.map(|(id, (name, version))| (id.clone(), ((*name).to_owned(), *version))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_loses_repeats_or_locks_out(
        seed in any::<u64>(),
        chooses in any::<bool>(),
        actions in prop::collection::vec(action(), 5..60),
    ) {
        let mut world = World::new(seed);
        for action in actions.into_iter().filter(|a| chooses || !matches!(a, Action::Choose { .. })) {
            world.apply(action);
        }
        world.settle();
        prop_assert_eq!(&world.organization.store.application, &world.expected());
    }

    #[test]
    fn no_history_outlives_the_stop(
        seed in any::<u64>(),
        before in prop::collection::vec(action(), 1..20),
        after in prop::collection::vec(action(), 1..20),
    ) {
        let mut world = World::new(seed);
        for action in before {
            world.apply(action);
        }
        world.relay.revoke();
        world.organization.revoke();
        for action in after {
            world.apply(action);
            prop_assert!(world.organization.store.application.is_empty());
        }
        prop_assert_eq!(init_after_the_stop(&mut world), Err(InitRefusal::Revoked));
    }
}

/// What the organization says to an init that a relay lets through all the same.
fn init_after_the_stop(world: &mut World) -> Result<(), InitRefusal> {
    let mut careless = Relay::default();
    world.devices[0].restore(&mut world.rng);
    world.devices[0].sync(&mut careless, &world.organization.bundle, world.now, &mut world.rng);
    let init = careless.take().expect("a restored phone starts a session");
    world.organization.receive_init(&world.grant, &init, world.now)
}
