//! The relay below a path of a host that serves other things too, behind a reverse proxy.
//!
//! Everything else is written as if the relay stood at the root of its host. What is different below
//! a path is put right here, on the way in and out: the path, whether the proxy takes it away or
//! not; links, forms and redirects; and cookies.
//!
//! A cookie named `__Host-…` is sent to all of a host, so it would show a sign-in to every neighbour.
//! One of a path may be set by pages of applications below the domain, which could sign a browser in
//! as somebody else. So there are two: the sign-in's, of this path (`__Secure-…`), ends in a mark, and
//! counts only beside a cookie of this very host (`__Host-adit-mark`) that says the same.

use std::sync::Arc;

use aws_lc_rs::rand;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_LENGTH, COOKIE, HeaderValue, LOCATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;

use super::pages::{Page, redirect};

/// What a router serves, below `base` (`/adit`) and, for a proxy that takes that away, at the root.
pub(crate) fn below(base: &str, domain: &str, router: Router) -> Router {
    if base.is_empty() {
        // A name for every program of a machine is not the relay's to speak for.
        let alone = domain != "localhost" && !domain.ends_with(".localhost");
        return if alone { router.layer(map_response(only_by_tls)) } else { router };
    }
    let base: Arc<str> = base.into();
    // As a fallback it is routed after the path has changed.
    Router::new().fallback_service(router).layer(from_fn_with_state(base, stand))
}

/// Has browsers come by TLS only, to a host that is all the relay's (RFC 6797).
async fn only_by_tls(mut response: Response) -> Response {
    let year = HeaderValue::from_static("max-age=31536000");
    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, year);
    response
}

async fn stand(State(base): State<Arc<str>>, mut request: Request, next: Next) -> Response {
    match inside(&base, request.uri()) {
        Inside::Begin(link) => return redirect(StatusCode::PERMANENT_REDIRECT, &link),
        Inside::At(uri) => *request.uri_mut() = uri,
        Inside::Root => {}
    }
    let mark = take_in(request.headers_mut());
    let mut response = next.run(request).await;
    give_out(&base, &mark, response.headers_mut());
    if let Some(Page(text)) = response.extensions_mut().remove() {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::from(text.below(&base).into_bytes());
    }
    response
}

enum Inside {
    /// The base itself: its pages' relative addresses need a slash.
    Begin(String),
    At(Uri),
    Root,
}

fn inside(base: &str, uri: &Uri) -> Inside {
    let Some(target) = uri.path_and_query() else { return Inside::Root };
    let Some(rest) = target.as_str().strip_prefix(base) else { return Inside::Root };
    if !rest.starts_with('/') {
        return match rest.is_empty() || rest.starts_with('?') {
            true => Inside::Begin(format!("{base}/{rest}")),
            false => Inside::Root,
        };
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = rest.parse::<PathAndQuery>().ok();
    Uri::from_parts(parts).map_or(Inside::Root, Inside::At)
}

/// What tells a browser's own cookies from those that others have set in it.
struct Mark {
    text: String,
    fresh: bool,
}

/// Gives the relay's cookies the names they have at the root; those without this browser's mark go.
fn take_in(headers: &mut HeaderMap) -> Mark {
    let values = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs: Vec<(&str, &str)> = values
        .flat_map(|value| value.split(';'))
        .map(|pair| pair.trim().split_once('=').unwrap_or((pair.trim(), "")))
        .collect();
    let mut marks = pairs.iter().filter(|(name, _)| *name == MARK).map(|(_, value)| *value);
    let only = marks.next().filter(|mark| marks.next().is_none() && mark.len() == MARK_LENGTH);
    let ours = pairs.iter().filter_map(|(name, value)| {
        let (name, (value, mark)) = (name.strip_prefix(HERE)?, value.rsplit_once('.')?);
        (Some(mark) == only).then(|| format!("{ROOT}{name}={value}"))
    });
    let cookies = ours.collect::<Vec<_>>().join("; ");
    let mark = only.map_or_else(fresh, |mark| Mark { text: mark.to_owned(), fresh: false });
    headers.remove(COOKIE);
    if let Ok(cookies) = HeaderValue::from_str(&cookies)
        && !cookies.is_empty()
    {
        headers.insert(COOKIE, cookies);
    }
    mark
}

fn fresh() -> Mark {
    let mut bytes = [0; 16];
    // Never fails where there is TLS; who knows a mark can set no cookie by it.
    let _ = rand::fill(&mut bytes);
    Mark { text: BASE64URL_NOPAD.encode(&bytes), fresh: true }
}

fn give_out(base: &str, mark: &Mark, headers: &mut HeaderMap) {
    let link = headers.get(LOCATION).and_then(|link| link.to_str().ok());
    let ours = link.filter(|link| link.starts_with('/') && !link.starts_with("//"));
    let ours = ours.filter(|link| !link.starts_with(&format!("{base}/")));
    if let Some(Ok(link)) = ours.map(|link| HeaderValue::from_str(&format!("{base}{link}"))) {
        headers.insert(LOCATION, link);
    }
    let set: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    let mut marked = false;
    for value in set {
        let renamed = value.to_str().ok().and_then(|text| renamed(base, &mark.text, text));
        marked |= renamed.is_some();
        headers.append(SET_COOKIE, renamed.unwrap_or(value));
    }
    if marked && mark.fresh {
        let text = format!("{MARK}={}; Path=/; Secure; HttpOnly; SameSite=Lax", mark.text);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.append(SET_COOKIE, value);
        }
    }
}

/// One of the relay's cookies, of this path and with the mark.
fn renamed(base: &str, mark: &str, cookie: &str) -> Option<HeaderValue> {
    let (pair, attributes) = cookie.split_once(';')?;
    let (name, value) = pair.strip_prefix(ROOT)?.split_once('=')?;
    let value = if value.is_empty() { String::new() } else { format!("{value}.{mark}") };
    let attributes = attributes.replace("Path=/", &format!("Path={base}"));
    HeaderValue::from_str(&format!("{HERE}{name}={value};{attributes}")).ok()
}

const ROOT: &str = "__Host-adit";
const HERE: &str = "__Secure-adit";
const MARK: &str = "__Host-adit-mark";
/// Sixteen bytes in base64.
const MARK_LENGTH: usize = 22;

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    const M: &str = "0123456789abcdefghijkl";

    #[test]
    fn the_base_goes_whether_or_not_the_proxy_took_it() {
        let at = |uri: &str| match inside("/adit", &uri.parse().unwrap()) {
            Inside::Begin(link) => format!("to {link}"),
            Inside::At(uri) => uri.to_string(),
            Inside::Root => "as it is".to_owned(),
        };
        assert_eq!(at("/adit"), "to /adit/");
        assert_eq!(at("/adit?a=b"), "to /adit/?a=b");
        assert_eq!(at("/adit/"), "/");
        assert_eq!(at("/adit/api/v1/me?x=/adit/"), "/api/v1/me?x=/adit/");
        assert_eq!(at("https://x.test/adit/a"), "https://x.test/a");
        assert_eq!(at("/adit//evil.example/"), "//evil.example/");
        for other in ["/", "/api/v1/me", "/aditx", "/ADIT/", "*"] {
            assert_eq!(at(other), "as it is");
        }
    }

    #[tokio::test]
    async fn only_a_host_of_its_own_is_told_to_come_by_tls_for_good() {
        for (base, domain, told) in
            [("", "relay.test", true), ("", "localhost", false), ("/adit", "relay.test", false)]
        {
            let router = Router::new().route("/x", get(async || "there"));
            let router = below(base, domain, router);
            let asked = Request::get(format!("{base}/x")).body(Body::empty()).unwrap();
            let answer = router.oneshot(asked).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{base} {domain}");
            assert_eq!(answer.headers().contains_key(STRICT_TRANSPORT_SECURITY), told, "{base}");
        }
    }

    #[test]
    fn a_cookie_counts_beside_this_browsers_mark_only() {
        let host = format!("{MARK}={M}");
        let cases = [
            (format!("{host}; __Secure-adit=S.{M}"), "__Host-adit=S"),
            (format!("__Secure-adit-step=S.{M}; a=b; {host}"), "__Host-adit-step=S"),
            // An application's page may set one for the whole domain, and guess no mark.
            (format!("{host}; __Secure-adit=EVIL.x; __Secure-adit=S.{M}"), "__Host-adit=S"),
            (format!("{host}; __Secure-adit=EVIL.0123456789abcdefghijkX"), ""),
            (format!("{host}; __Secure-adit=EVIL"), ""),
            (format!("__Secure-adit=S.{M}"), ""),
            (format!("{host}; {host}; __Secure-adit=S.{M}"), ""),
            ("__Host-adit-mark=; __Secure-adit=EVIL.".to_owned(), ""),
            // A neighbour on the host may set one of the root's name.
            (format!("{host}; __Host-adit=EVIL"), ""),
        ];
        for (sent, known) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, sent.parse().unwrap());
            let mark = take_in(&mut headers);
            let seen = headers.get(COOKIE).map_or("", |value| value.to_str().unwrap());
            assert_eq!(seen, known, "{sent}");
            assert_eq!(mark.text.len(), MARK_LENGTH);
        }
    }

    #[test]
    fn cookies_and_redirects_are_of_the_base() {
        let mut headers = HeaderMap::new();
        let attributes = "Path=/; Secure; HttpOnly; SameSite=Lax";
        for cookie in [
            format!("__Host-adit=S; {attributes}"),
            format!("__Host-adit-step=; Max-Age=0; {attributes}"),
            "other=1; Path=/".to_owned(),
        ] {
            headers.append(SET_COOKIE, cookie.parse().unwrap());
        }
        headers.insert(LOCATION, HeaderValue::from_static("/sign-in?next=/go"));
        give_out("/adit", &Mark { text: M.to_owned(), fresh: true }, &mut headers);
        let set: Vec<_> = headers.get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        let here = "Path=/adit; Secure; HttpOnly; SameSite=Lax";
        let expected = [
            format!("__Secure-adit=S.{M}; {here}"),
            format!("__Secure-adit-step=; Max-Age=0; {here}"),
            "other=1; Path=/".to_owned(),
            format!("{MARK}={M}; {attributes}"),
        ];
        assert_eq!(set, expected);
        assert_eq!(headers[LOCATION], "/adit/sign-in?next=/go");
        for elsewhere in ["https://provider.example/", "//evil.example"] {
            headers.insert(LOCATION, elsewhere.parse().unwrap());
            give_out("/adit", &Mark { text: M.to_owned(), fresh: false }, &mut headers);
            assert_eq!(headers[LOCATION], elsewhere);
        }
    }
}
