//! An organization's keys as it publishes them: verified against its id, fresh, and never older than seen.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;

use crate::{
    VERSION,
    address::Domain,
    delegation::{Authority, Delegation},
    epoch::{EPOCHS_MAX, EpochEntry},
    error::{Error, Result},
    ids::{BundleHash, OrganizationId},
    keys::GatewayKey,
    succession::Successions,
    time::Timestamp,
    transcript::{Label, sha256},
};

/// A bundle lives at most 7 days.
const LIFETIME_MAX: Duration = Duration::from_hours(168);
/// A clock may be this far behind the organization's.
const CLOCK_SKEW: Duration = Duration::from_hours(24);
/// Bytes of a signed bundle that are read at all.
const BUNDLE_BYTES_MAX: usize = 64 * 1024;

/// A bundle as it came, from a domain or a mirror.
#[derive(Clone, Debug)]
pub struct UnverifiedKeyBundle {
    signed: wire::Signed,
    fields: wire::KeyBundle,
}

impl UnverifiedKeyBundle {
    /// From the bytes of a `sealcare.v1.Signed`, at most 64 KiB.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(Error::Malformed("bundle"));
        }
        Self::new(wire::Signed::decode(bytes).map_err(|_| Error::Malformed("bundle"))?)
    }

    /// From the wire.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn new(signed: wire::Signed) -> Result<Self> {
        if signed.payload.len() > BUNDLE_BYTES_MAX {
            return Err(Error::Malformed("bundle"));
        }
        let fields =
            wire::KeyBundle::decode(signed.payload.clone()).map_err(|_| Error::Malformed("bundle"))?;
        Ok(Self { signed, fields })
    }

    /// The domain that it claims: good for asking there, and for nothing else.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn claimed_domain(&self) -> Result<Domain> {
        self.fields.domain.parse()
    }

    /// Checks chain, id, delegation, signature, lifetime and epochs.
    ///
    /// # Errors
    /// One of [`Error`]'s names for what does not hold; nothing of the bundle is usable then.
    pub fn verify(self, organization: &OrganizationId, now: Timestamp) -> Result<KeyBundle> {
        let bundle = self.verify_any(now)?;
        if bundle.authority.organization() == organization {
            Ok(bundle)
        } else {
            Err(Error::WrongOrganization)
        }
    }

    /// As [`Self::verify`], for whatever organization the bundle makes: for a registration only.
    pub(crate) fn verify_any(self, now: Timestamp) -> Result<KeyBundle> {
        let Self { signed, fields } = self;
        if fields.version != u32::from(VERSION) {
            return Err(Error::Version);
        }
        let domain: Domain = fields.domain.parse()?;
        let successions = Successions::from_wire(&fields.successions)?;
        let organization = successions.organization_id(&domain);
        let delegation = fields.delegation.as_ref().ok_or(Error::Malformed("bundle"))?;
        let delegation = Delegation::verify(delegation, &organization, &successions)?;
        delegation.gateway_key().verify(Label::Bundle, &[&signed.payload], &signed.signature, "bundle")?;
        delegation.check_at(now)?;
        let issued = Timestamp::from_millis(fields.issued_ms);
        let expires = Timestamp::from_millis(fields.expires_ms);
        check_lifetime(issued, expires, now)?;
        let epochs = epochs(&fields.epochs)?;
        let hash = BundleHash::from_bytes(sha256(&signed.payload));
        let authority = Authority::new(organization, successions, &delegation)?;
        let expires = expires.min(delegation.expires());
        Ok(KeyBundle { signed, hash, domain, authority, delegation, serial: fields.serial, expires, epochs })
    }
}

fn check_lifetime(issued: Timestamp, expires: Timestamp, now: Timestamp) -> Result<()> {
    if issued >= expires || expires.since(issued) > LIFETIME_MAX || issued > now.plus(CLOCK_SKEW) {
        return Err(Error::Lifetime("bundle"));
    }
    if now < expires { Ok(()) } else { Err(Error::Expired("bundle")) }
}

fn epochs(wire: &[wire::Epoch]) -> Result<Vec<EpochEntry>> {
    if wire.is_empty() || wire.len() > EPOCHS_MAX {
        return Err(Error::Malformed("epochs"));
    }
    let epochs = wire.iter().map(EpochEntry::from_wire).collect::<Result<Vec<_>>>()?;
    let is_repeated = |(i, e): (usize, &EpochEntry)| epochs[..i].iter().any(|f| f.key.id() == e.key.id());
    if epochs.iter().enumerate().any(is_repeated) { Err(Error::Malformed("epochs")) } else { Ok(epochs) }
}

/// A verified bundle. The only way to seal to an organization.
#[derive(Clone, Debug)]
pub struct KeyBundle {
    signed: wire::Signed,
    hash: BundleHash,
    domain: Domain,
    authority: Authority,
    delegation: Delegation,
    serial: u64,
    expires: Timestamp,
    epochs: Vec<EpochEntry>,
}

impl KeyBundle {
    /// Whose it is.
    pub fn organization(&self) -> &OrganizationId {
        self.authority.organization()
    }

    /// Where it is served.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whom tickets and confirmations are checked against.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The current delegation.
    pub fn delegation(&self) -> &Delegation {
        &self.delegation
    }

    /// Rising with every bundle.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Until when it may be sealed with: its own end or its delegation's, whichever comes first.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// SHA-256 of the signed payload.
    pub fn hash(&self) -> BundleHash {
        self.hash
    }

    /// Its epochs, 1 to 8, no key id twice.
    pub fn epochs(&self) -> &[EpochEntry] {
        &self.epochs
    }

    /// As it travels.
    pub fn signed(&self) -> &wire::Signed {
        &self.signed
    }

    /// The epoch to seal to now: the newest that has begun and not ended; for a clock that is behind the organization's
    /// midnight, by as much as a bundle's own time may be ahead, the first that will begin.
    pub(crate) fn epoch_at(&self, now: Timestamp) -> Option<&EpochEntry> {
        let begun = self.epochs.iter().filter(|e| e.seals_at(now)).max_by_key(|e| e.period.not_before);
        let next = || {
            let soon = |e: &&EpochEntry| now < e.period.not_before && e.seals_at(now.plus(CLOCK_SKEW));
            self.epochs.iter().filter(soon).min_by_key(|e| e.period.not_before)
        };
        begun.or_else(next)
    }

    /// What a client remembers of this bundle.
    pub fn pin(&self) -> BundlePin {
        BundlePin {
            root: self.authority.successions().newest(),
            chain: self.authority.successions().hashes(),
            delegation: self.delegation.number(),
            lowest_honoured: self.delegation.lowest_honoured(),
            serial: self.serial,
            hash: self.hash,
        }
    }
}

/// The newest bundle that was seen of an organization; older ones and contradictions are refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BundlePin {
    /// Newest root of the chain: a chain cut short would bring a succeeded root back.
    pub root: u32,
    /// SHA-256 of each record of the chain: one that forks from it is of a thief of an earlier root. Empty in a pin
    /// from before chains were kept: then only the newest root is compared.
    pub chain: Vec<[u8; 32]>,
    /// Highest delegation number.
    pub delegation: u32,
    /// Lowest delegation honoured: it never sinks, so that what was disowned stays so.
    pub lowest_honoured: u32,
    /// Highest serial.
    pub serial: u64,
    /// The bundle with that serial.
    pub hash: BundleHash,
}

impl BundlePin {
    /// Checks that `bundle` is this one or newer.
    ///
    /// # Errors
    /// As [`Self::check_pin`].
    pub fn check(&self, bundle: &KeyBundle) -> Result<()> {
        self.check_pin(&bundle.pin())
    }

    /// Checks that the bundle of `pin`, which was verified, is this one or newer.
    ///
    /// # Errors
    /// [`Error::Stale`] for a lower root, delegation, floor of delegations or serial, [`Error::Equivocation`] for the
    /// same serial with other bytes and for a chain that does not go on where this one ends.
    pub fn check_pin(&self, pin: &Self) -> Result<()> {
        let is_behind = pin.root < self.root
            || pin.delegation < self.delegation
            || pin.lowest_honoured < self.lowest_honoured
            || pin.serial < self.serial;
        let is_other = pin.serial == self.serial && pin.hash != self.hash;
        if is_behind {
            Err(Error::Stale)
        } else if is_other || !pin.chain.starts_with(&self.chain) {
            Err(Error::Equivocation)
        } else {
            Ok(())
        }
    }
}

/// What a gateway signs.
#[derive(Clone, Debug)]
pub struct KeyBundleDraft {
    /// Where it is served.
    pub domain: Domain,
    /// The chain of roots.
    pub successions: Successions,
    /// The gateway key's delegation, as the root signed it.
    pub delegation: wire::Signed,
    /// Serial of the bundle before, 0 for the first.
    pub previous_serial: u64,
    /// 1 to 8 epochs.
    pub epochs: Vec<EpochEntry>,
}

impl KeyBundleDraft {
    /// Signs a bundle that lives 7 days from `now`, with serial max(previous + 1, milliseconds since 1970),
    /// and verifies it as any client would.
    ///
    /// # Errors
    /// As [`UnverifiedKeyBundle::verify`].
    pub fn sign(&self, key: &GatewayKey, now: Timestamp) -> Result<KeyBundle> {
        let payload = wire::KeyBundle {
            version: u32::from(VERSION),
            domain: self.domain.as_str().to_owned(),
            successions: self.successions.to_wire(),
            delegation: Some(self.delegation.clone()),
            serial: now.as_millis().max(self.previous_serial.saturating_add(1)),
            issued_ms: now.as_millis(),
            expires_ms: now.plus(LIFETIME_MAX).as_millis(),
            epochs: self.epochs.iter().map(EpochEntry::to_wire).collect(),
        };
        let payload = Bytes::from(payload.encode_to_vec());
        let signature = Bytes::copy_from_slice(&key.sign(Label::Bundle, &[&payload]));
        UnverifiedKeyBundle::new(wire::Signed { payload, signature })?
            .verify(&self.successions.organization_id(&self.domain), now)
    }
}
