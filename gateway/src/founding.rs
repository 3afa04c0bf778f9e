//! Founding an organization. A failure on the way leaves nothing that stops a second try.

use std::{fs, path::Path, sync::Arc};

use sealcare_provider::{Clock as _, Domain, Organization, ProviderError, RelayOrigin, Roots, SystemClock};
use sealcare_vault::Vault;
use serde::Serialize;

use crate::error::{GatewayError, Result};
use crate::home::Home;
use crate::rotation::refuse_inside;

/// What was founded.
#[derive(Serialize)]
pub(crate) struct Founded {
    /// For ever.
    pub(crate) organization_id: String,
    /// Where its bundle is to be served.
    pub(crate) domain: String,
    /// Where patients deposit.
    pub(crate) relay: String,
    /// Where the roots are now.
    pub(crate) root_file: String,
    /// Where the vault's secret is.
    pub(crate) key_file: String,
}

/// Draws an organization's keys: the roots into `root_out`, everything else into a new vault.
///
/// # Errors
/// [`GatewayError::Config`] for a domain or relay that is none, and if the roots were to lie in the data folder;
/// [`ProviderError::AlreadyFounded`], [`ProviderError::RootFileThere`]; those of the vault.
pub(crate) fn found(home: &Home, domain: &str, relay: &str, root_out: &Path) -> Result<Founded> {
    let domain: Domain = domain
        .parse()
        .map_err(|_| GatewayError::Config("`--domain` is not `host[:port]` in lower case".into()))?;
    let relay: RelayOrigin = relay
        .parse()
        .map_err(|_| GatewayError::Config("`--relay` is not `https://host:port` in lower case".into()))?;
    refuse_inside(home, root_out, "--root-out")?;
    if fs::symlink_metadata(root_out).is_ok() {
        return Err(ProviderError::RootFileThere.into());
    }
    let vault = empty_vault(home)?;
    let roots = Roots::draw(domain, &mut rand::rng());
    roots.write(root_out)?;
    let founded =
        Organization::found(Arc::clone(&vault), &roots, &relay, SystemClock.now(), &mut rand::rng());
    let organization = founded.inspect_err(|_| forget_unused(root_out, &vault))?;
    Ok(Founded {
        organization_id: organization.id().to_hex(),
        domain: organization.domain().as_str().to_owned(),
        relay: organization.relay().as_str().to_owned(),
        root_file: root_out.display().to_string(),
        key_file: home.key_file().display().to_string(),
    })
}

/// Removes the roots if they are surely of no organization: the next try draws its own. A failure may come after
/// the commit, and a vault that cannot tell counts as one that has them.
fn forget_unused(root_out: &Path, vault: &Vault) {
    if matches!(Organization::is_founded(vault), Ok(false)) {
        let _ = fs::remove_file(root_out);
    }
}

/// A new vault, or one in which an earlier try came no further.
fn empty_vault(home: &Home) -> Result<Arc<Vault>> {
    if !home.has_vault() {
        return Ok(Arc::new(home.create_vault()?));
    }
    let vault = Arc::new(home.open_vault()?);
    match Organization::open(Arc::clone(&vault), SystemClock.now(), &mut rand::rng()) {
        Err(ProviderError::NotFounded) => Ok(vault),
        Err(error) => Err(error.into()),
        Ok(_) => Err(ProviderError::AlreadyFounded.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str = "https://relay.example:7443";

    #[test]
    fn an_organization_is_founded_once_and_bad_words_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (home, roots) = (Home::new(dir.path().join("g"), None), dir.path().join("roots.toml"));
        let status = |domain: &str, relay: &str, roots: &Path| {
            found(&home, domain, relay, roots).err().map(|error| error.exit_status())
        };
        assert_eq!(status("Clinic Example", RELAY, &roots), Some(64));
        assert_eq!(status("clinic.example", "http://relay", &roots), Some(64));
        assert_eq!(status("clinic.example", RELAY, &dir.path().join("g/roots.toml")), Some(64));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(status("clinic.example", RELAY, &roots), None);
        assert_eq!(status("clinic.example", RELAY, &roots), Some(77));
        assert_eq!(status("clinic.example", RELAY, &dir.path().join("other.toml")), Some(77));
    }

    #[test]
    fn roots_are_removed_only_while_no_organization_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("g"), None);
        let roots = dir.path().join("roots.toml");
        let vault = empty_vault(&home).unwrap();
        fs::write(&roots, b"roots").unwrap();
        forget_unused(&roots, &vault);
        assert!(!roots.exists());
        drop(vault);
        found(&home, "clinic.example", RELAY, &roots).unwrap();
        forget_unused(&roots, &home.open_vault().unwrap());
        assert!(roots.exists());
    }

    #[test]
    fn a_second_try_succeeds_after_one_that_could_not_write_the_roots() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("g"), None);
        let nowhere = dir.path().join("no/such/folder/roots.toml");
        assert!(found(&home, "clinic.example", RELAY, &nowhere).is_err());
        assert!(found(&home, "clinic.example", RELAY, &dir.path().join("roots.toml")).is_ok());
    }
}
