//! A device was stolen while another one of the account is at hand: that one stops everything, and goes on under
//! another secret. Not here: the same from the sheet alone (`recovery`), the stops' way to the relay (`search`,
//! `revocation`).

use std::collections::BTreeSet;

use sealcare_protocol::{AccountSecret, GrantId, RelayOrigin, ShortCode};
use sealcare_vault::{Vault, WriteTransaction};

use super::{
    Recovery,
    state::{Decision, RelaySearch, SecretAge, State},
};
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

    /// Stops every grant for ever, at the relays of the account's `sheet` too, and takes another secret, since somebody
    /// may have this one with a stolen device.
    /// Durable here when it returns; [`Patient::search`] and [`Patient::share`] tell the relays, and find and stop what
    /// the stolen device has accepted alone.
    ///
    /// # Errors
    /// [`ClientError::TheftPending`], [`ClientError::AccountExists`] for the sheet of another account, and those of the
    /// vault; then nothing has changed.
    pub async fn shut_out_stolen(&self, sheet: &RecoverySheet) -> Result<()> {
        let stops = self.stops.clone();
        let (secret, relays) = (AccountSecret::from_bytes(sheet.secret.as_bytes()), sheet.relays().to_vec());
        let work = move |vault: &Vault| {
            let stopped = vault.write(|tx| shut_out(tx, &secret, &relays))?;
            stops.send_modify(|count| *count = count.wrapping_add(1));
            stopped
                .iter()
                .try_for_each(|grant| Ok::<_, ClientError>(vault.destroy_wrapping_key(grant.as_bytes())?))
        };
        self.store.run(work).await
    }

    /// With the account here and its sheet: looks at the sheet's relays too that were never searched, or shuts a stolen
    /// device out. Durable here when it returns; [`Patient::search`] does it.
    ///
    /// # Errors
    /// [`ClientError::AccountExists`] for the sheet of another account, [`ClientError::TheftPending`], and those of the
    /// vault; then nothing has changed.
    pub async fn go_on_from(&self, sheet: &RecoverySheet, how: Recovery) -> Result<()> {
        let (age, decision) = match (self.match_sheet(sheet).await?, how) {
            (SheetMatch::Other, _) => return Err(ClientError::AccountExists),
            (SheetMatch::Present, Recovery::Stolen) => return self.shut_out_stolen(sheet).await,
            (SheetMatch::Present, Recovery::Keep | Recovery::Ask) => how.search(),
            (SheetMatch::Former, _) => Recovery::Stolen.search(),
        };
        let relays = sheet.relays().to_vec();
        self.store.write(move |tx| add_searches(tx, relays, age, decision)).await
    }
}

/// Begins a search at each relay that has none.
fn add_searches(
    tx: &mut WriteTransaction<'_>,
    relays: Vec<RelayOrigin>,
    age: SecretAge,
    decision: Decision,
) -> Result<()> {
    let mut state = State::load(tx)?;
    for relay in relays {
        if state.find(&relay, age).is_none() {
            state.searches.push(RelaySearch::of_sheet(relay, age, decision));
        }
    }
    state.save(tx)
}

/// Which wrapping keys are to be destroyed.
fn shut_out(
    tx: &mut WriteTransaction<'_>,
    stolen: &AccountSecret,
    relays: &[RelayOrigin],
) -> Result<Vec<GrantId>> {
    if Account::has_former(tx)? {
        return Err(ClientError::TheftPending);
    }
    let account = Account::load(tx)?;
    if account.match_secret(stolen) != SheetMatch::Present {
        return Err(ClientError::AccountExists);
    }
    let secret = account.secret;
    let mut state = State::load(tx)?;
    let mut relays: BTreeSet<_> = relays.iter().cloned().collect();
    relays.extend(state.searches.drain(..).map(|search| search.relay));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{Fixture, NOW},
        recovery::{
            forget_former,
            state::{Answer, FormerLook},
        },
    };

    async fn searches(fixture: &Fixture) -> Vec<RelaySearch> {
        fixture.patient.store.read(|tx| Ok(State::load(tx)?.searches)).await.unwrap()
    }

    async fn sheet_with_another_relay(fixture: &Fixture) -> RecoverySheet {
        let text = fixture.patient.recovery_sheet().await.unwrap().to_text();
        RecoverySheet::from_text(&format!("{}relay: https://localhost:2\n", text.as_str())).unwrap()
    }

    #[tokio::test]
    async fn relays_that_only_the_sheet_names_are_searched() {
        for how in [Recovery::Keep, Recovery::Stolen] {
            let fixture = Fixture::new().await;
            let sheet = sheet_with_another_relay(&fixture).await;
            fixture.patient.go_on_from(&sheet, how).await.unwrap();
            let searches = searches(&fixture).await;
            let (age, _) = how.search();
            let is_its =
                |s: &&RelaySearch| s.relay.as_str() == "https://localhost:2" && s.age == age && !s.is_done();
            assert_eq!(searches.iter().filter(is_its).count(), 1, "{how:?}");
        }
    }

    #[tokio::test]
    async fn a_former_secret_is_given_up_only_after_a_last_look() {
        let fixture = Fixture::new().await;
        let (store, grant) = (fixture.patient.store.clone(), fixture.grant);
        let sheet = fixture.patient.recovery_sheet().await.unwrap();
        fixture.patient.shut_out_stolen(&sheet).await.unwrap();
        let end = |tx: &mut WriteTransaction<'_>| {
            let mut state = State::load(tx)?;
            (0..20).for_each(|_| state.searches[0].advance(Answer::Unknown, NOW));
            state.save(tx)?;
            forget_former(tx)
        };
        store.write(end).await.unwrap();
        let confirm = move |tx: &mut WriteTransaction<'_>| {
            let mut row = GrantRow::load(tx, &grant)?;
            row.phase = Phase::Revoked(1);
            row.save(tx, &grant)?;
            forget_former(tx)
        };
        store.write(confirm).await.unwrap();
        let look = &searches(&fixture).await[0];
        assert!(look.look == FormerLook::Last && look.next == 0 && !look.is_ended());
        assert!(store.read(Account::has_former).await.unwrap());
        store.write(end).await.unwrap();
        assert!(!store.read(Account::has_former).await.unwrap());
    }
}
