//! The web door, with the programs that people write against it.

mod acme;
mod browser;
mod chromium;
mod corpus;
mod grpc;
pub(crate) mod h2;
mod http2;
mod names;
pub(crate) mod nginx;
mod options;
pub(crate) mod raw;
mod schema;
mod services;
pub(crate) mod stage;
mod tls;
mod websocket;

pub(crate) use chromium::Chromium;

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Process, eventually, run};

use crate::support::{SOON, application, assert_says};
use raw::Raw;
use stage::Stage;

#[test]
fn curl_reaches_an_application_with_a_token_in_a_header_or_in_the_url() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    let bearer = format!("Authorization: Bearer {token}");
    let keys = [format!("X-Adit-Key: {token}"), format!("x-checkpoint-key: {token}"), bearer];
    let in_path = [format!("/odoapi/{token}"), format!("/adit-key/{token}")];
    for version in ["--http1.1", "--http2"] {
        let headers = keys.iter().map(|key| (Some(key.as_str()), String::new()));
        let urls = in_path.iter().map(|base| (None, base.clone()));
        for (header, base) in headers.chain(urls) {
            let mut curl = stage.curl(&format!("{base}/echo?a=b"));
            curl.args([version, "--data-binary", "hello"]);
            if let Some(header) = header {
                curl.args(["-H", header]);
            }
            let said: Value = serde_json::from_str(&run(&mut curl, SOON)?.ok()?)?;
            assert_eq!(said["method"], "POST", "{said}");
            assert_eq!((&said["url"], &said["bytes"]), (&"/echo?a=b".into(), &5.into()));
            assert_eq!(said["headers"]["x-adit-user"], "alice");
            assert_eq!(said["headers"]["host"], stage.address());
            assert!(!said.to_string().contains(&token), "the token reached the origin: {said}");
        }
    }
    Ok(())
}

#[test]
fn the_origin_learns_from_the_relay_alone_who_asks() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    for version in ["--http1.1", "--http2"] {
        let mut curl = stage.curl("/echo");
        curl.args([version, "-H", &format!("X-Adit-Key: {token}")]);
        for forged in ["X-Adit-User", "X_Adit_User", "x-forwarded-for", "Forwarded", "Remote-User"]
        {
            curl.args(["-H", &format!("{forged}: mallory")]);
        }
        let said: Value = serde_json::from_str(&run(&mut curl, SOON)?.ok()?)?;
        assert!(!said.to_string().contains("mallory"), "{said}");
        let headers = &said["headers"];
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], stage.host());
        let statement = headers["x-adit-identity"].as_str().context("a statement")?;
        assert_eq!(statement.split('.').count(), 3, "{statement}");
    }
    let url = format!("{}/.well-known/jwks.json", stage.deployment.url());
    let mut curl = stage.anything(&url);
    let keys: Value = serde_json::from_str(&run(&mut curl, SOON)?.ok()?)?;
    assert_eq!(keys["keys"][0]["crv"], "P-256", "{keys}");
    Ok(())
}

#[test]
fn a_client_that_knows_only_a_base_address_follows_redirects_with_its_cookies() -> Result<()> {
    let stage = Stage::start()?;
    let base = format!("/odoapi/{}", stage.token()?);
    let jar = stage.deployment.dir().join("jar");
    for page in ["/redirect", "/absolute"] {
        let mut curl = stage.curl(&format!("{base}{page}"));
        curl.arg("-L").arg("-c").arg(&jar).arg("-b").arg(&jar);
        assert_eq!(run(&mut curl, SOON)?.ok()?, "landed with seen=1\n", "{page}");
    }
    Ok(())
}

#[test]
fn each_refusal_says_what_is_wrong_in_a_form_programs_read() -> Result<()> {
    let stage = Stage::start()?;
    let (good, other) =
        (stage.token()?, stage.deployment.token("alice", "other", &["--kind", "api"])?);
    let revoked = stage.token()?;
    // One live token per user and application: the first one is good no more.
    let key = |token: &str| format!("X-Adit-Key: {token}");
    let cases = [
        (vec![], 401, "authn.required"),
        (vec![key("hello")], 401, "authn.failed"),
        // As curl sends a header whose variable is not set.
        (vec!["X-Adit-Key;".to_owned()], 401, "authn.failed"),
        (vec![key(&format!("{revoked}x"))], 401, "authn.failed"),
        (vec![key(&good)], 401, "token.revoked"),
        (vec![key(&other)], 403, "access.denied"),
        (vec![key(&revoked), format!("X-Checkpoint-Key: {other}")], 400, "web.two_tokens"),
        (vec![key(&revoked), "Host: elsewhere.test".to_owned()], 421, "web.misdirected"),
        (vec![key(&revoked), format!("Host: {}", stage.host_of("other"))], 421, "web.misdirected"),
    ];
    for (headers, status, code) in cases {
        let mut curl = stage.curl("/echo");
        curl.arg("-i");
        for header in &headers {
            curl.args(["-H", header]);
        }
        let output = run(&mut curl, SOON)?;
        assert_says(&output, &format!(" {status} "));
        assert_says(&output, &format!("\"code\":\"{code}\""));
        assert_says(&output, "application/problem+json");
        assert_eq!(output.text().contains("www-authenticate: Bearer"), status == 401, "{code}");
    }
    let mut absent = stage.anything(&stage.url_of("nothing", "/echo"));
    absent.args(["-i", "-H", &key(&revoked)]);
    assert_says(&run(&mut absent, SOON)?, "access.denied");
    Ok(())
}

#[test]
fn an_origin_in_trouble_is_named() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    let cases = [("/nonsense", "origin.broken"), ("/echo", "dial.refused")];
    for (page, code) in cases {
        if code == "dial.refused" {
            let document = application("app", "web", "127.0.0.1:1") + "allow_api = true\n";
            stage.deployment.apply(&document)?.ok()?;
        }
        let mut curl = stage.curl(page);
        curl.args(["-i", "-H", &format!("X-Adit-Key: {token}")]);
        let output = run(&mut curl, SOON)?;
        assert_says(&output, " 502 ");
        assert_says(&output, code);
    }
    Ok(())
}

#[test]
fn a_session_serves_many_requests_and_has_one_record() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.deployment.token("alice", "app", &["--uses", "1"])?;
    let mut curl = stage.curl("/echo");
    // Each URL of the range is a request; eight go at once.
    let url = stage.url("/echo?[1-40]");
    curl.args(["-Z", "--parallel-max", "8", "-H", &format!("X-Adit-Key: {token}"), &url]);
    let text = run(&mut curl, SOON)?.ok()?;
    assert_eq!(text.matches("\"x-adit-user\":\"alice\"").count(), 41, "{text}");
    assert_eq!(stage.deployment.audit("session.opened")?.len(), 1);
    assert_eq!(stage.deployment.sessions()?.len(), 1);
    let mut late = stage.curl("/echo");
    // From another address it is another session, and the one use is spent.
    late.args(["-i", "--interface", "127.0.0.2", "-H", &format!("X-Adit-Key: {token}")]);
    assert_says(&run(&mut late, SOON)?, "token.used_up");
    Ok(())
}

#[test]
fn a_websocket_and_what_follows_it_pass() -> Result<()> {
    let stage = Stage::start()?;
    let raw = Raw::new(&stage, &stage.token()?)?;
    let mut socket = raw.websocket()?;
    for text in ["a", "bb", "GET / HTTP/1.1\n\n"] {
        raw::echo(&mut socket, text.as_bytes())?;
    }
    drop(socket);
    // Where the origin does not change protocols, what follows is a request like any other.
    let head = raw.head("GET", "", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    let next = raw.head("GET", "", "Connection: close\r\n");
    let answers = raw.send(&[head, next].concat())?;
    assert_eq!(answers.matches("HTTP/1.1 4").count(), 2, "{answers}");
    Ok(())
}

#[test]
fn a_client_that_leaves_cancels_its_request() -> Result<()> {
    let stage = Stage::start()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let open = || run(stage.curl("/open").args(["-H", &key]), SOON)?.ok();
    for version in ["--http1.1", "--http2"] {
        let mut curl = stage.curl("/hang");
        curl.args([version, "-H", &key]);
        let log = stage.deployment.dir().join("hang.log");
        let client = Process::start("curl", curl, &log)?;
        eventually(SOON, "the request is there", || open().is_ok_and(|open| open == "1"))?;
        drop(client);
        eventually(SOON, "the request is gone", || open().is_ok_and(|open| open == "0"))?;
    }
    Ok(())
}

#[test]
fn a_session_ends_within_a_second_though_its_client_has_stopped_reading() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    let stalled = || -> Result<()> {
        let mut before = 0;
        eventually(SOON, "nothing flows any more", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = stage.bytes_down();
            let still = now > 100_000 && now == before;
            before = now;
            still
        })
    };
    let kill = || -> Result<()> {
        let id = stage.deployment.sessions()?[0]["id"].as_str().context("an id")?.to_owned();
        let killed = stage.deployment.admin(&["session", "kill", &id])?;
        assert_says(&killed, "1 session ended");
        assert_eq!(stage.deployment.sessions()?.len(), 0, "{}", killed.both());
        Ok(())
    };
    let raw = Raw::new(&stage, &token)?;
    let mut stream = raw.connect(SOON)?;
    let head = String::from_utf8_lossy(&raw.head("GET", "", "")).replace("/page", "/endless");
    stream.write_all(head.as_bytes())?;
    stalled()?;
    kill()?;
    // Nothing comes after what was on its way.
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest));
    assert!(rest.len() < 64 << 20, "{}", rest.len());
    let mut curl = stage.curl("/endless");
    curl.args(["--http2", "-o", "/dev/null", "-H", &format!("X-Adit-Key: {token}")]);
    let client = Process::start("curl", curl, &stage.deployment.dir().join("curl.log"))?;
    eventually(SOON, "bytes flow", || stage.bytes_down() > 100_000)?;
    client.freeze();
    stalled()?;
    kill()?;
    client.resume();
    Ok(())
}

#[test]
fn trailers_pass_and_a_body_waits_for_who_may_send_it() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    let mut curl = stage.curl("/trailers");
    curl.args(["--http1.1", "-i", "--raw", "-H", &format!("X-Adit-Key: {token}")]);
    curl.args(["-H", "Connection: TE", "-H", "TE: trailers"]);
    assert_says(&run(&mut curl, SOON)?, "x-sum: 42");
    let raw = Raw::new(&stage, &token)?;
    let expect = "Expect: 100-continue\r\nContent-Length: 4\r\n";
    // An origin that answers at once may be quicker than its own 100; this page reads the body.
    let allowed = raw.head("POST", "", expect);
    let allowed = String::from_utf8_lossy(&allowed).replace("/page", "/echo");
    assert!(raw.send(allowed.as_bytes())?.starts_with("HTTP/1.1 100 Continue"));
    // A stranger's body is not asked for.
    let stranger = allowed.replace(&token, "adit_nothing");
    assert!(raw.send(stranger.as_bytes())?.starts_with("HTTP/1.1 401 "));
    Ok(())
}

#[test]
fn what_a_refusal_leaves_unread_is_read_off_or_the_connections_end_is_said() -> Result<()> {
    let stage = Stage::start()?;
    let raw = Raw::new(&stage, &stage.token()?)?;
    let ask = |path: &str, fields: &str, body: &str| {
        let head = String::from_utf8_lossy(&raw.head("POST", "", fields)).replace("/page", path);
        head.replace(&raw.token, "adit_nothing") + body
    };
    // A short body is read off, and the next request is answered.
    let short = ask("/echo", "Content-Length: 5\r\n", "hello");
    let chunked = ask("/echo", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n");
    let next = ask("/echo", "Connection: close\r\nContent-Length: 0\r\n", "");
    for first in [&short, &chunked] {
        let answers = raw.send(format!("{first}{next}").as_bytes())?;
        assert_eq!(answers.matches("HTTP/1.1 401 ").count(), 2, "{answers}");
        assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    }
    // One that is long, does not come, or waits to be asked for is not.
    let long = "x".repeat(300_000);
    let unread = [
        ask("/echo", "Content-Length: 300000\r\n", &long),
        ask("/echo", "Content-Length: 5\r\n", "hel"),
        ask("/echo", "Content-Length: 5\r\nExpect: 100-continue\r\n", ""),
        ask("/.adit/x", "Content-Length: 5\r\n", ""),
    ];
    for request in unread {
        let mut stream = raw.connect(SOON)?;
        // The connection may be over before all of it is sent.
        drop(stream.write_all(request.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    Ok(())
}

#[test]
fn whoever_uploads_much_and_is_refused_is_told_so() -> Result<()> {
    let stage = Stage::start()?;
    let body = stage.deployment.dir().join("body");
    std::fs::write(&body, vec![b'x'; 10_000_000])?;
    let (good, wrong) = (stage.token()?, "adit_api_wrong".to_owned());
    let api = format!("{}/api/v1/users/alice", stage.deployment.url());
    let cases = [
        (&wrong, stage.url("/echo"), "401"),
        (&good, stage.url("/full"), "413"),
        (&wrong, api, "401"),
    ];
    for (token, url, status) in &cases {
        for version in ["--http1.1", "--http2"] {
            let mut curl = stage.anything(url);
            curl.args([version, "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:"]);
            curl.args(["-H", &format!("X-Adit-Key: {token}"), "-T"]).arg(&body);
            assert_eq!(run(&mut curl, SOON)?.ok()?, *status, "{version} {url}");
        }
    }
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(UPLOADS).arg(stage.deployment.ca_file());
    python.args(cases.iter().flat_map(|(token, url, status)| [token, url.as_str(), status]));
    assert_eq!(run(&mut python, SOON)?.ok()?, "done\n");
    Ok(())
}

#[test]
fn each_request_is_recorded_once_without_its_token_and_its_query() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    for path in ["/echo?secret=1", "/landing?secret=2"] {
        let base = format!("/odoapi/{token}");
        run(stage.curl(&format!("{base}{path}")).args(["-d", "hello"]), SOON)?.ok()?;
    }
    run(&mut stage.curl("/echo"), SOON)?.ok()?;
    let log = || stage.deployment.admin_json(&["web", "log"]).unwrap_or_default();
    eventually(SOON, "three requests are recorded", || {
        log().as_array().is_some_and(|l| l.len() == 3)
    })?;
    let rows = log();
    let text = rows.to_string();
    assert!(!text.contains(&token) && !text.contains("secret"), "{text}");
    let row = |n: usize, key: &str| rows[n][key].clone();
    // The last one first.
    assert_eq!((row(0, "status"), row(0, "code")), (401.into(), "authn.required".into()));
    assert_eq!((row(1, "path"), row(1, "status")), ("/landing".into(), 200.into()));
    assert_eq!(
        (row(2, "path"), row(2, "up"), row(2, "method")),
        ("/echo".into(), 5.into(), "POST".into())
    );
    assert_eq!((row(2, "user"), row(2, "application")), ("alice".into(), "app-hq".into()));
    assert_eq!(row(2, "session"), stage.deployment.sessions()?[0]["id"]);
    Ok(())
}

#[test]
fn python_requests_and_httpx_work_as_without_us() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(PYTHON).arg(stage.host()).arg(&token).arg(stage.deployment.ca_file());
    assert_eq!(run(&mut python, SOON)?.ok()?, "done\n");
    Ok(())
}

const UPLOADS: &str = include_str!("web/uploads.py");
const PYTHON: &str = include_str!("web/clients.py");
