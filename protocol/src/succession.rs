//! An organization's chain of roots, and the id that its first link fixes for ever.

use bytes::Bytes;
use sealcare_proto::v1 as wire;
use sha2::{Digest as _, Sha256};

use crate::{
    address::Domain,
    error::{Error, Result},
    ids::OrganizationId,
    keys::{RootKey, RootPublicKey},
    transcript::{Label, sha256},
};

/// A chain longer than this is refused.
const SUCCESSIONS_MAX: usize = 16;
const RECORD_BYTES: usize = 64;

/// One link: root k ‖ SHA-256(root k+1), signed by root k except for k = 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Succession {
    record: [u8; RECORD_BYTES],
    signature: Bytes,
}

impl Succession {
    /// The first link, which the organization id covers.
    pub fn first(root: &RootPublicKey, next: &RootPublicKey) -> Self {
        Self { record: record(root, next), signature: Bytes::new() }
    }

    /// The link by which `root` takes over and names `next`.
    pub fn by(root: &RootKey, next: &RootPublicKey) -> Self {
        let record = record(&root.public(), next);
        let signature = root.sign(Label::Succession, &[&record]);
        Self { record, signature: Bytes::copy_from_slice(&signature) }
    }

    /// From where it was kept: 64 bytes, and the signature, empty for the first link. [`Successions::new`] checks it.
    ///
    /// # Errors
    /// [`Error::Succession`] for another size.
    pub fn from_parts(record: &[u8], signature: &[u8]) -> Result<Self> {
        let record = record.try_into().map_err(|_| Error::Succession)?;
        Ok(Self { record, signature: Bytes::copy_from_slice(signature) })
    }

    /// The 64 bytes that are signed.
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// The signature, empty for the first link.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn root(&self) -> Result<RootPublicKey> {
        RootPublicKey::from_slice(&self.record[..32])
    }
}

fn record(root: &RootPublicKey, next: &RootPublicKey) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..32].copy_from_slice(root.as_bytes());
    record[32..].copy_from_slice(&sha256(next.as_bytes()));
    record
}

/// A chain that holds: 1 to 16 links.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Successions {
    links: Vec<Succession>,
    roots: Vec<RootPublicKey>,
}

impl Successions {
    /// Checks that each link follows from the one before.
    ///
    /// # Errors
    /// [`Error::Succession`] where it does not, or the chain is empty or too long.
    pub fn new(links: Vec<Succession>) -> Result<Self> {
        if links.is_empty() || links.len() > SUCCESSIONS_MAX {
            return Err(Error::Succession);
        }
        let roots = links.iter().map(Succession::root).collect::<Result<Vec<_>>>()?;
        for (pair, root) in links.windows(2).zip(&roots[1..]) {
            let named = &pair[0].record[32..];
            if named != sha256(root.as_bytes()) {
                return Err(Error::Succession);
            }
            root.verify(Label::Succession, &[&pair[1].record], &pair[1].signature, "succession")
                .map_err(|_| Error::Succession)?;
        }
        Ok(Self { links, roots })
    }

    pub(crate) fn from_wire(links: &[wire::Succession]) -> Result<Self> {
        let parse = |link: &wire::Succession| Succession::from_parts(&link.record, &link.signature);
        Self::new(links.iter().map(parse).collect::<Result<_>>()?)
    }

    pub(crate) fn to_wire(&self) -> Vec<wire::Succession> {
        let wire = |link: &Succession| wire::Succession {
            record: Bytes::copy_from_slice(&link.record),
            signature: link.signature.clone(),
        };
        self.links.iter().map(wire).collect()
    }

    /// This chain and one link more, by which `root` takes over and names `next`.
    ///
    /// # Errors
    /// [`Error::Succession`] unless `root` is the one that the last link names, and after 16 links.
    pub fn succeeded_by(&self, root: &RootKey, next: &RootPublicKey) -> Result<Self> {
        let mut links = self.links.clone();
        links.push(Succession::by(root, next));
        Self::new(links)
    }

    /// Whether this chain is `other`, or `other` and more links.
    pub fn continues(&self, other: &Self) -> bool {
        self.links.starts_with(&other.links)
    }

    /// SHA-256 of each link's record, by which the chain is known again.
    pub(crate) fn hashes(&self) -> Vec<[u8; 32]> {
        self.links.iter().map(|link| sha256(&link.record)).collect()
    }

    /// Whether the last link names `next`.
    pub fn names(&self, next: &RootPublicKey) -> bool {
        self.links.last().is_some_and(|link| link.record[32..] == sha256(next.as_bytes()))
    }

    /// Its links, 1 to 16.
    pub fn links(&self) -> &[Succession] {
        &self.links
    }

    /// The organization that this chain makes at `domain`.
    pub fn organization_id(&self, domain: &Domain) -> OrganizationId {
        let hash = Sha256::new_with_prefix(self.links[0].record).chain_update(domain.as_str());
        OrganizationId::from_bytes(hash.finalize().into())
    }

    /// The root with number `index`.
    pub fn root(&self, index: u32) -> Option<&RootPublicKey> {
        self.roots.get(usize::try_from(index).ok()?)
    }

    /// The first root, which the organization id covers.
    pub(crate) fn first(&self) -> &RootPublicKey {
        self.roots.first().expect("at least one link")
    }

    /// The number of the newest root.
    pub fn newest(&self) -> u32 {
        u32::try_from(self.roots.len() - 1).expect("at most 16 links")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(seed: u8) -> RootKey {
        RootKey::from_seed(&[seed; 32])
    }

    #[test]
    fn a_chain_keeps_its_id() {
        let first = Succession::first(&root(1).public(), &root(2).public());
        let second = Succession::by(&root(2), &root(3).public());
        let domain = "clinic.example".parse().unwrap();
        let short = Successions::new(vec![first.clone()]).unwrap();
        let long = Successions::new(vec![first, second]).unwrap();
        assert_eq!(short.organization_id(&domain), long.organization_id(&domain));
        assert_ne!(short.organization_id(&domain), short.organization_id(&"other.example".parse().unwrap()));
    }

    #[test]
    fn a_chain_grows_by_the_root_that_it_names_and_goes_through_its_parts() {
        let first = Succession::first(&root(1).public(), &root(2).public());
        let short = Successions::new(vec![first]).unwrap();
        assert_eq!(short.succeeded_by(&root(9), &root(3).public()), Err(Error::Succession));
        let long = short.succeeded_by(&root(2), &root(3).public()).unwrap();
        assert!(long.continues(&short) && !short.continues(&long) && long.continues(&long));
        assert!(long.names(&root(3).public()) && !long.names(&root(2).public()));
        let parts = long.links().iter().map(|link| Succession::from_parts(link.record(), link.signature()));
        assert_eq!(Successions::new(parts.collect::<Result<_>>().unwrap()), Ok(long));
        assert_eq!(Succession::from_parts(&[0; 63], &[]), Err(Error::Succession));
    }

    #[test]
    fn a_root_that_was_not_named_cannot_take_over() {
        let first = Succession::first(&root(1).public(), &root(2).public());
        let thief = Succession::by(&root(9), &root(3).public());
        assert_eq!(Successions::new(vec![first.clone(), thief]), Err(Error::Succession));
        let mut unsigned = Succession::by(&root(2), &root(3).public());
        unsigned.signature = Bytes::from_static(&[0; 64]);
        assert_eq!(Successions::new(vec![first, unsigned]), Err(Error::Succession));
        assert_eq!(Successions::new(vec![]), Err(Error::Succession));
    }
}
