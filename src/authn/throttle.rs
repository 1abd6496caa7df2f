//! Slows down addresses that keep failing, in bounded memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Which addresses are blocked, and until when.
#[derive(Default)]
pub(super) struct Throttle {
    addresses: Mutex<HashMap<IpAddr, Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
}

impl Entry {
    /// Blocked for 1 s after the first failure beyond the free ones, doubling with each.
    fn blocked_until(&self) -> Instant {
        let beyond = self.failures.saturating_sub(FREE);
        let pause = match beyond {
            0 => Duration::ZERO,
            n => Duration::from_secs(1 << (n - 1).min(10)).min(LONGEST),
        };
        self.last + pause
    }

    fn forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= MEMORY
    }
}

impl Throttle {
    pub(super) fn blocked(&self, from: IpAddr, now: Instant) -> bool {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&network(from)).is_some_and(|entry| now < entry.blocked_until())
    }

    pub(super) fn failed(&self, from: IpAddr, now: Instant) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let key = network(from);
        if !addresses.contains_key(&key) {
            make_room(&mut addresses, MOST, now, Entry::forgotten, |entry| entry.last);
        }
        let entry = addresses.entry(key).or_insert(Entry { failures: 0, last: now });
        if entry.forgotten(now) {
            entry.failures = 0;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
    }
}

/// Keeps a table under `most` entries: forgets what is over, else the one longest untouched.
pub(super) fn make_room<T>(
    table: &mut HashMap<IpAddr, T>,
    most: usize,
    now: Instant,
    over: impl Fn(&T, Instant) -> bool,
    touched: impl Fn(&T) -> Instant,
) {
    if table.len() < most {
        return;
    }
    table.retain(|_, entry| !over(entry, now));
    if table.len() >= most {
        let oldest = table.iter().min_by_key(|(_, entry)| touched(entry)).map(|(key, _)| *key);
        oldest.and_then(|key| table.remove(&key));
    }
}

/// One subscriber holds a whole IPv6 /64, so that is what counts as one address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Failures that cost nothing: typing errors happen.
const FREE: u32 = 20;
const LONGEST: Duration = Duration::from_secs(60);
const MEMORY: Duration = Duration::from_secs(600);
/// At most this many addresses are remembered.
const MOST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_keeps_failing_waits_longer_each_time() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let peer = address(1);
        for _ in 0..FREE {
            throttle.failed(peer, start);
        }
        assert!(!throttle.blocked(peer, start), "typing errors are free");
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            throttle.failed(peer, start);
            assert!(throttle.blocked(peer, start + Duration::from_millis(pause * 1000 - 1)));
            assert!(!throttle.blocked(peer, start + Duration::from_secs(pause)), "{pause} s");
        }
        assert!(!throttle.blocked(address(2), start), "others are not slowed");
    }

    #[test]
    fn a_quiet_address_starts_anew() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..=FREE {
            throttle.failed(address(1), start);
        }
        throttle.failed(address(1), start + MEMORY);
        assert!(!throttle.blocked(address(1), start + MEMORY));
    }

    #[test]
    fn the_table_stays_within_its_bound() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for n in 0..u32::try_from(MOST).unwrap() + 50 {
            throttle.failed(address(n), start + Duration::from_millis(n.into()));
        }
        assert_eq!(throttle.addresses.lock().unwrap().len(), MOST);
        assert!(!throttle.addresses.lock().unwrap().contains_key(&address(0)), "the oldest goes");
    }

    #[test]
    fn an_ipv6_subscriber_is_one_address() {
        let a: IpAddr = "2001:db8:1:2:aaaa::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:bbbb::2".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_eq!(network(mapped), "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }
}
