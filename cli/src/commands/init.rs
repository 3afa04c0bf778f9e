//! `init`: an account on this machine. Can be repeated after a crash; never replaces an account.

use std::fmt;

use sealcare_client::{Patient, Person, Unlock, Vault};
use serde::Serialize;

use crate::{
    args::Init,
    context::Context,
    error::{Error, Result},
};

/// A birth date in form, to tell which of the two is not.
const ANY_DATE: &str = "2000-01-01";

#[derive(Serialize)]
struct Made {
    home: String,
    unlocked_by: &'static str,
}

pub(super) async fn run(context: &Context, args: Init) -> Result<()> {
    let person = person(&args.name, &args.birth_date)?;
    let home = &context.home;
    let unlock = home.unlock()?;
    Patient::builder(vault(context, &unlock).await?).create(person).await?;
    home.remember_unlock()?;
    let made = Made { home: home.dir().display().to_string(), unlocked_by: home.unlock_name() };
    context.output.print(&made)
}

/// The vault that an account is made in: a new one, or what a command that was cut off has left.
pub(super) async fn vault(context: &Context, unlock: &Unlock) -> Result<Vault> {
    let home = &context.home;
    home.create()?;
    if Vault::exists(&home.vault_dir()) {
        return context.open_vault(unlock).await;
    }
    // First, so that a command that is cut off here can be repeated without naming the file again.
    home.remember_unlock()?;
    Ok(Vault::create(&home.vault_dir(), unlock, &mut rand::rng())?)
}

/// A person, with what is wrong with it named.
pub(super) fn person(name: &str, birth_date: &str) -> Result<Person> {
    Person::new(name, ANY_DATE).map_err(|_| Error::Name)?;
    Person::new(name, birth_date).map_err(|_| Error::BirthDate)
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Your account is in {}, unlocked by {}.", self.home, self.unlocked_by)?;
        writeln!(f, "Next: `sealcare import FILE`, then `sealcare accept @INVITATION`.")?;
        writeln!(
            f,
            "Once you share, print your recovery sheet: `sealcare sheet`. Without it a lost phone is lost for ever."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_person_is_named() {
        assert!(person("Ana Silva", "1990-05-20").is_ok());
        assert!(matches!(person(" ", "1990-05-20"), Err(Error::Name)));
        for bad in ["", "20.5.1990", "1990-13-01", "1990-5-20"] {
            assert!(matches!(person("Ana Silva", bad), Err(Error::BirthDate)), "{bad}");
        }
    }
}
