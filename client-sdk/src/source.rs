//! Where records come from: anything that can tell what changed since an anchor.
//! Not here: files (`import`) or keeping (`record_store`).

use sealcare_records::{Record, RecordId};

use crate::error::Result;

/// What became of a record at its source.
#[derive(Debug)]
pub enum RecordChange {
    /// It is this now: new, changed or the same.
    Upsert(Box<Record>),
    /// The source has it no more.
    Deleted(RecordId),
}

/// A source of records: HealthKit through the app, a connected institution.
///
/// A reading is one transaction: on any error nothing of it is kept, and the next reading begins at the same anchor.
pub trait RecordSource: Send {
    /// A name that stays the same for the source's life; it is never stored in clear.
    fn id(&self) -> String;

    /// Hands every change since `anchor` (none: everything) to `sink`, in order, and returns the anchor to begin at
    /// next time; none if the source has no such thing and is read whole each time.
    ///
    /// # Errors
    /// Those of the sink unchanged; [`crate::ClientError::Source`] for the source's own.
    fn read_changes(
        &mut self,
        anchor: Option<&[u8]>,
        sink: &mut dyn FnMut(RecordChange) -> Result<()>,
    ) -> Result<Option<Vec<u8>>>;
}
