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
    page(&asking, &headers, &INDEX)
}

/// `GET /desktop`: a desktop in a page of its own, the only one that may run WebAssembly.
pub(super) async fn desktop(Extension(asking): Extension<Asking>, headers: HeaderMap) -> Response {
    page(&asking, &headers, &DESKTOP)
}

/// A page of the front end, and what it may do.
struct Page {
    path: &'static str,
    policy: &'static str,
    tag: LazyLock<String>,
}

fn page(asking: &Asking, headers: &HeaderMap, page: &Page) -> Response {
    if asking.who.is_none() {
        return redirect(StatusCode::FOUND, "/sign-in");
    }
    let Some(file) = file(page.path) else { return missing(asking) };
    let known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let mut response = match known.is_some_and(|known| known.contains(page.tag.as_str())) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => send(file, headers),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page.policy));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&page.tag) {
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
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

static INDEX: Page =
    Page { path: "index.html", policy: POLICY, tag: LazyLock::new(|| tag("index.html")) };
static DESKTOP: Page = Page {
    path: "desktop.html",
    policy: DESKTOP_POLICY,
    tag: LazyLock::new(|| tag("desktop.html")),
};

fn tag(path: &str) -> String {
    let hash = sha256(file(path).map_or(&[][..], |file| file.plain));
    // Weak: it is the same for each coding of the text.
    format!("W/\"{}\"", HEXLOWER.encode(&hash[..16]))
}

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Nothing but what this host serves, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// The same, and WebAssembly, which decodes pictures; the pointer of a desktop is one in an address.
const DESKTOP_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

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
    fn the_decoder_of_desktops_is_a_file_of_its_own_and_small_on_its_way() {
        let wasm: Vec<_> = FILES.iter().filter(|file| file.path.ends_with(".wasm")).collect();
        let [wasm] = wasm.as_slice() else { panic!("one decoder") };
        assert!(wasm.plain.starts_with(b"\0asm") && kind(wasm.path) == "application/wasm");
        assert!(wasm.brotli.is_some_and(|brotli| brotli.len() < 1300 << 10));
        let other = FILES.iter().filter(|file| !file.path.ends_with(".wasm"));
        for file in other {
            assert!(file.plain.len() < 1 << 20, "{} has something inside", file.path);
        }
    }

    #[test]
    fn nothing_is_inline_absolute_or_from_elsewhere() {
        for page in ["index.html", "desktop.html"] {
            is_plain(page);
        }
    }

    fn is_plain(page: &str) {
        let index = std::str::from_utf8(file(page).unwrap().plain).unwrap();
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
