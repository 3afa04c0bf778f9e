//! Grants as the organization holds them: who, what, held or not, until when. Not here: what arrives for them
//! (`inbox`), how they end (`revocation`).

use std::collections::BTreeSet;
use std::time::Duration;

use sealcare_protocol::{
    GrantId, GrantPublicKey, GrantState, Person, Scope, ShortCode, Statement, Timestamp,
};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{ProviderError, Result};
use crate::invitation::{ChartPatient, InvitationChannel};
use crate::kept::{self, Kept};
use crate::organization::{Organization, Profile, Shown};
use crate::spaces::{BINDINGS, STATEMENTS, TOMBSTONES, grant_wrapping_key};

/// Why staff must look at a grant before anything of it is shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HoldReason {
    /// The invitation was on paper: compare the short code with the one on the patient's screen.
    Paper,
    /// Name or birth date are not those of the invited person.
    PersonMismatch,
}

impl HoldReason {
    /// The reason of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Paper, Self::PersonMismatch].into_iter().find(|reason| reason.name() == name)
    }

    /// The reason's name for operators and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::PersonMismatch => "person-mismatch",
        }
    }
}

/// Where a grant stands at an instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GrantStatus {
    /// Data flows and may be shown.
    Active,
    /// The patient has paused it; what is there may be shown.
    Paused,
    /// Staff must look first; nothing is shown.
    Held,
    /// Nothing was heard for its lease; nothing is shown until the next session.
    Lapsed,
}

impl GrantStatus {
    /// The status's name for operators and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Lapsed => "lapsed",
        }
    }

    /// Whether what was received may be shown to anybody.
    pub const fn is_shown(self) -> bool {
        matches!(self, Self::Active | Self::Paused)
    }
}

/// A grant at an instant.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Whose it is in the chart.
    pub patient: ChartPatient,
    /// Who shares, as the patient says.
    pub person: Person,
    /// Where it stands.
    pub status: GrantStatus,
    /// Why it is held; empty unless it is.
    pub held: BTreeSet<HoldReason>,
    /// What is shared.
    pub scope: Scope,
    /// To compare with the patient's screen.
    pub short_code: ShortCode,
    /// Until when it is shown without another session.
    pub lease_until: Timestamp,
    /// When its first session was accepted.
    pub since: Timestamp,
    /// When something was last accepted.
    pub heard: Timestamp,
}

/// What outlives a restored backup: who signs, and for whom.
#[derive(Deserialize, Serialize)]
pub(crate) struct Binding {
    #[serde(with = "kept::hex")]
    pub(crate) grant_key: [u8; 32],
    pub(crate) patient: ChartPatient,
    pub(crate) channel: InvitationChannel,
    /// Whom staff or the invitation expect.
    pub(crate) name: String,
    pub(crate) birth_date: String,
    /// Nothing from paper, or staff compared the short code: a restored grant need not be compared again.
    #[serde(default = "was_compared")]
    pub(crate) is_compared: bool,
}

/// For rows from before this was kept.
const fn was_compared() -> bool {
    true
}

impl Kept for Binding {
    const NAME: &'static str = "binding";
}

impl Binding {
    pub(crate) fn key(&self) -> Result<GrantPublicKey> {
        Ok(GrantPublicKey::from_slice(&self.grant_key)?)
    }

    pub(crate) fn expects(&self, person: &Person) -> Result<bool> {
        Ok(Person::new(&self.name, &self.birth_date)?.matches(person))
    }
}

/// What is destroyed with the grant.
#[derive(Deserialize, Serialize)]
pub(crate) struct StatementRow {
    #[serde(with = "kept::hex")]
    statement: Zeroizing<Vec<u8>>,
    pub(crate) held: BTreeSet<HoldReason>,
    pub(crate) lease_until: u64,
    pub(crate) since: u64,
    pub(crate) heard: u64,
    /// Bytes of records that are kept back while it is held; none once that were too many and all were dropped.
    #[serde(default = "nothing_kept_back")]
    pub(crate) kept_back_bytes: Option<u64>,
    /// When a session was last accepted; 0 in rows from before this was kept.
    #[serde(default)]
    renewed: u64,
    /// What the application was told of its silence.
    #[serde(default)]
    pub(crate) notice: Notice,
    /// When everything was last asked for again because data was lost; 0 for never.
    #[serde(default)]
    pub(crate) resync_at: u64,
}

/// What the application was told of a grant's silence, in order.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Notice {
    #[default]
    None,
    Stale,
    Lapsed,
}

/// For rows from before this was counted.
#[allow(clippy::unnecessary_wraps, reason = "the field's type")]
const fn nothing_kept_back() -> Option<u64> {
    Some(0)
}

impl Kept for StatementRow {
    const NAME: &'static str = "statement";
}

/// A shorter lease counts for so long from its acceptance: each return after a lapse lists everything of the grant
/// again, which an app could otherwise ask for without end.
const LEASE_MIN: Duration = Duration::from_hours(7 * 24);

fn at_least(lease: Timestamp, now: Timestamp) -> u64 {
    lease.as_millis().max(now.plus(LEASE_MIN).as_millis())
}

impl StatementRow {
    pub(crate) fn new(
        statement: &Statement,
        held: BTreeSet<HoldReason>,
        lease: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            statement: statement.encode(),
            held,
            lease_until: at_least(lease, now),
            since: now.as_millis(),
            heard: now.as_millis(),
            kept_back_bytes: nothing_kept_back(),
            renewed: now.as_millis(),
            notice: Notice::None,
            resync_at: 0,
        }
    }

    /// A session was accepted.
    pub(crate) fn renew(&mut self, lease: Timestamp, now: Timestamp) {
        self.lease_until = self.lease_until.max(at_least(lease, now));
        self.heard = now.as_millis();
        self.renewed = now.as_millis();
        self.notice = Notice::None;
    }

    /// When a session was last accepted.
    pub(crate) const fn renewed(&self) -> u64 {
        if self.renewed == 0 { self.heard } else { self.renewed }
    }

    pub(crate) const fn is_lapsed(&self, now: Timestamp) -> bool {
        now.as_millis() >= self.lease_until
    }

    /// What was kept back was released.
    pub(crate) fn nothing_kept_back(&mut self) {
        self.kept_back_bytes = nothing_kept_back();
    }

    /// So much of what is kept back was taken out.
    pub(crate) fn kept_back_fewer(&mut self, bytes: u64) {
        self.kept_back_bytes = self.kept_back_bytes.map(|kept| kept.saturating_sub(bytes));
    }

    pub(crate) fn statement(&self) -> Result<Statement> {
        Ok(Statement::decode(&self.statement)?)
    }

    pub(crate) fn adopt(&mut self, statement: &Statement) {
        self.statement = statement.encode();
    }

    pub(crate) fn load(tx: &ReadTransaction<'_>, grant: &GrantId) -> Result<Option<Self>> {
        kept::get(tx, STATEMENTS, grant.as_bytes())
    }

    pub(crate) fn store(&self, tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
        kept::put_wrapped(tx, &grant_wrapping_key(grant), STATEMENTS, grant.as_bytes(), self)
    }

    fn status(&self, statement: &Statement, now: Timestamp) -> GrantStatus {
        if !self.held.is_empty() {
            GrantStatus::Held
        } else if self.is_lapsed(now) {
            GrantStatus::Lapsed
        } else if statement.state == GrantState::Paused {
            GrantStatus::Paused
        } else {
            GrantStatus::Active
        }
    }
}

impl Organization {
    /// All grants that are not revoked, at most 10,000 after `after`, in the order of their ids.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn grants(&self, after: Option<&GrantId>, now: Timestamp) -> Result<Vec<Grant>> {
        // In a writing transaction, for a destruction between two reads could close what is being read.
        self.vault.write(|tx| {
            let range = after.map_or(KeyRange::all(), |grant| KeyRange::all().after(grant.as_bytes()));
            let rows = tx.scan(STATEMENTS, &range, usize::MAX)?;
            let grants = rows
                .iter()
                .map(|(key, row)| grant_of(tx, &GrantId::from_slice(key)?, &StatementRow::decode(row)?, now));
            grants.collect()
        })
    }

    /// How many grants a restored vault knows of and has nothing of, until their patients' next sessions.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn awaited(&self) -> Result<u64> {
        self.vault.read(|tx| {
            let count = |space| tx.count(space, &KeyRange::all());
            // Every statement has a binding.
            Ok(count(BINDINGS)?.saturating_sub(count(STATEMENTS)?))
        })
    }

    /// One grant.
    ///
    /// # Errors
    /// [`ProviderError::UnknownGrant`], and those of the vault.
    pub fn grant(&self, grant: &GrantId, now: Timestamp) -> Result<Grant> {
        self.vault.write(|tx| self.grant_in(tx, grant, now))
    }

    /// One grant, inside the application's transaction.
    ///
    /// # Errors
    /// [`ProviderError::UnknownGrant`], and those of the vault.
    pub fn grant_in(&self, tx: &ReadTransaction<'_>, grant: &GrantId, now: Timestamp) -> Result<Grant> {
        if tx.get(TOMBSTONES, grant.as_bytes())?.is_some() {
            return Err(ProviderError::UnknownGrant);
        }
        let row = StatementRow::load(tx, grant)?.ok_or(ProviderError::UnknownGrant)?;
        grant_of(tx, grant, &row, now)
    }

    /// Whether anything may be shown at all: not before the relay told what was revoked, once after every opening,
    /// for the vault may be a backup from before. The [`crate::Subscriber`] asks first of all.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn may_show(&self) -> Result<bool> {
        Ok(!self.is_restored()? && *self.shown.borrow() == Shown::Now)
    }

    /// Returns when [`Self::may_show`] says yes.
    pub async fn may_show_soon(&self) {
        // The sender lives as long as `self`.
        let _ = self.shown.subscribe().wait_for(|shown| *shown == Shown::Now).await;
    }

    /// Whether the vault is known to be restored from a backup, or to have lost keys, and the relay has yet to tell
    /// what was revoked since. For programs that show what is there without a relay: a backup of the whole folder
    /// cannot be told from the original without one.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn is_restored(&self) -> Result<bool> {
        self.vault.read(|tx| Ok(Profile::load(tx)?.needs_tombstones))
    }
}

fn grant_of(tx: &ReadTransaction<'_>, id: &GrantId, row: &StatementRow, now: Timestamp) -> Result<Grant> {
    let binding: Binding = kept::get(tx, BINDINGS, id.as_bytes())?.ok_or(ProviderError::UnknownGrant)?;
    let statement = row.statement()?;
    Ok(Grant {
        id: *id,
        patient: binding.patient,
        status: row.status(&statement, now),
        held: row.held.clone(),
        short_code: ShortCode::derive(id, &statement.grant_key),
        person: statement.person,
        scope: statement.scope,
        lease_until: Timestamp::from_millis(row.lease_until),
        since: Timestamp::from_millis(row.since),
        heard: Timestamp::from_millis(row.heard),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::NOW;

    #[test]
    fn a_short_lease_lapses_after_a_week_and_a_longer_one_is_kept() {
        let row = br#"{"statement":"","held":[],"lease_until":0,"since":0,"heard":0}"#;
        let mut row = StatementRow::decode(row).unwrap();
        let second = Duration::from_secs(1);
        row.renew(NOW.plus(second), NOW);
        assert!(!row.is_lapsed(NOW.plus(LEASE_MIN).minus(second)) && row.is_lapsed(NOW.plus(LEASE_MIN)));
        row.renew(NOW.plus(LEASE_MIN * 2), NOW);
        assert!(
            !row.is_lapsed(NOW.plus(LEASE_MIN * 2).minus(second)) && row.is_lapsed(NOW.plus(LEASE_MIN * 2))
        );
    }
}
