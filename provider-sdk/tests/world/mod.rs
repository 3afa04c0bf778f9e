//! An organization in a temporary vault and patients that speak the protocol to it without a network.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use sealcare_protocol::{
    AccountSecret, Body, Change, ChangeState, DepositKey, GrantId, GrantIdentity, GrantState, Invitation,
    LinkCode, Person, Revocation, Scope, SealedInit, SenderId, SenderSession, SessionStart, Terms, Timestamp,
    UnverifiedRevocation,
};
use sealcare_provider::{
    EventKind, Halted, InvitationChannel, Organization, RecordChange, Roots, Settlement,
};
use sealcare_transport::{Content, Item};
use sealcare_vault::{Unlock, Vault};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) struct Clinic {
    dir: tempfile::TempDir,
    pub(crate) organization: Option<Organization>,
    pub(crate) halted: Halted,
    pub(crate) now: Timestamp,
    sequence: u64,
}

impl Clinic {
    pub(crate) fn new() -> Self {
        Self::with_roots().0
    }

    /// With its root file.
    pub(crate) fn with_roots() -> (Self, Roots) {
        let dir = tempfile::tempdir().unwrap();
        let rng = &mut rand::rng();
        let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
        let relay = "https://relay.example:7443".parse().unwrap();
        let mut clinic = Self { dir, organization: None, halted: Halted::default(), now: NOW, sequence: 0 };
        let vault = Vault::create(&clinic.vault_dir(), &clinic.unlock(), rng).unwrap();
        clinic.organization = Some(Organization::found(Arc::new(vault), &roots, &relay, NOW, rng).unwrap());
        (clinic, roots)
    }

    pub(crate) fn vault_dir(&self) -> PathBuf {
        self.dir.path().join("vault")
    }

    pub(crate) fn unlock(&self) -> Unlock {
        Unlock::SecretFile(self.dir.path().join("vault.key"))
    }

    /// As after a crash: everything in memory is gone.
    pub(crate) fn restart(&mut self) {
        self.organization = None;
        self.halted = Halted::default();
        let vault = Arc::new(Vault::open(&self.vault_dir(), &self.unlock()).unwrap());
        self.organization = Some(Organization::open(vault, self.now, &mut rand::rng()).unwrap());
    }

    pub(crate) fn org(&self) -> &Organization {
        self.organization.as_ref().unwrap()
    }

    pub(crate) fn invite(&self, channel: InvitationChannel) -> Invitation {
        invite(self.org(), channel, self.now)
    }

    pub(crate) fn receive(&mut self, grant: &GrantId, envelope: &[u8]) -> Settlement {
        self.receive_items(vec![envelope_item(grant, envelope)])[0]
    }

    pub(crate) fn receive_items(&mut self, mut items: Vec<Item>) -> Vec<Settlement> {
        for item in &mut items {
            self.sequence += 1;
            item.sequence = self.sequence;
        }
        let organization = self.organization.as_ref().unwrap();
        organization.receive(&items, &mut self.halted, self.now).unwrap()
    }

    /// Staff look and admit.
    pub(crate) fn admit(&self, grant: &GrantId) {
        let seen = self.org().grant(grant, self.now).unwrap();
        assert!(self.org().admit(&seen, self.now).unwrap().is_empty());
    }

    /// What the application is told now.
    pub(crate) fn told(&self) -> Vec<String> {
        tell(self.org())
    }

    pub(crate) fn refusals(&self, name: &str) -> u64 {
        self.org().refusals().unwrap().get(name).copied().unwrap_or(0)
    }
}

pub(crate) fn invite(organization: &Organization, channel: InvitationChannel, now: Timestamp) -> Invitation {
    let person = Person::new("Ana Lima", "1980-02-29").unwrap();
    let chart = "urn:mrn|17".parse().unwrap();
    organization.invite(&chart, &person, channel, now, &mut rand::rng()).unwrap()
}

/// What the application is told now, in words: records as their summaries.
pub(crate) fn tell(organization: &Organization) -> Vec<String> {
    let mut told = Vec::new();
    let taken = organization.process(|_, event| {
        match &event.kind {
            EventKind::Records(delivery) => told.extend(delivery.changes.iter().map(word)),
            EventKind::Refused { name } => told.push(name.clone()),
            EventKind::ScopeChanged { removed, .. } => told.push(format!("removed {}", removed.join(","))),
            other => told.push(other.name().to_owned()),
        }
        Ok(())
    });
    taken.unwrap();
    told
}

fn word(change: &RecordChange) -> String {
    match change {
        RecordChange::Upsert(record) => record.summary(),
        RecordChange::Tombstone { id, .. } => format!("gone {}", id.as_str()),
    }
}

pub(crate) fn envelope_item(grant: &GrantId, envelope: &[u8]) -> Item {
    Item { sequence: 0, grant: *grant, content: Content::Envelope(Bytes::copy_from_slice(envelope)) }
}

pub(crate) struct Patient {
    deposit_key: DepositKey,
    pub(crate) identity: GrantIdentity,
    pub(crate) sender: SenderId,
    code: LinkCode,
    pub(crate) name: &'static str,
    pub(crate) types: Vec<&'static str>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) state: GrantState,
    pub(crate) revision: u64,
}

impl Patient {
    pub(crate) fn new(clinic: &Clinic, invitation: &Invitation) -> Self {
        Self::of(clinic.org(), invitation).0
    }

    /// With the key for a channel to the relay.
    pub(crate) fn of(organization: &Organization, invitation: &Invitation) -> (Self, DepositKey) {
        let account = AccountSecret::random(&mut rand::rng());
        let deposit_key = account.deposit_key(organization.relay(), 0);
        let identity = GrantIdentity::derive(&account, organization.id(), &deposit_key);
        let patient = Self {
            deposit_key,
            identity,
            sender: SenderId::random(&mut rand::rng()),
            code: LinkCode::from_slice(invitation.link_code.as_bytes()).unwrap(),
            name: "Ana Lima",
            types: vec!["heart-rate"],
            from: None,
            state: GrantState::Active,
            revision: 1,
        };
        (patient, account.deposit_key(organization.relay(), 0))
    }

    pub(crate) fn grant(&self) -> &GrantId {
        &self.identity.id
    }

    pub(crate) fn start(&self, clinic: &Clinic, base: u64) -> SealedInit {
        self.start_at(clinic.org(), base, clinic.now)
    }

    pub(crate) fn start_at(&self, organization: &Organization, base: u64, now: Timestamp) -> SealedInit {
        let bundle = organization.bundle();
        let start = SessionStart { grant: &self.identity, bundle: &bundle, sender: self.sender, base };
        let scope = Scope { types: self.types.iter().map(|t| t.parse().unwrap()).collect(), from: self.from };
        let terms = Terms { revision: self.revision, state: self.state, scope };
        let person = Person::new(self.name, "1980-02-29").unwrap();
        let code = LinkCode::from_slice(self.code.as_bytes()).unwrap();
        let statement = self.identity.statement(terms, person, Some(code));
        start.seal(statement, now, &mut rand::rng()).unwrap()
    }

    pub(crate) fn revocation(&self, organization: &Organization) -> Revocation {
        Revocation::sign(&self.deposit_key, organization.id())
    }

    pub(crate) fn stop(&self, clinic: &Clinic) -> Item {
        let wire = self.revocation(clinic.org()).to_wire();
        let content = Content::Revocation(UnverifiedRevocation::new(wire));
        Item { sequence: 0, grant: *self.grant(), content }
    }
}

/// A clinic and a patient whose first session is accepted.
pub(crate) fn sharing() -> (Clinic, Patient, SealedInit) {
    let mut clinic = Clinic::new();
    let patient = Patient::new(&clinic, &clinic.invite(InvitationChannel::SignIn));
    let init = patient.start(&clinic, 0);
    clinic.receive(patient.grant(), &init.envelope);
    (clinic, patient, init)
}

pub(crate) fn seal(session: &mut SenderSession, changes: Vec<Change>) -> Vec<u8> {
    session.seal(&Body { changes }.encode().unwrap(), &mut rand::rng()).unwrap()
}

pub(crate) fn heart_rate(id: &str, value: u32) -> Change {
    let fhir = format!(
        r#"{{"resourceType":"Observation","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"effectiveDateTime":"2025-12-30T10:00:00Z","valueQuantity":{{"value":{value},"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}"#
    );
    upsert(id, "heart-rate", fhir)
}

pub(crate) fn immunization(id: &str, declared: &str) -> Change {
    let fhir = r#"{"resourceType":"Immunization","status":"completed","vaccineCode":{"coding":[{"system":"http://hl7.org/fhir/sid/cvx","code":"140"}]},"patient":{"reference":"Patient/1"},"occurrenceDateTime":"2025-10-01"}"#;
    upsert(id, declared, fhir.to_owned())
}

pub(crate) fn upsert(id: &str, type_name: &str, fhir: String) -> Change {
    Change {
        record_id: id.to_owned(),
        type_name: type_name.parse().unwrap(),
        state: ChangeState::Upsert(fhir.into()),
    }
}
