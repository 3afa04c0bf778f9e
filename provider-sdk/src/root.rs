//! The organization's roots: drawn once, written to a file that is taken offline, never kept in the vault. Not here:
//! what they sign for a gateway (`delegation`).
//!
//! The file is TOML: `version = 1`, `organization` (hexadecimal), `domain`, and the two Ed25519 seeds `root`
//! and `next-root` (hexadecimal). The second root exists from the start, because its hash is part of the
//! organization's id; it takes over when the first is lost. After a succession the file holds the chain too, as
//! tables `[[succession]]` of `record` and `signature` (hexadecimal).

use std::{fmt, fs, io::Write as _, path::Path};

use rand_core::CryptoRng;
use sealcare_protocol::{Domain, OrganizationId, RootKey, RootPublicKey, Succession, Successions};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{ProviderError, Result};
use crate::kept::KeptLink;

/// Bytes of a file of roots that are read at all.
const FILE_BYTES_MAX: usize = 16 * 1024;
const VERSION: u32 = 1;

/// The root of an organization that signs now, and the one that takes over. Secret.
pub struct Roots {
    chain: Successions,
    root: RootKey,
    next: RootKey,
    domain: Domain,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RootFile {
    version: u32,
    organization: String,
    domain: String,
    root: String,
    next_root: String,
    /// The whole chain, once it has more than its first link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    succession: Vec<KeptLink>,
}

impl Drop for RootFile {
    fn drop(&mut self) {
        self.root.zeroize();
        self.next_root.zeroize();
    }
}

impl Roots {
    /// Draws the roots of a new organization at `domain`.
    pub fn draw(domain: Domain, rng: &mut impl CryptoRng) -> Self {
        let (root, next) = (RootKey::random(rng), RootKey::random(rng));
        Self { chain: first_link(&root.public(), &next.public()), root, next, domain }
    }

    /// The roots after the next one took over, with a new one named behind it. From the first bundle that has this
    /// chain on, the roots before sign nothing more. The file before holds the root that took over, so it still can:
    /// [`Self::disown`] if it may be in other hands.
    ///
    /// # Errors
    /// [`ProviderError::Protocol`] after 16 roots.
    pub fn succeed(&self, rng: &mut impl CryptoRng) -> Result<Self> {
        let root = RootKey::from_seed(&self.next.to_seed());
        let next = RootKey::random(rng);
        let chain = self.chain.succeeded_by(&root, &next.public())?;
        Ok(Self { chain, root, next, domain: self.domain.clone() })
    }

    /// The roots after two successions at once, for a file that may be in other hands: neither of its keys is then the
    /// present root or the next one, so that it succeeds nothing any more. Whoever has seen the bundle with this chain
    /// refuses another that the file's holder makes.
    ///
    /// # Errors
    /// As [`Self::succeed`].
    pub fn disown(&self, rng: &mut impl CryptoRng) -> Result<Self> {
        self.succeed(rng)?.succeed(rng)
    }

    /// The organization that these roots make.
    pub fn organization(&self) -> OrganizationId {
        self.chain.organization_id(&self.domain)
    }

    /// Where it is.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    pub(crate) fn root(&self) -> &RootKey {
        &self.root
    }

    pub(crate) fn chain(&self) -> &Successions {
        &self.chain
    }

    /// Writes a new file of mode 0600, durably.
    ///
    /// # Errors
    /// [`ProviderError::RootFileThere`], never overwriting; [`ProviderError::RootFile`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => ProviderError::RootFileThere,
            _ => ProviderError::RootFile(error),
        })?;
        let text = self.to_text();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(ProviderError::RootFile)
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// [`ProviderError::RootFile`], [`ProviderError::RootFileDamaged`].
    pub fn read(path: &Path) -> Result<Self> {
        let length = fs::metadata(path).map_err(ProviderError::RootFile)?.len();
        if usize::try_from(length).map_or(true, |length| length > FILE_BYTES_MAX) {
            return Err(ProviderError::RootFileDamaged);
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(ProviderError::RootFile)?);
        Self::from_text(&text).ok_or(ProviderError::RootFileDamaged)
    }

    fn to_text(&self) -> Zeroizing<String> {
        let hex = |seed: Zeroizing<[u8; 32]>| data_encoding::HEXLOWER.encode(&*seed);
        let file = RootFile {
            version: VERSION,
            organization: self.organization().to_hex(),
            domain: self.domain.as_str().to_owned(),
            root: hex(self.root.to_seed()),
            next_root: hex(self.next.to_seed()),
            succession: if self.chain.newest() == 0 { Vec::new() } else { KeptLink::all_of(&self.chain) },
        };
        Zeroizing::new(toml::to_string(&file).expect("tables of strings are TOML"))
    }

    fn from_text(text: &str) -> Option<Self> {
        let file: RootFile = toml::from_str(text).ok()?;
        let root = RootKey::from_seed(&*seed(&file.root)?);
        let next = RootKey::from_seed(&*seed(&file.next_root)?);
        let chain = match file.succession.as_slice() {
            [] => first_link(&root.public(), &next.public()),
            links => KeptLink::chain(links).ok()?,
        };
        let is_whole = chain.root(chain.newest()) == Some(&root.public()) && chain.names(&next.public());
        let roots = Self { chain, root, next, domain: file.domain.parse().ok()? };
        let is_named = file.version == VERSION && roots.organization().to_hex() == file.organization;
        (is_whole && is_named).then_some(roots)
    }
}

fn seed(hex: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

/// The chain of an organization whose first root has not been succeeded.
fn first_link(root: &RootPublicKey, next: &RootPublicKey) -> Successions {
    Successions::new(vec![Succession::first(root, next)]).expect("one link needs no signature")
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roots")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        Roots::draw("clinic.example".parse().unwrap(), &mut rand::rng())
    }

    #[test]
    fn a_file_is_written_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roots.toml");
        let roots = roots();
        roots.write(&path).unwrap();
        assert_eq!(Roots::read(&path).unwrap().organization(), roots.organization());
        assert!(matches!(roots.write(&path), Err(ProviderError::RootFileThere)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_succession_keeps_the_organization_and_goes_through_its_file() {
        let first = roots();
        let second = first.succeed(&mut rand::rng()).unwrap();
        let third = Roots::from_text(&second.to_text()).unwrap().succeed(&mut rand::rng()).unwrap();
        assert_eq!(third.organization(), first.organization());
        assert_eq!(third.chain().newest(), 2);
        assert!(third.chain().continues(second.chain()) && !second.chain().continues(third.chain()));
        assert!(Roots::from_text(&third.to_text()).is_some());
        // Secrets of another link than the last.
        let [mine, other] =
            [&second, &third].map(|roots| data_encoding::HEXLOWER.encode(&*roots.root.to_seed()));
        assert!(Roots::from_text(&third.to_text().replace(&other, &mine)).is_none());
    }

    #[test]
    fn a_disowned_file_holds_neither_the_present_root_nor_the_next() {
        let stolen = roots();
        let keys = |roots: &Roots| [roots.root.public(), roots.next.public()];
        let once = stolen.succeed(&mut rand::rng()).unwrap();
        assert_eq!(keys(&once)[0], keys(&stolen)[1], "one succession leaves it the present root");
        let disowned = stolen.disown(&mut rand::rng()).unwrap();
        assert!(keys(&disowned).iter().all(|key| !keys(&stolen).contains(key)));
        assert_eq!(disowned.organization(), stolen.organization());
    }

    #[test]
    fn a_file_that_does_not_make_its_organization_is_damaged() {
        let text = roots().to_text();
        assert!(Roots::from_text(&text).is_some());
        assert!(Roots::from_text(&text.replace("clinic", "clinik")).is_none());
        assert!(Roots::from_text(&text.replace("version = 1", "version = 2")).is_none());
        assert!(Roots::from_text(&format!("{}x = 1\n", text.as_str())).is_none());
        assert!(Roots::from_text("").is_none());
    }
}
