//! Machines that ask to be signed in by a browser. Kept in memory, bounded, for minutes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::sha256;
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::throttle::network;

/// All that have asked, by the hash of what they ask with.
#[derive(Default)]
pub(crate) struct Devices(Mutex<HashMap<[u8; 32], Asked>>);

/// One that has asked, as whoever approves sees it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) user_code: String,
    pub(crate) device: String,
    pub(crate) from: IpAddr,
    end: Instant,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    /// With the token that signs it in.
    Approved(SecretString),
    Denied,
}

/// What has become of a question.
#[derive(Debug)]
pub(crate) enum Polled {
    Waiting,
    Approved(SecretString),
    Denied,
    /// There is none such, any more.
    Over,
}

impl Devices {
    /// Keeps a question, and gives what its machine asks with and shows. `None`: too many ask from
    /// there, or at all.
    pub(crate) fn ask(
        &self,
        device: &str,
        from: IpAddr,
        now: Instant,
    ) -> Option<(SecretString, String)> {
        let mut table = self.table();
        table.retain(|_, asked| now < asked.end);
        let near = table.values().filter(|asked| network(asked.from) == network(from)).count();
        if table.len() >= MOST || near >= MOST_NEAR {
            return None;
        }
        let secret: [u8; 32] = rand::random();
        let secret = BASE64URL_NOPAD.encode(&secret);
        let user_code = user_code();
        let device: String = access::text::visible(device).chars().take(LONGEST_NAME).collect();
        let asked = Asked {
            user_code: user_code.clone(),
            device: if device.is_empty() { "unnamed".to_owned() } else { device },
            from,
            end: now + LIFE,
            state: State::Waiting,
        };
        table.insert(sha256(secret.as_bytes()), asked);
        Some((secret.into(), user_code))
    }

    /// The one that waits under a code, however it was typed.
    pub(crate) fn find(&self, code: &str, now: Instant) -> Option<Asked> {
        let code = plain(code);
        let table = self.table();
        let waits = |asked: &&Asked| {
            now < asked.end
                && matches!(asked.state, State::Waiting)
                && plain(&asked.user_code) == code
        };
        table.values().find(waits).cloned()
    }

    /// Approves one with a token, or denies it. `false`: it does not wait any more.
    pub(crate) fn decide(&self, code: &str, token: Option<SecretString>, now: Instant) -> bool {
        let code = plain(code);
        let mut table = self.table();
        let waits = |asked: &&mut Asked| {
            now < asked.end
                && matches!(asked.state, State::Waiting)
                && plain(&asked.user_code) == code
        };
        let Some(asked) = table.values_mut().find(waits) else { return false };
        asked.state = token.map_or(State::Denied, State::Approved);
        true
    }

    /// What has become of a question; a token is given once.
    pub(crate) fn poll(&self, secret: &SecretString, now: Instant) -> Polled {
        let key = sha256(secret.expose_secret().as_bytes());
        let mut table = self.table();
        let Some(asked) = table.get(&key).filter(|asked| now < asked.end) else {
            return Polled::Over;
        };
        let polled = match &asked.state {
            State::Waiting => return Polled::Waiting,
            State::Approved(token) => Polled::Approved(token.clone()),
            State::Denied => Polled::Denied,
        };
        table.remove(&key);
        polled
    }

    fn table(&self) -> MutexGuard<'_, HashMap<[u8; 32], Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Eight letters that make no words and are not taken for others (RFC 8628, 6.1).
pub(super) fn user_code() -> String {
    const LETTERS: &[u8; 16] = b"BCDFGHJKLMNPQRST";
    let bytes: [u8; 8] = rand::random();
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte % 16)]));
    let (first, second) = letters.split_at(4);
    format!("{}-{}", first.iter().collect::<String>(), second.iter().collect::<String>())
}

pub(super) fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase()
}

/// From the question to the token.
pub(crate) const LIFE: Duration = Duration::from_secs(600);
const MOST: usize = 1024;
/// From one network at a time.
const MOST_NEAR: usize = 8;
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_gets_its_token_once_and_only_after_a_yes() {
        let (devices, now, from) = (Devices::default(), Instant::now(), [192, 0, 2, 1].into());
        let (secret, code) = devices.ask("laptop\u{1b}", from, now).unwrap();
        assert!(matches!(devices.poll(&secret, now), Polled::Waiting));
        let typed = code.to_lowercase().replace('-', " ");
        assert!(!devices.find(&typed, now).unwrap().device.contains('\u{1b}'));
        assert!(devices.find("", now).is_none() && devices.find("BBBB", now).is_none());
        assert!(devices.decide(&typed, Some("token".to_owned().into()), now));
        assert!(!devices.decide(&code, None, now), "decided once");
        assert!(devices.find(&code, now).is_none());
        let Polled::Approved(token) = devices.poll(&secret, now) else { panic!("approved") };
        assert_eq!(token.expose_secret(), "token");
        assert!(matches!(devices.poll(&secret, now), Polled::Over));
        let (secret, code) = devices.ask("laptop", from, now).unwrap();
        assert!(devices.decide(&code, None, now));
        assert!(matches!(devices.poll(&secret, now), Polled::Denied));
        let (secret, code) = devices.ask("laptop", from, now).unwrap();
        assert!(devices.find(&code, now + LIFE).is_none());
        assert!(!devices.decide(&code, None, now + LIFE));
        assert!(matches!(devices.poll(&secret, now + LIFE), Polled::Over));
    }

    #[test]
    fn nobody_takes_all_the_places() {
        let (devices, now) = (Devices::default(), Instant::now());
        let ask = |address: [u8; 4], now| devices.ask("x", address.into(), now).is_some();
        assert_eq!((0..20).filter(|_| ask([192, 0, 2, 1], now)).count(), MOST_NEAR);
        assert!(ask([192, 0, 2, 2], now), "others");
        assert!(ask([192, 0, 2, 1], now + LIFE), "later");
    }
}
