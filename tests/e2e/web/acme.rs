//! Certificates from an ACME CA, Pebble, that really looks whether the names lead to the relay.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Pebble, PebbleOptions, Process, eventually, free_port, run, run_with_input};

use super::stage::Stage;
use crate::support::{SOON, assert_says};

#[test]
fn names_of_applications_get_certificates_by_tls_alpn_and_keep_them() -> Result<()> {
    let mut stage = Stage::start()?;
    stage.name("app", &["wiki.example.test"])?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let ports = (stage.deployment.doors().https, free_port()?);
    let pebble = stage.pebble(ports, PebbleOptions::default())?;
    stage.configure(&pebble, "")?;
    let names = ["app-hq.relay.localhost", "other-hq.relay.localhost", "wiki.example.test"];
    eventually(SOON, "three names are certified", || stage.certified() == names)?;
    let root = pebble.root()?;
    for url in [stage.url("/echo"), format!("https://{}/echo", stage.at("wiki.example.test"))] {
        let mut curl = stage.anything(&url);
        let resolve = format!("{}:127.0.0.1", stage.at("wiki.example.test"));
        curl.args(["-H", &key, "--resolve", &resolve, "--cacert"]).arg(&root);
        assert_says(&run(&mut curl, SOON)?, "\"x-adit-user\":\"alice\"");
    }
    // A new name is asked for at once, and nothing twice: not after a restart either.
    stage.name("other", &["shop.example.test"])?;
    eventually(SOON, "a fourth name is certified", || stage.certified().len() == 4)?;
    stage.restart()?;
    eventually(SOON, "four names are shown", || stage.certified().len() == 4)?;
    let issued = pebble.log().matches("Issued certificate serial").count();
    ensure!(issued == 4, "{issued} were issued");
    let recorded = stage.deployment.audit("certificate.issued")?;
    ensure!(recorded.len() == 4, "{recorded:?}");
    stage.refuses_who_has_no_order()
}

#[test]
fn a_certificate_is_renewed_by_another_order_and_connections_stay() -> Result<()> {
    let mut stage = Stage::start()?;
    let token = stage.token()?;
    let ports = (stage.deployment.doors().https, free_port()?);
    let life = Some(Duration::from_secs(15));
    let pebble = stage.pebble(ports, PebbleOptions { life, ..PebbleOptions::default() })?;
    stage.configure(&pebble, "")?;
    eventually(SOON, "both names are certified", || stage.certified().len() == 2)?;
    let (name, root) = (stage.host(), pebble.root()?);
    let first = stage.serial(&name)?;
    let key = format!("X-Adit-Key: {token}");
    let mut events = stage.curl("/events");
    events.args(["--cacert"]).arg(&root).args(["-H", &key]);
    let mut events = Process::start("curl", events, &stage.deployment.dir().join("events.log"))?;
    events.wait_for_log("data: 1", SOON)?;
    // Two thirds into its life.
    eventually(SOON, "another one is shown", || {
        stage.serial(&name).is_ok_and(|serial| serial != first)
    })?;
    assert!(events.is_running(), "{}", events.tail());
    let mut curl = stage.curl("/echo");
    curl.args(["-H", &key, "--cacert"]).arg(&root);
    assert_says(&run(&mut curl, SOON)?, "\"x-adit-user\":\"alice\"");
    let issued = pebble.log().matches("Issued certificate serial").count();
    ensure!(issued >= 3, "{issued} were issued for two names");
    Ok(())
}

#[test]
fn names_get_certificates_by_http_and_everybody_else_there_is_sent_to_https() -> Result<()> {
    let mut stage = Stage::start()?;
    stage.name("app", &["wiki.example.test"])?;
    let http = free_port()?;
    let pebble = stage.pebble((free_port()?, http), PebbleOptions::default())?;
    let lines = format!("challenge = \"http-01\"\nhttp_listen = \"127.0.0.1:{http}\"\n");
    stage.configure(&pebble, &lines)?;
    eventually(SOON, "three names are certified", || stage.certified().len() == 3)?;
    let there = format!("location: https://{}", stage.at("wiki.example.test"));
    let cases = [
        ("wiki.example.test", "/a?b=c", "308 ", format!("{there}/a?b=c")),
        ("WIKI.example.test:80", "//a", "308 ", format!("{there}//a")),
        ("wiki.example.test", "/.well-known/acme-challenge/guess", "308 ", there.clone()),
        ("relay.localhost", "/", "308 ", "location: https://relay.localhost:".to_owned()),
        ("elsewhere.test", "/", "421 ", "no name of this relay".to_owned()),
        ("evil.test/x.relay.localhost", "/", "421 ", "no name of this relay".to_owned()),
    ];
    for (host, path, status, said) in cases {
        let mut curl = stage.anything(&format!("http://127.0.0.1:{http}{path}"));
        curl.args(["-i", "--path-as-is", "-H", &format!("Host: {host}")]);
        let output = run(&mut curl, SOON)?;
        assert_says(&output, &format!("HTTP/1.1 {status}"));
        assert_says(&output, &said);
    }
    Ok(())
}

impl Stage {
    fn pebble(&self, ports: (u16, u16), options: PebbleOptions) -> Result<Pebble> {
        Pebble::start(&self.deployment.dir().join("pebble"), ports, options)
    }

    /// The serial number of the certificate that is shown for a host.
    fn serial(&self, host: &str) -> Result<String> {
        let at = format!("127.0.0.1:{}", self.deployment.doors().https);
        let name = host.split(':').next().context("a name")?;
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &at, "-servername", name]);
        let shown = run(&mut openssl, SOON)?.text();
        let mut x509 = Command::new("openssl");
        x509.args(["x509", "-noout", "-serial"]);
        run_with_input(&mut x509, shown.as_bytes(), SOON)?.ok()
    }

    /// Has the relay get its certificates from Pebble.
    fn configure(&mut self, pebble: &Pebble, lines: &str) -> Result<()> {
        let file = self.deployment.dir().join("relay").join("relay.toml");
        let mut file = OpenOptions::new().append(true).open(file)?;
        let (directory, ca) = (pebble.directory(), pebble.ca_file());
        let ca: &Path = &ca;
        write!(
            file,
            "\n[tls.acme]\ndirectory = {directory:?}\nca_file = {ca:?}\nagree = true\n\
             contact = [\"admin@example.test\"]\n{lines}"
        )?;
        self.restart()
    }

    fn restart(&mut self) -> Result<()> {
        self.deployment.relay().stop(SOON)?;
        self.deployment.start_relay()
    }

    /// The names that are shown with what a CA has issued, in order.
    fn certified(&self) -> Vec<String> {
        let rows = self.deployment.admin_json(&["tls", "ls"]).unwrap_or_default();
        let rows = rows.as_array().into_iter().flatten();
        let certified = rows.filter(|row| row["source"] == "acme" && row["error"] == Value::Null);
        certified.filter_map(|row| row["name"].as_str().map(str::to_owned)).collect()
    }

    /// The protocol of challenges is spoken only while a CA is going to look.
    fn refuses_who_has_no_order(&self) -> Result<()> {
        let at = format!("127.0.0.1:{}", self.deployment.doors().https);
        for name in ["wiki.example.test", "elsewhere.test"] {
            let mut openssl = Command::new("openssl");
            openssl.args(["s_client", "-connect", &at, "-servername", name]);
            openssl.args(["-alpn", "acme-tls/1"]);
            let output = run(&mut openssl, SOON)?;
            ensure!(!output.text().contains("BEGIN CERTIFICATE"), "{name}: {}", output.text());
        }
        Ok(())
    }
}
