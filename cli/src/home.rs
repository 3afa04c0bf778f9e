//! The account's folder: where it is, how it is unlocked, and its one configuration file.
//! Not here: what the vault in it holds (`sealcare-client`).

use std::{
    env, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use sealcare_client::Unlock;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    args::Options,
    error::{Error, Result},
};

/// Name of the configuration file in the home.
const CONFIG_FILE: &str = "config.toml";
/// Name of the vault's folder in the home.
const VAULT_DIR: &str = "vault";
/// Bytes of a configuration file.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a passphrase file that are read.
const PASSPHRASE_FILE_BYTES_MAX: u64 = 4 * 1024;
/// The keychain's name for this program.
const KEYCHAIN_SERVICE: &str = "sealcare";
/// The keychain's name for its entry.
const KEYCHAIN_ACCOUNT: &str = "account";

/// What `config.toml` may say.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where the passphrase is, if not in `--passphrase-file`; none: the keychain.
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase_file: Option<PathBuf>,
}

/// An account's folder.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    passphrase_file: Option<PathBuf>,
}

impl Home {
    /// The folder that the options or the platform name; nothing is made.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that cannot be used, [`Error::NoHome`] where no folder is known.
    pub(crate) fn find(options: &Options) -> Result<Self> {
        let dir = match &options.home {
            Some(dir) if dir.as_os_str().is_empty() => return Err(Error::NoHome),
            Some(dir) => dir.clone(),
            None => platform_data(|name| env::var_os(name).map(PathBuf::from))
                .or_else(|| env::home_dir().map(|home| home.join(PLATFORM_DIR)))
                .ok_or(Error::NoHome)?
                .join("sealcare"),
        };
        let config = read_config(&dir.join(CONFIG_FILE))?;
        let passphrase_file = options.passphrase_file.clone().or(config.passphrase_file);
        Ok(Self { dir, passphrase_file })
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The vault's folder.
    pub(crate) fn vault_dir(&self) -> PathBuf {
        self.dir.join(VAULT_DIR)
    }

    /// What unlocks the vault, for people.
    pub(crate) fn unlock_name(&self) -> &'static str {
        if self.passphrase_file.is_some() { "passphrase" } else { "keychain" }
    }

    /// Whether the passphrase comes from standard input, which is read once.
    pub(crate) fn reads_standard_input(&self) -> bool {
        self.passphrase_file.as_deref() == Some(Path::new("-"))
    }

    /// What unlocks the vault.
    ///
    /// # Errors
    /// [`Error::PassphraseFile`].
    pub(crate) fn unlock(&self) -> Result<Unlock> {
        match &self.passphrase_file {
            Some(path) => read_passphrase(path).map(Unlock::Passphrase),
            None => {
                Ok(Unlock::Keychain { service: KEYCHAIN_SERVICE.into(), account: KEYCHAIN_ACCOUNT.into() })
            }
        }
    }

    /// Makes the folder, for its owner only.
    ///
    /// # Errors
    /// [`Error::HomeDir`].
    pub(crate) fn create(&self) -> Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.dir).map_err(Error::HomeDir)
    }

    /// Notes where the passphrase is, so that later commands need not be told.
    ///
    /// # Errors
    /// [`Error::HomeDir`].
    pub(crate) fn remember_unlock(&self) -> Result<()> {
        let Some(path) = self.passphrase_file.as_deref().filter(|_| !self.reads_standard_input()) else {
            return Ok(());
        };
        let path = std::path::absolute(path).map_err(Error::HomeDir)?;
        let config = Config { passphrase_file: Some(path) };
        let text =
            toml::to_string(&config).map_err(|_| Error::Config("the passphrase file's path".into()))?;
        fs::write(self.dir.join(CONFIG_FILE), text).map_err(Error::HomeDir)
    }
}

#[cfg(target_os = "macos")]
const PLATFORM_DIR: &str = "Library/Application Support";
#[cfg(not(target_os = "macos"))]
const PLATFORM_DIR: &str = ".local/share";

/// Where the platform's environment puts application data, if it says; relative paths count as unset (XDG).
fn platform_data(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let name = if cfg!(windows) { "LOCALAPPDATA" } else { "XDG_DATA_HOME" };
    variable(name).filter(|path| path.is_absolute())
}

fn read_config(path: &Path) -> Result<Config> {
    let unusable = |reason: String| Error::Config(reason);
    let file = match fs::File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Config::default());
        }
        other => other.map_err(|error| unusable(format!("it cannot be read ({})", error.kind())))?,
    };
    let mut text = String::new();
    let read = file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| unusable(format!("it cannot be read ({})", error.kind())))?;
    if u64::try_from(bytes).unwrap_or(u64::MAX) > CONFIG_BYTES_MAX {
        return Err(unusable("it is larger than 64 KiB".into()));
    }
    toml::from_str(&text).map_err(|error| unusable(error.message().to_owned()))
}

/// The first line, without its end.
fn read_passphrase(path: &Path) -> Result<Zeroizing<String>> {
    let unreadable = |error: io::Error| Error::PassphraseFile(error.kind());
    let source: Box<dyn io::Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(fs::File::open(path).map_err(unreadable)?)
    };
    // The whole capacity at once: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(PASSPHRASE_FILE_BYTES_MAX).unwrap_or(usize::MAX);
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    source.take(PASSPHRASE_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() == capacity {
        return Err(Error::PassphraseFile(io::ErrorKind::FileTooLarge));
    }
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(home: &Path) -> Options {
        Options {
            home: Some(home.to_owned()),
            passphrase_file: None,
            json: false,
            wait: 0,
            danger_extra_roots: None,
            danger_resolve: Vec::new(),
        }
    }

    #[test]
    fn a_passphrase_is_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p");
        for content in ["correct horse\nrest", "correct horse\r\n", "correct horse"] {
            fs::write(&file, content).unwrap();
            assert_eq!(read_passphrase(&file).unwrap().as_str(), "correct horse");
        }
        fs::write(&file, "x".repeat(4096)).unwrap();
        assert!(matches!(read_passphrase(&file), Err(Error::PassphraseFile(_))));
        assert!(matches!(read_passphrase(folder.path()), Err(Error::PassphraseFile(_))));
    }

    #[test]
    fn where_the_passphrase_is_gets_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p");
        fs::write(&file, "correct horse").unwrap();
        let home = Home::find(&Options { passphrase_file: Some(file), ..options(folder.path()) }).unwrap();
        home.remember_unlock().unwrap();
        let again = Home::find(&options(folder.path())).unwrap();
        assert_eq!(again.unlock_name(), "passphrase");
        assert!(matches!(again.unlock(), Ok(Unlock::Passphrase(_))));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["passphrase = 'x'", "passphrase_file = 7", "[", "passphrase_file = 'a'\nx = 1"] {
            fs::write(folder.path().join(CONFIG_FILE), bad).unwrap();
            assert!(matches!(Home::find(&options(folder.path())), Err(Error::Config(_))), "{bad}");
        }
    }

    #[test]
    fn the_platforms_folder_must_be_absolute() {
        let absolute = env::temp_dir();
        assert_eq!(platform_data(|_| Some(absolute.clone())), Some(absolute.clone()));
        assert_eq!(platform_data(|_| Some("relative".into())), None);
        assert_eq!(platform_data(|_| None), None);
    }
}
