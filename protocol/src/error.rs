//! What can be wrong, one name for each. No text holds a value, a key or an id.

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something signed, parsed or configured is not acceptable.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field is missing, of the wrong size, or out of bounds.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A signature does not verify.
    #[error("the signature on the {0} does not verify")]
    Signature(&'static str),
    /// A version that this program does not speak.
    #[error("unknown protocol version")]
    Version,
    /// Another organization's.
    #[error("this belongs to another organization")]
    WrongOrganization,
    /// Another relay's.
    #[error("this was made for another relay")]
    WrongRelay,
    /// The chain of roots does not hold.
    #[error("the organization's chain of roots does not hold")]
    Succession,
    /// A delegation is not valid at that time, lives too long, or is no longer honoured.
    #[error("the gateway key's delegation is not valid at that time")]
    Delegation,
    /// Past its end.
    #[error("the {0} has expired")]
    Expired(&'static str),
    /// Issued in the future, or living longer than the protocol allows.
    #[error("the {0} has an impossible lifetime")]
    Lifetime(&'static str),
    /// Older than what was seen before.
    #[error("the bundle is older than one seen before")]
    Stale,
    /// The same serial as before, with other bytes.
    #[error("the bundle contradicts one seen before")]
    Equivocation,
    /// A public key or encapsulation of low order.
    #[error("a public key has low order")]
    LowOrder,
    /// A sealed reply does not open: damaged, misrouted or forged.
    #[error("the reply does not open")]
    Reply,
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The bundle has expired; fetch a fresh one.
    #[error("the organization's bundle has expired")]
    BundleExpired,
    /// The bundle has no epoch for this instant.
    #[error("the organization's bundle has no key for now")]
    NoEpoch,
    /// A body above its bound; split it.
    #[error("the body is too large")]
    BodyTooLarge,
    /// A single record above the bound of a body.
    #[error("a record is too large to share")]
    RecordTooLarge,
    /// A record's id is empty or longer than 128 bytes.
    #[error("a record's id has an impossible length")]
    RecordId,
    /// The bundle is not of the grant's organization.
    #[error("the bundle is of another organization")]
    WrongOrganization,
    /// A statement that does not fit an init.
    #[error("the statement is too large")]
    StatementTooLarge,
    /// A key of the bundle cannot be used.
    #[error("the organization's key cannot be used")]
    Key,
    /// The session's counter is spent.
    #[error("the session is exhausted")]
    Exhausted,
}

/// Why a typed recovery code is not one. Groups are counted from 1.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Not as many groups as a code has.
    #[error("the code does not have 14 groups of 5")]
    Groups,
    /// These groups do not pass their checks.
    #[error("{}", mistyped(.groups))]
    Mistyped {
        /// Which, rising.
        groups: Vec<usize>,
    },
    /// Every group passes, and all together do not.
    #[error("the code's last group does not fit the others: more than one symbol is mistyped")]
    Checksum,
    /// Of a version that this program does not read.
    #[error("the code is of a later version")]
    Version,
}

fn mistyped(groups: &[usize]) -> String {
    let named: Vec<_> = groups.iter().map(usize::to_string).collect();
    match named.as_slice() {
        [one] => format!("group {one} of the code is mistyped"),
        several => format!("groups {} of the code are mistyped", several.join(", ")),
    }
}

/// Why a patient's call is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// A field has the wrong size.
    #[error("malformed call")]
    Malformed,
    /// The call is for another method.
    #[error("the call is for another method")]
    Method,
    /// More than five minutes from the relay's clock.
    #[error("the call's time is off")]
    Skew,
    /// The signature does not verify.
    #[error("the call's signature does not verify")]
    Signature,
}

/// Why a session init is refused, in the order of the checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InitRefusal {
    /// Not an init's size.
    #[error("init of the wrong size")]
    Size,
    /// Another version or kind.
    #[error("init of an unknown version")]
    Version,
    /// The session is known: a silent duplicate.
    #[error("session already known")]
    Duplicate,
    /// Sealed to a key that is not the organization's.
    #[error("init sealed to an unknown key")]
    UnknownKey,
    /// Sealed to a key that has been destroyed.
    #[error("init sealed to a destroyed key")]
    DestroyedKey,
    /// Its encapsulation has low order.
    #[error("init with a key of low order")]
    LowOrder,
    /// It does not open: damaged, misrouted or forged. Deliberately one cause.
    #[error("init does not open")]
    Open,
    /// Its fields are malformed.
    #[error("init with malformed fields")]
    Fields,
    /// Its deposit key does not make the grant that the relay named.
    #[error("init of another grant")]
    Binding,
    /// The grant key's signature does not verify.
    #[error("init with a bad signature")]
    Signature,
    /// The grant is revoked.
    #[error("init of a revoked grant")]
    Revoked,
    /// The grant is known under another grant key.
    #[error("init with another grant key")]
    KeyMismatch,
    /// A new grant without a link code that is open.
    #[error("init without an open link code")]
    LinkCode,
    /// Its lease is over.
    #[error("init with an expired lease")]
    Lease,
}

impl InitRefusal {
    /// The refusal's name for operators and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "init-size",
            Self::Version => "init-version",
            Self::Duplicate => "init-duplicate",
            Self::UnknownKey => "init-unknown-key",
            Self::DestroyedKey => "init-destroyed-key",
            Self::LowOrder => "init-low-order",
            Self::Open => "init-open",
            Self::Fields => "init-fields",
            Self::Binding => "init-binding",
            Self::Signature => "init-signature",
            Self::Revoked => "init-revoked",
            Self::KeyMismatch => "init-key-mismatch",
            Self::LinkCode => "init-link-code",
            Self::Lease => "init-lease",
        }
    }
}

/// Why a data envelope is refused, in the order of the checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataRefusal {
    /// Not a data envelope's size.
    #[error("envelope of the wrong size")]
    Size,
    /// Another version or kind.
    #[error("envelope of an unknown version")]
    Version,
    /// The session is not open here.
    #[error("envelope of an unknown session")]
    UnknownSession,
    /// Below the session's next number: a silent duplicate.
    #[error("envelope already received")]
    Duplicate,
    /// Above the session's next number: something is missing, the session closes.
    #[error("an envelope before this one is missing")]
    Gap,
    /// The session's lease is over.
    #[error("envelope after its lease")]
    Lease,
    /// It does not open: damaged, misrouted or forged. Deliberately one cause.
    #[error("envelope does not open")]
    Open,
    /// It opens, and its padding or form is wrong.
    #[error("envelope with a malformed body")]
    Malformed,
    /// A record in it is outside the grant's scope.
    #[error("envelope with a record out of scope")]
    OutOfScope,
    /// The grant is paused.
    #[error("envelope while the grant is paused")]
    Paused,
    /// The grant is revoked.
    #[error("envelope of a revoked grant")]
    Revoked,
}

impl DataRefusal {
    /// The refusal's name for operators and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "data-size",
            Self::Version => "data-version",
            Self::UnknownSession => "data-unknown-session",
            Self::Duplicate => "data-duplicate",
            Self::Gap => "data-gap",
            Self::Lease => "data-lease",
            Self::Open => "data-open",
            Self::Malformed => "data-malformed",
            Self::OutOfScope => "data-out-of-scope",
            Self::Paused => "data-paused",
            Self::Revoked => "data-revoked",
        }
    }
}
