//! A device was stolen while another one of the account is at hand: that one stops everything, and goes on under
//! another secret. Not here: the same from the sheet alone (`recovery`), the stops' way to the relay (`search`,
//! `revocation`).

use std::collections::BTreeSet;

use sealcare_protocol::{AccountSecret, GrantId, ShortCode};
use sealcare_vault::{Vault, WriteTransaction};

use super::state::{Decision, RelaySearch, SecretAge, State};
use crate::{
    account::Account,
    error::{ClientError, Result},
    grant::{GrantKeys, GrantRow, Phase},
    patient::Patient,
    revocation,
    sheet::{self, RecoverySheet},
    store::ACCEPTING,
};

/// Whose sheet it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SheetMatch {
    /// This account's.
    Present,
    /// This account's before a device was stolen; its grants are being stopped.
    Former,
    /// Another account's.
    Other,
}

impl Patient {
    /// Whose `sheet` it is.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn match_sheet(&self, sheet: &RecoverySheet) -> Result<SheetMatch> {
        let secret = AccountSecret::from_bytes(sheet.secret.as_bytes());
        self.store.read(move |tx| Ok(Account::load(tx)?.match_secret(&secret))).await
    }

    /// Stops every grant for ever and takes another secret, since somebody may have this one with a stolen device.
    /// Durable here when it returns; [`Patient::search`] and [`Patient::share`] tell the relays, and find and stop what
    /// the stolen device has accepted alone.
    ///
    /// # Errors
    /// [`ClientError::TheftPending`], and those of the vault; then nothing has changed.
    pub async fn shut_out_stolen(&self) -> Result<()> {
        let work = |vault: &Vault| {
            let stopped = vault.write(shut_out)?;
            stopped
                .iter()
                .try_for_each(|grant| Ok::<_, ClientError>(vault.destroy_wrapping_key(grant.as_bytes())?))
        };
        self.store.run(work).await?;
        self.interrupt();
        Ok(())
    }
}

/// Which wrapping keys are to be destroyed.
fn shut_out(tx: &mut WriteTransaction<'_>) -> Result<Vec<GrantId>> {
    if Account::has_former(tx)? {
        return Err(ClientError::TheftPending);
    }
    let secret = Account::load(tx)?.secret;
    let mut state = State::load(tx)?;
    let mut relays: BTreeSet<_> = state.searches.drain(..).map(|search| search.relay).collect();
    let mut stopped = Vec::new();
    for (id, row) in GrantRow::all(tx)? {
        if row.keys != GrantKeys::Present {
            continue;
        }
        if row.phase == Phase::Active {
            revocation::stop(tx, &id, Phase::Revoking)?;
            stopped.push(id);
        }
        let mut row = GrantRow::load(tx, &id)?;
        row.keys = GrantKeys::Former {
            short_code: ShortCode::derive(&id, &row.identity(&secret).grant_key.public()),
        };
        row.recovery = None;
        row.save(tx, &id)?;
        relays.insert(row.relay);
    }
    let search = |relay| RelaySearch::of_sheet(relay, SecretAge::Former, Decision::Stop);
    state.searches = relays.into_iter().map(search).collect();
    state.save(tx)?;
    // Their keys come from the former secret.
    tx.delete_prefix(ACCEPTING, &[])?;
    sheet::forget(tx)?;
    Account::renew(tx)?;
    Ok(stopped)
}
