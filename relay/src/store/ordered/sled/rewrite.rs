//! Giving bytes back: the live rows are copied into a new database, which then takes the old one's place, and
//! the old one's files are removed. Commits go on meanwhile, into both.

use std::{mem, sync::Arc};

use bytes::Bytes;

use super::{SledKeys, Writer, generation::Generation};
use crate::store::{
    Progress,
    ordered::{engine::EngineError, layout},
};

/// Bytes copied while commits wait.
const COPY_BYTES: usize = 1 << 20;
/// Rows copied while commits wait.
const COPY_ROWS: usize = 1_024;
/// Bytes after which the copy is synced, so that the last sync, for which commits wait, is short.
const SYNC_BYTES: usize = 64 << 20;
/// First key after both spaces.
const END: &[u8] = b"s";

/// Why a copy does not take the database's place.
enum Stop {
    /// It cannot be written: the database is as it was, and goes on.
    NoRoom,
    /// The database itself failed, or is damaged.
    Engine(EngineError),
}

impl SledKeys {
    /// One at a time. A crash before the end leaves the old database, after it the new. A copy that cannot be
    /// written, as on a full disk, is given up, and there is more to do.
    pub(super) fn rewrite(&self) -> Result<Progress, EngineError> {
        let _one = self.rewriting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let number = {
            let writer = self.writer();
            self.check()?;
            writer.number.checked_add(1).ok_or(EngineError::Failed)?
        };
        match self.replace(number) {
            Ok((old, old_number)) => {
                drop(old);
                self.folder.remove(old_number).map(|()| Progress::Done)
            }
            Err(stop) => {
                self.writer().next = None;
                // A failed store may count the new one already: the next opening knows, and removes the other.
                if self.check().is_ok() {
                    let _ = self.folder.remove(number);
                }
                match stop {
                    Stop::Engine(error) => Err(error),
                    Stop::NoRoom => {
                        tracing::warn!("a copy of the store could not be written and was given up");
                        Ok(Progress::More)
                    }
                }
            }
        }
    }

    /// Makes generation `number` and puts it in the place of what is; returns that.
    fn replace(&self, number: u64) -> Result<(Arc<Generation>, u64), Stop> {
        self.folder.remove(number).map_err(|_| Stop::NoRoom)?;
        let next = Generation::open(&self.folder.generation(number), self.syncer.clone());
        let next = Arc::new(next.map_err(|_| Stop::NoRoom)?);
        self.writer().next = Some(next.clone());
        self.copy(&next)?;
        self.swap(&next, number)
    }

    /// Copies everything, some at a time.
    fn copy(&self, next: &Generation) -> Result<(), Stop> {
        let mut from = Vec::new();
        let mut unsynced = 0;
        loop {
            let (last, bytes) = self.copy_some(&from, next)?;
            let Some(last) = last else { return Ok(()) };
            from = layout::after(&last);
            unsynced += bytes;
            if unsynced >= SYNC_BYTES {
                unsynced = 0;
                next.sync().map_err(|_| Stop::NoRoom)?;
            }
        }
    }

    /// Copies some rows from the key `from` on; returns the last, if any, and how many bytes.
    fn copy_some(&self, from: &[u8], next: &Generation) -> Result<(Option<Bytes>, usize), Stop> {
        // No commit comes between the reading and the writing: it would be overwritten by what was before.
        let writer = self.writer();
        self.check_copy(&writer)?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in writer.current.range(from, END) {
            let (key, value) = row.map_err(Stop::Engine)?;
            bytes += key.len() + value.len();
            rows.push((key, Some(value)));
            if bytes >= COPY_BYTES || rows.len() >= COPY_ROWS {
                break;
            }
        }
        let last = rows.last().map(|(key, _)| key.clone());
        if !rows.is_empty() {
            next.apply(&rows).map_err(|_| Stop::NoRoom)?;
        }
        Ok((last, bytes))
    }

    /// Whether the copy has missed no commit.
    fn check_copy(&self, writer: &Writer) -> Result<(), Stop> {
        self.check().map_err(Stop::Engine)?;
        if writer.next.is_some() { Ok(()) } else { Err(Stop::NoRoom) }
    }

    /// Puts `next` in the place of what is; returns that.
    fn swap(&self, next: &Arc<Generation>, number: u64) -> Result<(Arc<Generation>, u64), Stop> {
        next.sync().map_err(|_| Stop::NoRoom)?;
        let mut writer = self.writer();
        self.check_copy(&writer)?;
        next.sync().and_then(|()| self.folder.write_name(number)).map_err(|_| Stop::NoRoom)?;
        // From here on it is not known which one counts: a failure ends everything until a reopen finds out.
        self.latch(self.folder.put_name()).map_err(Stop::Engine)?;
        self.shown.replace(next.clone());
        writer.next = None;
        let old = mem::replace(&mut writer.current, next.clone());
        Ok((old, mem::replace(&mut writer.number, number)))
    }
}
