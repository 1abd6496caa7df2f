//! One application, several origins: two nginx, and a Node application behind the second.

use std::fs;
use std::io::Read as _;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Process, eventually, free_port, run};

use super::nginx::serve;
use super::raw::{self, Raw};
use super::stage::Stage;
use crate::support::{SOON, application, assert_says};

#[test]
fn paths_and_host_names_lead_to_origins_of_their_own() -> Result<()> {
    let (stage, origins) = start()?;
    let token = stage.token()?;
    let key = format!("X-Adit-Key: {token}");
    let second = &origins.second;
    let cases = [
        ("/", format!("first /, {}\n", origins.first)),
        ("/two", format!("second /, {second}\n")),
        ("/two/a?b", format!("second /a?b, {second}\n")),
        ("/twofold", format!("first /twofold, {}\n", origins.first)),
        ("/TWO", format!("first /TWO, {}\n", origins.first)),
        ("/kept/a", "second /kept/a, kept.corp\n".to_owned()),
    ];
    for version in ["--http1.1", "--http2"] {
        for (path, said) in &cases {
            let mut curl = stage.curl(path);
            curl.args([version, "-H", &key]);
            assert_eq!(run(&mut curl, SOON)?.ok()?, *said, "{version} {path}");
        }
        let mut curl = stage.named("docs.example.test", "/two/a");
        curl.args([version, "-H", &key]);
        assert_eq!(run(&mut curl, SOON)?.ok()?, format!("second /docs/two/a, {second}\n"));
        for climbing in ["/two/../a", "/two/%2e%2e/a", "/two/..%2fa", "/two/..;/a", "/x/../two"] {
            let mut curl = stage.curl(climbing);
            curl.args([version, "-i", "--path-as-is", "-H", &key]);
            let output = run(&mut curl, SOON)?;
            assert_says(&output, " 403 ");
            assert_says(&output, "web.not_let_through");
        }
    }
    // One session, whatever origin is asked.
    assert_eq!(stage.deployment.audit("session.opened")?.len(), 1);
    Ok(())
}

#[test]
fn redirects_and_cookies_stay_with_the_service_they_come_from() -> Result<()> {
    let (stage, _origins) = start()?;
    let token = stage.token()?;
    let key = format!("X-Adit-Key: {token}");
    for (base, header) in [(String::new(), Some(&key)), (format!("/adit-key/{token}"), None)] {
        let header = || header.into_iter().flat_map(|header| ["-H", header.as_str()]);
        // From the first origin to the second by its own address, and on below it with a cookie.
        let jar = stage.deployment.dir().join(format!("jar-{}", base.len()));
        let mut curl = stage.curl(&format!("{base}/away"));
        curl.arg("-L").arg("-c").arg(&jar).arg("-b").arg(&jar).args(header());
        assert_eq!(run(&mut curl, SOON)?.ok()?, "home with seen=1\n", "{base}");
        // The first one is not shown it.
        let mut curl = stage.curl(&format!("{base}/cookie"));
        curl.arg("-b").arg(&jar).args(header());
        assert_eq!(run(&mut curl, SOON)?.ok()?, "first with \n", "{base}");
    }
    Ok(())
}

#[test]
fn a_websocket_of_a_service_passes_and_ends_when_the_services_change() -> Result<()> {
    let (stage, origins) = start()?;
    let raw = Raw::new(&stage, &stage.token()?)?;
    let mut socket = raw.websocket_at("/two/ws")?;
    raw::echo(&mut socket, b"again")?;
    let one = format!("{},path=/two,base-path=/,http=1", origins.second);
    stage.deployment.admin(&["app", "set", "app", "--service", &one])?.ok()?;
    let began = std::time::Instant::now();
    assert!(!matches!(socket.read(&mut [0; 16]), Ok(1..)));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    eventually(SOON, "the session is over", || {
        stage.deployment.sessions().is_ok_and(|sessions| sessions.is_empty())
    })?;
    let shown = stage.deployment.admin(&["app", "show", "app"])?.ok()?;
    assert!(shown.contains("[[application.web.service]]") && !shown.contains("/kept"), "{shown}");
    // What is shown is what can be applied.
    assert_says(&stage.deployment.apply(&shown)?, "");
    raw.websocket_at("/two/ws")?;
    Ok(())
}

#[test]
fn a_check_tells_each_address_and_a_connector_holds_its_list_for_each() -> Result<()> {
    let (stage, origins) = start()?;
    let checked = stage.deployment.admin_json(&["app", "check", "app"])?;
    let addresses = |rows: &Value| -> Vec<(String, bool)> {
        let rows = rows.as_array().into_iter().flatten();
        let row = |row: &Value| {
            let address = row["address"].as_str().unwrap_or_default().to_owned();
            (address, row["reachable"] == true)
        };
        rows.map(row).collect()
    };
    let (first, second) = (origins.first.clone(), origins.second.clone());
    let all = [&first, &second, &second, &second].map(|address| (address.clone(), true));
    assert_eq!(addresses(&checked), all, "{checked}");
    // 127.0.0.9 is not on its list.
    let set = ["app", "set", "app", "--service", "127.0.0.9:80,path=/far"];
    stage.deployment.admin(&set)?.ok()?;
    let failed = stage.deployment.admin(&["app", "check", "app"])?;
    assert_eq!(failed.code(), Some(1), "{}", failed.both());
    assert_says(&failed, "127.0.0.9:80");
    assert_says(&failed, "dial.not_allowed");
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let mut curl = stage.curl("/far");
    assert_says(&run(curl.args(["-i", "-H", &key]), SOON)?, "dial.not_allowed");
    let mut curl = stage.curl("/near");
    assert_eq!(run(curl.args(["-H", &key]), SOON)?.ok()?, format!("first /near, {first}\n"));
    let wrong = ["app", "set", "app", "--service", "127.0.0.1:80,path=/a/../b"];
    assert_says(&stage.deployment.admin(&wrong)?, "application.web");
    Ok(())
}

/// Where the two nginx listen.
struct Origins {
    first: String,
    second: String,
    _first: Process,
    _second: Process,
}

/// `app` with the first nginx as its own origin and the second as that of three services.
fn start() -> Result<(Stage, Origins)> {
    let stage = Stage::start()?;
    let address = || free_port().map(|port| format!("127.0.0.1:{port}"));
    let (first, second) = (address()?, address()?);
    let at_first = format!(
        "listen {first};\n\
         location = /away {{ return 302 http://{second}/login; }}\n\
         location = /cookie {{ return 200 'first with $http_cookie\\n'; }}\n\
         location / {{ return 200 'first $request_uri, $http_host\\n'; }}"
    );
    let at_second = format!(
        "listen {second};\n\
         location = /login {{ add_header Set-Cookie 'seen=1; Path=/' always; return 302 /home; }}\n\
         location = /home {{ return 200 'home with $http_cookie\\n'; }}\n\
         location = /ws {{ proxy_pass http://{}; proxy_http_version 1.1;\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}\n\
         location / {{ return 200 'second $request_uri, $http_host\\n'; }}",
        stage.address()
    );
    let dir = |name: &str| -> Result<_> {
        let dir = stage.deployment.dir().join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    };
    let (one, two) = (dir("first")?, dir("second")?);
    let (one, two) = (serve(&one, &first, &at_first)?, serve(&two, &second, &at_second)?);
    let service =
        |rest: &str| format!("[[application.web.service]]\naddress = \"{second}\"\n{rest}\n");
    let document = application("app", "web", &first)
        + "allow_api = true\n[application.web]\nhost_names = [\"docs.example.test\"]\n"
        + &service("path = \"/two\"\nbase_path = \"/\"")
        + &service("path = \"/kept/\"\nhost = \"kept.corp\"")
        + &service("host_name = \"docs.example.test\"\nbase_path = \"/docs\"");
    stage.deployment.apply(&document)?.ok().context("the services")?;
    Ok((stage, Origins { first, second, _first: one, _second: two }))
}
