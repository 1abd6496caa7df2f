//! What an admin sets for a web application, and what a request is called.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{eventually, run};

use super::raw::Raw;
use super::stage::Stage;
use crate::support::{SOON, application, assert_says};

#[test]
fn an_origin_has_the_time_that_is_set_and_no_more() -> Result<()> {
    let stage = Stage::start()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let cases = [
        (stage.address(), "answer_timeout = 1", "/hang", "origin.timeout"),
        (
            silent.local_addr()?.to_string(),
            "connect_timeout = 1\nscheme = \"https\"",
            "/",
            "dial.timeout",
        ),
    ];
    for (address, options, path, code) in cases {
        let document = application("app", "web", &address) + "allow_api = true\n";
        stage.deployment.apply(&format!("{document}[application.web]\n{options}\n"))?.ok()?;
        let began = Instant::now();
        let output = run(stage.curl(path).args(["-i", "-H", &key]), SOON)?;
        assert_says(&output, " 504 ");
        assert_says(&output, code);
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
    Ok(())
}

#[test]
fn an_origin_that_refuses_an_upload_and_hangs_up_is_heard() -> Result<()> {
    let stage = Stage::start()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let document = application("app", "web", &listener.local_addr()?.to_string());
    stage.deployment.apply(&(document + "allow_api = true\n"))?.ok()?;
    let body = stage.deployment.dir().join("body");
    std::fs::write(&body, vec![b'x'; 20_000_000])?;
    let origin = std::thread::spawn(move || -> Result<()> {
        for _ in 0..UPLOADS {
            let (mut socket, _) = listener.accept()?;
            // What is left unread makes the kernel end the connection by a reset.
            let mut head = [0; 1000];
            socket.read_exact(&mut head)?;
            socket.write_all(
                b"HTTP/1.1 413 Too Much\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo much\n",
            )?;
        }
        Ok(())
    });
    for _ in 0..UPLOADS {
        let mut curl = stage.curl("/upload");
        curl.args(["-H", &key, "-H", "Expect:", "-w", "%{http_code}", "-T"]).arg(&body);
        assert_eq!(run(&mut curl, SOON)?.ok()?, "too much\n413");
    }
    let heard = origin.join();
    assert!(matches!(heard, Ok(Ok(()))), "{heard:?}");
    Ok(())
}

const UPLOADS: usize = 12;

#[test]
fn a_request_has_one_name_from_the_client_to_the_origins_log() -> Result<()> {
    let stage = Stage::start()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let ask = |name: &str| -> Result<(String, String)> {
        let mut curl = stage.curl("/echo");
        curl.args(["-i", "-H", &key]);
        if !name.is_empty() {
            curl.args(["-H", &format!("X-Request-Id: {name}")]);
        }
        let said = run(&mut curl, SOON)?.ok()?;
        let (head, body) = said.split_once("\r\n\r\n").context("a head")?;
        let answered = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        let body: Value = serde_json::from_str(body)?;
        let origins = body["headers"]["x-request-id"].as_str().unwrap_or_default();
        Ok((answered.context("a name")?.to_owned(), origins.to_owned()))
    };
    let taken = ask("Root=1-abc")?;
    assert_eq!(taken, ("Root=1-abc".to_owned(), "Root=1-abc".to_owned()));
    let (ours, same) = ask("two words")?;
    assert_eq!((ours.len(), &ours), (36, &same));
    assert_ne!(ask("")?.0, ours);
    let log = || stage.deployment.admin_json(&["web", "log"]).unwrap_or_default();
    eventually(SOON, "three requests are recorded", || {
        log().as_array().is_some_and(|rows| rows.len() == 3)
    })?;
    let rows = log();
    assert_eq!((&rows[2]["client_id"], &rows[1]["id"]), (&"Root=1-abc".into(), &ours.into()));
    assert!(rows[1]["client_id"].is_null(), "{rows}");
    Ok(())
}

#[test]
fn an_origin_that_refuses_by_the_head_saves_the_body() -> Result<()> {
    let stage = Stage::start()?;
    let raw = Raw::new(&stage, &stage.token()?)?;
    let expect = "Expect: 100-continue\r\nContent-Length: 1000000000\r\n";
    let refused = String::from_utf8_lossy(&raw.head("POST", "", expect)).replace("/page", "/full");
    let answer = raw.send(refused.as_bytes())?;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    Ok(())
}

#[test]
fn a_base_path_is_the_origins_alone() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    stage.deployment.admin(&["app", "set", "app", "--base-path", "/wiki"])?.ok()?;
    let key = format!("X-Adit-Key: {token}");
    for (base, header) in [(String::new(), Some(&key)), (format!("/adit-key/{token}"), None)] {
        let jar = stage.deployment.dir().join(format!("jar-{}", base.len()));
        let mut curl = stage.curl(&format!("{base}/redirect"));
        curl.arg("-L").arg("-c").arg(&jar).arg("-b").arg(&jar);
        curl.args(header.into_iter().flat_map(|header| ["-H", header.as_str()]));
        assert_eq!(run(&mut curl, SOON)?.ok()?, "/wiki/landing?x=1 with seen=2\n", "{base}");
        let mut curl = stage.curl(&format!("{base}/%2e%2e/echo"));
        curl.args(["-i", "--path-as-is"]);
        curl.args(header.into_iter().flat_map(|header| ["-H", header.as_str()]));
        assert_says(&run(&mut curl, SOON)?, "web.not_let_through");
    }
    Ok(())
}
