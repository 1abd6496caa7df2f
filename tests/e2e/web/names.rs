//! Names that applications have besides their labels.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::run;

use super::stage::Stage;
use crate::support::{SOON, application, assert_says};

#[test]
fn a_host_name_leads_to_its_application_for_as_long_as_it_has_it() -> Result<()> {
    let stage = Stage::start()?;
    stage.name("app", &["wiki.example.test"])?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    for version in ["--http1.1", "--http2"] {
        let mut curl = stage.named("wiki.example.test", "/echo");
        curl.args([version, "-H", &key]);
        let said: Value = serde_json::from_str(&run(&mut curl, SOON)?.ok()?)?;
        let headers = &said["headers"];
        assert_eq!(headers["x-adit-user"], "alice", "{said}");
        assert_eq!(headers["x-forwarded-host"], stage.at("wiki.example.test"));
        let payload = headers["x-adit-identity"].as_str().and_then(|jwt| jwt.split('.').nth(1));
        let payload =
            data_encoding::BASE64URL_NOPAD.decode(payload.context("a JWT")?.as_bytes())?;
        let claims: Value = serde_json::from_slice(&payload)?;
        assert_eq!((&claims["aud"], &claims["sub"]), (&"app-hq".into(), &"alice".into()));
    }
    let mut follow = stage.named("wiki.example.test", "/absolute");
    follow.args(["-L", "-H", &key]);
    assert_eq!(run(&mut follow, SOON)?.ok()?, "landed with no cookie\n");
    let mut stranger = stage.named("wiki.example.test", "/echo");
    assert_says(&run(stranger.arg("-i"), SOON)?, "authn.required");
    // No certificate is made for a name that is nobody's.
    let mut other = stage.named("www.example.test", "/echo");
    assert_says(&run(&mut other, SOON)?, "no alternative certificate subject name matches");
    let mut other = stage.named("www.example.test", "/echo");
    assert_says(&run(other.args(["-ik", "-H", &key]), SOON)?, "web.misdirected");
    // A connection is for the name it was made for.
    let mut crossed = stage.named("wiki.example.test", "/echo");
    crossed.args(["-i", "-H", &key, "-H", &format!("Host: {}", stage.host())]);
    assert_says(&run(&mut crossed, SOON)?, "web.misdirected");
    let shown = stage.deployment.admin_json(&["tls", "ls"])?;
    let row = |name: &str| {
        let mut rows = shown.as_array().into_iter().flatten();
        rows.find(|row| row["name"] == name).cloned().unwrap_or_default()
    };
    let own = row("wiki.example.test");
    assert_eq!((&own["source"], &own["application"]), (&"relay".into(), &"app.hq".into()));
    assert!(
        own["expires"].is_u64() && row("app-hq.relay.localhost")["expires"].is_u64(),
        "{shown}"
    );
    stage.name("app", &[])?;
    let mut late = stage.named("wiki.example.test", "/echo");
    assert_says(&run(late.args(["-ik", "-H", &key]), SOON)?, "web.misdirected");
    Ok(())
}

#[test]
fn a_host_name_that_is_taken_or_the_relays_own_is_refused() -> Result<()> {
    let stage = Stage::start()?;
    stage.name("app", &["wiki.example.test"])?;
    let domain = stage.deployment.domain().to_owned();
    for taken in ["wiki.example.test", &domain, &format!("x.{domain}")] {
        let set = ["app", "set", "other", "--host-name", taken];
        assert_says(&stage.deployment.admin(&set)?, "application.host_taken");
    }
    for no_name in ["*.example.test", "192.0.2.1", "Wiki.example.test"] {
        let document = application("other", "web", &stage.address());
        let options = format!("[application.web]\nhost_names = [{no_name:?}]\n");
        assert_says(&stage.deployment.apply(&(document + &options))?, "host");
    }
    Ok(())
}

impl Stage {
    pub(super) fn name(&self, application: &str, hosts: &[&str]) -> Result<()> {
        let mut set = vec!["app", "set", application];
        match hosts {
            [] => set.extend(["--clear", "host-names"]),
            hosts => hosts.iter().for_each(|host| set.extend(["--host-name", host])),
        }
        self.deployment.admin(&set)?.ok().map(drop)
    }

    /// Host and port of a name that leads to the relay.
    pub(super) fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.deployment.doors().https)
    }

    pub(super) fn named(&self, host: &str, path: &str) -> Command {
        let at = self.at(host);
        let mut curl = self.anything(&format!("https://{at}{path}"));
        curl.args(["--resolve", &format!("{at}:127.0.0.1")]);
        curl
    }
}
