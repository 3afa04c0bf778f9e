//! Where a gateway lives on disk: the vault, the vault's secret file, the control socket. Not here: what is in the
//! vault.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use sealcare_vault::{Unlock, Vault};

use crate::error::Result;

/// A gateway's folder and the secret file beside it.
#[derive(Clone)]
pub struct Home {
    data: PathBuf,
    key_file: PathBuf,
}

impl Home {
    /// A home in `data`, with its secret in `key_file` or beside the folder.
    pub fn new(data: PathBuf, key_file: Option<PathBuf>) -> Self {
        let key_file = key_file.unwrap_or_else(|| beside(&data));
        Self { data, key_file }
    }

    /// The folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The vault's secret file.
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// The socket on which a running gateway answers the other commands.
    pub fn socket(&self) -> PathBuf {
        self.data.join("gateway.sock")
    }

    /// The vault's folder.
    pub(crate) fn vault(&self) -> PathBuf {
        self.data.join("vault")
    }

    /// Whether a vault was created here.
    pub(crate) fn has_vault(&self) -> bool {
        Vault::exists(&self.vault())
    }

    /// Creates the vault, and its secret file unless that exists.
    ///
    /// # Errors
    /// Those of [`Vault::create`].
    pub(crate) fn create_vault(&self) -> Result<Vault> {
        Ok(Vault::create(&self.vault(), &self.unlock(), &mut rand::rng())?)
    }

    /// Opens the vault; one process at a time can.
    ///
    /// # Errors
    /// Those of [`Vault::open`].
    pub(crate) fn open_vault(&self) -> Result<Vault> {
        Ok(Vault::open(&self.vault(), &self.unlock())?)
    }

    /// How the vault is opened.
    pub(crate) fn unlock(&self) -> Unlock {
        Unlock::SecretFile(self.key_file.clone())
    }
}

/// `<data>.key`: not in the folder, so that a copy of the folder alone opens nothing.
fn beside(data: &Path) -> PathBuf {
    let mut name: OsString = data.components().as_path().as_os_str().to_owned();
    name.push(".key");
    name.into()
}

/// Paths may name a person.
impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Home(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_lies_beside_the_folder_unless_told_otherwise() {
        let key = |data: &str| Home::new(data.into(), None).key_file().to_owned();
        assert_eq!(key("a/gateway"), Path::new("a/gateway.key"));
        assert_eq!(key("a/gateway/"), Path::new("a/gateway.key"));
        assert_eq!(Home::new("a".into(), Some("b".into())).key_file(), Path::new("b"));
    }

    #[test]
    fn a_vault_opens_with_its_own_secret_only() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("g"), None);
        assert!(!home.has_vault());
        drop(home.create_vault().unwrap());
        assert!(home.has_vault());
        home.open_vault().unwrap();
        let other = Home::new(dir.path().join("g"), Some(dir.path().join("other.key")));
        assert_eq!(other.open_vault().unwrap_err().exit_status(), 64);
    }
}
