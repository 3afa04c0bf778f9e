//! What every command works with: the account's folder, whom to trust, where results go; and opening the account.
//! Not here: making an account (`commands::init`).

use std::{collections::BTreeMap, fs, io::Read as _, net::IpAddr, path::Path, time::Duration};

use sealcare_client::{Patient, PatientBuilder, Trust, Unlock, Vault, VaultError, danger};

use crate::{
    args::Options,
    choice::Choice,
    error::{Error, Result},
    exit::Exit,
    home::Home,
    output::Output,
    progress::Meter,
    request,
};

/// Between two looks at whether another command is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Whether a choice is still to be carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Carried {
    /// By whoever asks.
    NotYet,
    /// It was noted and carried out in its turn, perhaps by another command. What was asked for later than it was
    /// noted may have overruled it.
    Noted,
}

/// Bytes of a file of root certificates.
const ROOTS_BYTES_MAX: u64 = 1 << 20;

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) output: Output,
    trust: Trust,
    addresses: BTreeMap<String, IpAddr>,
    wait: Duration,
}

impl Context {
    /// As the options say; nothing is opened.
    ///
    /// # Errors
    /// Those of [`Home::find`]; [`Error::Option`] for test certificates that cannot be used.
    pub(crate) fn new(options: &Options, output: Output) -> Result<Self> {
        let home = Home::find(options)?;
        let addresses: BTreeMap<String, IpAddr> =
            options.danger_resolve.iter().map(|text| address(text)).collect::<Result<_>>()?;
        let trust = trust(options, addresses.clone())?;
        Ok(Self { home, output, trust, addresses, wait: Duration::from_secs(options.wait) })
    }

    /// Hosts that are not asked of the resolver.
    pub(crate) fn addresses(&self) -> &BTreeMap<String, IpAddr> {
        &self.addresses
    }

    /// Opens the account, after another command in this home is done, and carries out what was asked for
    /// meanwhile.
    ///
    /// # Errors
    /// Those of the vault; `InUse` if the other command takes too long.
    pub(crate) async fn open(&self) -> Result<Patient> {
        self.open_with(&self.home.unlock()?).await
    }

    /// As [`Self::open`], with a secret that was read before.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_with(&self, unlock: &Unlock) -> Result<Patient> {
        self.open_noted(self.open_vault(unlock).await?).await
    }

    /// As [`Self::open`], for a choice about the grant that `name` means: if another command is at work, the choice
    /// is noted before that command is waited for.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Error::Noted`] if the other command takes too long.
    pub(crate) async fn open_for(&self, name: &str, choice: &Choice) -> Result<(Patient, Carried)> {
        let unlock = self.home.unlock()?;
        match Vault::open(&self.home.vault_dir(), &unlock) {
            Err(VaultError::InUse) => request::note(self.home.dir(), name, choice)?,
            // Nobody is at work: what others noted before is carried out first.
            opened => return Ok((self.open_noted(opened?).await?, Carried::NotYet)),
        }
        match self.open_with(&unlock).await {
            Err(error) if error.exit() == Exit::Busy => Err(Error::Noted(choice.noun())),
            opened => Ok((opened?, Carried::Noted)),
        }
    }

    async fn open_noted(&self, vault: Vault) -> Result<Patient> {
        let patient = self.open_in(vault).await?;
        request::carry_out(self, &patient).await?;
        Ok(patient)
    }

    /// Opens the account in a vault that is open.
    ///
    /// # Errors
    /// Those of [`sealcare_client::PatientBuilder::open`].
    pub(crate) async fn open_in(&self, vault: Vault) -> Result<Patient> {
        Ok(self.builder(vault).open().await?)
    }

    /// What an account in `vault` is made or opened with.
    pub(crate) fn builder(&self, vault: Vault) -> PatientBuilder {
        Patient::builder(vault).trust(self.trust.clone())
    }

    /// Opens the vault alone.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_vault(&self, unlock: &Unlock) -> Result<Vault> {
        let dir = self.home.vault_dir();
        let mut waited = Duration::ZERO;
        let mut meter = None;
        loop {
            match Vault::open(&dir, unlock) {
                Err(VaultError::InUse) if waited < self.wait => {
                    meter.get_or_insert_with(|| {
                        Meter::of_work("waiting for another sealcare command", self.output)
                    });
                    tokio::time::sleep(LOOK_EVERY).await;
                    waited += LOOK_EVERY;
                }
                opened => return Ok(opened?),
            }
        }
    }
}

fn trust(options: &Options, addresses: BTreeMap<String, IpAddr>) -> Result<Trust> {
    let root_certificates_pem = match &options.danger_extra_roots {
        Some(path) => read_roots(path).map_err(|_| Error::Option("file of extra roots"))?,
        None if addresses.is_empty() => return Ok(Trust::web()),
        None => Vec::new(),
    };
    Ok(danger::Exceptions { root_certificates_pem, addresses }.into_trust()?)
}

fn read_roots(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    fs::File::open(path)?.take(ROOTS_BYTES_MAX).read_to_end(&mut pem)?;
    Ok(pem)
}

fn address(text: &str) -> Result<(String, IpAddr)> {
    let parts = text.split_once('=').and_then(|(host, ip)| Some((host.to_owned(), ip.parse().ok()?)));
    parts.ok_or(Error::Option("address of a host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_for_a_host() {
        assert_eq!(address("a.example=127.0.0.1").unwrap(), ("a.example".into(), [127, 0, 0, 1].into()));
        for bad in ["a.example", "a.example=", "a.example=localhost"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
