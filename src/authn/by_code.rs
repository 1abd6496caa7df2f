//! What waits until somebody decides on it in a browser, by a code that both sides show. Kept in memory,
//! bounded, for minutes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::sha256;
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::throttle::network;

/// All that wait, by the hash of what whoever asked knows them by. `Q`: what is decided on; `A`: what can
/// become of it.
pub(super) struct ByCode<Q, A>(Mutex<HashMap<[u8; 32], Entry<Q, A>>>);

struct Entry<Q, A> {
    waits: Waits<Q>,
    end: Instant,
    answer: Option<A>,
}

/// One that waits, as whoever decides sees it.
#[derive(Clone, Debug)]
pub(crate) struct Waits<Q> {
    pub(crate) code: String,
    pub(crate) from: IpAddr,
    pub(crate) what: Q,
}

impl<Q, A> Default for ByCode<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Clone, A> ByCode<Q, A> {
    /// Has one wait, and gives what whoever asks knows it by, and the code. `None`: too many wait from
    /// there, or at all.
    pub(super) fn ask(
        &self,
        what: Q,
        from: IpAddr,
        now: Instant,
        life: Duration,
    ) -> Option<(SecretString, String)> {
        let mut table = self.table();
        table.retain(|_, entry| now < entry.end);
        let near = table.values().filter(|entry| network(entry.waits.from) == network(from));
        if table.len() >= MOST || near.count() >= MOST_NEAR {
            return None;
        }
        let secret: [u8; 32] = rand::random();
        let (secret, code) = (BASE64URL_NOPAD.encode(&secret), fresh_code());
        let waits = Waits { code: code.clone(), from, what };
        let entry = Entry { waits, end: now + life, answer: None };
        table.insert(sha256(secret.as_bytes()), entry);
        Some((secret.into(), code))
    }

    /// The one that waits under a code, however it was typed.
    pub(super) fn find(&self, code: &str, now: Instant) -> Option<Waits<Q>> {
        let table = self.table();
        table.values().find(|entry| entry.waits_under(code, now)).map(|entry| entry.waits.clone())
    }

    /// Answers one. `false`: it does not wait any more.
    pub(super) fn decide(&self, code: &str, answer: A, now: Instant) -> bool {
        let mut table = self.table();
        let found = table.values_mut().find(|entry| entry.waits_under(code, now));
        let is_there = found.is_some();
        if let Some(entry) = found {
            entry.answer = Some(answer);
        }
        is_there
    }

    /// What whoever has the secret makes of the answer, which may not be there yet. It is over with a
    /// break. `None`: it is over already.
    pub(super) fn answered<T>(
        &self,
        secret: &SecretString,
        now: Instant,
        take: impl FnOnce(Option<&mut A>) -> ControlFlow<T, T>,
    ) -> Option<T> {
        let key = key(secret);
        let mut table = self.table();
        let entry = table.get_mut(&key).filter(|entry| now < entry.end)?;
        match take(entry.answer.as_mut()) {
            ControlFlow::Continue(taken) => Some(taken),
            ControlFlow::Break(taken) => {
                table.remove(&key);
                Some(taken)
            }
        }
    }

    /// Whoever asked is gone.
    pub(super) fn forget(&self, secret: &SecretString) {
        self.table().remove(&key(secret));
    }

    fn table(&self) -> MutexGuard<'_, HashMap<[u8; 32], Entry<Q, A>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A> Entry<Q, A> {
    fn waits_under(&self, code: &str, now: Instant) -> bool {
        now < self.end && self.answer.is_none() && plain(&self.waits.code) == plain(code)
    }
}

fn key(secret: &SecretString) -> [u8; 32] {
    sha256(secret.expose_secret().as_bytes())
}

/// Eight letters that make no words and are not taken for others (RFC 8628, 6.1).
fn fresh_code() -> String {
    const LETTERS: &[u8; 16] = b"BCDFGHJKLMNPQRST";
    let bytes: [u8; 8] = rand::random();
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte % 16)]));
    let (first, second) = letters.split_at(4);
    format!("{}-{}", first.iter().collect::<String>(), second.iter().collect::<String>())
}

fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase()
}

const MOST: usize = 1024;
/// From one network at a time.
pub(super) const MOST_NEAR: usize = 8;
