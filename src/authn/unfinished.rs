//! Sign-ins that have begun and need more: a second factor, or another password.
//!
//! What was shown so far is kept here and nowhere in the browser, which holds a secret that names it:
//! no form says whose sign-in it goes on with.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Name, TokenId, UserId, sha256};
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::second_factor::Second;
use super::throttle::make_room;
use super::totp::TotpKey;

/// What vouched for the user of a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// A one-time code, by `adit sign-in` or of a link.
    Code(TokenId),
    Password,
    /// Alone, for which its authenticator knew its user.
    Passkey,
    /// An OpenID provider, by its name in the relay's file.
    Provider(Name),
    /// A directory that knows the password, by its name in the relay's file.
    Directory(Name),
}

impl How {
    /// Its word in records.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Code(_) => "code",
            Self::Password => "password",
            Self::Passkey => "passkey",
            Self::Provider(_) => "provider",
            Self::Directory(_) => "directory",
        }
    }
}

/// Who somebody at a browser has turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) user: UserId,
    pub(crate) name: Name,
    pub(crate) how: How,
}

/// Something that a sign-in needs.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A code of the user's app, or a recovery code; or one of their passkeys, by their ids.
    Second { app: bool, passkeys: Vec<String> },
    /// An app with this key: one is asked for, and the user has none.
    Enrol(TotpKey),
    /// A look at recovery codes.
    Keep(Vec<SecretString>),
    /// Another password than the one-time password.
    Password,
}

/// A sign-in that is not one yet.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished {
    pub(crate) known: Known,
    /// What was shown besides.
    pub(crate) second: Option<Second>,
    /// What it needs, in this order.
    pub(crate) steps: Vec<Step>,
    /// Where the browser goes on to.
    pub(crate) next: String,
}

/// What waits for its browser to go on with it, under a secret that only that browser holds.
pub(crate) struct Waiting<T>(Mutex<HashMap<[u8; 32], (T, Instant)>>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Waiting<T> {
    /// Keeps one, and gives what its browser names it by.
    pub(crate) fn begin(&self, begun: T, now: Instant) -> SecretString {
        let secret: [u8; 32] = rand::random();
        let secret = BASE64URL_NOPAD.encode(&secret);
        let mut table = self.table();
        make_room(&mut table, MOST, now, |(_, end), now| now >= *end, |(_, end)| *end);
        table.insert(sha256(secret.as_bytes()), (begun, now + LIFE));
        secret.into()
    }

    pub(crate) fn look(&self, secret: &SecretString, now: Instant) -> Option<T> {
        let table = self.table();
        let (begun, end) = table.get(&key(secret))?;
        (now < *end).then(|| begun.clone())
    }

    /// As [`look`](Self::look), once.
    pub(crate) fn take(&self, secret: &SecretString, now: Instant) -> Option<T> {
        let (begun, end) = self.table().remove(&key(secret))?;
        (now < end).then_some(begun)
    }

    /// Puts what has come of one in its place. Nothing, where it is over.
    pub(crate) fn put(&self, secret: &SecretString, then: T) {
        self.table().entry(key(secret)).and_modify(|(begun, _)| *begun = then);
    }

    /// `false`: it was forgotten before.
    pub(crate) fn forget(&self, secret: &SecretString) -> bool {
        self.table().remove(&key(secret)).is_some()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<[u8; 32], (T, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(secret: &SecretString) -> [u8; 32] {
    sha256(secret.expose_secret().as_bytes())
}

/// From the first thing shown to the last.
const LIFE: Duration = Duration::from_secs(600);
/// The one that began first makes room.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_sign_in_that_is_not_completed_is_known_to_its_browser_for_a_while() {
        let (waiting, now) = (Waiting::<Unfinished>::default(), Instant::now());
        let begun = Unfinished {
            known: Known {
                user: UserId(Uuid::nil()),
                name: "alice".parse().unwrap(),
                how: How::Password,
            },
            second: None,
            steps: vec![Step::Password],
            next: String::new(),
        };
        let look = |secret: &SecretString, at| Some(waiting.look(secret, at)?.known);
        let known = Some(begun.known.clone());
        let secret = waiting.begin(begun.clone(), now);
        let later = now + LIFE - Duration::from_secs(1);
        assert_eq!(look(&secret, later), known);
        assert_eq!(look(&secret, now + LIFE), None);
        assert_eq!(look(&"other".to_owned().into(), now), None);
        for _ in 0..MOST + 10 {
            waiting.begin(begun.clone(), now);
        }
        assert!(waiting.table().len() <= MOST);
        let once = waiting.begin(begun.clone(), now);
        assert!(waiting.take(&once, now).is_some() && waiting.take(&once, now).is_none());
        let last = waiting.begin(begun, now);
        assert!(waiting.forget(&last) && !waiting.forget(&last));
        assert_eq!(look(&last, now), None);
    }
}
