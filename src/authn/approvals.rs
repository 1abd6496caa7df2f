//! Connections at the SSH door that wait until a browser approves them.
//!
//! Whoever connects is led to a page by a link, and the page shows the same code. Who approves there is
//! shown a number, which has to be typed where the connection is: so a link that a stranger sends opens
//! nothing for the stranger, whatever the page's reader clicks.

use std::ops::ControlFlow;
use std::time::Duration;

use access::{Name, sha256};
use secrecy::{ExposeSecret as _, SecretString};
use session::{AskingBrowser, AuthnError};
use tokio::time::Instant;

use super::by_code::{ByCode, Waits};

/// All that wait.
#[derive(Default)]
pub(crate) struct Approvals(ByCode<Terminal, Decision>);

/// What somebody wants to open, as the page shows it.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    /// The account at the application, as it was written.
    pub(crate) login: String,
    /// The application, as it was written.
    pub(crate) application: Option<String>,
}

enum Decision {
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
        let AskingBrowser { login, application, from } = *asked;
        let what = Terminal { login: shown(login), application: application.map(shown) };
        self.0.ask(what, from, now, APPROVAL_LIFE)
    }

    /// The one that waits under a code, however it was typed.
    pub(crate) fn find(&self, code: &str, now: Instant) -> Option<Waits<Terminal>> {
        self.0.find(code, now)
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
        let (by, number) = (by.clone(), SecretString::from(number()));
        let approved = Decision::Approved { by, token, number: number.clone(), left: MOST_WRONG };
        self.0.decide(code, approved, now).then_some(number)
    }

    /// `false`: it does not wait any more.
    pub(crate) fn deny(&self, code: &str, by: &Name, now: Instant) -> bool {
        self.0.decide(code, Decision::Denied { by: by.clone() }, now)
    }

    /// What opens the application, once, for whoever knows the number.
    pub(super) fn open(&self, secret: &SecretString, typed: &str, now: Instant) -> Opened {
        let opened = self.0.answered(secret, now, |decision| match decision {
            None => ControlFlow::Continue(Err(NotOpened::Early)),
            Some(decision) => decision.open(typed),
        });
        opened.unwrap_or(Err(NotOpened::Over))
    }

    /// Its connection is gone, or wants no browser any more.
    pub(super) fn forget(&self, secret: &SecretString) {
        self.0.forget(secret);
    }
}

type Opened = Result<SecretString, NotOpened>;

impl Decision {
    fn open(&mut self, typed: &str) -> ControlFlow<Opened, Opened> {
        match self {
            Self::Denied { by } => ControlFlow::Break(Err(NotOpened::Denied { by: by.clone() })),
            Self::Approved { token, number, .. } if same(typed, number) => {
                ControlFlow::Break(Ok(token.clone()))
            }
            Self::Approved { by, left, .. } => {
                *left = left.saturating_sub(1);
                let (by, again) = (by.clone(), *left > 0);
                let wrong = Err(NotOpened::Wrong { by, again });
                if again { ControlFlow::Continue(wrong) } else { ControlFlow::Break(wrong) }
            }
        }
    }
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
/// Numbers that may be wrong.
const MOST_WRONG: u8 = 3;
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::by_code::MOST_NEAR;

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
        assert!(!found.what.application.unwrap().contains('\u{1b}'));
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
