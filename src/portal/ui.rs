//! The portal: the built front end (`portal/ui`), as it was put into this program.

use std::sync::LazyLock;

use access::sha256;
use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;

use super::asking::Asking;
use super::pages::{Refused, redirect};

/// A file of the front end, and the same compressed.
struct File {
    path: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/portal_files.rs"));

/// `GET /`: the portal, for whoever is signed in. What it shows it asks of the API.
pub(super) async fn show(Extension(asking): Extension<Asking>, headers: HeaderMap) -> Response {
    if asking.who.is_none() {
        return redirect(StatusCode::FOUND, "/sign-in");
    }
    let Some(index) = file("index.html") else { return missing(&asking) };
    let known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let mut response = match known.is_some_and(|known| known.contains(INDEX_TAG.as_str())) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => send(index, &headers),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&INDEX_TAG) {
        headers.insert(ETAG, tag);
    }
    response
}

/// `GET /assets/{file}`: named by its content, so that it may be kept for ever. Anybody may have it.
pub(super) async fn asset(
    Extension(asking): Extension<Asking>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(asset) = file(&format!("assets/{name}")) else { return missing(&asking) };
    let mut response = send(asset, &headers);
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response
}

fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

fn missing(asking: &Asking) -> Response {
    Refused::nothing().with(asking.id).into_response()
}

fn send(file: &'static File, asked: &HeaderMap) -> Response {
    let accepted = asked.get(ACCEPT_ENCODING).and_then(|accept| accept.to_str().ok());
    let takes = |coding| accepts(accepted.unwrap_or_default(), coding);
    let (bytes, coding) = match (file.brotli, file.gzip) {
        (Some(brotli), _) if takes("br") => (brotli, Some("br")),
        (_, Some(gzip)) if takes("gzip") => (gzip, Some("gzip")),
        (Some(_) | None, Some(_) | None) => (file.plain, None),
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind(file.path)));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// Whether an `Accept-Encoding` takes a coding (RFC 9110, 12.5.3).
fn accepts(header: &str, coding: &str) -> bool {
    let parts = header.split(',').filter_map(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        Some((name.trim(), weight? > 0.0))
    });
    let named = |wanted: &str| {
        let mut all = parts.clone();
        all.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, taken)| taken)
    };
    named(coding).or_else(|| named("*")).unwrap_or(false)
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

static INDEX_TAG: LazyLock<String> = LazyLock::new(|| {
    let hash = sha256(file("index.html").map_or(&[][..], |index| index.plain));
    // Weak: it is the same for each coding of the text.
    format!("W/\"{}\"", HEXLOWER.encode(&hash[..16]))
});

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Nothing but what this host serves, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_load_is_small() {
        let index = std::str::from_utf8(file("index.html").unwrap().plain).unwrap();
        let named =
            FILES.iter().filter(|file| file.path == "index.html" || index.contains(file.path));
        let sizes: Vec<_> =
            named.map(|file| (file.path, file.brotli.unwrap_or(file.plain).len())).collect();
        let sum: usize = sizes.iter().map(|(_, size)| size).sum();
        assert!(sizes.len() >= 3, "page, script and style: {sizes:?}");
        assert!(sum < 300 << 10, "{sum} bytes: {sizes:?}");
    }

    #[test]
    fn the_terminal_comes_when_it_is_opened() {
        let index = std::str::from_utf8(file("index.html").unwrap().plain).unwrap();
        let of_it = |file: &&File| file.path.starts_with("assets/Terminal-");
        let sizes: Vec<_> = FILES.iter().filter(of_it).map(|file| file.plain.len()).collect();
        assert!(sizes.iter().any(|size| *size > 200 << 10), "a file of its own: {sizes:?}");
        assert!(!index.contains("assets/Terminal-"), "{index}");
    }

    #[test]
    fn nothing_is_inline_absolute_or_from_elsewhere() {
        let index = std::str::from_utf8(file("index.html").unwrap().plain).unwrap();
        for forbidden in ["style=", "<style", "onload", "http", "=\"/", "data:"] {
            assert!(!index.contains(forbidden), "{forbidden}: {index}");
        }
        for script in index.split("<script").skip(1) {
            assert!(script.contains("src=\"./assets/"), "{script}");
        }
    }

    #[test]
    fn whoever_takes_a_coding_gets_it_and_nobody_else() {
        let cases = [
            ("gzip, deflate, br", true),
            ("br;q=0.5", true),
            ("BR", true),
            ("*", true),
            ("br;q=0", false),
            ("gzip", false),
            ("*;q=1, br;q=0", false),
            ("", false),
            ("brotli", false),
        ];
        for (header, taken) in cases {
            assert_eq!(accepts(header, "br"), taken, "{header}");
        }
    }
}
