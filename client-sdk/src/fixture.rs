//! A patient with one grant, without a network: for this crate's own tests.

use std::{sync::Arc, time::Duration};

use sealcare_protocol::{
    AccountSecret, DelegationDraft, DepositKey, EpochEntry, EpochKey, GatewayKey, GrantId, KeyBundle,
    KeyBundleDraft, ManualClock, Person, RootKey, Succession, Successions, Timestamp, missing_epochs,
};
use sealcare_records::{Record, RecordId};
use sealcare_vault::{Unlock, Vault};

use crate::{
    account::Account,
    bundle,
    error::Result,
    grant::{BundleNeed, Flow, GrantKeys, GrantRow, Outbox, Phase},
    patient::Patient,
    source::{RecordChange, RecordSource},
};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Nothing answers at its relay.
const DEADLINE: Duration = Duration::from_millis(100);

pub(crate) struct Fixture {
    pub(crate) patient: Patient,
    pub(crate) grant: GrantId,
    pub(crate) gateway: GatewayKey,
    pub(crate) bundle: KeyBundle,
    _folder: tempfile::TempDir,
}

/// An organization's keys from a seed.
pub(crate) fn organization(seed: u8) -> (GatewayKey, KeyBundle) {
    let (root, next) = (RootKey::from_seed(&[seed; 32]), RootKey::from_seed(&[seed + 1; 32]));
    let gateway = GatewayKey::from_seed(&[seed + 2; 32]);
    let successions = Successions::new(vec![Succession::first(&root.public(), &next.public())]).unwrap();
    let domain = "clinic.example".parse().unwrap();
    let delegation = DelegationDraft {
        organization: successions.organization_id(&domain),
        number: 1,
        lowest_honoured: 1,
        gateway_key: gateway.public(),
        not_before: NOW.minus(Duration::from_mins(1)),
        expires: NOW.plus(Duration::from_hours(24 * 399)),
        root_index: 0,
    };
    let delegation = delegation.sign(&root).unwrap();
    let epochs = missing_epochs(&[], NOW).into_iter().map(|period| {
        let key = EpochKey::random(&mut rand::rng()).public();
        EpochEntry { key, period }
    });
    let draft =
        KeyBundleDraft { domain, successions, delegation, previous_serial: 0, epochs: epochs.collect() };
    let bundle = draft.sign(&gateway, NOW).unwrap();
    (gateway, bundle)
}

impl Fixture {
    /// A grant of heart rates.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::SecretFile(folder.path().join("secret"));
        let vault = Vault::create(&folder.path().join("vault"), &unlock, &mut rand::rng()).unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let person = Person::new("Ana Lima", "1980-02-29").unwrap();
        let patient = Patient::builder(vault).clock(clock).deadline(DEADLINE).create(person).await.unwrap();
        let (gateway, bundle) = organization(1);
        let row = GrantRow {
            relay: "https://localhost:1".parse().unwrap(),
            domain: bundle.domain().clone(),
            organization: *bundle.organization(),
            deposit_number: 0,
            phase: Phase::Active,
            created: NOW,
            types: ["heart-rate".parse().unwrap()].into(),
            from: None,
            flow: Flow::Active,
            accepted_version: 0,
            scopes: Vec::new(),
            revision: 0,
            bundle_verified: NOW,
            bundle_need: BundleNeed::Usual,
            outbox: Outbox::new(),
            session: None,
            heard: None,
            keys: GrantKeys::Present,
            recovery: None,
        };
        let kept = bundle.clone();
        let keep = move |vault: &Vault| {
            let secret = vault.read(|tx| Account::load(tx).map(|account| account.secret))?;
            let grant = identity(&row, &secret);
            vault.create_wrapping_key(grant.as_bytes())?;
            vault.write(|tx| {
                bundle::keep(tx, &grant, &kept)?;
                row.save(tx, &grant)?;
                Ok(grant)
            })
        };
        let grant = patient.store.run(keep).await.unwrap();
        Self { patient, grant, gateway, bundle, _folder: folder }
    }

    pub(crate) async fn deposit_key(&self) -> DepositKey {
        let row = self.row().await;
        let key = move |tx: &sealcare_vault::ReadTransaction<'_>| {
            Ok(Account::load(tx)?.secret.deposit_key(&row.relay, row.deposit_number))
        };
        self.patient.store.read(key).await.unwrap()
    }

    pub(crate) async fn row(&self) -> GrantRow {
        let grant = self.grant;
        self.patient.store.read(move |tx| GrantRow::load(tx, &grant)).await.unwrap()
    }
}

fn identity(row: &GrantRow, secret: &AccountSecret) -> GrantId {
    row.identity(secret).id
}

/// Heart rates with notes that do not compress.
pub(crate) struct Noise {
    pub(crate) records: std::ops::Range<u32>,
    pub(crate) note_bytes: u32,
}

impl RecordSource for Noise {
    fn id(&self) -> String {
        "noise".to_owned()
    }

    fn read_changes(
        &mut self,
        _anchor: Option<&[u8]>,
        sink: &mut dyn FnMut(RecordChange) -> Result<()>,
    ) -> Result<Option<Vec<u8>>> {
        for number in self.records.clone() {
            sink(RecordChange::Upsert(Box::new(noise(number, self.note_bytes))))?;
        }
        Ok(None)
    }
}

/// One of them.
pub(crate) fn noise(number: u32, note_bytes: u32) -> Record {
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    let note: String = (0..note_bytes)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'#' + u8::try_from((state >> 24) % 50).unwrap())
        })
        .collect();
    let json = format!(
        r#"{{"resourceType":"Observation","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"effectiveDateTime":"2024-01-01T00:00:00Z","valueQuantity":{{"value":72,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}},"note":[{{"text":"{note}"}}]}}"#
    );
    Record::from_fhir_json(json.as_bytes(), RecordId::new(format!("r{number}")).unwrap()).unwrap()
}
