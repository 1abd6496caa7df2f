//! What pages are made of, and refusals as pages.

use access::{Code, Explain};
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use gateway_web::{Asset, DENIED, Html, document};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::asking::Asking;
use crate::api::ApiError;

/// A page that says why there is no other.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: String,
    detail: String,
    hint: Option<String>,
    /// What can be done about it.
    more: Html,
    id: Option<Uuid>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &str, detail: &str, hint: Option<&str>) -> Self {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        let hint = hint.map(str::to_owned);
        Self { status, code, detail, hint, more: Html::default(), id: None }
    }

    pub(super) fn explained(status: StatusCode, why: &dyn Explain) -> Self {
        let hint = why.hint();
        // What is said to programs is of tokens.
        let denied = why.code().0 == "access.denied";
        let hint = if denied { Some(DENIED) } else { hint.as_deref() };
        Self::new(status, why.code().0, &why.public(), hint)
    }

    pub(super) fn of(error: &ApiError) -> Self {
        let problem = error.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, &problem.code, &problem.detail, problem.hint.as_deref())
    }

    pub(super) fn foreign() -> Self {
        let detail = "another site asks for this in your name";
        let code = Code("web.cross_origin");
        Self::new(
            StatusCode::FORBIDDEN,
            code.0,
            detail,
            Some("go back and use this page's own form"),
        )
    }

    pub(super) fn invalid(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code("request.invalid").0, detail, None)
    }

    pub(super) fn nothing() -> Self {
        let detail = "the relay has no such page";
        Self::new(StatusCode::NOT_FOUND, Code("request.not_found").0, detail, None)
    }

    pub(super) fn with(self, id: Uuid) -> Self {
        Self { id: Some(id), ..self }
    }

    pub(super) fn offering(self, more: Html) -> Self {
        Self { more, ..self }
    }

    /// As [`offering`](Self::offering), in place of what else is said that could be done.
    pub(super) fn hinting_only(self, more: Html) -> Self {
        Self { more, hint: None, ..self }
    }

    fn title(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "You are not signed in",
            403 => "You can not open this",
            404 => "Nothing is here",
            429 | 503 => "Not just now",
            _ => "This did not work",
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let hint = self.hint.as_deref().map(|hint| Html::of("<p>{}</p>", &[Html::sentence(hint)]));
        let id = self.id.map(|id| {
            let id = Html::text(&id.to_string());
            Html::of("<br>Request <span class=\"mono\">{}</span>", &[id])
        });
        let title = self.title();
        let main = Html::of(
            "<h1>{}</h1><p>{}</p>{}{}<p class=\"small soft\"><span class=\"mono\">{}</span>{}</p>",
            &[
                Html::text(title),
                Html::sentence(&self.detail),
                hint.unwrap_or_default(),
                self.more,
                Html::text(&self.code),
                id.unwrap_or_default(),
            ],
        );
        page(self.status, document(title, true, brand(), main))
    }
}

/// A page for somebody.
pub(super) fn shown(title: &str, narrow: bool, asking: &Asking, main: Html) -> Response {
    page(StatusCode::OK, document(title, narrow, header(asking), main))
}

/// What a page was made of; an extension of its answer, for where its links lead elsewhere.
#[derive(Clone)]
pub(super) struct Page(pub(super) Html);

pub(super) fn page(status: StatusCode, text: Html) -> Response {
    let mut response = Response::new(Body::from(text.clone().into_bytes()));
    response.extensions_mut().insert(Page(text));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

/// A sentence about what did not work, with its code.
pub(super) fn warning(text: &str, code: Option<&str>) -> Html {
    let code =
        code.map(|code| Html::of(" <span class=\"mono small\">{}</span>", &[Html::text(code)]));
    let parts = [Html::sentence(text), code.unwrap_or_default()];
    Html::of("<p class=\"warn\" role=\"alert\">{}{}</p>", &parts)
}

/// The top of a page: whose it is, and the way out.
pub(super) fn header(asking: &Asking) -> Html {
    let who = asking.who.as_ref().map(|who| {
        Html::of(
            "<form method=\"get\" action=\"/sign-out\"><span class=\"small\">{}&ensp;</span>\
             <button class=\"plain\">Sign out</button></form>",
            &[Html::text(who.name().as_str())],
        )
    });
    Html::all([brand(), who.unwrap_or_default()])
}

pub(super) fn brand() -> Html {
    Html::of("<a class=\"brand\" href=\"/\">Adit</a>", &[])
}

pub(super) fn redirect(status: StatusCode, link: &str) -> Response {
    let mut response = status.into_response();
    let link = HeaderValue::from_str(link).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, link);
    response
}

pub(super) fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

pub(super) fn send(asset: &'static Asset) -> Response {
    let headers: [(HeaderName, &'static str); 2] =
        [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.text).into_response()
}

/// What a form or a query says; both are written alike.
pub(super) fn fields<T: DeserializeOwned>(text: &str) -> Option<T> {
    let uri = Uri::builder().path_and_query(format!("/?{text}")).build().ok()?;
    axum::extract::Query::try_from_uri(&uri).ok().map(|query| query.0)
}

/// A text as one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    let each = text.bytes();
    each.map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
