//! `adit proxy APP`: stdin and stdout are the connection, as ssh's ProxyCommand wants it.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use access::{EndReason, Kind};
use api::MyApplication;
use clap::Args;
use splice::{Counters, Finish, Joined, Stream, join};
use tokio::time::{sleep, timeout};
use tunnel::Opened;
use wire::Mode;

use super::ssh_config::SUFFIX;
use super::tunnel::called;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::forward::{standard_streams, told};
use crate::relay::{Enrolled, open_once};
use crate::state::StateDir;
use crate::stop::Stop;

#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// The application; APP.adit is APP
    #[arg(value_name = "APP")]
    application: String,
}

/// Carries bytes until both sides have ended, and says why where the relay ended the session.
pub async fn run(args: &ProxyArgs, context: &Context) -> Result<(), Failure> {
    let stop = Stop::new()?;
    let name = &args.application;
    let application = name.strip_suffix(SUFFIX).unwrap_or(name);
    let enrolled = Box::pin(Enrolled::new(&context.settings)).await?;
    let carried = connect(application, &enrolled, stop, async |opened: Opened| {
        speaks_ssh(name, opened.mode, context).await?;
        vouch(name, &opened, &enrolled, context.settings.state()?)
    });
    let ended = carried.await;
    enrolled.end().await;
    ended.map_err(|failure| failure.about(application))
}

async fn connect(
    application: &str,
    enrolled: &Enrolled,
    stop: Stop,
    before: impl AsyncFnOnce(Opened) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let connection = enrolled.dial().await?;
    let (remote, opened) = open_once(&connection, application).await?;
    let session = opened.session;
    before(opened).await?;
    let words = async {
        match session {
            Some(session) => connection.last_words(session).await,
            None => None,
        }
    };
    let ended = carry(standard_streams()?, remote, (stop, words)).await;
    connection.close(EndReason::Closed, "goodbye");
    sleep(LAST_WORD).await;
    ended
}

/// Refuses what is no SSH server where it is ssh that asks: the two would wait for each other.
async fn speaks_ssh(host: &str, mode: Mode, context: &Context) -> Result<(), Failure> {
    let Some(name) = host.strip_suffix(SUFFIX).filter(|_| mode == Mode::Raw) else { return Ok(()) };
    // Without a sign-in, by a token alone, nobody says.
    let mine: Result<Vec<MyApplication>, _> = context.list("/api/v1/me/applications").await;
    let mine = mine.unwrap_or_default();
    let Ok(application) = called(name, &mine) else { return Ok(()) };
    let way = match application.kind {
        Kind::Ssh | Kind::Tcp => return Ok(()),
        Kind::Postgres | Kind::Mysql | Kind::Redis => format!("run `adit db {name}`"),
        Kind::Rdp => format!("run `adit rdp {name}`"),
        Kind::Web => format!("run `adit tunnel {name}`, or open it in a browser"),
    };
    Err(Failure::usage(format!("it is a {} application, no SSH server", application.kind))
        .hint(way))
}

async fn carry(
    mut local: impl Stream,
    mut remote: impl Stream,
    (mut stop, words): (Stop, impl Future<Output = Option<Arc<str>>>),
) -> Result<(), Failure> {
    let counters = Counters::default();
    let finish = {
        let mut joined = pin!(join(&mut local, &mut remote, &counters));
        tokio::select! {
            finish = &mut joined => Some(finish),
            // ssh closes its pipes and tells us to go in one breath: the last bytes still count.
            () = stop.asked() => timeout(LAST_BYTES, joined).await.ok(),
        }
    };
    match finish {
        None | Some(Finish::Closed(_)) => Ok(()),
        Some(Finish::Broken(Joined::First, _)) => {
            remote.abort(EndReason::Broken.number());
            Ok(())
        }
        Some(Finish::Broken(Joined::Second, error)) => {
            let told = told(&error, words).await;
            Err(told.unwrap_or_else(|| Failure::explained(&EndReason::Broken)))
        }
    }
}

/// Where the relay itself speaks SSH, it says over the agent's own connection what its host keys are
/// now: ssh need not take them on trust, nor be told when they change.
fn vouch(
    host: &str,
    opened: &Opened,
    enrolled: &Enrolled,
    state: &StateDir,
) -> Result<(), Failure> {
    if opened.mode != Mode::Door || !host.ends_with(SUFFIX) {
        return Ok(());
    }
    state.prepare()?;
    let keys = match opened.host_keys.is_empty() {
        // A relay that does not say told them at the login.
        true => enrolled.ssh_host_keys(),
        false => &opened.host_keys,
    };
    remember(&state.known_hosts(), host, keys)
        .map_err(|error| Failure::new(Exit::Failed, format!("known_hosts: {error}")))
}

/// Makes these the host's keys, and no others.
fn remember(file: &Path, host: &str, keys: &[String]) -> std::io::Result<()> {
    let known = files::read(file)?.unwrap_or_default();
    let line = |key: &String| {
        let key: Vec<_> = key.split_whitespace().take(2).collect();
        (key.len() == 2).then(|| format!("{host} {}", key.join(" ")))
    };
    let wanted: Vec<_> = keys.iter().filter_map(line).collect();
    let (own, others): (Vec<_>, Vec<_>) =
        known.lines().partition(|line| line.split_whitespace().next() == Some(host));
    if wanted.is_empty() || own == wanted {
        return Ok(());
    }
    let lines = others.into_iter().chain(wanted.iter().map(String::as_str));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    files::replace(file, text.as_bytes())
}

/// For what is still on its way when we are told to go.
const LAST_BYTES: Duration = Duration::from_millis(500);
/// For the packet that tells the relay.
const LAST_WORD: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relays_host_keys_are_those_it_has_now() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        std::fs::write(&file, "raw.adit ssh-rsa CCCC").unwrap();
        let keys = ["ssh-ed25519 AAAA relay".to_owned(), "damaged".to_owned()];
        remember(&file, "web1.adit", &keys).unwrap();
        remember(&file, "web1.adit", &keys).unwrap();
        remember(&file, "web2.adit", &keys).unwrap();
        remember(&file, "web1.adit", &["ssh-ed25519 BBBB".to_owned()]).unwrap();
        remember(&file, "web1.adit", &[]).unwrap();
        let known = std::fs::read_to_string(&file).unwrap();
        let lines =
            ["raw.adit ssh-rsa CCCC", "web2.adit ssh-ed25519 AAAA", "web1.adit ssh-ed25519 BBBB"];
        assert_eq!(known.lines().collect::<Vec<_>>(), lines);
    }
}
