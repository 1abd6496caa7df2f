//! Whether a new program is one that works here: it is started beside the one that runs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ::update::Version;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use tunnel::Ladder;

use crate::config::Config;
use crate::key;
use crate::relays::{Told, wanted};
use crate::run::{RunError, ways};

use super::{UpdateError, Updater};

/// It says that it is what it should be.
pub(super) async fn version(program: &Path, version: &Version) -> Result<(), UpdateError> {
    let said = output(program, &["--version".as_ref()], QUICK).await;
    let said = said.map_err(|detail| UpdateError::Check { detail })?;
    let expected = format!("{} {version}", crate::PROGRAM);
    match said.trim() == expected {
        true => Ok(()),
        false => Err(UpdateError::Check {
            detail: format!("it says {:?}, not {expected:?}", cut(&said)),
        }),
    }
}

/// It reads this connector's state.
pub(super) async fn self_test(program: &Path, state: &Path) -> Result<(), UpdateError> {
    let args = ["self-test".as_ref(), "--state".as_ref(), state.as_os_str()];
    let said = output(program, &args, QUICK).await;
    said.map(drop).map_err(|detail| UpdateError::Check { detail })
}

/// It reaches the relay as this connector, in time.
pub(super) async fn reaches(
    program: &Path,
    updater: &Updater,
    version: &Version,
) -> Result<(), String> {
    let args = [
        "trial".as_ref(),
        "--state".as_ref(),
        updater.state.as_os_str(),
        "--instance".as_ref(),
        OsStr::new(&updater.instance),
    ];
    let said = output(program, &args, updater.settings.reach).await?;
    let reached = said.lines().any(|line| line == trial_said(version));
    reached.then_some(()).ok_or_else(|| format!("it says {:?}", cut(&said)))
}

/// What a program that was tried says when it has reached a relay.
pub fn trial_said(version: &Version) -> String {
    format!("{} {version} reached the relay", crate::PROGRAM)
}

/// Reaches any of the relays as the process that tries this one, takes no session, and leaves.
pub async fn trial(state: &Path, instance: &str) -> Result<(), RunError> {
    let config = Config::load(state)?;
    let identity = key::identity(state)?;
    loop {
        let told = Told::read(state, config.domain());
        for relay in wanted(&config, told.relays(), &BTreeSet::new()) {
            let ladder = Ladder::new(ways(&config, relay)?, None).of_process(instance);
            match ladder.dial(&identity).await {
                Ok(connection) => {
                    connection.drain();
                    // Long enough for the relay to hear it before anything else.
                    sleep(MOMENT).await;
                    connection.goodbye(access::EndReason::Closed, "it was only tried").await;
                    return Ok(());
                }
                Err(error) => tracing::warn!(%error, relay = relay.url, "Not reached"),
            }
        }
        sleep(AGAIN).await;
    }
}

/// What a program says on its standard output, where it ends well and in time.
async fn output(program: &Path, args: &[&OsStr], within: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The service manager hears from the program that runs, and from no other.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"] {
        command.env_remove(name);
    }
    command.kill_on_drop(true);
    let ended = async {
        let mut tries = 0;
        loop {
            match command.spawn() {
                // Another thread has just started a program, which for a moment holds this one open.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                    tries += 1;
                    sleep(Duration::from_millis(20)).await;
                }
                started => break started?.wait_with_output().await,
            }
        }
    };
    match timeout(within, ended).await {
        Ok(Ok(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("it ended with {}: {}", output.status, cut(said.trim())))
        }
        Ok(Err(error)) => Err(format!("it can not be started: {error}")),
        Err(_) => Err(format!("it took longer than {within:?}")),
    }
}

/// The end of what a program said, fit for a log.
fn cut(said: &str) -> String {
    let skip = said.chars().count().saturating_sub(LONGEST_SAID);
    said.chars().skip(skip).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const QUICK: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_SAID: usize = 300;
