//! An organization in a temporary vault, for unit tests.

use std::sync::Arc;

use sealcare_protocol::{GrantId, Person, Timestamp};
use sealcare_vault::{Unlock, Vault};

use crate::grant::Binding;
use crate::invitation::InvitationChannel;
use crate::kept;
use crate::organization::Organization;
use crate::root::Roots;
use crate::spaces::BINDINGS;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1 << 40);
pub(crate) const GRANT: GrantId = GrantId::from_bytes([7; 32]);

pub(crate) fn found() -> (tempfile::TempDir, Organization) {
    let (dir, rng) = (tempfile::tempdir().unwrap(), &mut rand::rng());
    let unlock = Unlock::SecretFile(dir.path().join("key"));
    let vault = Arc::new(Vault::create(&dir.path().join("vault"), &unlock, rng).unwrap());
    let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
    let relay = "https://relay.example:7443".parse().unwrap();
    (dir, Organization::found(vault, &roots, &relay, NOW, rng).unwrap())
}

/// Makes [`GRANT`] known, of which no session came yet.
pub(crate) fn bind(organization: &Organization) {
    let person = Person::new("Ana Lima", "1980-02-29").unwrap();
    let binding = Binding {
        grant_key: [1; 32],
        patient: "urn:mrn|17".parse().unwrap(),
        channel: InvitationChannel::SignIn,
        name: person.name().to_owned(),
        birth_date: person.birth_date().to_owned(),
        is_compared: true,
    };
    organization.vault.write(|tx| kept::put(tx, BINDINGS, GRANT.as_bytes(), &binding)).unwrap();
}
