//! Typed reads of rows, the same inside a transaction and outside.

use std::ops::ControlFlow;

use bytes::Bytes;
use prost::Message;
use sealcare_protocol::{DepositPublicKey, GrantId, OrganizationId, SessionId};

use super::{
    engine::{EngineError, OrderedKeys, Space},
    layout,
    rows::{self, GrantRow, HeadRow, OrganizationRow, SessionRow},
    transaction::Transaction,
    value::check,
};
use crate::store::{OrganizationState, Result, StoreError};

/// Whatever rows can be read from.
pub(super) trait Rows {
    /// The checked value under `key`.
    fn value(&mut self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The row under `key`.
    fn row<T: Message + Default>(&mut self, key: &[u8]) -> Result<Option<T>> {
        self.value(key)?.map(|value| rows::decode(layout::kind_of(key), value)).transpose()
    }

    /// The grant of a deposit key.
    fn grant_of(&mut self, key: &DepositPublicKey) -> Result<(GrantId, GrantRow)> {
        let id = self.value(&layout::deposit_key(key))?.ok_or(StoreError::NotFound)?;
        let id = GrantId::from_slice(&id).map_err(|_| StoreError::Corrupt("deposit key"))?;
        // The two rows are written in one batch: one without the other is damage.
        let row = self.row(&layout::grant(&id))?.ok_or(StoreError::Corrupt("grant"))?;
        Ok((id, row))
    }

    fn grant(&mut self, grant: &GrantId) -> Result<GrantRow> {
        self.row(&layout::grant(grant))?.ok_or(StoreError::NotFound)
    }

    fn session(&mut self, grant: &GrantId, session: &SessionId) -> Result<Option<SessionRow>> {
        self.row(&layout::session(grant, session))
    }

    fn organization(&mut self, organization: &OrganizationId) -> Result<OrganizationRow> {
        self.row(&layout::organization(organization))?.ok_or(StoreError::NotFound)
    }

    fn is_approved(&mut self, organization: &OrganizationId) -> Result<bool> {
        Ok(self.organization(organization)?.state()? == OrganizationState::Approved)
    }

    /// The lane's next sequence; they begin at 1.
    fn lane_head(&mut self, organization: &OrganizationId, lane: u8) -> Result<u64> {
        let row: Option<HeadRow> = self.row(&layout::lane_head(organization, lane))?;
        Ok(row.map_or(1, |row| row.next))
    }
}

impl Rows for Transaction<'_> {
    fn value(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.get(Space::Rows, key)
    }
}

/// Reads of what is committed.
pub(super) struct Committed<'a>(pub(super) &'a dyn OrderedKeys);

impl Committed<'_> {
    /// Up to `limit` rows in `from..to`, in order.
    pub(super) fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>> {
        let mut transaction = Transaction::new(self.0);
        transaction.scan(space, from, to, limit)
    }
}

impl Committed<'_> {
    /// The same, with damage told for each row instead of for all.
    pub(super) fn scan_each(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Result<Bytes>)>> {
        let mut found = Vec::new();
        let read = self.0.scan(space, from, to, &mut |key, stored| {
            let value = check(&key, &stored);
            found.push((key, value));
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        read.map_err(|error| match error {
            EngineError::Damaged => StoreError::Corrupt(layout::kind_of(from)),
            EngineError::Failed => StoreError::Unavailable,
        })?;
        Ok(found)
    }
}

impl Rows for Committed<'_> {
    fn value(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        let stored = self.0.get(Space::Rows, key).map_err(|error| match error {
            EngineError::Damaged => StoreError::Corrupt(layout::kind_of(key)),
            EngineError::Failed => StoreError::Unavailable,
        })?;
        stored.map(|stored| check(key, &stored)).transpose()
    }
}
