//! The header: version, how to unlock, and the vault key wrapped under the unlocking secret. Not here: where the
//! secret comes from (`unlock`).
//!
//! `magic 15 ‖ version 1 ‖ kind 1 ‖ memory u32 ‖ passes u32 ‖ lanes u32 ‖ salt 32 ‖ sealed vault key 72 ‖
//! SHA-256 of all that 32`, integers big-endian. The hash tells damage from a wrong key; the sealed key is bound
//! to everything before it.

use std::io;
use std::path::Path;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Result, VaultError};
use crate::files;
use crate::seal::{KEY_BYTES, Label, SEAL_OVERHEAD_BYTES, SealingKey};
use crate::unlock::{Stretch, Unlock, UnlockKind};

const MAGIC: &[u8; 15] = b"sealcare-vault\0";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
const PREFIX_BYTES: usize = MAGIC.len() + 1 + 1 + 3 * 4 + SALT_BYTES;
const SEALED_KEY_BYTES: usize = KEY_BYTES + SEAL_OVERHEAD_BYTES;
const HEADER_BYTES: usize = PREFIX_BYTES + SEALED_KEY_BYTES + HASH_BYTES;

/// A header whose form was checked, its key not yet opened.
pub(crate) struct Header {
    kind: UnlockKind,
    stretch: Stretch,
    salt: [u8; SALT_BYTES],
    prefix: [u8; PREFIX_BYTES],
    sealed_key: Vec<u8>,
}

/// A new vault's key and the bytes of its header.
pub(crate) fn establish(
    dir: &Path,
    unlock: &Unlock,
    rng: &mut impl CryptoRng,
) -> Result<(SealingKey, Vec<u8>)> {
    let mut salt = [0; SALT_BYTES];
    rng.fill_bytes(&mut salt);
    let stretch = Stretch::RECOMMENDED;
    let secret = unlock.establish(dir, &salt, stretch, rng)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rng.fill_bytes(key.as_mut());
    let key = SealingKey::from_uniform(key);
    let prefix = prefix(unlock.kind(), stretch, &salt);
    let mut bytes = prefix.to_vec();
    bytes.extend(unlocking_key(&salt, secret.as_ref()).seal(&prefix, key.expose())?);
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    Ok((key, bytes))
}

/// Reads and checks a header's form.
pub(crate) fn read(path: &Path) -> Result<Header> {
    parse(&read_bytes(path)?)
}

/// Reads a header as it is.
pub(crate) fn read_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    files::read_small(path, HEADER_BYTES).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => VaultError::NotThere,
        _ => VaultError::File { action: "read the vault's header", source },
    })
}

impl Header {
    /// The vault key, if `unlock` is the right one.
    pub(crate) fn open(&self, unlock: &Unlock) -> Result<SealingKey> {
        if unlock.kind() != self.kind {
            return Err(VaultError::OtherUnlock { expected: self.kind.describe() });
        }
        let secret = unlock.recall(&self.salt, self.stretch)?;
        let opened = unlocking_key(&self.salt, secret.as_ref())
            .open(&self.prefix, &self.sealed_key)
            .ok_or(VaultError::WrongKey)?;
        let key: &[u8; KEY_BYTES] = opened.as_slice().try_into().map_err(|_| VaultError::HeaderDamaged)?;
        Ok(SealingKey::from_uniform(Zeroizing::new(*key)))
    }
}

fn parse(bytes: &[u8]) -> Result<Header> {
    let (magic, rest) = bytes.split_first_chunk().ok_or(VaultError::HeaderDamaged)?;
    if magic != MAGIC {
        return Err(VaultError::HeaderDamaged);
    }
    if rest.first().is_some_and(|version| *version > VERSION) && bytes.len() != HEADER_BYTES {
        return Err(VaultError::NewerVersion);
    }
    parse_whole(bytes).ok_or(VaultError::HeaderDamaged)?
}

/// `None` is damage.
fn parse_whole(bytes: &[u8]) -> Option<Result<Header>> {
    let bytes: &[u8; HEADER_BYTES] = bytes.try_into().ok()?;
    let (hashed, hash) = bytes.split_last_chunk::<HASH_BYTES>()?;
    if Sha256::digest(hashed).as_slice() != hash {
        return None;
    }
    let (prefix, sealed_key) = hashed.split_first_chunk::<PREFIX_BYTES>()?;
    let (version, fields) = prefix[MAGIC.len()..].split_first()?;
    if *version != VERSION {
        return Some(Err(VaultError::NewerVersion));
    }
    let (kind, fields) = fields.split_first()?;
    let (memory_kib, fields) = fields.split_first_chunk()?;
    let (passes, fields) = fields.split_first_chunk()?;
    let (lanes, salt) = fields.split_first_chunk()?;
    let stretch = Stretch {
        memory_kib: u32::from_be_bytes(*memory_kib),
        passes: u32::from_be_bytes(*passes),
        lanes: u32::from_be_bytes(*lanes),
    };
    let kind = UnlockKind::from_byte(*kind).filter(|_| stretch.is_bounded())?;
    let salt = salt.try_into().ok()?;
    Some(Ok(Header { kind, stretch, salt, prefix: *prefix, sealed_key: sealed_key.to_vec() }))
}

fn prefix(kind: UnlockKind, stretch: Stretch, salt: &[u8; SALT_BYTES]) -> [u8; PREFIX_BYTES] {
    let mut bytes = Vec::with_capacity(PREFIX_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend([VERSION, kind.byte()]);
    for cost in [stretch.memory_kib, stretch.passes, stretch.lanes] {
        bytes.extend(cost.to_be_bytes());
    }
    bytes.extend_from_slice(salt);
    bytes.try_into().expect("the fields add up to the prefix")
}

fn unlocking_key(salt: &[u8; SALT_BYTES], secret: &[u8]) -> SealingKey {
    SealingKey::extract(salt, secret).derive(Label::Unlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header that is right in form, with one byte of its fields set.
    fn with_byte(at: usize, byte: u8) -> Vec<u8> {
        let stretch = Stretch { memory_kib: 64, passes: 1, lanes: 1 };
        let mut bytes = prefix(UnlockKind::Passphrase, stretch, &[3; SALT_BYTES]).to_vec();
        bytes.extend([7; SEALED_KEY_BYTES]);
        bytes[at] = byte;
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        bytes
    }

    #[test]
    fn a_newer_version_is_named_also_when_it_is_longer() {
        assert!(matches!(parse(&with_byte(MAGIC.len(), 2)), Err(VaultError::NewerVersion)));
        let mut longer = with_byte(MAGIC.len(), 2);
        longer.push(0);
        assert!(matches!(parse(&longer), Err(VaultError::NewerVersion)));
    }

    #[test]
    fn an_unknown_kind_and_a_hostile_cost_are_damage() {
        let kind_at = MAGIC.len() + 1;
        assert!(parse(&with_byte(kind_at, 2)).is_ok());
        assert!(matches!(parse(&with_byte(kind_at, 9)), Err(VaultError::HeaderDamaged)));
        assert!(matches!(parse(&with_byte(kind_at + 1, 0xff)), Err(VaultError::HeaderDamaged)));
    }

    #[test]
    fn a_key_that_was_not_sealed_for_this_header_does_not_open() {
        let header = parse(&with_byte(0, MAGIC[0])).unwrap();
        let passphrase = Unlock::Passphrase(Zeroizing::new("correct horse".to_owned()));
        assert!(matches!(header.open(&passphrase), Err(VaultError::WrongKey)));
    }
}
