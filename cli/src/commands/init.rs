//! `init`: an account on this machine. Can be repeated after a crash; never replaces an account.

use std::fmt;

use sealcare_client::{Patient, Person, Vault};
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
    let person = person(&args)?;
    let home = &context.home;
    let unlock = home.unlock()?;
    home.create()?;
    let vault = if Vault::exists(&home.vault_dir()) {
        context.open_vault(&unlock).await?
    } else {
        // First, so that an `init` that is cut off here can be repeated without naming the file again.
        home.remember_unlock()?;
        Vault::create(&home.vault_dir(), &unlock, &mut rand::rng())?
    };
    Patient::builder(vault).create(person).await?;
    home.remember_unlock()?;
    let made = Made { home: home.dir().display().to_string(), unlocked_by: home.unlock_name() };
    context.output.print(&made)
}

fn person(args: &Init) -> Result<Person> {
    Person::new(&args.name, ANY_DATE).map_err(|_| Error::Name)?;
    Person::new(&args.name, &args.birth_date).map_err(|_| Error::BirthDate)
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Your account is in {}, unlocked by {}.", self.home, self.unlocked_by)?;
        writeln!(f, "Next: `sealcare import FILE`, then `sealcare accept @INVITATION`.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_person_is_named() {
        let person = |name: &str, birth_date: &str| {
            super::person(&Init { name: name.into(), birth_date: birth_date.into() })
        };
        assert!(person("Ana Silva", "1990-05-20").is_ok());
        assert!(matches!(person(" ", "1990-05-20"), Err(Error::Name)));
        for bad in ["", "20.5.1990", "1990-13-01", "1990-5-20"] {
            assert!(matches!(person("Ana Silva", bad), Err(Error::BirthDate)), "{bad}");
        }
    }
}
