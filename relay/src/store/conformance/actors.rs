//! Who acts in the cases: a clinic and its patients, by number.

use std::time::Duration;

use bytes::Bytes;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    BundleHash, BundlePin, DepositKey, DepositPublicKey, GrantId, KeyId, OrganizationId, Revocation,
    TicketId, Timestamp,
};

use crate::store::{
    AcceptOutcome, Acceptance, DepositBatch, Deposited, FetchOutcome, LANES, LanePlace, OrganizationState,
    Page, PageItem, PageLimit, Progress, Registrant, Result, Store, Tombstone,
};

/// When the cases happen.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// The clinic's open epoch key.
pub(crate) const KEY: u8 = 7;
/// As much as anyone may ask for.
pub(crate) const ALL: PageLimit = PageLimit { items_max: 1_000, bytes_max: 64 << 20 };

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// An organization at a store.
#[derive(Clone, Copy)]
pub(crate) struct Clinic {
    pub(crate) id: OrganizationId,
    number: u8,
}

/// A patient's key and what it does.
pub(crate) struct Patient {
    key: DepositKey,
    pub(crate) clinic: Clinic,
}

impl Clinic {
    pub(crate) fn new(number: u8) -> Self {
        Self { id: OrganizationId::from_bytes([number; 32]), number }
    }

    /// Registered and approved.
    pub(crate) async fn open(store: &dyn Store, number: u8) -> Self {
        let clinic = Self::new(number);
        store.register(clinic.registrant(1), NOW).await.unwrap();
        clinic.decide(store, OrganizationState::Approved).await;
        clinic
    }

    pub(crate) fn registrant(&self, serial: u64) -> Registrant {
        Registrant {
            organization: self.id,
            domain: format!("clinic{}.example", self.number).parse().unwrap(),
            oauth_jwk: Some("{}".into()),
            oauth_created: NOW,
            bundle: wire::Signed { payload: serial.to_be_bytes().to_vec().into(), signature: Bytes::new() },
            pin: BundlePin {
                root: 1,
                chain: vec![[0; 32], [1; 32]],
                delegation: 2,
                lowest_honoured: 2,
                serial,
                hash: hash(serial),
            },
            bundle_expires: NOW.plus(7 * DAY),
            epochs: vec![(KeyId::from_bytes([KEY; 8]), NOW.plus(DAY))],
            root_fingerprint: [self.number; 32],
        }
    }

    pub(crate) async fn decide(&self, store: &dyn Store, state: OrganizationState) {
        store.decide(self.registrant(1).domain, state).await.unwrap();
    }

    /// A patient whose grant is open.
    pub(crate) async fn patient(self, store: &dyn Store, number: u8) -> Patient {
        let patient = self.stranger(number);
        assert_eq!(patient.accept(store, number).await, AcceptOutcome::Accepted);
        patient
    }

    /// A patient without a grant.
    pub(crate) fn stranger(self, number: u8) -> Patient {
        Patient { key: DepositKey::from_seed(&[number; 32]), clinic: self }
    }

    pub(crate) async fn page(&self, store: &dyn Store, lane: u8, after: u64, limit: PageLimit) -> Page {
        let place = LanePlace { organization: self.id, lane, after };
        match store.fetch_after(place, limit).await.unwrap() {
            FetchOutcome::Page(page) => page,
            FetchOutcome::NotApproved => panic!("not approved"),
        }
    }

    /// All items of all lanes.
    pub(crate) async fn items(&self, store: &dyn Store) -> Vec<PageItem> {
        let mut items = Vec::new();
        for lane in 0..LANES {
            items.extend(self.page(store, lane, 0, ALL).await.items);
        }
        items
    }

    pub(crate) async fn envelopes(&self, store: &dyn Store) -> Vec<Bytes> {
        let items = self.items(store).await.into_iter().filter_map(|item| match item {
            PageItem::Envelope { envelope, .. } => Some(envelope),
            PageItem::Revocation { .. } => None,
        });
        items.collect()
    }
}

impl Patient {
    pub(crate) fn key(&self) -> DepositPublicKey {
        self.key.public()
    }

    pub(crate) fn grant(&self) -> GrantId {
        GrantId::derive(&self.clinic.id, &self.key())
    }

    pub(crate) fn lane(&self) -> u8 {
        self.grant().as_bytes()[31] % LANES
    }

    pub(crate) async fn accept(&self, store: &dyn Store, ticket: u8) -> AcceptOutcome {
        store.accept_invitation(self.acceptance(ticket, 1 << 30), NOW).await.unwrap()
    }

    pub(crate) fn acceptance(&self, ticket: u8, stored_bytes_max: u64) -> Acceptance {
        Acceptance {
            organization: self.clinic.id,
            ticket: TicketId::from_bytes([ticket; 16]),
            ticket_expires: NOW.plus(7 * DAY),
            stored_bytes_max,
            key: self.key(),
        }
    }

    pub(crate) async fn deposit(&self, store: &dyn Store, envelopes: Vec<Bytes>) -> Deposited {
        self.deposit_at(store, envelopes, NOW).await.unwrap()
    }

    pub(crate) async fn deposit_at(
        &self,
        store: &dyn Store,
        envelopes: Vec<Bytes>,
        now: Timestamp,
    ) -> Result<Deposited> {
        store.deposit(self.key(), DepositBatch::new(envelopes).unwrap(), now).await
    }

    pub(crate) async fn revoke(&self, store: &dyn Store) -> Tombstone {
        store.revoke_grant(Revocation::sign(&self.key, &self.clinic.id), NOW).await.unwrap()
    }
}

fn hash(serial: u64) -> BundleHash {
    let mut bytes = [0; BundleHash::SIZE];
    bytes[..8].copy_from_slice(&serial.to_be_bytes());
    BundleHash::from_bytes(bytes)
}

/// Sweeps until nothing is left to do.
pub(crate) async fn purge(store: &dyn Store, now: Timestamp) {
    for _ in 0..10_000 {
        if store.purge(now).await.unwrap() == Progress::Done {
            return;
        }
    }
    panic!("the sweep does not end");
}
