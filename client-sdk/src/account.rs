//! The patient's account: one secret, from which every key comes, and who the patient is.

use sealcare_protocol::{AccountSecret, DepositKey, Person};
use sealcare_vault::{ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::{
    error::{ClientError, Result},
    grant::{GrantKeys, GrantRow},
    recovery::{SheetMatch, state::SecretAge},
    store::{ACCOUNT, load, save},
};

const SECRET: &[u8] = b"secret";
const FORMER: &[u8] = b"former secret";
const PERSON: &[u8] = b"person";

#[derive(Deserialize, Serialize)]
struct PersonRow {
    name: String,
    birth_date: String,
}

/// What every grant is made from.
pub(crate) struct Account {
    pub(crate) secret: AccountSecret,
    /// A stolen phone's, until all of its grants are stopped.
    former: Option<AccountSecret>,
    pub(crate) person: Person,
}

impl Account {
    /// Keeps a new account.
    pub(crate) fn create(tx: &mut WriteTransaction<'_>, person: &Person) -> Result<()> {
        Self::keep(tx, &AccountSecret::random(&mut rand::rng()), person)
    }

    /// Keeps the account of a recovery sheet. One that a thief may have stays beside a new one.
    pub(crate) fn recover(
        tx: &mut WriteTransaction<'_>,
        person: &Person,
        secret: &AccountSecret,
        age: SecretAge,
    ) -> Result<()> {
        match age {
            SecretAge::Present => Self::keep(tx, secret, person),
            SecretAge::Former => {
                Self::create(tx, person)?;
                Ok(tx.put(ACCOUNT, FORMER, secret.as_bytes())?)
            }
        }
    }

    fn keep(tx: &mut WriteTransaction<'_>, secret: &AccountSecret, person: &Person) -> Result<()> {
        if tx.get(ACCOUNT, SECRET)?.is_some() {
            return Err(ClientError::AccountExists);
        }
        tx.put(ACCOUNT, SECRET, secret.as_bytes())?;
        let row = PersonRow { name: person.name().to_owned(), birth_date: person.birth_date().to_owned() };
        save(tx, ACCOUNT, PERSON, &row)
    }

    pub(crate) fn load(tx: &ReadTransaction<'_>) -> Result<Self> {
        let secret = kept_secret(tx, SECRET)?.ok_or(ClientError::NoAccount)?;
        let former = kept_secret(tx, FORMER)?;
        let row: PersonRow = load(tx, ACCOUNT, PERSON)?.ok_or(ClientError::NoAccount)?;
        let person = Person::new(&row.name, &row.birth_date)?;
        Ok(Self { secret, former, person })
    }

    /// One of the account's secrets.
    pub(crate) fn into_secret(self, age: SecretAge) -> Result<AccountSecret> {
        match age {
            SecretAge::Present => Ok(self.secret),
            SecretAge::Former => self.former.ok_or(ClientError::NoAccount),
        }
    }

    /// Signs for a grant.
    pub(crate) fn deposit_key(self, row: &GrantRow) -> Result<DepositKey> {
        let age = match row.keys {
            GrantKeys::Present => SecretAge::Present,
            GrantKeys::Former { .. } => SecretAge::Former,
        };
        Ok(self.into_secret(age)?.deposit_key(&row.relay, row.deposit_number))
    }

    /// Whose secret it is.
    pub(crate) fn match_secret(&self, secret: &AccountSecret) -> SheetMatch {
        let is = |own: &AccountSecret| own == secret;
        match &self.former {
            _ if is(&self.secret) => SheetMatch::Present,
            Some(former) if is(former) => SheetMatch::Former,
            _ => SheetMatch::Other,
        }
    }

    /// Another secret from now on; the one before stays as the former.
    pub(crate) fn renew(tx: &mut WriteTransaction<'_>) -> Result<()> {
        let before = tx.get(ACCOUNT, SECRET)?.ok_or(ClientError::NoAccount)?;
        tx.put(ACCOUNT, FORMER, &before)?;
        Ok(tx.put(ACCOUNT, SECRET, AccountSecret::random(&mut rand::rng()).as_bytes())?)
    }

    /// Whether a stolen phone's secret is still kept.
    pub(crate) fn has_former(tx: &ReadTransaction<'_>) -> Result<bool> {
        Ok(tx.get(ACCOUNT, FORMER)?.is_some())
    }

    pub(crate) fn forget_former(tx: &mut WriteTransaction<'_>) -> Result<()> {
        tx.delete(ACCOUNT, FORMER)?;
        Ok(())
    }
}

fn kept_secret(tx: &ReadTransaction<'_>, place: &[u8]) -> Result<Option<AccountSecret>> {
    let Some(bytes) = tx.get(ACCOUNT, place)? else { return Ok(None) };
    let bytes = bytes.as_slice().try_into().map_err(|_| ClientError::Kept("the account"))?;
    Ok(Some(AccountSecret::from_bytes(bytes)))
}
