//! Giving bytes back: the live rows are copied into a new database, which then takes the old one's place, and
//! the old one's files are removed. Commits go on meanwhile, into both.

use std::{mem, sync::Arc};

use bytes::Bytes;

use super::{SledKeys, generation::Generation};
use crate::store::ordered::{engine::EngineError, layout};

/// Bytes copied while commits wait.
const COPY_BYTES: usize = 1 << 20;
/// Rows copied while commits wait.
const COPY_ROWS: usize = 1_024;
/// Bytes after which the copy is synced, so that the last sync, for which commits wait, is short.
const SYNC_BYTES: usize = 64 << 20;
/// First key after both spaces.
const END: &[u8] = b"s";

impl SledKeys {
    /// One at a time. A crash before the end leaves the old database, after it the new.
    pub(super) fn rewrite(&self) -> Result<(), EngineError> {
        let _one = self.rewriting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let number = {
            let writer = self.writer();
            self.check()?;
            writer.number.checked_add(1).ok_or(EngineError::Failed)?
        };
        self.folder.remove(number)?;
        let next = Arc::new(Generation::open(&self.folder.generation(number), self.syncer.clone())?);
        self.writer().next = Some(next.clone());
        let swapped = self.copy(&next).and_then(|()| self.swap(&next, number));
        let (old, old_number) = match swapped {
            Ok(old) => old,
            Err(error) => {
                self.writer().next = None;
                // A failed store may count the new one already: the next opening knows, and removes the other.
                if self.check().is_ok() {
                    let _ = self.folder.remove(number);
                }
                return Err(error);
            }
        };
        drop(old);
        self.folder.remove(old_number)
    }

    /// Copies everything, some at a time.
    fn copy(&self, next: &Generation) -> Result<(), EngineError> {
        let mut from = Vec::new();
        let mut unsynced = 0;
        loop {
            let (last, bytes) = self.copy_some(&from, next)?;
            let Some(last) = last else { return Ok(()) };
            from = layout::after(&last);
            unsynced += bytes;
            if unsynced >= SYNC_BYTES {
                unsynced = 0;
                next.sync()?;
            }
        }
    }

    /// Copies some rows from the key `from` on; returns the last, if any, and how many bytes.
    fn copy_some(&self, from: &[u8], next: &Generation) -> Result<(Option<Bytes>, usize), EngineError> {
        // No commit comes between the reading and the writing: it would be overwritten by what was before.
        let writer = self.writer();
        self.check()?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in writer.current.range(from, END) {
            let (key, value) = row?;
            bytes += key.len() + value.len();
            rows.push((key, Some(value)));
            if bytes >= COPY_BYTES || rows.len() >= COPY_ROWS {
                break;
            }
        }
        let last = rows.last().map(|(key, _)| key.clone());
        if !rows.is_empty() {
            next.apply(&rows)?;
        }
        Ok((last, bytes))
    }

    /// Puts `next` in the place of what is; returns that.
    fn swap(&self, next: &Arc<Generation>, number: u64) -> Result<(Arc<Generation>, u64), EngineError> {
        next.sync()?;
        let mut writer = self.writer();
        self.check()?;
        next.sync()?;
        // From here on it is not known which one counts: a failure ends everything until a reopen finds out.
        self.latch(self.folder.name(number))?;
        self.shown.replace(next.clone());
        writer.next = None;
        let old = mem::replace(&mut writer.current, next.clone());
        Ok((old, mem::replace(&mut writer.number, number)))
    }
}
