//! What readers see: the database as of its last durable commit. While one is being made durable, the values
//! that it replaced are kept here and shown in place of the new ones. So are those that commits replace while
//! somebody reads everything as of one commit.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard},
};

use bytes::Bytes;

use super::generation::{Generation, Write};
use crate::store::ordered::{
    engine::{EngineError, Visit},
    layout,
};

/// Rows of a page that is copied while commits wait.
const PAGE_ROWS: usize = 1_000;
/// Bytes of such a page, about.
const PAGE_BYTES: usize = 4 << 20;
/// Bytes of old values that are kept for one who reads as of one commit.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Keys and what was under them.
type Values = BTreeMap<Bytes, Option<Bytes>>;

pub(super) struct Shown {
    view: RwLock<View>,
    /// Held while somebody reads as of one commit.
    reading: Mutex<()>,
}

struct View {
    generation: Arc<Generation>,
    /// What the commit under way changes, as it was before.
    before: Values,
    kept: Option<Kept>,
}

/// What has changed in `from..to` since a reading as of one commit began, as it was then.
struct Kept {
    from: Bytes,
    to: Bytes,
    values: Values,
    bytes: usize,
}

impl Kept {
    fn keep(&mut self, changed: &Values) {
        if self.bytes > KEPT_BYTES_MAX {
            return;
        }
        for (key, old) in changed.range(self.from.clone()..self.to.clone()) {
            if !self.values.contains_key(key) {
                self.bytes += bytes_of(key, old.as_ref());
                self.values.insert(key.clone(), old.clone());
            }
        }
        if self.bytes > KEPT_BYTES_MAX {
            self.values.clear();
        }
    }

    /// Everything before `from` was read.
    fn go_on(&mut self, from: Bytes) {
        let left = self.values.split_off(&from);
        let read = std::mem::replace(&mut self.values, left);
        let bytes: usize = read.iter().map(|(key, old)| bytes_of(key, old.as_ref())).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.from = from;
    }
}

fn bytes_of(key: &Bytes, value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len)
}

/// Forgets what is kept once the reading ends, however it does.
struct Forget<'a>(&'a Shown);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.write().kept = None;
    }
}

/// A page, and whether it is the last.
type Page = (Vec<(Bytes, Bytes)>, ControlFlow<()>);

impl Shown {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        let view = View { generation, before: Values::new(), kept: None };
        Self { view: RwLock::new(view), reading: Mutex::default() }
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        match view.before.get(key) {
            Some(before) => Ok(before.clone()),
            None => view.generation.get(key),
        }
    }

    /// Visits the keys in `from..to` in order. A commit waits meanwhile.
    pub(super) fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        merged(&view.generation, &view.before, from, to, visit)
    }

    /// Visits the keys in `from..to` in order, all as of one commit. Others go on: a commit waits for the copying
    /// of one page, and what it changes is kept as it was. One at a time.
    ///
    /// # Errors
    /// `Failed` also if more was changed meanwhile than is kept.
    pub(super) fn scan_at_once(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        let _one = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let _forget = Forget(self);
        let [from, to] = [from, to].map(Bytes::copy_from_slice);
        if from >= to {
            return Ok(());
        }
        {
            let mut view = self.write();
            let mut kept = Kept { from, to, values: Values::new(), bytes: 0 };
            kept.keep(&view.before);
            view.kept = Some(kept);
        }
        loop {
            let (rows, goes_on) = self.page()?;
            let last = rows.last().map(|(key, _)| Bytes::from(layout::after(key)));
            for (key, value) in rows {
                if visit(key, value).is_break() {
                    return Ok(());
                }
            }
            let (Some(last), ControlFlow::Continue(())) = (last, goes_on) else { return Ok(()) };
            if let Some(kept) = &mut self.write().kept {
                kept.go_on(last);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn keeps_nothing(&self) -> bool {
        self.write().kept.is_none()
    }

    fn page(&self) -> Result<Page, EngineError> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let kept = view.kept.as_ref().filter(|kept| kept.bytes <= KEPT_BYTES_MAX);
        let kept = kept.ok_or(EngineError::Failed)?;
        let (mut rows, mut bytes, mut goes_on) = (Vec::new(), 0, ControlFlow::Break(()));
        merged(&view.generation, &kept.values, &kept.from, &kept.to, &mut |key, value| {
            bytes += key.len() + value.len();
            rows.push((key, value));
            if rows.len() >= PAGE_ROWS || bytes >= PAGE_BYTES {
                goes_on = ControlFlow::Continue(());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok((rows, goes_on))
    }

    /// Makes `writes` in the database and goes on showing what was there before.
    pub(super) fn hold_back(&self, writes: &[Write]) -> Result<(), EngineError> {
        let generation = self.view.read().unwrap_or_else(PoisonError::into_inner).generation.clone();
        let before = writes.iter().map(|(key, _)| Ok((key.clone(), generation.get(key)?)));
        let before = before.collect::<Result<_, EngineError>>()?;
        let mut guard = self.write();
        let view = &mut *guard;
        view.before = before;
        if let Some(kept) = &mut view.kept {
            kept.keep(&view.before);
        }
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

/// Visits the keys in `from..to` in order, those in `old` as they are there.
fn merged(
    generation: &Generation,
    old: &Values,
    from: &[u8],
    to: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), EngineError> {
    if from >= to {
        return Ok(());
    }
    let bounds = Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to);
    let mut old = old.range(bounds).peekable();
    for row in generation.range(from, to) {
        let (key, value) = row?;
        while let Some((gone, was)) = old.next_if(|(changed, _)| **changed < key) {
            if let Some(ControlFlow::Break(())) = was.clone().map(|was| visit(gone.clone(), was)) {
                return Ok(());
            }
        }
        let shown = match old.next_if(|(changed, _)| **changed == key) {
            Some((_, was)) => was.clone(),
            None => Some(value),
        };
        if let Some(ControlFlow::Break(())) = shown.map(|value| visit(key, value)) {
            return Ok(());
        }
    }
    for (gone, was) in old {
        if let Some(ControlFlow::Break(())) = was.clone().map(|was| visit(gone.clone(), was)) {
            return Ok(());
        }
    }
    Ok(())
}
