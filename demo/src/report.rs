//! What `--json` prints, and whether the story held.

use std::collections::BTreeMap;

use serde::Serialize;

/// One run of the story.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Records that the patient's app shared.
    pub(crate) records_shared: u64,
    /// Records that the organization opened, equal to what was shared.
    pub(crate) records_opened: u64,
    /// Opened records by type.
    pub(crate) by_type: BTreeMap<String, u64>,
    /// What the files hold and is not shared, by reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// Opened resources that differ from every shared one.
    pub(crate) records_altered: u64,
    /// Hits of the search for the patient at the relay.
    pub(crate) plaintext_found_at_relay: usize,
    /// Whether the organization confirmed the stop by signature.
    pub(crate) revocation_confirmed: bool,
    /// Records that the organization still has after the stop.
    pub(crate) opened_after_revocation: u64,
    /// Why the relay refused a deposit after the stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deposit_after_revocation_refused: Option<String>,
    /// With `--break`: what refused the altered envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused_by: Option<String>,
}

impl Report {
    /// Whether all of an honest story held.
    pub(crate) fn held(&self) -> bool {
        self.records_shared > 0
            && self.records_opened == self.records_shared
            && self.records_altered == 0
            && self.plaintext_found_at_relay == 0
            && self.revocation_confirmed
            && self.opened_after_revocation == 0
            && self.deposit_after_revocation_refused.is_some()
    }

    /// Whether an altered envelope was refused, and nothing of it delivered.
    pub(crate) fn refused(&self) -> bool {
        self.refused_by.is_some() && self.records_opened < self.records_shared && self.records_altered == 0
    }
}
