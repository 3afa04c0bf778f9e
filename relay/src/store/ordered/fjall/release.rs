//! Giving bytes back. fjall holds on to what was deleted in three ways, and each is ended here in turn:
//!
//! - journals and memtables hold it until they are full, so they are filled up and written out;
//! - a compaction drops a deleted value only if no snapshot may still see it, and fjall learns that one is closed
//!   only when it writes out a memtable;
//! - the version of the keyspace from before the compaction, and with it every file that was rewritten, stays
//!   until a memtable is written out and no snapshot is as old.
//!
//! Nothing here is needed for the next opening to be right: files that no version names are removed by it.

use std::fs;

use fjall::{AbstractTree as _, Keyspace};

use super::{FjallKeys, engine_error};
use crate::store::{Progress, ordered::engine::EngineError};

/// Bytes of one piece of journal filler.
const FILLER_BYTES: usize = 4 << 20;
/// Pieces that are sure to fill a journal, which fjall retires beyond 64 MB.
const FILLERS_MAX: usize = 18;
/// Times one looks, after a flush of nothing that takes 10 ms at least, whether something is gone.
pub(super) const LOOKS_MAX: usize = 1_000;
/// Folder of a keyspace's files, in the keyspace's own.
const TABLES: &str = "tables";

impl FjallKeys {
    /// Rewrites the keyspace without what was deleted, and waits until the files from before are gone; `More` if
    /// something that reads for long keeps them.
    pub(super) fn release(&self, keyspace: &Keyspace) -> Result<Progress, EngineError> {
        // One at a time: each would keep the other's files from going, and fill the disk twice.
        let _one = self.releasing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.retire_journals()? == Progress::More {
            tracing::warn!("a journal that holds deleted rows does not go yet");
            return Ok(Progress::More);
        }
        // Only what no snapshot may see any more is left out by the compaction.
        if self.flush_until(|| Ok(keyspace.tree.version_free_list_len() == 0))? == Progress::More {
            return Ok(Progress::More);
        }
        let tables = keyspace.path().join(TABLES);
        let version = keyspace.tree.current_version();
        let rewritten: Vec<_> =
            version.iter_tables().map(|table| tables.join(table.id().to_string())).collect();
        // It would keep its own files.
        drop(version);
        keyspace.major_compact().map_err(|e| engine_error(&e))?;
        self.flush_until(|| {
            for path in &rewritten {
                if fs::exists(path).map_err(|_| EngineError::Failed)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Makes fjall drop every journal up to the one it writes to now, and with them the ciphertext in there. It
    /// retires a journal only once that is full, and has no call for it: so the journal is filled up.
    fn retire_journals(&self) -> Result<Progress, EngineError> {
        let last = self.journals()?.into_iter().max();
        for _ in 0..FILLERS_MAX {
            self.write_filler(vec![0; FILLER_BYTES])?;
            if self.journals()?.into_iter().max() > last {
                break;
            }
        }
        for keyspace in [&self.rows, &self.lanes] {
            keyspace.rotate_memtable_and_wait().map_err(|e| engine_error(&e))?;
        }
        // After each flush fjall looks for journals that nothing needs any more, some of them in the background.
        self.flush_until(|| Ok(self.journals()?.into_iter().min() > last))
    }

    /// Writes out a memtable of next to nothing, upon which fjall looks for what nothing needs any more, until
    /// `is_gone`; `More` if that does not come.
    fn flush_until(&self, is_gone: impl Fn() -> Result<bool, EngineError>) -> Result<Progress, EngineError> {
        for _ in 0..self.looks_max {
            self.write_filler(Vec::new())?;
            if is_gone()? {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }

    fn write_filler(&self, bytes: Vec<u8>) -> Result<(), EngineError> {
        let written =
            self.filler.insert("filler", bytes).and_then(|()| self.filler.rotate_memtable_and_wait());
        written.map_err(|e| engine_error(&e))
    }

    /// Numbers of the journals on the disk; the highest is written to.
    fn journals(&self) -> Result<Vec<u64>, EngineError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|_| EngineError::Failed)? {
            let name = entry.map_err(|_| EngineError::Failed)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use bytes::Bytes;

    use super::*;
    use crate::store::ordered::{
        engine::{Change, OrderedKeys as _, Space},
        tests::lies_in,
    };

    const MARKER: &[u8] = b"deleted bytes to look for on the disk";

    fn write(keys: &FjallKeys, key: &'static [u8], value: Option<&'static [u8]>) {
        let key = Bytes::from_static(key);
        keys.commit(vec![Change { space: Space::Lanes, key, value: value.map(Bytes::from_static) }]).unwrap();
    }

    #[test]
    fn what_a_reader_may_still_see_stays_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = FjallKeys::open(folder.path()).unwrap();
        write(&keys, b"a", Some(MARKER));
        write(&keys, b"b", Some(b"stays"));
        assert_eq!(keys.compact(Space::Lanes), Ok(Progress::Done));
        keys.looks_max = 9;
        let mut seen = Vec::new();
        let read = keys.scan(Space::Lanes, b"a", b"c", &mut |key, value| {
            if key == b"a"[..] {
                write(&keys, b"a", None);
                assert_eq!(keys.compact(Space::Lanes), Ok(Progress::More));
            }
            seen.push((key, value));
            ControlFlow::Continue(())
        });
        read.unwrap();
        assert_eq!(seen, [(b"a"[..].into(), MARKER.into()), (b"b"[..].into(), b"stays"[..].into())]);
        assert!(lies_in(folder.path(), MARKER));
        keys.looks_max = LOOKS_MAX;
        assert_eq!(keys.compact(Space::Lanes), Ok(Progress::Done));
        assert!(!lies_in(folder.path(), MARKER));
        assert_eq!(keys.get(Space::Lanes, b"b"), Ok(Some(b"stays"[..].into())));
    }

    #[test]
    fn what_was_deleted_in_an_earlier_life_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let keys = FjallKeys::open(folder.path()).unwrap();
        write(&keys, b"a", Some(MARKER));
        assert_eq!(keys.compact(Space::Lanes), Ok(Progress::Done));
        write(&keys, b"a", None);
        keys.lanes.rotate_memtable_and_wait().unwrap();
        drop(keys);
        let keys = FjallKeys::open(folder.path()).unwrap();
        assert!(lies_in(folder.path(), MARKER));
        assert_eq!(keys.compact(Space::Lanes), Ok(Progress::Done));
        assert!(!lies_in(folder.path(), MARKER));
    }
}
