//! What goes out under the organization's name: tickets, confirmations, registrations, always under the key of the
//! current bundle. Not here: which key that is (`delegation`), and the bundle itself (`epochs`).

use std::sync::Arc;

use rand_core::CryptoRng;
use sealcare_protocol::{
    Confirmation, GatewayKey, GrantId, Invitation, KeyBundle, LinkCode, Registration, RelayOrigin,
    TicketDraft, TicketLimits, Timestamp,
};
use sealcare_transport::{DirectoryChannel, OrganizationState};
use sealcare_vault::ReadTransaction;

use crate::delegation::kept_key;
use crate::error::Result;

/// The current bundle and the key that signed it: whatever the organization says goes out under both.
pub(crate) struct Signer {
    bundle: Arc<KeyBundle>,
    key: GatewayKey,
}

impl Signer {
    /// Of the key that a bundle was signed with.
    pub(crate) fn of(tx: &ReadTransaction<'_>, bundle: KeyBundle) -> Result<Self> {
        Ok(Self { key: kept_key(tx, bundle.delegation().number())?, bundle: Arc::new(bundle) })
    }

    pub(crate) fn bundle(&self) -> &Arc<KeyBundle> {
        &self.bundle
    }

    pub(crate) fn confirm(&self, grant: &GrantId, now: Timestamp) -> Confirmation {
        Confirmation::sign(grant, self.bundle.delegation(), &self.key, now)
    }

    pub(crate) fn invite(
        &self,
        relay: &RelayOrigin,
        link_code: LinkCode,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Invitation {
        let organization = *self.bundle.organization();
        let draft = TicketDraft { relay, limits: TicketLimits::default() };
        let ticket = draft.sign(&organization, self.bundle.delegation(), &self.key, now, rng);
        Invitation {
            relay: relay.clone(),
            domain: self.bundle.domain().clone(),
            organization,
            ticket,
            link_code,
        }
    }

    /// Tells a relay the bundle, and the OAuth key to be known by.
    pub(crate) async fn register(
        &self,
        directory: &DirectoryChannel,
        relay: &RelayOrigin,
        oauth_jwk: &str,
        now: Timestamp,
    ) -> Result<OrganizationState> {
        let registration = Registration::sign(&self.bundle, relay, oauth_jwk, &self.key, now);
        Ok(directory.register(&registration).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use sealcare_protocol::UnverifiedConfirmation;
    use sealcare_vault::{Unlock, Vault};

    use crate::organization::Organization;
    use crate::root::Roots;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn founded(dir: &std::path::Path) -> Organization {
        let (unlock, rng) = (Unlock::SecretFile(dir.join("key")), &mut rand::rng());
        let vault = Vault::create(&dir.join("vault"), &unlock, rng).unwrap();
        let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
        let relay = "https://relay.example:7443".parse().unwrap();
        Organization::found(Arc::new(vault), &roots, &relay, NOW, rng).unwrap()
    }

    #[test]
    fn confirmations_of_every_key_hold() {
        let dir = tempfile::tempdir().unwrap();
        let organization = founded(dir.path());
        let grant = GrantId::from_bytes([1; 32]);
        let mut confirmations = Vec::new();
        for year in 0..3 {
            let now = NOW.plus(std::time::Duration::from_hours(365 * 24) * year);
            organization.rotate(now, &mut rand::rng()).unwrap();
            confirmations.push(organization.signer().confirm(&grant, now));
        }
        for confirmation in confirmations {
            let unverified = UnverifiedConfirmation::new(confirmation.signed().clone()).unwrap();
            assert!(unverified.verify(organization.bundle().authority()).is_ok());
        }
    }
}
