//! HTTP/2 frames that no honest client sends.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::run;

use super::corpus::Recorder;
use super::stage::Stage;
use crate::support::SOON;

#[test]
fn what_http_1_would_read_as_two_requests_is_none_over_http_2() -> Result<()> {
    let origin = Recorder::start()?;
    let stage = Stage::start()?;
    stage.publish("app", &origin.address)?;
    let token = stage.token()?;
    let outcomes = stage.h2(&token, "smuggle")?;
    ensure!(outcomes["honest"] == "200", "{outcomes:?}");
    // 501: protocols but WebSocket, that HTTP/2 may be asked to change to.
    let ends = ["501", "reset", "goaway", "cut"];
    let refused = |outcome: &str| outcome.starts_with('4') || ends.contains(&outcome);
    let taken: Vec<_> =
        outcomes.iter().filter(|(name, outcome)| *name != "honest" && !refused(outcome)).collect();
    ensure!(taken.is_empty(), "{taken:?}");
    let seen = origin.seen();
    ensure!(!seen.contains("/hidden") && !seen.contains("evil"), "{seen:?}");
    ensure!(seen.matches(" HTTP/1.1\r\n").count() <= 1 + BODIES, "{seen:?}");
    Ok(())
}

#[test]
fn nobody_says_over_http_2_who_they_are() -> Result<()> {
    let origin = Recorder::start()?;
    let stage = Stage::start()?;
    stage.publish("app", &origin.address)?;
    let token = stage.token()?;
    let outcomes = stage.h2(&token, "forge")?;
    ensure!(outcomes.len() > 20 && outcomes.values().all(|o| o == "200"), "{outcomes:?}");
    let seen = origin.seen();
    ensure!(!seen.contains("mallory"), "{seen}");
    ensure!(seen.to_lowercase().matches("x-adit-user: alice").count() == outcomes.len(), "{seen}");
    Ok(())
}

impl Stage {
    /// What became of each case of `h2.py`.
    pub(crate) fn h2(&self, token: &str, mode: &str) -> Result<BTreeMap<String, String>> {
        let host = self.host();
        let (name, port) = host.split_once(':').context("a port")?;
        let mut python = Command::new("/usr/bin/python3");
        python.arg("-c").arg(include_str!("h2.py")).args([name, port, token, mode]);
        let said = run(&mut python, SOON * 3)?.ok()?;
        let case = |line: &str| {
            let case: Value = serde_json::from_str(line)?;
            let text = |key: &str| case[key].as_str().context("a text").map(str::to_owned);
            Ok((text("case")?, text("outcome")?))
        };
        said.lines().map(case).collect()
    }
}

/// Whose head is sound: it goes on before the body turns out not to be.
const BODIES: usize = 10;
