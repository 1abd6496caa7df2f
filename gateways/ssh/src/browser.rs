//! Signing in by a browser, for whoever has neither token nor key at hand: a link to open, and a number
//! that its page gives.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use access::Authenticated;
use secrecy::SecretString;
use session::{AskingBrowser, AuthnError, BrowserLink};

use crate::Gateway;
use crate::dialogue::Question;
use crate::proto::UserName;
use crate::words;

/// A browser that was asked on behalf of one connection, and for that alone: nobody waits for it once
/// this is gone.
pub(crate) struct Led {
    gateway: Arc<Gateway>,
    link: BrowserLink,
}

impl Led {
    /// `None`: too many wait.
    pub(crate) fn ask(gateway: &Arc<Gateway>, user: &str, from: IpAddr) -> Option<Self> {
        let name = UserName::parse(user).ok()?;
        let asked = AskingBrowser { login: name.login, application: name.application, from };
        let link = gateway.authn.ask_browser(asked)?;
        Some(Self { gateway: gateway.clone(), link })
    }

    /// `before`: what was wrong with the last answer.
    pub(crate) fn question(&self, before: &str) -> Question {
        let BrowserLink { url, code, .. } = &self.link;
        Question {
            name: String::new(),
            instructions: words::led(before, url, code),
            prompts: vec![(words::NUMBER_PROMPT.to_owned(), true)],
        }
    }

    pub(crate) async fn answer(
        &self,
        number: &SecretString,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        self.gateway.authn.by_browser(&self.link, number, from).await
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        self.gateway.authn.forget_browser(&self.link);
    }
}

/// Links for one connection.
pub(crate) const MOST_LED: u8 = 2;

/// For finding the browser, signing in there, and typing the number.
pub(crate) const BROWSER_DEADLINE: Duration = Duration::from_secs(300);
