//! The view over a real vault, without a relay.

use std::sync::Arc;

use sealcare_provider::{Delivery, DeliveryKey, Organization, Roots, Scope, SenderId, Timestamp};
use sealcare_records::RecordId;
use sealcare_vault::Unlock;

use super::journal::Entry;
use super::rows::{JOURNAL, REMOVALS, wrapping_key};
use super::*;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
pub(super) const GRANT: GrantId = GrantId::from_bytes([7; 32]);

pub(super) struct World {
    pub(super) vault: Arc<Vault>,
    pub(super) organization: Organization,
    _dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let unlock = Unlock::SecretFile(dir.path().join("key"));
        let rng = &mut rand::rng();
        let vault = Arc::new(Vault::create(&dir.path().join("vault"), &unlock, rng).unwrap());
        let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
        let relay = "https://relay.example:7443".parse().unwrap();
        let organization = Organization::found(Arc::clone(&vault), &roots, &relay, NOW, rng).unwrap();
        vault.create_wrapping_key(&wrapping_key(&GRANT)).unwrap();
        Self { vault, organization, _dir: dir }
    }

    fn apply(&self, kind: EventKind) {
        let event = InboxEvent { grant: GRANT, at: NOW, kind };
        self.vault.write(|tx| apply(&self.vault, tx, &event)).unwrap();
    }

    pub(super) fn deliver(&self, changes: Vec<RecordChange>) {
        let key = DeliveryKey { grant: GRANT, sender: SenderId::from_bytes([1; 16]), sequence: 0 };
        self.apply(EventKind::Records(Delivery { key, patient: "s|17".parse().unwrap(), changes }));
    }

    fn counts(&self) -> Vec<(String, u64)> {
        self.vault.read(|tx| count_by_type(tx, &GRANT)).unwrap().into_iter().collect()
    }

    /// The resources in the order of the journal, and the ids of removals.
    fn journal(&self) -> Vec<String> {
        self.vault
            .read(|tx| {
                let rows = tx.scan(JOURNAL, &KeyRange::all(), usize::MAX)?;
                rows.iter().map(|(_, row)| Ok(tell(tx, &Entry::decode(row)?))).collect::<Result<_>>()
            })
            .unwrap()
    }

    fn raw_rows(&self) -> usize {
        self.vault.read(|tx| tx.scan(RECORDS, &KeyRange::all(), usize::MAX)).unwrap().len()
    }
}

fn tell(tx: &ReadTransaction<'_>, entry: &Entry) -> String {
    match &entry.change {
        Change::Record { key } => {
            let key = data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
            RecordRow::decode(&tx.get(RECORDS, &key).unwrap().unwrap()).unwrap().resource.get().to_owned()
        }
        Change::Removed { id, .. } => format!("-{id}"),
        Change::Noted(note) => note.name.clone(),
        Change::Ended(ended) => ended.cause.name().to_owned(),
    }
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub(super) fn heart_rate(name: &str, value: &str) -> RecordChange {
    let json = format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},
        "effectiveDateTime":"2025-01-01T08:00:00Z","valueQuantity":{{"value":{value},"unit":"/min",
        "system":"http://unitsofmeasure.org","code":"/min"}}}}"#
    );
    RecordChange::Upsert(Record::from_fhir_json(json.as_bytes(), id(name)).unwrap())
}

fn scope_changed(types: &[&str], from: Option<u64>) -> EventKind {
    let types = types.iter().map(|name| name.parse().unwrap()).collect();
    let scope = Scope { types, from: from.map(Timestamp::from_millis) };
    EventKind::ScopeChanged { removed: Vec::new(), added: Vec::new(), scope }
}

pub(super) fn tombstone(name: &str) -> RecordChange {
    RecordChange::Tombstone { id: id(name), type_name: "heart-rate".into() }
}

#[test]
fn a_record_is_kept_for_the_charts_patient_with_its_decimals() {
    let world = World::new();
    world.deliver(vec![heart_rate("a", "72.50")]);
    let journal = world.journal();
    assert!(journal[0].contains(r#""reference":"Patient?identifier=s|17""#));
    assert!(journal[0].contains("72.50"));
    assert_eq!(world.counts(), [("heart-rate".to_owned(), 1)]);
}

#[test]
fn a_newer_version_replaces_and_moves_to_the_end() {
    let world = World::new();
    world.deliver(vec![heart_rate("a", "72"), heart_rate("b", "80"), heart_rate("a", "73")]);
    let journal = world.journal();
    assert_eq!(journal.len(), 2);
    assert!(journal[0].contains("80") && journal[1].contains("73"));
    assert_eq!(world.counts(), [("heart-rate".to_owned(), 2)]);
}

#[test]
fn a_tombstone_removes_and_one_of_an_unknown_record_is_no_news() {
    let world = World::new();
    world.deliver(vec![heart_rate("a", "72"), tombstone("a"), tombstone("b")]);
    assert_eq!(world.journal(), ["-a"]);
    assert_eq!((world.raw_rows(), world.counts()), (0, vec![]));
}

#[test]
fn what_is_shared_no_longer_is_wiped_and_the_rest_stays() {
    let world = World::new();
    world.deliver(vec![heart_rate("a", "72"), heart_rate("b", "73")]);
    // They are of 2025-01-01T08:00:00Z.
    for (types, from, left) in [
        (&["heart-rate", "lab-result"][..], None, 2),
        (&["heart-rate"], None, 2),
        (&["heart-rate"], Some(1_735_718_400_000), 2),
        (&["heart-rate"], Some(1_735_718_400_001), 0),
    ] {
        world.apply(scope_changed(types, from));
        assert_eq!(world.raw_rows(), left);
    }
    world.deliver(vec![heart_rate("c", "74")]);
    world.apply(scope_changed(&[], None));
    assert_eq!((world.raw_rows(), world.counts()), (0, vec![]));
    let mut journal = world.journal();
    // In the order of blinded ids.
    journal[4..6].sort();
    assert_eq!(journal[3..], ["scope-changed", "-a", "-b", "scope-changed", "-c"].map(String::from));
}

#[test]
fn what_was_hidden_is_listed_again_when_it_returns() {
    let world = World::new();
    world.deliver(vec![heart_rate("a", "72"), heart_rate("b", "73")]);
    world.apply(EventKind::Lapsed);
    world.apply(EventKind::Returned);
    let journal = world.journal();
    assert_eq!(journal[..2], ["lapsed", "returned"].map(String::from));
    assert!(journal.len() == 4 && journal[2..].iter().all(|line| line.contains("8867-4")));
    assert_eq!(world.counts(), [("heart-rate".to_owned(), 2)]);
}

#[test]
fn ninety_days_of_silence_end_a_grant_by_name() {
    let world = World::new();
    world.apply(EventKind::Ended);
    assert_eq!(world.journal(), ["silent"]);
}

#[test]
fn the_end_leaves_only_its_own_word() {
    let world = World::new();
    world.deliver(vec![heart_rate("a", "72"), heart_rate("b", "73"), tombstone("b")]);
    world.vault.destroy_wrapping_key(&wrapping_key(&GRANT)).unwrap();
    world.apply(EventKind::Revoked);
    assert_eq!(world.journal(), ["revoked"]);
    assert_eq!((world.raw_rows(), world.counts()), (0, vec![]));
    assert_eq!(world.vault.read(ended).unwrap()[0].1.cause, rows::EndCause::Revoked);
}

#[test]
fn a_grant_that_is_not_known_is_not_listed() {
    let world = World::new();
    world.deliver(vec![heart_rate("a", "72")]);
    let page = world.vault.write(|tx| page(&world.organization, tx, 0, 0, NOW)).unwrap();
    assert!(page.lines.is_empty() && page.is_last);
    assert_eq!(page.next, 1);
}

#[test]
fn old_removals_are_forgotten_and_records_are_not() {
    let world = World::new();
    world.deliver(vec![heart_rate("keep", "70")]);
    let churn = |at: u64| [heart_rate(&format!("r{at}"), "72"), tombstone(&format!("r{at}"))];
    world.deliver((0..4).flat_map(churn).collect());
    world.vault.write(|tx| trim(tx, 3)).unwrap();
    let removals = world.vault.read(|tx| tx.count(REMOVALS, &KeyRange::all())).unwrap();
    assert_eq!(removals, 3);
    let journal = world.journal();
    assert!(journal[0].contains("70"));
    assert_eq!(journal[1], "-r1");
}
