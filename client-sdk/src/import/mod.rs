//! Importing files. An import is two readings: the first keeps nothing and says what is in the files or why one is
//! refused ([`CheckedFiles`]); the second takes the records, a batch to a transaction, each with how far it is. So a
//! refused file leaves nothing behind, an import of gigabytes needs little memory and no second copy on the disk, and
//! one that was killed goes on where it was.
//!
//! What a file that is all of its source does not have any more is found ([`Absence`]), shown, and deleted only when
//! the person has confirmed it.
//!
//! Not here: what is in files (`sealcare-records`), what a change is (`record_store`).

mod absence;
mod check;
mod checkpoint;
mod coverage;
mod take;

use sealcare_records::ImportReport;

pub use absence::{Absence, AbsentRecords, Caution};
pub use check::CheckedFiles;

pub(crate) use coverage::Coverage;

use crate::record_store::ChangeCounts;

/// Whether files are all that their source has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Completeness {
    /// What a file does not have says nothing.
    Partial,
    /// What a file does not have, its source has no more: named so by the person, never guessed.
    Complete,
}

/// What an import of files did.
#[derive(Debug)]
pub struct Imported {
    /// For each file, what was in it and what was left out.
    pub files: Vec<ImportReport>,
    /// What changed in the vault, in all of an import that went on after it was interrupted.
    pub changes: ChangeCounts,
    /// What files that were named complete do not have, or not any more. Nothing of it is deleted yet.
    pub absence: Option<Absence>,
}
