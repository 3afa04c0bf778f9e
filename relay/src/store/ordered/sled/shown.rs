//! What readers see: the database as of its last durable commit. While one is being made durable, the values
//! that it replaced are kept here and shown in place of the new ones.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use bytes::Bytes;

use super::generation::{Generation, Write};
use crate::store::ordered::engine::{EngineError, Visit};

pub(super) struct Shown(RwLock<View>);

struct View {
    generation: Arc<Generation>,
    /// What the commit under way changes, as it was before.
    before: BTreeMap<Bytes, Option<Bytes>>,
}

impl Shown {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        Self(RwLock::new(View { generation, before: BTreeMap::new() }))
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let view = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match view.before.get(key) {
            Some(before) => Ok(before.clone()),
            None => view.generation.get(key),
        }
    }

    /// Visits the keys in `from..to` in order. A commit waits meanwhile.
    pub(super) fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let view = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if from >= to {
            return Ok(());
        }
        let bounds = Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to);
        let mut before = view.before.range(bounds).peekable();
        for row in view.generation.range(from, to) {
            let (key, value) = row?;
            while let Some((gone, old)) = before.next_if(|(changed, _)| **changed < key) {
                if let Some(ControlFlow::Break(())) = old.clone().map(|old| visit(gone.clone(), old)) {
                    return Ok(());
                }
            }
            let shown = match before.next_if(|(changed, _)| **changed == key) {
                Some((_, old)) => old.clone(),
                None => Some(value),
            };
            if let Some(ControlFlow::Break(())) = shown.map(|value| visit(key, value)) {
                return Ok(());
            }
        }
        for (gone, old) in before {
            if let Some(ControlFlow::Break(())) = old.clone().map(|old| visit(gone.clone(), old)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes `writes` in the database and goes on showing what was there before.
    pub(super) fn hold_back(&self, writes: &[Write]) -> Result<(), EngineError> {
        let generation = self.0.read().unwrap_or_else(PoisonError::into_inner).generation.clone();
        let before = writes.iter().map(|(key, _)| Ok((key.clone(), generation.get(key)?)));
        let before = before.collect::<Result<_, EngineError>>()?;
        let mut view = self.write();
        view.before = before;
        view.generation.apply(writes)
    }

    /// Shows what was held back.
    pub(super) fn show(&self) {
        self.write().before.clear();
    }

    /// Shows `generation` in place of the one before, of which no reader holds anything then.
    pub(super) fn replace(&self, generation: Arc<Generation>) {
        self.write().generation = generation;
    }
}
