//! One clinic and one patient, all from fixed seeds.

use std::time::Duration;

use sealcare_proto::v1 as wire;
use sealcare_protocol::{
    AccountSecret, Body, Change, ChangeState, DelegationDraft, DepositKey, EpochEntry, EpochKey, EpochPeriod,
    GatewayKey, GrantIdentity, GrantState, KeyBundle, KeyBundleDraft, LinkCode, Person, RelayOrigin, RootKey,
    Scope, SenderId, Statement, Succession, Successions, Terms, Timestamp, missing_epochs,
};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
pub(crate) const ROOT_SEEDS: [[u8; 32]; 3] = [[0x11; 32], [0x12; 32], [0x13; 32]];
pub(crate) const GATEWAY_SEED: [u8; 32] = [0x21; 32];
pub(crate) const EPOCH_SEED: [u8; 32] = [0x31; 32];
pub(crate) const ACCOUNT_SECRET: [u8; 32] = [0x41; 32];
pub(crate) const LINK_CODE: [u8; 16] = [0x51; 16];
pub(crate) const TICKET_ID: [u8; 16] = [0x52; 16];
pub(crate) const SENDER: [u8; 16] = [0x53; 16];
pub(crate) const SESSION: [u8; 16] = [0x54; 16];
pub(crate) const SALTS: [[u8; 16]; 3] = [[0x55; 16], [0x56; 16], [0x57; 16]];
pub(crate) const REPLY_SALT: [u8; 16] = [0x58; 16];
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// The 64 bytes that X-Wing encapsulates with: 60, 61 … 9f.
pub(crate) fn encapsulation() -> [u8; 64] {
    std::array::from_fn(|i| 0x60 + u8::try_from(i).unwrap())
}

pub(crate) fn relay() -> RelayOrigin {
    "https://relay.example:7443".parse().unwrap()
}

pub(crate) fn root(k: usize) -> RootKey {
    RootKey::from_seed(&ROOT_SEEDS[k])
}

pub(crate) fn gateway() -> GatewayKey {
    GatewayKey::from_seed(&GATEWAY_SEED)
}

pub(crate) fn successions() -> Successions {
    Successions::new(vec![Succession::first(&root(0).public(), &root(1).public())]).unwrap()
}

/// The same organization after its first succession.
pub(crate) fn succeeded() -> Successions {
    let links = vec![
        Succession::first(&root(0).public(), &root(1).public()),
        Succession::by(&root(1), &root(2).public()),
    ];
    Successions::new(links).unwrap()
}

pub(crate) fn delegation_draft() -> DelegationDraft {
    DelegationDraft {
        organization: successions().organization_id(&"clinic.example".parse().unwrap()),
        number: 1,
        lowest_honoured: 1,
        gateway_key: gateway().public(),
        not_before: NOW,
        expires: NOW.plus(DAY * 365),
        root_index: 0,
    }
}

pub(crate) fn delegation() -> wire::Signed {
    delegation_draft().sign(&root(0)).unwrap()
}

pub(crate) fn epoch() -> EpochKey {
    EpochKey::from_seed(&EPOCH_SEED)
}

pub(crate) fn period() -> EpochPeriod {
    missing_epochs(&[], NOW)[0]
}

pub(crate) fn bundle() -> KeyBundle {
    let draft = KeyBundleDraft {
        domain: "clinic.example".parse().unwrap(),
        successions: successions(),
        delegation: delegation(),
        previous_serial: 0,
        epochs: vec![EpochEntry { key: epoch().public(), period: period() }],
    };
    draft.sign(&gateway(), NOW).unwrap()
}

pub(crate) fn account() -> AccountSecret {
    AccountSecret::from_bytes(&ACCOUNT_SECRET)
}

pub(crate) fn deposit() -> DepositKey {
    account().deposit_key(&relay(), 0)
}

pub(crate) fn grant() -> GrantIdentity {
    GrantIdentity::derive(&account(), bundle().organization(), &deposit())
}

pub(crate) fn sender() -> SenderId {
    SenderId::from_bytes(SENDER)
}

pub(crate) fn statement() -> Statement {
    let types = ["blood-pressure", "heart-rate"].map(|name| name.parse().unwrap());
    let terms = Terms {
        revision: NOW.as_millis(),
        state: GrantState::Active,
        scope: Scope { types: types.into(), from: Some(NOW.minus(DAY * 30)) },
    };
    let person = Person::new("Ana Lima", "1980-02-29").unwrap();
    grant().statement(terms, person, Some(LinkCode::from_slice(&LINK_CODE).unwrap()))
}

/// Two changes: a record that is new, one that is gone.
pub(crate) fn body() -> Body {
    let change =
        |id: &str, state| Change { record_id: id.into(), type_name: "heart-rate".parse().unwrap(), state };
    let fhir = br#"{"resourceType":"Observation","status":"final","valueQuantity":{"value":72.0}}"#;
    Body {
        changes: vec![
            change("6f1b4d0e-0000-4000-8000-000000000001", ChangeState::Upsert(fhir[..].into())),
            change("6f1b4d0e-0000-4000-8000-000000000002", ChangeState::Tombstone),
        ],
    }
}
