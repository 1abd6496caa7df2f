//! Pages on which somebody approves what waits under a code, as both sides show it.

use std::time::SystemTime;

use access::Credential;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use gateway_web::{Html, document};
use serde::Deserialize;

use super::asking::Asking;
use super::go::to_sign_in;
use super::pages::{encoded, fields, header, page, shown, warning};
use crate::AppState;

/// What such a page is for.
pub(super) struct CodePage {
    pub(super) path: &'static str,
    pub(super) title: &'static str,
    /// What somebody else would do in the name of whose browser this is.
    pub(super) danger: &'static str,
    /// Where a code comes from: HTML.
    pub(super) ask: &'static str,
    /// What waits under a code, and the error code where nothing does.
    pub(super) waits: (&'static str, &'static str),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Which {
    code: String,
}

impl CodePage {
    /// The code that the page is opened with, of somebody who may approve; else what they are told.
    pub(super) fn code(
        &self,
        state: &AppState,
        asking: &Asking,
        uri: &Uri,
    ) -> Result<String, Box<Response>> {
        let Which { code } = fields(uri.query().unwrap_or_default()).unwrap_or_default();
        if asking.who.is_none() {
            return Err(Box::new(to_sign_in(asking)));
        }
        self.fresh(state, asking, &code)?;
        match code.is_empty() {
            true => Err(Box::new(self.ask_for_code(StatusCode::OK, asking, Html::default()))),
            false => Ok(code),
        }
    }

    /// Whoever sits at a browser that somebody left must not be able to approve: the sign-in has to be a
    /// recent one.
    pub(super) fn fresh(
        &self,
        state: &AppState,
        asking: &Asking,
        code: &str,
    ) -> Result<(), Box<Response>> {
        match is_fresh(state, asking) {
            true => Ok(()),
            false => Err(Box::new(self.again(asking, code))),
        }
    }

    fn again(&self, asking: &Asking, code: &str) -> Response {
        let next = encoded(&format!("{}?code={}", self.path, encoded(code)));
        let main = Html::of(
            "<h1>Sign in again</h1><p>You signed in a while ago. So that nobody else {} in your name, \
             sign in once more. What you have open in this browser ends with that.</p>\
             <p><a class=\"button\" href=\"/sign-in?next={}\">Sign in</a></p>",
            &[Html::text(self.danger), Html::text(&next)],
        );
        shown("Sign in again", true, asking, main)
    }

    /// Nothing waits under a code.
    pub(super) fn nothing(&self, asking: &Asking) -> Response {
        let (waits, code) = self.waits;
        let told = warning(&format!("no {waits} waits under that code"), Some(code));
        self.ask_for_code(StatusCode::NOT_FOUND, asking, told)
    }

    fn ask_for_code(&self, status: StatusCode, asking: &Asking, told: Html) -> Response {
        let main = Html::of(
            "<h1>{}</h1>{}<p class=\"soft\">{}</p>\
             <form method=\"get\" action=\"{}\">\
             <label for=\"code\">Code</label>\
             <input id=\"code\" name=\"code\" required autofocus spellcheck=\"false\" \
             autocapitalize=\"characters\" autocomplete=\"off\" maxlength=\"16\">\
             <button class=\"wide\">Go on</button></form>",
            &[Html::text(self.title), told, Html::of(self.ask, &[]), Html::text(self.path)],
        );
        page(status, document(self.title, true, header(asking), main))
    }

    /// The question whether to approve what waits under a code. `more`: what else is to be said for it.
    pub(super) fn question(&self, asking: &Asking, what: Html, code: &str, more: Html) -> Response {
        let code = Html::text(code);
        let main = Html::of(
            "{}<p class=\"code mono\">{}</p>\
             <form method=\"post\" action=\"{}\">\
             <input type=\"hidden\" name=\"code\" value=\"{}\">{}<div class=\"row\">\
             <button name=\"which\" value=\"approve\">Approve</button>\
             <button class=\"plain\" name=\"which\" value=\"deny\">Deny</button></div></form>",
            &[what, code.clone(), Html::text(self.path), code, more],
        );
        shown(self.title, true, asking, main)
    }
}

fn is_fresh(state: &AppState, asking: &Asking) -> bool {
    let Some(who) = &asking.who else { return false };
    let Credential::SignIn { id } = who.credential() else { return false };
    state.authn.browsers().is_fresh(*id, SystemTime::now())
}
