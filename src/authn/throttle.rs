//! Slows down guessing, by address and by name, in bounded memory.
//!
//! A *name* is the part of a credential that is no secret: the id of a token, or what somebody types
//! as their user name.
//!
//! - **By address.** An address may fail [`FREE`] times. Each failure beyond blocks it, for 1 s at
//!   first, twice as long each time, up to [`LONGEST`].
//! - **By name.** Failures for one name count together, whatever address they come from, with
//!   [`FREE_BY_NAME`] free ones, so that many addresses do not get many times the guesses.
//! - **Decay.** One failure is forgiven every [`FORGIVEN`].
//!
//! Passwords can be guessed, so theirs block sooner and longer ([`Limits::PASSWORDS`]).
//!
//! Blocking must not become a way to lock somebody out. So where a block stands, two are still
//! looked at: an address that succeeded for this name within [`MEMORY`], and the first try of an
//! address for a name of something live. An attacker thus gets one guess per address and name, of
//! 2^160, and an honest holder is in at the first try, be it from a new address while strangers
//! guess at their token, or from behind the same address as a stranger.
//!
//! None of this tells what is live: whoever fails while a block stands is told the same, and counts
//! nowhere, whether they were looked at or not.
//!
//! Each table holds at most [`MOST`] entries and forgets the one longest untouched; a table of
//! successes is only filled by successes.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Who is blocked, and until when.
pub(super) struct Throttle {
    limits: Limits,
    /// Names are kept by their hash: an entry has one size, and nobody else can compute it.
    hasher: RandomState,
    tables: Mutex<Tables>,
}

/// How soon and for how long failures block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Failures of one address that cost nothing.
    free: u32,
    /// Failures for one name that cost nothing.
    free_by_name: u32,
    longest: Duration,
    /// One failure is forgiven every so often.
    forgiven: Duration,
}

impl Limits {
    /// Of tokens, which nobody guesses.
    const TOKENS: Self =
        Self { free: FREE, free_by_name: FREE_BY_NAME, longest: LONGEST, forgiven: FORGIVEN };

    /// Of what people remember or read off a screen: about a hundred tries a day for one name.
    pub(super) const PASSWORDS: Self = Self {
        free: 10,
        free_by_name: 5,
        longest: Duration::from_secs(900),
        forgiven: Duration::from_secs(900),
    };
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new(Limits::TOKENS)
    }
}

/// What may be done with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Look at it, and say what was wrong with it.
    Open,
    /// Look at it; if it is not good, its owner is told to wait.
    Veiled,
    /// Its owner is told to wait.
    Refused,
}

#[derive(Default)]
struct Tables {
    addresses: HashMap<IpAddr, Entry>,
    names: HashMap<Name, Entry>,
    tried: HashMap<(IpAddr, Name), Instant>,
    succeeded: HashMap<(IpAddr, Name), Instant>,
}

type Name = u64;

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
}

impl Entry {
    fn blocked(&self, free: u32, longest: Duration, now: Instant) -> bool {
        let pause = match self.failures.saturating_sub(free) {
            0 => Duration::ZERO,
            n => Duration::from_secs(1 << (n - 1).min(10)).min(longest),
        };
        now < self.last + pause
    }

    /// The failures that are not forgiven yet.
    fn left(&self, forgiven: Duration, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last).as_secs() / forgiven.as_secs();
        self.failures.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }
}

impl Throttle {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, hasher: RandomState::new(), tables: Mutex::default() }
    }

    /// Whether to look at an attempt of `from` for `name`; `live` is whether there is something by
    /// that name that could succeed.
    pub(super) fn admit(&self, from: IpAddr, name: &str, live: bool, now: Instant) -> Admission {
        let (from, name) = (network(from), self.name(name));
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if !tables.blocked(self.limits, from, name, now) {
            return Admission::Open;
        }
        let within = |at: Option<&Instant>| at.is_some_and(|at| now < *at + MEMORY);
        let pair = (from, name);
        let first = live && !within(tables.tried.get(&pair));
        match first || within(tables.succeeded.get(&pair)) {
            true => Admission::Veiled,
            false => Admission::Refused,
        }
    }

    /// Counts a failure for what has no name: a text that is no token, an unknown key.
    pub(super) fn failed(&self, from: IpAddr, now: Instant) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut tables.addresses, network(from), self.limits.forgiven, now);
    }

    /// Counts a failure of an attempt that was admitted as `how`.
    pub(super) fn failed_for(&self, from: IpAddr, name: &str, how: Admission, now: Instant) {
        let (from, name) = (network(from), self.name(name));
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        touch(&mut tables.tried, (from, name), now);
        match how {
            Admission::Open => {
                count(&mut tables.addresses, from, self.limits.forgiven, now);
                count(&mut tables.names, name, self.limits.forgiven, now);
            }
            Admission::Veiled | Admission::Refused => {}
        }
    }

    pub(super) fn succeeded(&self, from: IpAddr, name: &str, now: Instant) {
        let pair = (network(from), self.name(name));
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.tried.remove(&pair);
        touch(&mut tables.succeeded, pair, now);
    }

    fn name(&self, name: &str) -> Name {
        self.hasher.hash_one(name)
    }
}

impl Tables {
    fn blocked(&self, limits: Limits, from: IpAddr, name: Name, now: Instant) -> bool {
        let Limits { free, free_by_name, longest, .. } = limits;
        self.addresses.get(&from).is_some_and(|entry| entry.blocked(free, longest, now))
            || self.names.get(&name).is_some_and(|entry| entry.blocked(free_by_name, longest, now))
    }
}

fn count<K: Copy + Eq + Hash>(
    table: &mut HashMap<K, Entry>,
    key: K,
    forgiven: Duration,
    now: Instant,
) {
    if !table.contains_key(&key) {
        let forgotten = |entry: &Entry, now| entry.left(forgiven, now) == 0;
        make_room(table, MOST, now, forgotten, |entry| entry.last);
    }
    let entry = table.entry(key).or_insert(Entry { failures: 0, last: now });
    *entry = Entry { failures: entry.left(forgiven, now).saturating_add(1), last: now };
}

fn touch<K: Copy + Eq + Hash>(table: &mut HashMap<K, Instant>, key: K, now: Instant) {
    if !table.contains_key(&key) {
        make_room(table, MOST, now, |at, now| now >= *at + MEMORY, |at| *at);
    }
    table.insert(key, now);
}

/// Keeps a table under `most` entries: forgets what is over, else the one longest untouched.
pub(crate) fn make_room<K: Copy + Eq + Hash, T>(
    table: &mut HashMap<K, T>,
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
const FREE_BY_NAME: u32 = 10;
const LONGEST: Duration = Duration::from_secs(60);
const FORGIVEN: Duration = Duration::from_secs(30);
/// How long a success, and a first try, is remembered.
const MEMORY: Duration = Duration::from_secs(600);
/// The most entries of each table.
const MOST: usize = 8192;

#[cfg(test)]
mod tests;
