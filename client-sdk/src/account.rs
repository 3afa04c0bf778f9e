//! The patient's account: one secret, from which every key comes, and who the patient is.

use sealcare_protocol::{AccountSecret, Person};
use sealcare_vault::{ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::{
    error::{ClientError, Result},
    store::{ACCOUNT, load, save},
};

const SECRET: &[u8] = b"secret";
const PERSON: &[u8] = b"person";

#[derive(Deserialize, Serialize)]
struct PersonRow {
    name: String,
    birth_date: String,
}

/// What every grant is made from.
pub(crate) struct Account {
    pub(crate) secret: AccountSecret,
    pub(crate) person: Person,
}

impl Account {
    /// Keeps a new account.
    pub(crate) fn create(tx: &mut WriteTransaction<'_>, person: &Person) -> Result<()> {
        if tx.get(ACCOUNT, SECRET)?.is_some() {
            return Err(ClientError::AccountExists);
        }
        let secret = AccountSecret::random(&mut rand::rng());
        tx.put(ACCOUNT, SECRET, secret.as_bytes())?;
        let row = PersonRow { name: person.name().to_owned(), birth_date: person.birth_date().to_owned() };
        save(tx, ACCOUNT, PERSON, &row)
    }

    pub(crate) fn load(tx: &ReadTransaction<'_>) -> Result<Self> {
        let secret = tx.get(ACCOUNT, SECRET)?.ok_or(ClientError::NoAccount)?;
        let secret = secret.as_slice().try_into().map_err(|_| ClientError::Kept("the account"))?;
        let row: PersonRow = load(tx, ACCOUNT, PERSON)?.ok_or(ClientError::NoAccount)?;
        let person = Person::new(&row.name, &row.birth_date)?;
        Ok(Self { secret: AccountSecret::from_bytes(secret), person })
    }
}
