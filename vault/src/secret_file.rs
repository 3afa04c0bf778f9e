//! The secret file: 32 random bytes in hexadecimal, readable by its owner only.

use std::io;
use std::path::Path;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::files;
use crate::seal::KEY_BYTES;
use crate::unlock::UnlockSecret;

const HEX_BYTES: usize = 2 * KEY_BYTES;

/// The secret for a new vault in `dir`: the file's, or a new file's.
pub(crate) fn establish(path: &Path, dir: &Path, rng: &mut impl CryptoRng) -> Result<UnlockSecret> {
    refuse_inside(path, dir)?;
    match recall(path) {
        Err(VaultError::SecretFileMissing) => {}
        other => return other,
    }
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    rng.fill_bytes(secret.as_mut());
    let mut text = Zeroizing::new([b'\n'; HEX_BYTES + 1]);
    for (pair, byte) in text.chunks_exact_mut(2).zip(secret.iter()) {
        pair[0] = hex_digit(byte >> 4);
        pair[1] = hex_digit(byte & 15);
    }
    files::write_whole(path, text.as_ref()).map_err(VaultError::file("write the vault's secret file"))?;
    Ok(secret)
}

/// The secret of an existing file.
pub(crate) fn recall(path: &Path) -> Result<UnlockSecret> {
    let text = match files::read_small(path, HEX_BYTES + 2) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(VaultError::SecretFileMissing),
        other => other.map_err(VaultError::file("read the vault's secret file"))?,
    };
    refuse_exposed(path)?;
    parse(text.trim_ascii_end()).ok_or(VaultError::SecretFileDamaged)
}

fn parse(hex: &[u8]) -> Option<UnlockSecret> {
    if hex.len() != HEX_BYTES {
        return None;
    }
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in secret.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(secret)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Who takes the folder must not have taken the key with it.
fn refuse_inside(path: &Path, dir: &Path) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.canonicalize().unwrap_or(path));
    let action = "find the folder of the vault's secret file";
    let dir = absolute(dir).map_err(VaultError::file(action))?;
    let parent = absolute(path).map_err(VaultError::file(action))?;
    let parent = parent.parent().map(|parent| parent.canonicalize().unwrap_or_else(|_| parent.to_owned()));
    if parent.is_some_and(|parent| parent.starts_with(&dir)) {
        Err(VaultError::SecretFileInside)
    } else {
        Ok(())
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;

    const OTHERS: u32 = 0o077;
    let metadata = path.metadata().map_err(VaultError::file("read the mode of the vault's secret file"))?;
    if metadata.mode() & OTHERS == 0 { Ok(()) } else { Err(VaultError::SecretFileExposed) }
}

/// Elsewhere the profile folder's access list protects the file; a mode to check does not exist.
#[cfg(not(unix))]
fn refuse_exposed(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_new_file_yields_the_same_secret_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let secret = establish(&path, &dir.path().join("vault"), &mut rand::rng()).unwrap();
        assert_eq!(*recall(&path).unwrap(), *secret);
        let again = establish(&path, &dir.path().join("vault"), &mut rand::rng()).unwrap();
        assert_eq!(*again, *secret);
        assert_ne!(*secret, [0; KEY_BYTES]);
    }

    #[test]
    fn anything_but_64_digits_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        drop(files::create_private(&path).unwrap());
        for bad in ["", "00", &"0".repeat(63), &"g".repeat(64), &"0".repeat(65), &"0".repeat(1_000)] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(recall(&path), Err(VaultError::SecretFileDamaged)), "{} digits", bad.len());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(matches!(recall(Path::new("/nowhere/secret")), Err(VaultError::SecretFileMissing)));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        establish(&path, &dir.path().join("vault"), &mut rand::rng()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(recall(&path), Err(VaultError::SecretFileExposed)), "{mode:o}");
        }
    }

    #[test]
    fn a_place_inside_the_vault_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("secret");
        let refused = establish(&inside, dir.path(), &mut rand::rng());
        assert!(matches!(refused, Err(VaultError::SecretFileInside)));
        assert!(!inside.exists());
    }
}
