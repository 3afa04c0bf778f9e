//! What an organization refused though it may still be owed: bodies that came while another statement stood there
//! than the one that they were sealed under, a pause or a narrower scope of another device. Their records are told
//! again (`repeats`). Not here: a body that is refused under the very statement that stands, or for its form; it
//! would be refused again.

use sealcare_protocol::{Refusal, RefusalReason, Reply};

use crate::grant::GrantRow;

/// Refused numbers that a reply lists, the latest; of those before them it says nothing.
const LISTED_MAX: usize = 64;

/// The numbers of a reply that were refused, or may have been, under another statement.
pub(super) struct Refused<'a> {
    listed: &'a [Refusal],
    /// Any number below may have been refused.
    listed_from: u64,
    /// Numbers below were sealed under another statement than the one that stands.
    foreign_below: u64,
}

impl<'a> Refused<'a> {
    pub(super) fn of(reply: &'a Reply, row: &GrantRow) -> Self {
        let listed = &reply.refusals;
        let oldest = listed.iter().map(|refusal| refusal.sequence).min().unwrap_or(0);
        Self {
            listed,
            listed_from: if listed.len() < LISTED_MAX { 0 } else { oldest },
            foreign_below: if row.is_statement_confirmed() { row.outbox.restated_below } else { u64::MAX },
        }
    }

    /// Whether the records of a body are to be told again.
    pub(super) fn owes(&self, number: u64) -> bool {
        let is_named =
            |refusal: &Refusal| refusal.sequence == number && refusal.reason != RefusalReason::Malformed;
        number < self.foreign_below && (number < self.listed_from || self.listed.iter().any(is_named))
    }
}

impl GrantRow {
    /// Whether the organization refuses what is sealed under the newest statement, since another stands there:
    /// what it refused would be refused again.
    pub(super) fn is_refused(&self) -> bool {
        let is_new = |refused: &(u64, String)| refused.0 >= self.outbox.restated_below;
        !self.is_statement_confirmed()
            && self.heard.as_ref().is_some_and(|heard| heard.refusals.iter().any(is_new))
    }
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::SenderId;

    use super::*;
    use crate::fixture::Fixture;

    fn reply(refused: std::ops::Range<u64>) -> Reply {
        let refusal = |sequence| Refusal { sequence, reason: RefusalReason::Paused };
        Reply {
            sender: SenderId::from_bytes([0; 16]),
            next_sequence: refused.end,
            refusals: refused.map(refusal).collect(),
            stored_revision: 1,
            stored: None,
            resync: false,
            views: Vec::new(),
            held: false,
        }
    }

    #[tokio::test]
    async fn a_full_list_vouches_for_nothing_before_it() {
        let row = Fixture::new().await.row().await;
        let owed = |reply: &Reply| (0..80).filter(|n| Refused::of(reply, &row).owes(*n)).collect::<Vec<_>>();
        assert_eq!(owed(&reply(7..70)), (7..70).collect::<Vec<_>>());
        assert_eq!(owed(&reply(6..70)), (0..70).collect::<Vec<_>>());
    }
}
