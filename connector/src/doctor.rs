//! `adit-connector doctor`: what is wrong between this machine, its relay and its targets.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tunnel::doctor::{Finding, Outcome, examine, examine_before};
use tunnel::tls::Trust;
use tunnel::{Identity, Ladder};

use crate::config::Config;
use crate::join::Join;
use crate::run::{RunError, ways};

/// Looks at everything a connector needs. Fails where there is no connector to look at.
pub async fn doctor(state: &Path) -> Result<Vec<Finding>, RunError> {
    let config = Config::load(state)?;
    let identity = Identity::load(state)?;
    let ladder = Ladder::new(ways(&config)?, None);
    let mut findings = examine(&ladder, &identity).await;
    let targets = config.allow.targets();
    let reached = futures_util::future::join_all(targets.map(reach)).await;
    findings.extend(reached);
    Ok(findings)
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
