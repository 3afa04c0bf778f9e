//! The three ways to unlock a vault and the 32-byte secret that each yields. Not here: what the secret wraps
//! (`header`).

use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::seal::KEY_BYTES;
use crate::{keychain, secret_file};

/// Bytes in a passphrase, at least.
pub const PASSPHRASE_BYTES_MIN: usize = 8;

/// How a vault is unlocked. A vault is opened as it was created.
pub enum Unlock {
    /// A random key in the operating system's keychain. Needs the cargo feature `keychain`.
    Keychain {
        /// The program's name in the keychain.
        service: String,
        /// Which of the program's vaults.
        account: String,
    },
    /// A passphrase, stretched by Argon2id (about 0.2 s and 64 MiB).
    Passphrase(Zeroizing<String>),
    /// A file of 32 random bytes in hexadecimal, mode 0600, outside the vault's folder. `Vault::create` makes
    /// it unless it exists.
    SecretFile(PathBuf),
}

/// Never shows a passphrase, an account or a path.
impl std::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind().describe())
    }
}

/// 32 bytes from which the header's wrapping key is extracted.
pub(crate) type UnlockSecret = Zeroizing<[u8; KEY_BYTES]>;

impl Unlock {
    pub(crate) const fn kind(&self) -> UnlockKind {
        match self {
            Self::Keychain { .. } => UnlockKind::Keychain,
            Self::Passphrase(_) => UnlockKind::Passphrase,
            Self::SecretFile(_) => UnlockKind::SecretFile,
        }
    }

    /// The secret for a new vault in `dir`; makes the keychain entry or file unless it exists.
    pub(crate) fn establish(
        &self,
        dir: &Path,
        salt: &[u8],
        stretch: Stretch,
        rng: &mut impl CryptoRng,
    ) -> Result<UnlockSecret> {
        match self {
            Self::Keychain { service, account } => keychain::establish(service, account, rng),
            Self::Passphrase(passphrase) if passphrase.len() < PASSPHRASE_BYTES_MIN => {
                Err(VaultError::PassphraseTooShort)
            }
            Self::Passphrase(passphrase) => stretch.apply(passphrase, salt),
            Self::SecretFile(path) => secret_file::establish(path, dir, rng),
        }
    }

    /// The secret for a vault that exists.
    pub(crate) fn recall(&self, salt: &[u8], stretch: Stretch) -> Result<UnlockSecret> {
        match self {
            Self::Keychain { service, account } => keychain::recall(service, account),
            Self::Passphrase(passphrase) => stretch.apply(passphrase, salt),
            Self::SecretFile(path) => secret_file::recall(path),
        }
    }
}

/// Which of the ways, as the header stores it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum UnlockKind {
    Keychain,
    Passphrase,
    SecretFile,
}

impl UnlockKind {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Keychain => 1,
            Self::Passphrase => 2,
            Self::SecretFile => 3,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Keychain),
            2 => Some(Self::Passphrase),
            3 => Some(Self::SecretFile),
            _ => None,
        }
    }

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Keychain => "the keychain",
            Self::Passphrase => "a passphrase",
            Self::SecretFile => "a secret file",
        }
    }
}

/// Argon2id's cost, kept in the header so that it can be raised for new vaults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

impl Stretch {
    /// RFC 9106 §4, the second recommended option: 64 MiB, three passes, four lanes.
    pub(crate) const RECOMMENDED: Self = Self { memory_kib: 64 * 1_024, passes: 3, lanes: 4 };
    /// A header that asks for more is damaged or hostile: 1 GiB, 16 passes, 16 lanes.
    const MAX: Self = Self { memory_kib: 1_024 * 1_024, passes: 16, lanes: 16 };

    pub(crate) const fn is_bounded(self) -> bool {
        self.memory_kib <= Self::MAX.memory_kib
            && self.passes <= Self::MAX.passes
            && self.lanes <= Self::MAX.lanes
    }

    fn apply(self, passphrase: &str, salt: &[u8]) -> Result<UnlockSecret> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_BYTES))
            .map_err(|_| VaultError::HeaderDamaged)?;
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), salt, secret.as_mut())
            .map_err(|_| VaultError::Stretching)?;
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_their_byte() {
        for kind in [UnlockKind::Keychain, UnlockKind::Passphrase, UnlockKind::SecretFile] {
            assert_eq!(UnlockKind::from_byte(kind.byte()), Some(kind));
        }
        assert_eq!(UnlockKind::from_byte(0), None);
        assert_eq!(UnlockKind::from_byte(4), None);
    }

    #[test]
    fn stretching_depends_on_passphrase_and_salt() {
        let cheap = Stretch { memory_kib: 64, passes: 1, lanes: 1 };
        let one = cheap.apply("correct horse", &[1; 32]).unwrap();
        assert_eq!(*one, *cheap.apply("correct horse", &[1; 32]).unwrap());
        assert_ne!(*one, *cheap.apply("correct horsf", &[1; 32]).unwrap());
        assert_ne!(*one, *cheap.apply("correct horse", &[2; 32]).unwrap());
    }

    #[test]
    fn a_hostile_cost_is_out_of_bounds() {
        assert!(Stretch::RECOMMENDED.is_bounded());
        assert!(!Stretch { memory_kib: u32::MAX, ..Stretch::RECOMMENDED }.is_bounded());
        assert!(!Stretch { passes: 17, ..Stretch::RECOMMENDED }.is_bounded());
        assert!(!Stretch { lanes: 17, ..Stretch::RECOMMENDED }.is_bounded());
    }

    #[test]
    fn debug_text_holds_no_passphrase() {
        let unlock = Unlock::Passphrase(Zeroizing::new("correct horse".to_owned()));
        assert_eq!(format!("{unlock:?}"), "a passphrase");
    }
}
