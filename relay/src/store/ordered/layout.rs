//! Keys: a letter for the kind of row, then ids and big-endian numbers, so that rows that are read together
//! lie together and lanes are in order. Changing anything here changes the format on disk: raise `FORMAT`.
//!
//! | space | key | row |
//! |---|---|---|
//! | lanes | `E` organization ‖ lane ‖ sequence | envelope or revocation |
//! | rows | `M` | this store's incarnation and format |
//! | rows | `H` organization ‖ lane | the lane's next sequence |
//! | rows | `G` grant | grant |
//! | rows | `D` deposit key | its grant id |
//! | rows | `S` grant ‖ session | session |
//! | rows | `R` grant ‖ session | reply slot |
//! | rows | `T` organization ‖ ticket | spent ticket |
//! | rows | `K` organization ‖ grant | tombstone |
//! | rows | `W` grant | revoked, its envelopes still to be deleted |
//! | rows | `X` due ms ‖ what | something to forget when due |
//! | rows | `O` organization | organization |
//! | rows | `N` domain | its organization |
//! | rows | `B` organization | bundle |

use sealcare_protocol::{DepositPublicKey, Domain, GrantId, OrganizationId, SessionId, TicketId, Timestamp};

/// Version of the keys and rows.
pub(super) const FORMAT: u32 = 1;
/// The row of `M`.
pub(super) const META: &[u8] = b"M";

/// What kind of row lies under `key`, for error text.
pub(super) fn kind_of(key: &[u8]) -> &'static str {
    match key.first() {
        Some(b'E') => "lane item",
        Some(b'M') => "store header",
        Some(b'H') => "lane head",
        Some(b'G') => "grant",
        Some(b'D') => "deposit key",
        Some(b'S') => "session",
        Some(b'R') => "reply",
        Some(b'T') => "ticket",
        Some(b'K') => "tombstone",
        Some(b'W') => "deletion in progress",
        Some(b'X') => "expiry",
        Some(b'O') => "organization",
        Some(b'N') => "domain",
        Some(b'B') => "bundle",
        _ => "row",
    }
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(kind);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The first key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The first key after `key`.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

pub(super) fn lane_item(organization: &OrganizationId, lane: u8, sequence: u64) -> Vec<u8> {
    key(b'E', &[organization.as_bytes(), &[lane], &sequence.to_be_bytes()])
}

/// The sequence of a lane item's key.
pub(super) fn sequence_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.last_chunk()?))
}

pub(super) fn lane_head(organization: &OrganizationId, lane: u8) -> Vec<u8> {
    key(b'H', &[organization.as_bytes(), &[lane]])
}

pub(super) fn grant(grant: &GrantId) -> Vec<u8> {
    key(b'G', &[grant.as_bytes()])
}

pub(super) fn deposit_key(deposit_key: &DepositPublicKey) -> Vec<u8> {
    key(b'D', &[deposit_key.as_bytes()])
}

pub(super) fn session(grant: &GrantId, session: &SessionId) -> Vec<u8> {
    key(b'S', &[grant.as_bytes(), session.as_bytes()])
}

pub(super) fn sessions(grant: &GrantId) -> Vec<u8> {
    key(b'S', &[grant.as_bytes()])
}

pub(super) fn reply(grant: &GrantId, session: &SessionId) -> Vec<u8> {
    key(b'R', &[grant.as_bytes(), session.as_bytes()])
}

pub(super) fn replies(grant: &GrantId) -> Vec<u8> {
    key(b'R', &[grant.as_bytes()])
}

/// Grant and session of a session's key.
pub(super) fn session_parts(key: &[u8]) -> Option<(GrantId, SessionId)> {
    Some((GrantId::from_slice(key.get(1..33)?).ok()?, SessionId::from_slice(key.get(33..)?).ok()?))
}

/// The session of a session's or reply's key.
pub(super) fn session_of(key: &[u8]) -> Option<SessionId> {
    SessionId::from_slice(key.last_chunk::<16>()?).ok()
}

pub(super) fn ticket(organization: &OrganizationId, ticket: &TicketId) -> Vec<u8> {
    key(b'T', &[organization.as_bytes(), ticket.as_bytes()])
}

pub(super) fn tombstone(organization: &OrganizationId, grant: &GrantId) -> Vec<u8> {
    key(b'K', &[organization.as_bytes(), grant.as_bytes()])
}

pub(super) fn tombstones(organization: &OrganizationId) -> Vec<u8> {
    key(b'K', &[organization.as_bytes()])
}

pub(super) fn deletion(grant: &GrantId) -> Vec<u8> {
    key(b'W', &[grant.as_bytes()])
}

pub(super) const DELETIONS: &[u8] = b"W";

/// The grant that a key ends in.
pub(super) fn grant_of(key: &[u8]) -> Option<GrantId> {
    GrantId::from_slice(key.last_chunk::<32>()?).ok()
}

/// What is forgotten at `due`: the rest of the key is the key of the row concerned.
pub(super) fn expiry(due: Timestamp, row: &[u8]) -> Vec<u8> {
    key(b'X', &[&due.as_millis().to_be_bytes(), row])
}

pub(super) const EXPIRIES: &[u8] = b"X";

/// The row that an expiry's key names.
pub(super) fn expiring_row(key: &[u8]) -> Option<&[u8]> {
    key.get(9..)
}

pub(super) fn organization(organization: &OrganizationId) -> Vec<u8> {
    key(b'O', &[organization.as_bytes()])
}

pub(super) const ORGANIZATIONS: &[u8] = b"O";

/// The organization that a key ends in.
pub(super) fn organization_of(key: &[u8]) -> Option<OrganizationId> {
    OrganizationId::from_slice(key.last_chunk::<32>()?).ok()
}

pub(super) fn domain(domain: &Domain) -> Vec<u8> {
    key(b'N', &[domain.as_str().as_bytes()])
}

pub(super) fn bundle(organization: &OrganizationId) -> Vec<u8> {
    key(b'B', &[organization.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_in_order_and_do_not_mix() {
        let (a, b) = (OrganizationId::from_bytes([1; 32]), OrganizationId::from_bytes([2; 32]));
        let keys = [lane_item(&a, 0, 1), lane_item(&a, 0, 256), lane_item(&a, 1, 0), lane_item(&b, 0, 0)];
        assert!(keys.is_sorted());
        assert_eq!(sequence_of(&keys[1]), Some(256));
    }

    #[test]
    fn the_end_of_a_prefix_is_after_all_of_it() {
        assert_eq!(end_of(b"ab"), b"ac");
        assert_eq!(end_of(&[1, 0xff, 0xff]), [2]);
        assert!(after(b"ab").as_slice() > b"ab".as_slice() && after(b"ab").as_slice() < b"ab\x01".as_slice());
    }
}
