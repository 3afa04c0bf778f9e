//! The vault as the protocol's receiver sees it, within one transaction.

use sealcare_protocol::{
    EpochKey, EpochLookup, GrantId, KeyId, KnownGrant, LinkCodeHash, OpenInvitation, ReceiverState, SenderId,
    SessionId, Timestamp,
};
use sealcare_vault::ReadTransaction;

use crate::epochs::EpochRow;
use crate::error::{ProviderError, Result};
use crate::grant::{Binding, StatementRow};
use crate::invitation::InvitationRow;
use crate::kept;
use crate::organization::seed;
use crate::reply::SenderRow;
use crate::spaces::{BINDINGS, EPOCH_SEEDS, EPOCHS, INVITATIONS, SEEN_SESSIONS, TOMBSTONES};

pub(crate) struct VaultState<'a, 'v> {
    pub(crate) tx: &'a ReadTransaction<'v>,
    pub(crate) now: Timestamp,
}

impl ReceiverState for VaultState<'_, '_> {
    type Error = ProviderError;

    fn is_session_known(&self, session: &SessionId) -> Result<bool> {
        Ok(self.tx.get(SEEN_SESSIONS, session.as_bytes())?.is_some())
    }

    fn epoch(&self, key: &KeyId) -> Result<EpochLookup> {
        let Some(row) = kept::get::<EpochRow>(self.tx, EPOCHS, key.as_bytes())? else {
            return Ok(EpochLookup::Unknown);
        };
        // A rotation may be late; the key's time is over nevertheless.
        if row.is_destroyed || self.now.as_millis() >= row.decrypt_until {
            return Ok(EpochLookup::Destroyed);
        }
        Ok(match self.tx.get(EPOCH_SEEDS, key.as_bytes())? {
            Some(kept) => EpochLookup::Known(EpochKey::from_seed(&*seed(&kept)?)),
            // A restored backup: keys are never in one.
            None => EpochLookup::Destroyed,
        })
    }

    fn is_revoked(&self, grant: &GrantId) -> Result<bool> {
        Ok(self.tx.get(TOMBSTONES, grant.as_bytes())?.is_some())
    }

    fn grant(&self, grant: &GrantId) -> Result<Option<KnownGrant>> {
        let Some(binding) = kept::get::<Binding>(self.tx, BINDINGS, grant.as_bytes())? else {
            return Ok(None);
        };
        // Without a statement (a restored backup) whichever comes stands.
        let revision = match StatementRow::load(self.tx, grant)? {
            Some(row) => row.statement()?.revision,
            None => 0,
        };
        Ok(Some(KnownGrant { grant_key: binding.key()?, revision }))
    }

    fn invitation(&self, code: &LinkCodeHash) -> Result<Option<OpenInvitation>> {
        let row: Option<InvitationRow> = kept::get(self.tx, INVITATIONS, code.as_bytes())?;
        Ok(row.map(|row| OpenInvitation { expires: Timestamp::from_millis(row.expires) }))
    }

    fn next_sequence(&self, grant: &GrantId, sender: &SenderId) -> Result<Option<u64>> {
        Ok(SenderRow::load(self.tx, grant, sender)?.map(|row| row.next_sequence))
    }
}
