//! Backup and restoration of the gateway's folder. Not here: what is in a backup (`sealcare-provider`).

use std::path::{self, Path};

use sealcare_provider::{Clock as _, Organization, SystemClock};
use serde::Serialize;

use crate::commands;
use crate::config::Config;
use crate::desk::{Answer, Desk, Request};
use crate::error::{GatewayError, Result};
use crate::home::Home;

/// Where a backup is.
#[derive(Serialize)]
pub(crate) struct BackedUp {
    /// The folder.
    pub(crate) folder: String,
    /// What is needed beside it to restore.
    pub(crate) key_file: String,
}

/// What was restored.
#[derive(Serialize)]
pub(crate) struct Restored {
    /// Where the organization's bundle is served.
    pub(crate) domain: String,
    /// For ever.
    pub(crate) organization_id: String,
}

impl Desk {
    pub(crate) fn back_up(&self, dir: &Path) -> Result<Answer> {
        self.organization().back_up(dir)?;
        Ok(Answer::BackedUp)
    }
}

/// Writes a backup into the new folder `dir`, by the gateway that runs if one does.
///
/// # Errors
/// [`GatewayError::Config`] for a folder in the data folder, and those of the organization's SDK.
pub(crate) async fn back_up(config: &Config, dir: &Path) -> Result<BackedUp> {
    // The gateway that runs may have another working folder.
    let dir = path::absolute(dir).map_err(GatewayError::file("find the folder for the backup"))?;
    if config.home.holds(&dir)? {
        return Err(GatewayError::Config(
            "the backup would lie in the data folder: it goes elsewhere".into(),
        ));
    }
    commands::ask(config, Request::BackUp { dir: dir.clone() }).await?;
    let key_file = config.home.key_file().display().to_string();
    Ok(BackedUp { folder: dir.display().to_string(), key_file })
}

/// Makes the organization of the backup in `dir` in an empty data folder.
///
/// # Errors
/// [`GatewayError::Refused`] if there is an organization already, and those of the organization's SDK.
pub(crate) fn restore(home: &Home, dir: &Path) -> Result<Restored> {
    if home.has_vault() {
        return Err(GatewayError::Refused(
            "an organization is in this data folder already: restore into an empty one",
        ));
    }
    let now = SystemClock.now();
    let organization = Organization::restore(&home.vault(), dir, &home.unlock(), now, &mut rand::rng())?;
    Ok(Restored {
        domain: organization.domain().as_str().to_owned(),
        organization_id: organization.id().to_hex(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::founding;

    #[test]
    fn a_backup_is_restored_into_an_empty_folder_only() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("g"), None);
        founding::found(&home, "clinic.example", "https://relay.example:7443", &dir.path().join("roots"))
            .unwrap();
        let backup = dir.path().join("backup");
        let vault = home.open_vault().unwrap();
        vault.back_up(&backup).unwrap();
        drop(vault);
        let status = |home: &Home, from: &Path| restore(home, from).err().map(|error| error.exit_status());
        assert_eq!(status(&home, &backup), Some(77));
        let other = Home::new(dir.path().join("other"), Some(home.key_file().to_owned()));
        assert_eq!(status(&other, &dir.path().join("nothing")), Some(65));
        let keyless = Home::new(dir.path().join("other"), None);
        assert_eq!(status(&keyless, &backup), Some(64));
        assert_eq!(restore(&other, &backup).unwrap().domain, "clinic.example");
        assert_eq!(status(&other, &backup), Some(77));
    }
}
