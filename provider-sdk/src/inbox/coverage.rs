//! Which records a scope covers. Not here: what becomes of the others (`data` for those that come, `wipe` for those
//! that are there).

use sealcare_protocol::Scope;
use sealcare_records::Record;

/// Whether `scope` covers `record`: by its type, and by the beginning of its time, as the patient's app decides it. What
/// has no known beginning is covered by a scope of all times only.
pub fn covers(scope: &Scope, record: &Record) -> bool {
    let is_of_type = scope.types.iter().any(|name| name.as_str() == record.record_type().name());
    is_of_type && scope.from.is_none_or(|from| record.effective().is_since(from.as_millis()))
}
