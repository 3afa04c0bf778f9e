//! Allowances for doors at which strangers may knock: a token bucket for each address, and one for all
//! failed proofs.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::Deserialize;

/// Addresses that are remembered; beyond, full buckets are forgotten, then all.
const ADDRESSES_MAX: usize = 65_536;
/// All addresses together may fail as often as this many may call.
const GLOBAL_FACTOR: f64 = 50.0;

/// Calls a minute and address; bursts as large are allowed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// `DirectoryService.Register`.
    pub register_per_minute: u32,
    /// The token endpoint.
    pub token_per_minute: u32,
    /// `MailboxService.AcceptInvitation`.
    pub accept_per_minute: u32,
    /// `DirectoryService.Search`.
    pub search_per_minute: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            register_per_minute: 30,
            token_per_minute: 120,
            accept_per_minute: 300,
            search_per_minute: 120,
        }
    }
}

/// What a stranger may do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Door {
    Register,
    Token,
    Accept,
    Search,
}

/// The address at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Default for Peer {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

struct Bucket {
    left: f64,
    at: Instant,
}

pub(super) struct RateLimits {
    rates: Rates,
    buckets: Mutex<HashMap<(Door, Option<IpAddr>), Bucket>>,
}

impl RateLimits {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, buckets: Mutex::default() }
    }

    /// Takes one from the bucket of the address; false if that is empty, or too many proofs of all failed.
    pub(super) fn allow(&self, door: Door, peer: Peer) -> bool {
        let per_minute = self.per_minute(door);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX {
            buckets.retain(|_, bucket| bucket.at.elapsed().as_secs() < 60);
            if buckets.len() >= ADDRESSES_MAX {
                buckets.clear();
            }
        }
        take(&mut buckets, (door, Some(network(peer.0))), per_minute, 1.0)
            && take(&mut buckets, (door, None), per_minute * GLOBAL_FACTOR, 0.0)
    }

    /// Charges all together with a proof that failed: who proves who they are costs others nothing.
    pub(super) fn charge(&self, door: Door) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut buckets, (door, None), self.per_minute(door) * GLOBAL_FACTOR, 1.0);
    }

    fn per_minute(&self, door: Door) -> f64 {
        f64::from(match door {
            Door::Register => self.rates.register_per_minute,
            Door::Token => self.rates.token_per_minute,
            Door::Accept => self.rates.accept_per_minute,
            Door::Search => self.rates.search_per_minute,
        })
    }
}

/// An IPv6 customer holds a /64 at least, so that is what is counted.
/// An IPv4 address in IPv6 clothes, as a dual-stack listener tells it, is that IPv4 address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

/// The /48 of an IPv6 address: what a site is given, 65,536 networks (RFC 6177).
pub(crate) fn site(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(IpAddr::V6((u128::from(v6) >> 80 << 80).into())),
    }
}

/// Takes `price` from a bucket that holds at least one; a price of 0 only looks.
fn take(
    buckets: &mut HashMap<(Door, Option<IpAddr>), Bucket>,
    of: (Door, Option<IpAddr>),
    per_minute: f64,
    price: f64,
) -> bool {
    let now = Instant::now();
    let bucket = buckets.entry(of).or_insert(Bucket { left: per_minute, at: now });
    let refilled = now.duration_since(bucket.at).as_secs_f64() * per_minute / 60.0;
    bucket.left = (bucket.left + refilled).min(per_minute);
    bucket.at = now;
    if bucket.left < 1.0 {
        return false;
    }
    bucket.left -= price;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_stopped_and_others_are_not() {
        let limits = RateLimits::new(Rates { register_per_minute: 2, ..Rates::default() });
        let (a, b) = (Peer([10, 0, 0, 1].into()), Peer([10, 0, 0, 2].into()));
        assert!(limits.allow(Door::Register, a) && limits.allow(Door::Register, a));
        assert!(!limits.allow(Door::Register, a));
        assert!(limits.allow(Door::Register, b));
        assert!(limits.allow(Door::Token, a));
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one() {
        let limits = RateLimits::new(Rates { register_per_minute: 1, ..Rates::default() });
        assert!(limits.allow(Door::Register, Peer("2001:db8::1".parse().unwrap())));
        assert!(!limits.allow(Door::Register, Peer("2001:db8::2".parse().unwrap())));
    }

    #[test]
    fn only_failed_proofs_are_charged_to_all() {
        let limits = RateLimits::new(Rates { token_per_minute: 1, ..Rates::default() });
        let peer = |n: u8| Peer([10, 0, 0, n].into());
        assert!((0..100).all(|n| limits.allow(Door::Token, peer(n))));
        (0..50).for_each(|_| limits.charge(Door::Token));
        assert!(!limits.allow(Door::Token, peer(200)));
        assert!(limits.allow(Door::Accept, peer(200)));
    }

    #[test]
    fn mapped_ipv4_addresses_are_not_one_network() {
        let limits = RateLimits::new(Rates { register_per_minute: 1, ..Rates::default() });
        assert!(limits.allow(Door::Register, Peer("::ffff:10.0.0.1".parse().unwrap())));
        assert!(limits.allow(Door::Register, Peer("::ffff:10.0.0.2".parse().unwrap())));
        assert!(!limits.allow(Door::Register, Peer([10, 0, 0, 1].into())));
    }
}
