//! How much one caller may ask for: a bucket for each credential, and for each address where nobody
//! is signed in, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::caller::Caller;
use super::error::ApiError;
use crate::authn::{make_room, network};

/// What every caller has asked for lately.
pub(super) struct Rates {
    /// What is given back of a bucket in a second.
    rate: f64,
    /// Callers are kept by their hash: an entry has one size.
    hasher: RandomState,
    spent: Mutex<HashMap<u64, Spent>>,
}

/// What a call takes out of its caller's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost(u32);

impl Cost {
    pub(super) const USUAL: Self = Self(1);
    /// Reads or compares the whole configuration, or searches the audit log.
    pub(super) const HIGH: Self = Self(5);
}

#[derive(Clone, Copy)]
struct Spent {
    /// At that moment.
    amount: f64,
    at: Instant,
}

impl Rates {
    /// `rate` usual calls a second, and [`BURST`] times as many at once.
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate), hasher: RandomState::new(), spent: Mutex::default() }
    }

    /// Lets a call of somebody who is signed in through, or says when to try again.
    pub(super) fn admit(&self, caller: &Caller, cost: Cost) -> Result<(), ApiError> {
        self.take(("caller", caller.credential()), cost, Instant::now())
    }

    /// As [`admit`](Self::admit), of somebody nobody has vouched for.
    pub(super) fn admit_stranger(&self, from: IpAddr, cost: Cost) -> Result<(), ApiError> {
        self.take(("address", network(from)), cost, Instant::now())
    }

    fn take(&self, who: impl Hash, Cost(cost): Cost, now: Instant) -> Result<(), ApiError> {
        let who = self.hasher.hash_one(who);
        let mut table = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.contains_key(&who) {
            let rate = self.rate;
            let over = |spent: &Spent, now| spent.left(rate, now) == 0.0;
            make_room(&mut table, MOST, now, over, |spent| spent.at);
        }
        let spent = table.entry(who).or_insert(Spent { amount: 0.0, at: now });
        let amount = spent.left(self.rate, now) + f64::from(cost);
        match amount - self.rate * BURST {
            over if over > 0.0 => {
                Err(ApiError::throttled(Duration::from_secs_f64(over / self.rate)))
            }
            _ => {
                *spent = Spent { amount, at: now };
                Ok(())
            }
        }
    }
}

impl Spent {
    fn left(&self, rate: f64, now: Instant) -> f64 {
        let given_back = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        (self.amount - given_back).max(0.0)
    }
}

/// In seconds: a page that loads everything at once, or a command that adds a few hundred objects.
const BURST: f64 = 4.0;
/// The most callers that are remembered; whoever is forgotten begins with a full bucket.
const MOST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_a_burst_and_then_a_rate_and_others_are_not_touched() {
        let (rates, start) = (Rates::new(50), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let admitted = |who: &str, cost, millis| rates.take(who, cost, at(millis)).is_ok();
        let burst = (0..1000).filter(|_| admitted("a", Cost::USUAL, 0)).count();
        assert_eq!(burst, 200);
        assert!(admitted("b", Cost::USUAL, 0));
        // Half a second gives back 25.
        let next = (0..100).filter(|_| admitted("a", Cost::USUAL, 500)).count();
        assert_eq!(next, 25);
        let dear = (0..100).filter(|_| admitted("a", Cost::HIGH, 1500)).count();
        assert_eq!(dear, 10);
        assert_eq!((0..1000).filter(|_| admitted("a", Cost::USUAL, 60_000)).count(), 200);
    }

    #[test]
    fn a_crowd_of_callers_costs_bounded_memory() {
        let (rates, start) = (Rates::new(50), Instant::now());
        for n in 0..10_000 {
            drop(rates.take(n, Cost::USUAL, start + Duration::from_micros(n)));
        }
        assert!(rates.spent.lock().unwrap().len() <= MOST);
    }
}
