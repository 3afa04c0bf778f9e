//! What a person chose for a grant, and the mark by which every device of the account knows it for the account's own
//! word. Not here: whom a statement names and how it travels (`statement`, `init`, `reply`).

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sealcare_proto::v1 as wire;
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

use crate::{
    error::{Error, Result},
    ids::GrantId,
    sender::GrantIdentity,
    statement::{GrantState, Scope, Statement},
};

const MARK_BYTES: usize = 32;

/// What a person chose for a grant, and when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Rising with each choice, and with nothing else: [`Statement::next_revision`].
    pub revision: u64,
    /// Whether data flows.
    pub state: GrantState,
    /// What is shared.
    pub scope: Scope,
}

impl Terms {
    /// `revision u64 ‖ state u8 ‖ from ‖ count u8 ‖ (length u8 ‖ type)*`, where the types rise bytewise, and from is
    /// one zero byte if there is none, else `1 ‖ u64`. State is 1 for active and 2 for paused.
    fn canonical(&self) -> Vec<u8> {
        let mut bytes = self.revision.to_be_bytes().to_vec();
        bytes.push(match self.state {
            GrantState::Active => 1,
            GrantState::Paused => 2,
        });
        match self.scope.from {
            Some(from) => {
                bytes.push(1);
                bytes.extend_from_slice(&from.as_millis().to_be_bytes());
            }
            None => bytes.push(0),
        }
        let short = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
        bytes.push(short(self.scope.types.len()));
        for name in &self.scope.types {
            bytes.push(short(name.as_str().len()));
            bytes.extend_from_slice(name.as_str().as_bytes());
        }
        bytes
    }
}

/// Marks a grant's statements; derived from the account secret, so that every device of the account has it and the
/// organization, which gives the marks back, has not.
#[derive(ZeroizeOnDrop)]
pub struct MarkKey([u8; 32]);

impl MarkKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(*key)
    }

    /// HMAC-SHA256 (RFC 2104) over `grant id ‖ terms`.
    pub(crate) fn mark(&self, grant: &GrantId, terms: &Terms) -> StatementMark {
        StatementMark(self.mac(grant, terms).finalize().into_bytes().into())
    }

    fn mac(&self, grant: &GrantId, terms: &Terms) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.0)
            .expect("HMAC takes keys of any length")
            .chain_update(grant.as_bytes())
            .chain_update(terms.canonical())
    }
}

impl fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkKey")
    }
}

/// A statement's mark, as the organization stores it and gives it back. It means nothing to anybody but the account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatementMark([u8; MARK_BYTES]);

impl StatementMark {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; MARK_BYTES] {
        &self.0
    }

    pub(crate) fn from_wire(bytes: &[u8]) -> Result<Option<Self>> {
        match bytes {
            [] => Ok(None),
            _ => {
                bytes.try_into().map(|mark| Some(Self(mark))).map_err(|_| Error::Malformed("statement mark"))
            }
        }
    }

    pub(crate) fn to_wire(mark: Option<&Self>) -> Bytes {
        mark.map_or_else(Bytes::new, |mark| Bytes::copy_from_slice(&mark.0))
    }
}

/// What an organization says that the stored statement says. A device may always share less because of it; more only
/// with [`Self::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnverifiedTerms {
    /// Whether data flows.
    pub state: GrantState,
    /// What is shared.
    pub scope: Scope,
    /// As the statement brought it.
    pub mark: Option<StatementMark>,
}

impl UnverifiedTerms {
    /// What a stored statement says.
    pub fn of(statement: &Statement) -> Self {
        Self { state: statement.state, scope: statement.scope.clone(), mark: statement.mark }
    }

    /// The terms, if the account of `grant` marked just these with this revision, here or on another device.
    pub fn verify(&self, grant: &GrantIdentity, revision: u64) -> Option<Terms> {
        let terms = Terms { revision, state: self.state, scope: self.scope.clone() };
        grant.mark_key.mac(&grant.id, &terms).verify_slice(&self.mark?.0).ok()?;
        Some(terms)
    }

    pub(crate) fn from_wire(wire: &wire::StoredStatement) -> Result<Self> {
        Ok(Self {
            state: GrantState::from_wire(wire.state())?,
            scope: Scope::from_wire(wire.scope.as_ref().ok_or(Error::Malformed("scope"))?)?,
            mark: StatementMark::from_wire(&wire.mark)?,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::StoredStatement {
        wire::StoredStatement {
            state: self.state.to_wire().into(),
            scope: Some(self.scope.to_wire()),
            mark: StatementMark::to_wire(self.mark.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountSecret, OrganizationId, Person, Timestamp};

    fn identity(seed: u8, number: u32) -> GrantIdentity {
        let account = AccountSecret::from_bytes(&[seed; 32]);
        let deposit = account.deposit_key(&"https://relay.example:443".parse().unwrap(), number);
        GrantIdentity::derive(&account, &OrganizationId::from_bytes([1; 32]), &deposit)
    }

    fn terms() -> Terms {
        let types = ["heart-rate", "lab-result"].map(|name| name.parse().unwrap()).into();
        let scope = Scope { types, from: Some(Timestamp::from_millis(9)) };
        Terms { revision: 5, state: GrantState::Active, scope }
    }

    fn stored(grant: &GrantIdentity) -> UnverifiedTerms {
        let person = Person::new("Ana Lima", "1980-02-29").unwrap();
        UnverifiedTerms::of(&grant.statement(terms(), person, None))
    }

    #[test]
    fn what_the_account_said_verifies_for_its_grant_and_revision_only() {
        let stored = stored(&identity(1, 0));
        assert_eq!(stored.verify(&identity(1, 0), 5), Some(terms()));
        assert_eq!(stored.verify(&identity(1, 0), 6), None);
        assert_eq!(stored.verify(&identity(1, 1), 5), None);
        assert_eq!(stored.verify(&identity(2, 0), 5), None);
    }

    #[test]
    fn an_organization_that_alters_what_was_said_is_not_believed() {
        let grant = identity(1, 0);
        let altered = |alter: &dyn Fn(&mut UnverifiedTerms)| {
            let mut terms = stored(&grant);
            alter(&mut terms);
            terms.verify(&grant, 5)
        };
        assert!(altered(&|_| ()).is_some());
        assert_eq!(altered(&|terms| terms.mark = None), None);
        assert_eq!(altered(&|terms| terms.state = GrantState::Paused), None);
        assert_eq!(altered(&|terms| terms.scope.from = None), None);
        assert_eq!(altered(&|terms| terms.scope.from = Some(Timestamp::from_millis(8))), None);
        assert_eq!(altered(&|terms| drop(terms.scope.types.pop_first())), None);
        assert_eq!(altered(&|terms| terms.scope.types.extend(["steps".parse().unwrap()])), None);
    }

    #[test]
    fn names_that_run_together_are_different_terms() {
        let of = |names: &[&str]| {
            let types = names.iter().map(|name| name.parse().unwrap()).collect();
            Terms { scope: Scope { types, from: None }, ..terms() }.canonical()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["a", "b"]));
    }

    #[test]
    fn a_mark_of_another_length_is_malformed() {
        assert_eq!(StatementMark::from_wire(&[]), Ok(None));
        assert!(StatementMark::from_wire(&[1; 32]).is_ok_and(|mark| mark.is_some()));
        assert_eq!(StatementMark::from_wire(&[1; 31]), Err(Error::Malformed("statement mark")));
    }
}
