//! What one operation reads and changes: the engine's rows under the changes of the batch so far.

use std::{collections::BTreeMap, ops::ControlFlow};

use bytes::Bytes;

use super::{
    engine::{Change, EngineError, OrderedKeys, Space},
    layout::kind_of,
    value::{check, checked},
};
use crate::store::{Result, StoreError};

type Place = (Space, Bytes);
/// What the batch held for a place before a change.
enum Before {
    Nothing,
    Change(Option<Bytes>),
}

type AfterCommit = Box<dyn FnOnce() + Send>;

/// The changes of one batch, with reads that see them. Operations run one after another; one that fails
/// leaves nothing behind.
pub(super) struct Transaction<'a> {
    engine: &'a dyn OrderedKeys,
    changes: BTreeMap<Place, Option<Bytes>>,
    undo: Vec<(Place, Before)>,
    after_commit: Vec<AfterCommit>,
    engine_error: Option<EngineError>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(engine: &'a dyn OrderedKeys) -> Self {
        Self {
            engine,
            changes: BTreeMap::new(),
            undo: Vec::new(),
            after_commit: Vec::new(),
            engine_error: None,
        }
    }

    /// Runs `work`; its changes stay only if it succeeds.
    pub(super) fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.undo.clear();
        let effects = self.after_commit.len();
        let result = work(self);
        if result.is_err() {
            self.after_commit.truncate(effects);
            for (place, before) in self.undo.drain(..).rev() {
                match before {
                    Before::Change(value) => self.changes.insert(place, value),
                    Before::Nothing => self.changes.remove(&place),
                };
            }
        }
        result
    }

    pub(super) fn get(&mut self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        if let Some(value) = self.changes.get(&(space, Bytes::copy_from_slice(key))) {
            return Ok(value.clone());
        }
        let read = self.engine.get(space, key);
        let stored = read.map_err(|e| self.failed(e, key))?;
        stored.map(|stored| check(key, &stored)).transpose()
    }

    /// Up to `limit` rows in `from..to`, in order.
    pub(super) fn scan(
        &mut self,
        space: Space,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>> {
        let place = |key: &[u8]| (space, Bytes::copy_from_slice(key));
        let overlaid = self.changes.range(place(from)..place(to));
        let mut rows: BTreeMap<Bytes, Result<Bytes>> = BTreeMap::new();
        let changes = &self.changes;
        let read = self.engine.scan(space, from, to, &mut |key, stored| {
            if !changes.contains_key(&(space, key.clone())) {
                let value = check(&key, &stored);
                rows.insert(key, value);
            }
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        for ((_, key), value) in overlaid {
            if let Some(value) = value {
                rows.insert(key.clone(), Ok(value.clone()));
            }
        }
        read.map_err(|e| self.failed(e, from))?;
        rows.into_iter().take(limit).map(|(key, value)| Ok((key, value?))).collect()
    }

    pub(super) fn put(&mut self, space: Space, key: Vec<u8>, value: impl Into<Bytes>) {
        self.change(space, key, Some(value.into()));
    }

    pub(super) fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.change(space, key, None);
    }

    /// Runs `effect` after the batch is durable and before any of its operations is answered.
    pub(super) fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(effect));
    }

    /// The changes to commit, what to do then, and a failure of the engine that ends everything.
    pub(super) fn finish(self) -> (Vec<Change>, Vec<AfterCommit>, Option<EngineError>) {
        let changes = self.changes.into_iter().map(|((space, key), value)| {
            let value = value.map(|value| checked(&key, &value));
            Change { space, key, value }
        });
        (changes.collect(), self.after_commit, self.engine_error)
    }

    fn change(&mut self, space: Space, key: Vec<u8>, value: Option<Bytes>) {
        let place = (space, Bytes::from(key));
        let before = self.changes.insert(place.clone(), value);
        self.undo.push((place, before.map_or(Before::Nothing, Before::Change)));
    }

    fn failed(&mut self, error: EngineError, key: &[u8]) -> StoreError {
        match error {
            EngineError::Damaged => StoreError::Corrupt(kind_of(key)),
            EngineError::Failed => {
                self.engine_error = Some(error);
                StoreError::Unavailable
            }
        }
    }
}
