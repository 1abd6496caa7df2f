//! A request of a browser, from its cookie to a session; and the relay's own pages at an
//! application's host.

use std::net::IpAddr;

use hyper::{Request, Response, StatusCode};
use uuid::Uuid;

use crate::answer::WebBody;
use crate::browser::{self, Cookies, Own};
use crate::change;
use crate::door::{Asked, By, Inner, Turned, no_token};
use crate::host::without_port;
use crate::leftover::Watched;
use crate::problem::Refusal;
use crate::sessions::Visit;
use crate::token::TokenFault;

impl Inner {
    /// Lets a browser in by its cookie. One without is sent to the relay's host if somebody looks at
    /// what it shows, and else told to show a token.
    pub(crate) async fn visit(
        &self,
        request: &Request<Watched>,
        asked: &Asked,
        cookies: &Cookies,
        from: IpAddr,
    ) -> Result<Visit, Turned> {
        let visitor = cookies.visitor.as_ref().and_then(|cookie| {
            let application = self.broker.policy().labelled(&asked.label)?.clone();
            let who = self.sign_ins.visitor(cookie, application.id, from)?;
            Some((who, application))
        });
        let Some((who, application)) = visitor else {
            if !browser::navigates(request) {
                return Err(no_token(TokenFault::None).into());
            }
            let (relay, nonce) = (self.relay(&asked.authority), cookies.nonce.as_ref());
            let to = browser::to_relay(&relay, &asked.authority, &asked.target, nonce);
            return Err(Turned::Here(to));
        };
        let upgrade = change::is_asked(request.method(), request.headers());
        if !browser::is_own(request.method(), request.headers(), &asked.authority, upgrade) {
            return Err(browser::foreign().into());
        }
        Ok(self.enter_as(&who, &application).await?)
    }

    /// Answers for a page of the relay's own at an application's host.
    pub(crate) fn of_our_own(&self, own: Own, asked: &Asked) -> Result<Turned, Refusal> {
        let answer = match own {
            Own::Enter { code } => self.let_in(code, asked)?,
            Own::SignOut => {
                let page = format!("https://{}/sign-out", self.relay(&asked.authority));
                browser::redirect(StatusCode::SEE_OTHER, &page)
            }
            Own::Asset(asset) => browser::send(asset),
            Own::Nothing => return Err(browser::nothing()),
        };
        Ok(Turned::Here(answer))
    }

    fn let_in(&self, code: String, asked: &Asked) -> Result<Response<WebBody>, Refusal> {
        let By::Cookies(Cookies { nonce: Some(nonce), .. }) = &asked.by else {
            return Err(browser::stray());
        };
        let application = self.broker.policy().labelled(&asked.label).map(|app| app.id);
        let entered = application
            .and_then(|application| self.sign_ins.enter(&code.into(), application, nonce));
        let entered = entered.ok_or_else(browser::stray)?;
        Ok(browser::let_in(&asked.authority, &entered.path, &entered.cookie))
    }

    /// A refusal as a page.
    pub(crate) fn show(&self, id: Uuid, refusal: Refusal, host: &str) -> Response<WebBody> {
        browser::show(refusal, id, &browser::Next { relay: &self.relay(host), host })
    }

    /// Host, port and path of the relay's own pages, for who has reached an application at
    /// `authority`.
    fn relay(&self, authority: &str) -> String {
        if let Some(public) = &self.public {
            return public.clone();
        }
        match authority.strip_prefix(without_port(authority)) {
            Some(port) => format!("{}{port}", self.domain),
            None => self.domain.clone(),
        }
    }
}
