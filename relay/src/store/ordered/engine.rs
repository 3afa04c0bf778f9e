//! What the ordered-key layer asks of an embedded engine: a handful of verbs.
//!
//! Not here: key layout, group commit, the failed latch (this folder's other files) and any one engine
//! (`fjall`, `sled`).

use std::{ops::ControlFlow, path::Path};

use bytes::Bytes;

use crate::store::Progress;

/// The engine's keyspaces. Envelopes are many, large and short-lived; everything else is small and stays.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Space {
    /// Envelopes and revocations in their lanes.
    Lanes,
    /// All other rows.
    Rows,
}

/// One change of an atomic batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Where.
    pub space: Space,
    /// Under which key.
    pub key: Bytes,
    /// The new value; none deletes the key.
    pub value: Option<Bytes>,
}

/// Why an engine could not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A read, write or sync failed, or the engine refuses to go on after one that did.
    #[error("the storage engine failed")]
    Failed,
    /// The engine's own checksum or format check found damage.
    #[error("the storage engine found damage")]
    Damaged,
}

/// Called for each key and value of a scan in order; breaks to end it.
pub type Visit<'a> = dyn FnMut(Bytes, Bytes) -> ControlFlow<()> + 'a;

/// An ordered map of byte strings on disk.
pub trait OrderedKeys: Send + Sync + 'static {
    /// The value under `key` as of the last commit.
    ///
    /// # Errors
    /// As [`EngineError`].
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Visits the keys in `from..to` in order, all as of one commit.
    ///
    /// # Errors
    /// As [`EngineError`].
    fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError>;

    /// The same, all as of one commit, however long it takes: commits go on meanwhile.
    ///
    /// # Errors
    /// As [`EngineError`]; `Failed` also if too much was changed meanwhile.
    fn scan_at_once(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        self.scan(space, from, to, visit)
    }

    /// Makes all changes or none. Once it returns they survive a power cut, and later reads see them; no
    /// read sees a part of them. `changes` is never empty.
    ///
    /// # Errors
    /// As [`EngineError`]; the changes may then be there after a reopen, or not.
    fn commit(&self, changes: Vec<Change>) -> Result<(), EngineError>;

    /// Makes everything that reads show survive a power cut.
    ///
    /// # Errors
    /// As [`EngineError`].
    fn sync(&self) -> Result<(), EngineError>;

    /// Gives the bytes of deleted and overwritten keys back to the disk; returns when they are gone from the
    /// files, or with `More` if something that reads for long keeps them there or the disk has no room. Costs a rewrite of the space.
    /// Other calls go on meanwhile.
    ///
    /// # Errors
    /// As [`EngineError`].
    fn compact(&self, space: Space) -> Result<Progress, EngineError>;

    /// Bytes that a compaction of the space takes on the disk meanwhile, about: at least what its files take.
    fn compaction_bytes(&self, space: Space) -> u64;

    /// The folder on whose disk the engine lies, where there is one: its free space is watched.
    fn folder(&self) -> Option<&Path>;
}
