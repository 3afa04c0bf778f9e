//! Where a gateway lives on disk: the vault, the vault's secret file, the control socket. Not here: what is in the
//! vault.

use std::{
    ffi::OsString,
    path::{self, Path, PathBuf},
};

use sealcare_vault::{Unlock, Vault};

use crate::error::{GatewayError, Result};

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

    /// Whether `path` lies in the folder, by whatever way it is written. Neither needs to exist.
    ///
    /// # Errors
    /// [`GatewayError::File`] if the working folder cannot be found.
    pub(crate) fn holds(&self, path: &Path) -> Result<bool> {
        Ok(place(path)?.starts_with(place(&self.data)?))
    }

    /// How the vault is opened.
    pub(crate) fn unlock(&self) -> Unlock {
        Unlock::SecretFile(self.key_file.clone())
    }
}

/// Where a path leads: without links and `..` as far as it exists.
fn place(path: &Path) -> Result<PathBuf> {
    let path = path::absolute(path).map_err(GatewayError::file("find the working folder"))?;
    let found = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let Some((ancestor, place)) = found else { return Ok(path) };
    // An ancestor is a prefix; joining an empty rest would end the path with a slash.
    let rest = path.strip_prefix(ancestor).expect("an ancestor is a prefix");
    Ok(place.components().chain(rest.components()).collect())
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
    fn the_folder_holds_what_leads_into_it_by_any_way() {
        let dir = tempfile::tempdir().unwrap();
        let (data, beside) = (dir.path().join("data"), dir.path().join("beside"));
        let home = Home::new(data.clone(), None);
        let holds = |path: PathBuf| home.holds(&path).unwrap();
        assert!(
            holds(data.join("vault/roots")) && !holds(dir.path().join("data.toml")),
            "before it is there"
        );
        std::fs::create_dir_all(data.join("vault")).unwrap();
        std::fs::create_dir(&beside).unwrap();
        assert!(holds(beside.join("../data/roots")) && holds(data.clone()));
        assert!(!holds(data.join("../beside/roots")) && !holds(data.join("vault/../../roots")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
            assert!(holds(dir.path().join("link/roots")));
            let linked = Home::new(dir.path().join("link"), None);
            assert!(linked.holds(&data.join("roots")).unwrap() && !linked.holds(&beside).unwrap());
        }
        let working = path::absolute("data").unwrap();
        assert!(Home::new("data".into(), None).holds(&working.join("roots")).unwrap());
        assert!(Home::new(working, None).holds(Path::new("data/roots")).unwrap());
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
