//! Connections at the SSH door that wait until a browser approves them. Kept in memory, bounded, for
//! minutes.
//!
//! Whoever connects is led to a page by a link, and the page shows the same code. Who approves there is
//! shown a number, which has to be typed where the connection is: so a link that a stranger sends opens
//! nothing for the stranger, whatever the page's reader clicks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Name, sha256};
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret as _, SecretString};
use session::{AskingBrowser, AuthnError};
use tokio::time::Instant;

use super::devices::{plain, user_code};
use super::throttle::network;

/// All that wait, by the hash of what their connection knows them by.
#[derive(Default)]
pub(crate) struct Approvals(Mutex<HashMap<[u8; 32], Waits>>);

/// One that waits, as the page shows it.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    pub(crate) code: String,
    /// The account at the application, as it was written.
    pub(crate) login: String,
    /// The application, as it was written.
    pub(crate) application: Option<String>,
    pub(crate) from: IpAddr,
    end: Instant,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    Approved { by: Name, token: SecretString, number: SecretString, left: u8 },
    Denied { by: Name },
}

/// Why a number opened nothing, for the auditor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOpened {
    #[error("it was denied in the browser")]
    Denied { by: Name },
    #[error("nobody has approved it in the browser yet")]
    Early,
    #[error("nobody waits for the browser any more")]
    Over,
    #[error("the number is not the one that the browser's page gave")]
    Wrong { by: Name, again: bool },
}

impl NotOpened {
    /// What is told where the number was typed: whether it may be typed again, and nothing else.
    pub(super) fn told(&self) -> AuthnError {
        match self {
            Self::Early | Self::Wrong { again: true, .. } => AuthnError::NotApproved,
            Self::Denied { .. } | Self::Over | Self::Wrong { again: false, .. } => {
                AuthnError::NotCompleted
            }
        }
    }

    /// Who has decided in the browser.
    pub(super) fn by(&self) -> Option<&Name> {
        match self {
            Self::Denied { by } | Self::Wrong { by, .. } => Some(by),
            Self::Early | Self::Over => None,
        }
    }
}

impl Approvals {
    /// Has one wait, and gives what its connection knows it by and the code. `None`: too many wait
    /// from there, or at all.
    pub(crate) fn ask(
        &self,
        asked: &AskingBrowser<'_>,
        now: Instant,
    ) -> Option<(SecretString, String)> {
        let mut table = self.table();
        table.retain(|_, waits| now < waits.end);
        let near = |waits: &&Waits| network(waits.from) == network(asked.from);
        if table.len() >= MOST || table.values().filter(near).count() >= MOST_NEAR {
            return None;
        }
        let secret: [u8; 32] = rand::random();
        let (secret, code) = (BASE64URL_NOPAD.encode(&secret), user_code());
        let waits = Waits {
            code: code.clone(),
            login: shown(asked.login),
            application: asked.application.map(shown),
            from: asked.from,
            end: now + APPROVAL_LIFE,
            state: State::Waiting,
        };
        table.insert(sha256(secret.as_bytes()), waits);
        Some((secret.into(), code))
    }

    /// The one that waits under a code, however it was typed.
    pub(crate) fn find(&self, code: &str, now: Instant) -> Option<Waits> {
        self.table().values().find(|waits| waits.is(code, now)).cloned()
    }

    /// Approves one with the token that opens its application, and gives the number to type there.
    /// `None`: it does not wait any more.
    pub(crate) fn approve(
        &self,
        code: &str,
        by: &Name,
        token: SecretString,
        now: Instant,
    ) -> Option<SecretString> {
        let mut table = self.table();
        let waits = table.values_mut().find(|waits| waits.is(code, now))?;
        let number = SecretString::from(number());
        waits.state =
            State::Approved { by: by.clone(), token, number: number.clone(), left: MOST_WRONG };
        Some(number)
    }

    /// `false`: it does not wait any more.
    pub(crate) fn deny(&self, code: &str, by: &Name, now: Instant) -> bool {
        let mut table = self.table();
        let Some(waits) = table.values_mut().find(|waits| waits.is(code, now)) else {
            return false;
        };
        waits.state = State::Denied { by: by.clone() };
        true
    }

    /// What opens the application, once, for whoever knows the number.
    pub(super) fn open(
        &self,
        secret: &SecretString,
        typed: &str,
        now: Instant,
    ) -> Result<SecretString, NotOpened> {
        let key = key(secret);
        let mut table = self.table();
        let waits = table.get_mut(&key).filter(|waits| now < waits.end).ok_or(NotOpened::Over)?;
        let opened = match &mut waits.state {
            State::Waiting => return Err(NotOpened::Early),
            State::Denied { by } => Err(NotOpened::Denied { by: by.clone() }),
            State::Approved { token, number, .. } if same(typed, number) => Ok(token.clone()),
            State::Approved { by, left, .. } if *left > 1 => {
                *left -= 1;
                return Err(NotOpened::Wrong { by: by.clone(), again: true });
            }
            State::Approved { by, .. } => Err(NotOpened::Wrong { by: by.clone(), again: false }),
        };
        table.remove(&key);
        opened
    }

    /// Its connection is gone, or wants no browser any more.
    pub(super) fn forget(&self, secret: &SecretString) {
        self.table().remove(&key(secret));
    }

    fn table(&self) -> MutexGuard<'_, HashMap<[u8; 32], Waits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits {
    /// Whether it waits under this code.
    fn is(&self, code: &str, now: Instant) -> bool {
        now < self.end && matches!(self.state, State::Waiting) && plain(&self.code) == plain(code)
    }
}

fn key(secret: &SecretString) -> [u8; 32] {
    sha256(secret.expose_secret().as_bytes())
}

/// Six digits, each as likely as the others.
fn number() -> String {
    let drawn = u64::from_be_bytes(rand::random()) % 1_000_000;
    format!("{drawn:06}")
}

/// However it is grouped.
fn same(typed: &str, number: &SecretString) -> bool {
    let typed: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    sha256(typed.as_bytes()) == sha256(number.expose_secret().as_bytes())
}

fn shown(text: &str) -> String {
    access::text::visible(text).chars().take(LONGEST_NAME).collect()
}

/// From the link to the number. The SSH door waits as long.
pub(crate) const APPROVAL_LIFE: Duration = Duration::from_secs(300);
const MOST: usize = 1024;
/// From one network at a time.
const MOST_NEAR: usize = 8;
/// Numbers that may be wrong.
const MOST_WRONG: u8 = 3;
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(from: [u8; 4]) -> AskingBrowser<'static> {
        AskingBrowser { login: "ubuntu", application: Some("web1\u{1b}"), from: from.into() }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_approved_opens_once_and_for_who_knows_the_number_alone() {
        let (approvals, now) = (Approvals::default(), Instant::now());
        let (secret, code) = approvals.ask(&asked([192, 0, 2, 1]), now).unwrap();
        let open = |typed: &str, now| approvals.open(&secret, typed, now).map(drop);
        assert_eq!(open("", now), Err(NotOpened::Early));
        let found = approvals.find(&code.to_lowercase().replace('-', " "), now).unwrap();
        assert!(!found.application.unwrap().contains('\u{1b}'));
        assert!(approvals.find("", now).is_none());
        let number = approvals.approve(&code, &name("alice"), "token".to_owned().into(), now);
        let number = number.unwrap().expose_secret().to_owned();
        assert!(number.len() == 6 && number.bytes().all(|byte| byte.is_ascii_digit()));
        let again = approvals.approve(&code, &name("bob"), "other".to_owned().into(), now);
        assert!(again.is_none() && approvals.find(&code, now).is_none(), "approved once");
        let stranger = SecretString::from("guess");
        assert_eq!(approvals.open(&stranger, &number, now).map(drop), Err(NotOpened::Over));
        assert_eq!(open(&code, now), Err(NotOpened::Wrong { by: name("alice"), again: true }));
        let token = approvals.open(&secret, &format!(" {} {}", &number[..3], &number[3..]), now);
        assert_eq!(token.unwrap().expose_secret(), "token");
        assert_eq!(open(&number, now), Err(NotOpened::Over));
    }

    #[test]
    fn a_number_can_not_be_guessed() {
        let (approvals, now) = (Approvals::default(), Instant::now());
        let (secret, code) = approvals.ask(&asked([192, 0, 2, 1]), now).unwrap();
        let number = approvals.approve(&code, &name("alice"), "token".to_owned().into(), now);
        for n in 1..=MOST_WRONG {
            let wrong = approvals.open(&secret, "wrong", now).map(drop);
            let again = n < MOST_WRONG;
            assert_eq!(wrong, Err(NotOpened::Wrong { by: name("alice"), again }));
        }
        let right = approvals.open(&secret, number.unwrap().expose_secret(), now).map(drop);
        assert_eq!(right, Err(NotOpened::Over));
    }

    #[test]
    fn what_was_denied_forgotten_or_not_answered_in_time_opens_nothing() {
        let (approvals, now) = (Approvals::default(), Instant::now());
        let (secret, code) = approvals.ask(&asked([192, 0, 2, 1]), now).unwrap();
        assert!(approvals.deny(&code, &name("alice"), now));
        let denied = approvals.open(&secret, "1", now).map(drop);
        assert_eq!(denied, Err(NotOpened::Denied { by: name("alice") }));
        let (secret, code) = approvals.ask(&asked([192, 0, 2, 1]), now).unwrap();
        approvals.forget(&secret);
        assert!(approvals.find(&code, now).is_none());
        let (secret, code) = approvals.ask(&asked([192, 0, 2, 1]), now).unwrap();
        let (by, token) = (name("alice"), SecretString::from("token"));
        let number = approvals.approve(&code, &by, token, now).unwrap();
        let late = approvals.open(&secret, number.expose_secret(), now + APPROVAL_LIFE).map(drop);
        assert_eq!(late, Err(NotOpened::Over));
        let (_, code) = approvals.ask(&asked([192, 0, 2, 1]), now).unwrap();
        assert!(!approvals.deny(&code, &by, now + APPROVAL_LIFE));
    }

    #[test]
    fn nobody_takes_all_the_places() {
        let (approvals, now) = (Approvals::default(), Instant::now());
        let ask = |from, now| approvals.ask(&asked(from), now).is_some();
        assert_eq!((0..20).filter(|_| ask([192, 0, 2, 1], now)).count(), MOST_NEAR);
        assert!(ask([192, 0, 2, 2], now), "others");
        assert!(ask([192, 0, 2, 1], now + APPROVAL_LIFE), "later");
    }
}
