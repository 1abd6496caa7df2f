//! `adit-connector doctor`: what is wrong between this machine, its relay and its targets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tunnel::Ladder;
use tunnel::doctor::{Finding, Outcome, examine, examine_before};
use tunnel::tls::Trust;
use wire::Examined;

use crate::config::{Config, Relay};
use crate::join::Join;
use crate::key;
use crate::relays::{Told, wanted};
use crate::run::{RunError, ways};

/// Looks at everything a connector needs. Fails where there is no connector to look at.
pub async fn doctor(state: &Path) -> Result<Vec<Finding>, RunError> {
    let config = Config::load(state)?;
    let told = Told::read(state, config.domain());
    let relays = wanted(&config, told.relays(), &BTreeSet::new());
    look(state, &config, &relays).await
}

async fn look(state: &Path, config: &Config, relays: &[&Relay]) -> Result<Vec<Finding>, RunError> {
    let identity = key::identity(state)?;
    let mut findings = Vec::new();
    for (place, relay) in relays.iter().enumerate() {
        let ladder = Ladder::new(ways(config, relay)?, None);
        let mut found = examine(&ladder, &identity).await;
        if place > 0 {
            // Of which relay it is said.
            found.iter_mut().for_each(|finding| {
                finding.check = format!("{} of {}", finding.check, relay.https);
            });
        }
        findings.append(&mut found);
    }
    let targets = config.allow.targets();
    let reached = futures_util::future::join_all(targets.map(reach)).await;
    findings.extend(reached);
    Ok(findings)
}

/// The same for the relay, and no longer than it takes.
pub fn told(findings: Vec<Finding>) -> Examined {
    let more = findings.len().saturating_sub(Examined::MOST_FINDINGS);
    let kept = if more > 0 { Examined::MOST_FINDINGS - 1 } else { findings.len() };
    let short = |text: &str| text.chars().take(Examined::LONGEST).collect::<String>();
    // What is wrong is told first where not everything is.
    let mut findings = findings;
    if more > 0 {
        findings.sort_by_key(|finding| finding.outcome == Outcome::Good);
    }
    let told = |finding: &Finding| wire::Finding {
        check: short(&finding.check),
        outcome: finding.outcome.as_str().to_owned(),
        found: short(&finding.found),
        code: finding.code.as_deref().map(str::to_owned),
        fix: finding.fix.as_deref().map(short),
    };
    let mut findings: Vec<_> = findings.iter().take(kept).map(told).collect();
    if more > 0 {
        let fix = "`adit-connector doctor` on its machine tells them all".to_owned();
        findings.push(wire::Finding {
            check: "more".to_owned(),
            outcome: Outcome::Good.as_str().to_owned(),
            found: format!("{} more were looked at", more + 1),
            code: None,
            fix: Some(fix),
        });
    }
    Examined { findings }
}

/// Looks when the relay asks, once at a time; those who ask meanwhile are told the same.
pub struct Examiner {
    state: PathBuf,
    /// What was found last, and when looking for it began.
    last: Mutex<Option<(Instant, Examined)>>,
}

impl Examiner {
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), last: Mutex::default() }
    }

    /// What is found from now on.
    pub async fn look(&self) -> Result<Examined, RunError> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((began, examined)) = &*last
            && *began >= asked
        {
            return Ok(examined.clone());
        }
        let began = Instant::now();
        // Not the relays that it told of: it would learn what answers at addresses of its choice.
        let config = Config::load(&self.state)?;
        let relays: Vec<_> = config.relays.iter().collect();
        let examined = told(look(&self.state, &config, &relays).await?);
        *last = Some((began, examined.clone()));
        Ok(examined)
    }
}

/// Looks at the way to a relay that this machine could not join: all that can be seen without having
/// joined.
pub async fn before_joining(how: &Join) -> Vec<Finding> {
    let (Some(pin), Ok(proxies)) = (how.token.pin(), how.proxy.read()) else { return Vec::new() };
    // What is no URL of a relay is said already.
    examine_before(&how.url, &Trust::Pin(pin), &proxies).await.unwrap_or_default()
}

/// Whether nothing is wrong that a connector can not do without.
pub fn is_well(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.outcome != Outcome::Bad)
}

/// Connects to a target that the list names, and closes without a byte.
async fn reach((host, port): (String, u16)) -> Finding {
    let check = format!("{host}:{port}");
    let began = Instant::now();
    match timeout(WITHIN, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => {
            Finding::good(&check, format!("reached after {} ms", began.elapsed().as_millis()))
        }
        Ok(Err(error)) => {
            let fix = "check that it runs, and that this machine may connect to it";
            Finding::bad(&check, error.to_string(), fix.to_owned())
        }
        Err(_) => {
            let fix = "check that a firewall lets this machine connect to it";
            Finding::bad(&check, "does not answer".to_owned(), fix.to_owned())
        }
    }
}

const WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_relay_is_told_is_bounded_and_what_is_wrong_comes_first() {
        let mut findings: Vec<_> =
            (0..60).map(|n| Finding::good(&format!("10.0.0.{n}:22"), "x".repeat(5000))).collect();
        findings.push(Finding::bad("10.0.0.99:22", "é".repeat(5000), "f".repeat(5000)));
        let told = told(findings);
        assert_eq!(told.findings.len(), Examined::MOST_FINDINGS);
        assert_eq!(told.findings[0].outcome, "bad");
        assert_eq!(told.findings.last().unwrap().found, "30 more were looked at");
        assert!(wire::encode(&told).is_ok(), "it fits one frame");
    }
}
