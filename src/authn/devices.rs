//! Machines that ask to be signed in by a browser.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::by_code::{ByCode, Waits};

/// All that have asked, by what each calls itself. The answer is the token that signs it in; `None`: it
/// was denied.
#[derive(Default)]
pub(crate) struct Devices(ByCode<String, Option<SecretString>>);

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
        let device: String = access::text::visible(device).chars().take(LONGEST_NAME).collect();
        let device = if device.is_empty() { "unnamed".to_owned() } else { device };
        self.0.ask(device, from, now, LIFE)
    }

    /// The one that waits under a code, however it was typed.
    pub(crate) fn find(&self, code: &str, now: Instant) -> Option<Waits<String>> {
        self.0.find(code, now)
    }

    /// Approves one with a token, or denies it. `false`: it does not wait any more.
    pub(crate) fn decide(&self, code: &str, token: Option<SecretString>, now: Instant) -> bool {
        self.0.decide(code, token, now)
    }

    /// What has become of a question; a token is given once.
    pub(crate) fn poll(&self, secret: &SecretString, now: Instant) -> Polled {
        let polled = self.0.answered(secret, now, |answer| match answer {
            None => ControlFlow::Continue(Polled::Waiting),
            Some(Some(token)) => ControlFlow::Break(Polled::Approved(token.clone())),
            Some(None) => ControlFlow::Break(Polled::Denied),
        });
        polled.unwrap_or(Polled::Over)
    }
}

/// From the question to the token.
pub(crate) const LIFE: Duration = Duration::from_secs(600);
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::authn::by_code::MOST_NEAR;

    #[test]
    fn a_machine_gets_its_token_once_and_only_after_a_yes() {
        let (devices, now, from) = (Devices::default(), Instant::now(), [192, 0, 2, 1].into());
        let (secret, code) = devices.ask("laptop\u{1b}", from, now).unwrap();
        assert!(matches!(devices.poll(&secret, now), Polled::Waiting));
        let typed = code.to_lowercase().replace('-', " ");
        assert!(!devices.find(&typed, now).unwrap().what.contains('\u{1b}'));
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
