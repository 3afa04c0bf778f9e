//! What a grant says: who shares what, and since when.

use std::{collections::BTreeSet, fmt, str::FromStr};

use bytes::Bytes;
use sealcare_proto::v1 as wire;

use crate::{
    error::{Error, Result},
    invitation::LinkCode,
    keys::{DepositPublicKey, GrantPublicKey},
    terms::StatementMark,
    time::Timestamp,
};

const TYPE_NAME_BYTES_MAX: usize = 64;
const SCOPE_TYPES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 256;

/// The name of a shared record type: `[a-z-]{1,64}`. What it means is the records' matter.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TypeName(String);

impl TypeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let in_form = (1..=TYPE_NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if in_form { Ok(Self(text.to_owned())) } else { Err(Error::Malformed("type name")) }
    }
}

/// Which record types and which period a grant covers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scope {
    /// At most 32 types; none: nothing is shared.
    pub types: BTreeSet<TypeName>,
    /// Records that begin before are not shared.
    pub from: Option<Timestamp>,
}

impl Scope {
    /// Whether a record of type `name` that begins at `start` is covered.
    pub fn covers(&self, name: &str, start: Timestamp) -> bool {
        self.types.iter().any(|t| t.as_str() == name) && self.from.is_none_or(|from| start >= from)
    }

    pub(crate) fn is_in_bounds(&self) -> bool {
        self.types.len() <= SCOPE_TYPES_MAX
    }

    pub(crate) fn from_wire(wire: &wire::Scope) -> Result<Self> {
        let types = wire.types.iter().map(|t| t.parse()).collect::<Result<BTreeSet<_>>>()?;
        let scope = Self { types, from: wire.from_ms.map(Timestamp::from_millis) };
        let is_repeated = scope.types.len() != wire.types.len();
        if is_repeated || !scope.is_in_bounds() { Err(Error::Malformed("scope")) } else { Ok(scope) }
    }

    pub(crate) fn to_wire(&self) -> wire::Scope {
        wire::Scope {
            types: self.types.iter().map(|t| t.0.clone()).collect(),
            from_ms: self.from.map(Timestamp::as_millis),
        }
    }
}

/// Whether data flows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantState {
    /// It does.
    Active,
    /// The patient has paused it.
    Paused,
}

impl GrantState {
    pub(crate) fn from_wire(wire: wire::GrantState) -> Result<Self> {
        match wire {
            wire::GrantState::Active => Ok(Self::Active),
            wire::GrantState::Paused => Ok(Self::Paused),
            wire::GrantState::Unspecified => Err(Error::Malformed("grant state")),
        }
    }

    pub(crate) fn to_wire(self) -> wire::GrantState {
        match self {
            Self::Active => wire::GrantState::Active,
            Self::Paused => wire::GrantState::Paused,
        }
    }
}

/// Who shares, as the patient says.
#[derive(Clone, Eq, PartialEq)]
pub struct Person {
    name: String,
    birth_date: String,
}

impl Person {
    /// A name of 1 to 256 bytes without control characters, and a birth date as `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming which.
    pub fn new(name: &str, birth_date: &str) -> Result<Self> {
        let name = name.trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(Error::Malformed("name"));
        }
        if !is_date(birth_date) {
            return Err(Error::Malformed("birth date"));
        }
        Ok(Self { name: name.to_owned(), birth_date: birth_date.to_owned() })
    }

    /// Nobody, where a statement that says nothing needs a person in form.
    pub(crate) fn unnamed() -> Self {
        Self { name: "-".to_owned(), birth_date: "1000-01-01".to_owned() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `YYYY-MM-DD`.
    pub fn birth_date(&self) -> &str {
        &self.birth_date
    }

    /// Whether both are the same person: birth dates equal, names equal but for case and spacing.
    pub fn matches(&self, other: &Self) -> bool {
        let plain = |name: &str| name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        self.birth_date == other.birth_date && plain(&self.name) == plain(&other.name)
    }
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes[range].iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    bytes.len() == 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && digits(0..4).is_some_and(|year| year >= 1000)
        && digits(5..7).is_some_and(|month| (1..=12).contains(&month))
        && digits(8..10).is_some_and(|day| (1..=31).contains(&day))
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person")
    }
}

/// The statement of a session init.
#[derive(Debug)]
pub struct Statement {
    /// Who signs the grant's inits.
    pub grant_key: GrantPublicKey,
    /// Who deposits for it.
    pub deposit_key: DepositPublicKey,
    /// Rising: max(previous + 1, milliseconds since 1970).
    pub revision: u64,
    /// Whether data flows.
    pub state: GrantState,
    /// What is shared.
    pub scope: Scope,
    /// Who shares.
    pub person: Person,
    /// Until the organization has confirmed once.
    pub link_code: Option<LinkCode>,
    /// By which the account's other devices know its word; `None` from a sender that is older than marks.
    pub mark: Option<StatementMark>,
}

impl Statement {
    /// The revision to use after `previous` (0 for none).
    pub fn next_revision(previous: u64, now: Timestamp) -> u64 {
        now.as_millis().max(previous.saturating_add(1))
    }

    /// From the bytes of a `sealcare.v1.Statement`, as kept by [`Self::encode`].
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::LowOrder`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let wire =
            <wire::Statement as prost::Message>::decode(bytes).map_err(|_| Error::Malformed("statement"))?;
        Self::from_wire(&wire)
    }

    /// To bytes, to be kept under seal.
    pub fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(prost::Message::encode_to_vec(&self.to_wire()))
    }

    pub(crate) fn from_wire(wire: &wire::Statement) -> Result<Self> {
        let link_code =
            if wire.link_code.is_empty() { None } else { Some(LinkCode::from_slice(&wire.link_code)?) };
        Ok(Self {
            grant_key: GrantPublicKey::from_slice(&wire.grant_key)?,
            deposit_key: DepositPublicKey::from_slice(&wire.deposit_key)?,
            revision: wire.revision,
            state: GrantState::from_wire(wire.state())?,
            scope: Scope::from_wire(wire.scope.as_ref().ok_or(Error::Malformed("scope"))?)?,
            person: Person::new(&wire.name, &wire.birth_date)?,
            link_code,
            mark: StatementMark::from_wire(&wire.mark)?,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::Statement {
        wire::Statement {
            grant_key: Bytes::copy_from_slice(self.grant_key.as_bytes()),
            deposit_key: Bytes::copy_from_slice(self.deposit_key.as_bytes()),
            revision: self.revision,
            state: self.state.to_wire().into(),
            scope: Some(self.scope.to_wire()),
            name: self.person.name.clone(),
            birth_date: self.person.birth_date.clone(),
            link_code: self
                .link_code
                .as_ref()
                .map_or_else(Bytes::new, |code| Bytes::copy_from_slice(code.as_bytes())),
            mark: StatementMark::to_wire(self.mark.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_match_but_for_case_and_spacing() {
        let a = Person::new("Ana  Lima", "1980-02-29").unwrap();
        assert!(a.matches(&Person::new("ana lima ", "1980-02-29").unwrap()));
        assert!(!a.matches(&Person::new("ana lima", "1980-02-28").unwrap()));
        assert!(!a.matches(&Person::new("ana lime", "1980-02-29").unwrap()));
        assert!(!format!("{a:?}").contains("Ana"));
    }

    #[test]
    fn persons_with_impossible_fields_are_refused() {
        for (name, date) in [
            ("", "1980-01-01"),
            ("a\nb", "1980-01-01"),
            ("a", "1980-13-01"),
            ("a", "80-1-1"),
            ("a", "1980-01-é"),
        ] {
            assert!(Person::new(name, date).is_err(), "{date}");
        }
    }

    #[test]
    fn scope_covers_its_types_and_period() {
        let scope =
            Scope { types: ["heart-rate".parse().unwrap()].into(), from: Some(Timestamp::from_millis(10)) };
        assert!(scope.covers("heart-rate", Timestamp::from_millis(10)));
        assert!(!scope.covers("heart-rate", Timestamp::from_millis(9)));
        assert!(!scope.covers("lab-result", Timestamp::from_millis(10)));
        assert!("Heart Rate".parse::<TypeName>().is_err());
    }
}
