//! The portal's own files.

use axum::http::StatusCode;

use super::Relay;
use super::browsers::Ask;

#[tokio::test]
async fn the_portal_is_kept_by_its_content_and_closed_to_everything_else() {
    let relay = Relay::new().await;
    let cookie = relay.signed_in("alice").await;
    let index = relay.page(Ask::get("/").with(&cookie)).await;
    let policy = index.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("data:"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(index.header(name), value, "{name}");
    }
    let tag = index.header("etag").to_owned();
    let again = Ask { headers: vec![("if-none-match", &tag)], ..Ask::get("/") };
    let again = relay.page(again.with(&cookie)).await;
    assert_eq!((again.status, again.text.len()), (StatusCode::NOT_MODIFIED, 0));

    let (_, rest) = index.text.split_once("src=\"./assets/").unwrap();
    let script = format!("/assets/{}", rest.split('"').next().unwrap());
    let plain = relay.page(Ask::get(&script)).await;
    assert_eq!(plain.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(plain.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(plain.header("x-content-type-options"), "nosniff");
    for (accepts, coding) in [("br", "br"), ("gzip, br;q=0", "gzip"), ("deflate", "")] {
        let ask = Ask { headers: vec![("accept-encoding", accepts)], ..Ask::get(&script) };
        let headers = relay.head(ask).await;
        let given = headers.get("content-encoding").map_or("", |value| value.to_str().unwrap());
        assert_eq!(given, coding, "{accepts}");
        assert_eq!(headers["vary"], "Accept-Encoding");
    }
    for path in ["/assets/nothing.js", "/assets/..%2findex.html", "/assets/.adit"] {
        assert_eq!(relay.page(Ask::get(path)).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_led_to_the_sign_in() {
    let relay = Relay::new().await;
    assert_eq!(relay.page(Ask::get("/")).await.header("location"), "/sign-in");
}
