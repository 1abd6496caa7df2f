//! Whether a request that a browser sends with its cookie is the application's own.
//!
//! `SameSite` is not enough: applications below one domain are one site to a browser, and each could
//! act on all others in the name of whoever looks at it. So the browser is asked which page a request
//! comes from: by `Sec-Fetch-Site`, which all browsers of today send and no page can set, and else by
//! `Origin`.

use hyper::Method;
use hyper::header::{HeaderMap, ORIGIN};

/// Whether a request with the cookie may go on. `own` is the host, and port where it is not 443.
pub fn is_own(method: &Method, headers: &HeaderMap, own: &str, upgrade: bool) -> bool {
    let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = || headers.get(ORIGIN).map(|origin| is_origin(origin.as_bytes(), own));
    let reads = [Method::GET, Method::HEAD].contains(method);
    if upgrade {
        // Sockets are open to every page, whatever it may fetch.
        return origin() == Some(true);
    }
    match said("sec-fetch-site") {
        Some("same-origin") => true,
        // By the person: an address that was typed, a bookmark.
        Some("none") => origin() != Some(false),
        // A link from elsewhere opens a page; it loads nothing, sends nothing and frames nothing.
        Some(_) => {
            reads
                && said("sec-fetch-mode") == Some("navigate")
                && said("sec-fetch-dest").is_none_or(|dest| dest == "document")
        }
        None if reads => origin() != Some(false),
        None => origin() == Some(true),
    }
}

fn is_origin(origin: &[u8], own: &str) -> bool {
    let own = own.strip_suffix(":443").unwrap_or(own);
    origin.eq_ignore_ascii_case(format!("https://{own}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "Origin: https://wiki-hq.x:8443";
    const SIBLING: &str = "Origin: https://evil-hq.x:8443";

    #[test]
    fn only_the_applications_own_pages_act_on_it() {
        let navigate = ["sec-fetch-mode: navigate", "sec-fetch-dest: document"];
        let with = |site: &'static str, more: &[&'static str]| [&[site], more].concat();
        let cases: Vec<(&str, Vec<&str>, bool)> = vec![
            ("GET", with("sec-fetch-site: same-origin", &[]), true),
            ("POST", with("sec-fetch-site: same-origin", &[]), true),
            // A page that sends no referrer sends no origin either.
            ("POST", with("sec-fetch-site: same-origin", &["origin: null"]), true),
            ("GET", with("sec-fetch-site: none", &navigate), true),
            ("GET", with("sec-fetch-site: cross-site", &navigate), true),
            ("GET", with("sec-fetch-site: same-site", &navigate), true),
            ("POST", with("sec-fetch-site: same-site", &navigate), false),
            ("POST", with("sec-fetch-site: same-site", &[SIBLING]), false),
            ("DELETE", with("sec-fetch-site: cross-site", &[OWN]), false),
            ("GET", with("sec-fetch-site: same-site", &["sec-fetch-mode: cors"]), false),
            ("GET", with("sec-fetch-site: same-site", &["sec-fetch-mode: no-cors"]), false),
            (
                "GET",
                with("sec-fetch-site: same-site", &[navigate[0], "sec-fetch-dest: iframe"]),
                false,
            ),
            ("OPTIONS", with("sec-fetch-site: same-site", &navigate), false),
            // Older browsers, and programs with a cookie.
            ("GET", vec![], true),
            ("GET", vec![SIBLING], false),
            ("POST", vec![OWN], true),
            ("POST", vec![SIBLING], false),
            ("POST", vec!["Origin: null"], false),
            ("POST", vec![], false),
            ("PUT", vec!["Origin: http://wiki-hq.x:8443"], false),
            ("PUT", vec!["Origin: https://wiki-hq.x"], false),
        ];
        for (method, headers, expected) in cases {
            assert_eq!(asked(method, &headers, false), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn a_socket_is_opened_by_the_applications_own_pages_only() {
        assert!(asked("GET", &[OWN], true));
        assert!(asked("GET", &[OWN, "sec-fetch-site: same-origin"], true));
        for headers in [&[][..], &[SIBLING], &["Origin: null"], &["sec-fetch-site: same-origin"]] {
            assert!(!asked("GET", headers, true), "{headers:?}");
        }
    }

    fn asked(method: &str, headers: &[&str], upgrade: bool) -> bool {
        let mut map = HeaderMap::new();
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            let name: hyper::header::HeaderName = name.to_ascii_lowercase().parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        is_own(&method.parse().unwrap(), &map, "wiki-hq.x:8443", upgrade)
    }
}
