//! The recovery sheet: what a person keeps on paper so that a lost phone loses nothing. It holds the account secret as
//! a code, and the relays where the account's grants are. Not here: how the code is made (`sealcare-protocol`), how a
//! sheet is printed (the app), what is done with it (`recovery`).

use std::{collections::BTreeSet, fmt};

use sealcare_protocol::{AccountSecret, RelayOrigin};
use sealcare_vault::{ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    account::Account,
    error::{ClientError, Result},
    grant::{GrantKeys, GrantRow},
    patient::Patient,
    recovery,
    store::{ACCOUNT, load, save},
};

/// Relays of a sheet.
pub const SHEET_RELAYS_MAX: usize = 64;
/// Bytes of a sheet's text.
pub const SHEET_BYTES_MAX: usize = 64 * 1024;
const SHEET: &[u8] = b"sheet";
const CODE_LINE: &str = "code:";
const RELAY_LINE: &str = "relay:";

/// What a person keeps on paper. Whoever has it has the account.
pub struct RecoverySheet {
    pub(crate) secret: AccountSecret,
    relays: Vec<RelayOrigin>,
}

/// Whether the sheet that was made last is enough to find every grant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SheetState {
    /// None was made on this installation.
    NeverMade,
    /// Grants at these relays would not be found with it.
    Lacks(Vec<RelayOrigin>),
    /// It is.
    Complete,
}

/// What the sheet that was made last names.
#[derive(Default, Deserialize, Serialize)]
struct SheetRow {
    relays: Vec<String>,
}

impl RecoverySheet {
    /// From its text: lines that begin with `code:` or `relay:`; other lines are for people.
    ///
    /// # Errors
    /// [`ClientError::SheetCode`] naming the groups that are mistyped, [`ClientError::SheetRelay`] naming which relay
    /// is no address, [`ClientError::SheetTooLong`].
    pub fn from_text(text: &str) -> Result<Self> {
        if text.len() > SHEET_BYTES_MAX {
            return Err(ClientError::SheetTooLong);
        }
        let lines = |kind| text.lines().filter_map(move |line| content(line, kind));
        let code = Zeroizing::new(lines(CODE_LINE).collect::<Vec<_>>().join(" "));
        Self::new(&code, &lines(RELAY_LINE).collect::<Vec<_>>())
    }

    /// From the code and the relays as a person types them: `https://` and the port 443 may be left out.
    ///
    /// # Errors
    /// As for [`Self::from_text`].
    pub fn new(code: &str, relays: &[&str]) -> Result<Self> {
        let secret = AccountSecret::from_code(code)?;
        if relays.len() > SHEET_RELAYS_MAX {
            return Err(ClientError::SheetTooLong);
        }
        let mut known = Vec::new();
        for (index, typed) in relays.iter().enumerate() {
            let relay = origin(typed).ok_or(ClientError::SheetRelay { number: index + 1 })?;
            if !known.contains(&relay) {
                known.push(relay);
            }
        }
        Ok(Self { secret, relays: known })
    }

    /// The code, in three lines of up to five groups.
    pub fn code(&self) -> Zeroizing<String> {
        self.secret.to_code()
    }

    /// Where the account's grants are.
    pub fn relays(&self) -> &[RelayOrigin] {
        &self.relays
    }

    /// The lines that [`Self::from_text`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(256 * (self.relays.len() + 1)));
        let code = self.code();
        let codes = code.lines().map(|line| (CODE_LINE, line));
        let relays = self.relays.iter().map(|relay| (RELAY_LINE, relay.as_str()));
        for (kind, content) in codes.chain(relays) {
            for part in [kind, " ", content, "\n"] {
                text.push_str(part);
            }
        }
        text
    }
}

impl fmt::Debug for RecoverySheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoverySheet")
    }
}

fn content<'t>(line: &'t str, kind: &str) -> Option<&'t str> {
    let (head, content) = line.trim().split_at_checked(kind.len())?;
    head.eq_ignore_ascii_case(kind).then(|| content.trim())
}

fn origin(typed: &str) -> Option<RelayOrigin> {
    let typed = typed.trim().trim_end_matches('/').to_ascii_lowercase();
    let host = typed.strip_prefix("https://").unwrap_or(&typed);
    let port = if host.contains(':') { "" } else { ":443" };
    format!("https://{host}{port}").parse().ok()
}

impl Patient {
    /// The sheet as it must be now. Once the person has it, [`Self::note_sheet`] remembers what it names.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn recovery_sheet(&self) -> Result<RecoverySheet> {
        let read = |tx: &ReadTransaction<'_>| {
            Ok(RecoverySheet { secret: Account::load(tx)?.secret, relays: relays(tx)?.into_iter().collect() })
        };
        self.store.read(read).await
    }

    /// Remembers that the person has `sheet`.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn note_sheet(&self, sheet: &RecoverySheet) -> Result<()> {
        let relays = sheet.relays.clone();
        self.store.write(move |tx| note(tx, &relays)).await
    }

    /// Whether the sheet that was made last is enough.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn sheet_state(&self) -> Result<SheetState> {
        let read = |tx: &ReadTransaction<'_>| {
            let Some(row) = load::<SheetRow>(tx, ACCOUNT, SHEET)? else { return Ok(SheetState::NeverMade) };
            let missing =
                relays(tx)?.into_iter().filter(|relay| !row.relays.iter().any(|r| r == relay.as_str()));
            let missing: Vec<_> = missing.collect();
            Ok(if missing.is_empty() { SheetState::Complete } else { SheetState::Lacks(missing) })
        };
        self.store.read(read).await
    }
}

/// Remembers which relays the person's sheet names.
pub(crate) fn note(tx: &mut WriteTransaction<'_>, relays: &[RelayOrigin]) -> Result<()> {
    let row = SheetRow { relays: relays.iter().map(|relay| relay.as_str().to_owned()).collect() };
    save(tx, ACCOUNT, SHEET, &row)
}

/// What was printed is of another secret.
pub(crate) fn forget(tx: &mut WriteTransaction<'_>) -> Result<()> {
    tx.delete(ACCOUNT, SHEET)?;
    Ok(())
}

/// Where the account has, or looks for, grants.
fn relays(tx: &ReadTransaction<'_>) -> Result<BTreeSet<RelayOrigin>> {
    let own = GrantRow::all(tx)?.into_iter().filter(|(_, row)| row.keys == GrantKeys::Present);
    Ok(own.map(|(_, row)| row.relay).chain(recovery::own_relays(tx)?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn a_sheet_is_read_back_from_its_text() {
        let fixture = Fixture::new().await;
        let sheet = fixture.patient.recovery_sheet().await.unwrap();
        let text = format!("Keep this page safe.\n\n{}\nmade: 2026-01-01\n", sheet.to_text().as_str());
        let again = RecoverySheet::from_text(&text).unwrap();
        assert_eq!((again.code(), again.relays()), (sheet.code(), sheet.relays()));
        assert_eq!(again.relays()[0].as_str(), "https://localhost:1");
        assert!(!format!("{sheet:?}").contains(&sheet.code()[..5]));
    }

    #[tokio::test]
    async fn a_sheet_that_lacks_a_relay_is_told_of() {
        let fixture = Fixture::new().await;
        let patient = &fixture.patient;
        assert_eq!(patient.sheet_state().await.unwrap(), SheetState::NeverMade);
        let sheet = patient.recovery_sheet().await.unwrap();
        patient.note_sheet(&RecoverySheet { relays: Vec::new(), secret: sheet.secret }).await.unwrap();
        let lacks = SheetState::Lacks(vec!["https://localhost:1".parse().unwrap()]);
        assert_eq!(patient.sheet_state().await.unwrap(), lacks);
        patient.note_sheet(&patient.recovery_sheet().await.unwrap()).await.unwrap();
        assert_eq!(patient.sheet_state().await.unwrap(), SheetState::Complete);
    }

    #[test]
    fn relays_are_read_as_people_write_them() {
        let read = |typed: &str| origin(typed).map(|relay| relay.as_str().to_owned());
        for typed in ["https://Relay.example:443/", "relay.example", " relay.example:443 "] {
            assert_eq!(read(typed).as_deref(), Some("https://relay.example:443"), "{typed}");
        }
        for bad in ["", "http://relay.example:80", "relay example", "relay.example:x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_sheet_is_named() {
        let code = AccountSecret::from_bytes(&[7; 32]).to_code().replace('\n', "-");
        let refused = |text: &str| RecoverySheet::from_text(text).unwrap_err().to_string();
        assert_eq!(refused("code: abc"), "the code does not have 14 groups of 5");
        let relays = format!("code: {code}\nrelay: a.example\nrelay: no address\n");
        assert_eq!(refused(&relays), "relay 2 of the recovery sheet is not an address");
        let many: Vec<_> = (0..=SHEET_RELAYS_MAX).map(|n| format!("relay: r{n}.example\n")).collect();
        let many = many.concat();
        assert!(matches!(
            RecoverySheet::from_text(&format!("code: {code}\n{many}")),
            Err(ClientError::SheetTooLong)
        ));
        assert!(matches!(
            RecoverySheet::from_text(&" ".repeat(SHEET_BYTES_MAX + 1)),
            Err(ClientError::SheetTooLong)
        ));
    }
}
