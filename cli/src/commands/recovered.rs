//! Where a grant that was found again is on its way back, in words. Not here: finding it (`recover`).

use std::fmt;

use sealcare_client::{GrantState, GrantStatus, RecoveryState};
use serde::Serialize;

/// What a found grant waits for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Recovered {
    /// `unanswered`, `unproven` or `offered`.
    state: &'static str,
    /// Of an offer, the types that were shared.
    types: Vec<String>,
    #[serde(skip)]
    code: String,
}

impl Recovered {
    /// None for a grant that shares as chosen, or is stopped.
    pub(super) fn of(status: &GrantStatus) -> Option<Self> {
        if status.state == GrantState::RevocationPending || status.state.confirmed_at().is_some() {
            return None;
        }
        let (state, types) = match status.recovery.as_ref()? {
            RecoveryState::Offered(offered) => ("offered", offered.types.iter().cloned().collect()),
            RecoveryState::Unproven => ("unproven", Vec::new()),
            _ => ("unanswered", Vec::new()),
        };
        Some(Self { state, types, code: status.short_code.to_string() })
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            "offered" => write!(
                f,
                "received {}. To go on so: `sealcare recover --keep`; to choose anew: `sealcare scope {1}`, then `sealcare resume {1}`",
                self.types.join(", "),
                self.code
            ),
            "unproven" => write!(
                f,
                "it cannot be proved what you chose. Choose anew: `sealcare scope {0}`, then `sealcare resume {0}`",
                self.code
            ),
            _ => f.write_str("not heard what you chose yet (`sealcare share` asks)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_says_what_to_do_next() {
        let text = |state| {
            Recovered { state, types: vec!["heart-rate".into()], code: "ABCD-EFGH".into() }.to_string()
        };
        assert!(text("offered").contains("received heart-rate. To go on so: `sealcare recover --keep`"));
        assert!(text("offered").contains("then `sealcare resume ABCD-EFGH`"));
        assert!(text("unproven").contains("`sealcare scope ABCD-EFGH`"));
        assert!(text("unanswered").contains("`sealcare share` asks"));
    }
}
