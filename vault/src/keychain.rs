//! The keychain entry: 32 random bytes under (service, account).
//!
//! `keyring` 4 speaks to Keychain Services on Apple, the Credential Manager on Windows and, in pure Rust over
//! D-Bus, to the Secret Service on Linux. The kernel's keyring was not chosen: it forgets at reboot.

use rand_core::CryptoRng;

use crate::error::{Result, VaultError};
use crate::unlock::UnlockSecret;

#[cfg(feature = "keychain")]
mod entry {
    use keyring::{Entry, Error};
    use zeroize::Zeroizing;

    use super::{CryptoRng, Result, UnlockSecret, VaultError};
    use crate::seal::KEY_BYTES;

    pub(crate) fn establish(service: &str, account: &str, rng: &mut impl CryptoRng) -> Result<UnlockSecret> {
        match recall(service, account) {
            Err(VaultError::KeychainEntryMissing) => {}
            other => return other,
        }
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(secret.as_mut());
        entry(service, account)?.set_secret(secret.as_ref()).map_err(unavailable)?;
        Ok(secret)
    }

    pub(crate) fn recall(service: &str, account: &str) -> Result<UnlockSecret> {
        let secret = match entry(service, account)?.get_secret() {
            Err(Error::NoEntry) => return Err(VaultError::KeychainEntryMissing),
            other => Zeroizing::new(other.map_err(unavailable)?),
        };
        let secret: &[u8; KEY_BYTES] = secret.as_slice().try_into().map_err(|_| VaultError::WrongKey)?;
        Ok(Zeroizing::new(*secret))
    }

    fn entry(service: &str, account: &str) -> Result<Entry> {
        Entry::new(service, account).map_err(unavailable)
    }

    /// The library's reason may quote the account, so it is dropped.
    fn unavailable(_: Error) -> VaultError {
        VaultError::KeychainUnavailable
    }
}

#[cfg(not(feature = "keychain"))]
mod entry {
    use super::{CryptoRng, Result, UnlockSecret, VaultError};

    pub(crate) fn establish(_: &str, _: &str, _: &mut impl CryptoRng) -> Result<UnlockSecret> {
        Err(VaultError::KeychainNotBuilt)
    }

    pub(crate) fn recall(_: &str, _: &str) -> Result<UnlockSecret> {
        Err(VaultError::KeychainNotBuilt)
    }
}

pub(crate) use entry::{establish, recall};

#[cfg(all(test, not(feature = "keychain")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_keychain_says_what_to_use() {
        let refused = establish("sealcare", "test", &mut rand::rng());
        let text = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("passphrase file"), "{text}");
        assert!(matches!(recall("sealcare", "test"), Err(VaultError::KeychainNotBuilt)));
    }
}
