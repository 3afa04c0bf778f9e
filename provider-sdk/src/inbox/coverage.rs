//! Which records a scope covers. Not here: what becomes of the others (`data` for those that come, `wipe` for those
//! that are there).

use sealcare_protocol::{Scope, Timestamp};
use sealcare_records::{Effective, Record};

/// Whether `scope` covers `record`: by its type, and by the end of its time, else its start; what has neither, or
/// lies before 1970, counts as 1970.
pub fn covers(scope: &Scope, record: &Record) -> bool {
    scope.covers(record.record_type().name(), last_instant(record.effective()))
}

fn last_instant(effective: &Effective) -> Timestamp {
    let instant = effective.end().or(effective.start());
    let millis = instant.and_then(|instant| u64::try_from(instant.as_millisecond()).ok());
    Timestamp::from_millis(millis.unwrap_or(0))
}
