//! `adit ssh-cert`: a certificate that signs stock ssh in at the relay, renewed when it is about to
//! end. `ssh` runs it by itself where `adit ssh-config` is installed.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use api::{SignSshKey, SshCertificate};
use clap::Args;
use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::context::{Call, Context};
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::state::{Login, StateDir};
use crate::{files, relay, times};

#[derive(Debug, Args)]
pub struct SshCertArgs {
    /// Make it good from this network only, for example 10.0.0.0/8; may be given more than once
    #[arg(long = "from", value_name = "NETWORK")]
    sources: Vec<String>,
    /// Have a new one even where the one that is there is good for long
    #[arg(long)]
    renew: bool,
    /// Say nothing where all is well
    #[arg(long, short)]
    quiet: bool,
}

pub async fn run(args: SshCertArgs, context: &Context) -> Result<(), Failure> {
    let SshCertArgs { sources, renew, quiet } = args;
    let anew = renew || !sources.is_empty();
    let certificate = obtain(&context.settings, sources, anew).await?;
    let file = context.settings.state()?.ssh_certificate();
    if quiet {
        return Ok(());
    }
    if context.ui.wants_json() {
        return context.ui.json(&Shown { file: file.display().to_string(), ..certificate });
    }
    let until = times::utc(certificate.expires);
    context.ui.say(format_args!("{} is good until {until}.", file.display()));
    Ok(())
}

/// What is remembered of a certificate, beside its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    file: String,
    agent: String,
    serial: u64,
    signed: u64,
    expires: u64,
}

/// The certificate that is there, else a new one. `anew`: a new one.
async fn obtain(settings: &Settings, sources: Vec<String>, anew: bool) -> Result<Shown, Failure> {
    let (login, state) = (settings.signed_in()?, settings.state()?);
    state.prepare()?;
    // Two ssh that start together want one key.
    let lock = File::create(state.path().join("ssh_key.lock")).map_err(|error| failed(&error))?;
    lock.lock().map_err(|error| failed(&error))?;
    let there = remembered(state)?.filter(|shown| shown.agent == login.agent && is_whole(state));
    let now = seconds(SystemTime::now());
    if let Some(shown) = there.clone().filter(|shown| !anew && shown.is_fresh(now)) {
        return Ok(shown);
    }
    match sign(settings, state, &login, sources).await {
        Ok(shown) => Ok(shown),
        // One that is still good is good enough while the relay does not answer.
        Err(failure) => match there.filter(|shown| !anew && now + MARGIN < shown.expires) {
            Some(shown) => Ok(shown),
            None => Err(failure),
        },
    }
}

impl Shown {
    /// Whether more than a quarter of its time is left.
    fn is_fresh(&self, now: u64) -> bool {
        let life = self.expires.saturating_sub(self.signed);
        self.expires.saturating_sub(now) > (life / 4).max(MARGIN)
    }
}

async fn sign(
    settings: &Settings,
    state: &StateDir,
    login: &Login,
    sources: Vec<String>,
) -> Result<Shown, Failure> {
    let key = public_key(state, login)?;
    // The stored login: a certificate stands on the agent, and a token is none.
    let api = relay::api(&settings.stored_only()).await?;
    let body = serde_json::to_value(SignSshKey { key, sources }).map_err(std::io::Error::from)?;
    let call = Call { body: Some(body), ..Call::new(Method::POST, "/api/v1/me/ssh-certificates") };
    let answer = api.send(call).await?;
    let signed: SshCertificate =
        serde_json::from_value(answer.body).map_err(std::io::Error::from)?;
    let SshCertificate { certificate, serial, expires } = signed;
    let text = format!("{}\n", certificate.trim_end());
    files::replace(&state.ssh_certificate(), text.as_bytes()).map_err(|error| failed(&error))?;
    files::replace(&state.relay_hosts(), known_hosts(login).as_bytes())
        .map_err(|error| failed(&error))?;
    let (file, agent) = (String::new(), login.agent.clone());
    let shown = Shown { file, agent, serial, signed: seconds(SystemTime::now()), expires };
    let memory = serde_json::to_vec_pretty(&shown).map_err(std::io::Error::from)?;
    files::replace(&state.ssh_memory(), &memory).map_err(|error| failed(&error))?;
    Ok(shown)
}

/// By what ssh knows the relay: the CA that vouches for its keys, and where there is none, the keys.
fn known_hosts(login: &Login) -> String {
    let domain = &login.domain;
    match &login.ssh_host_ca {
        Some(ca) => format!("@cert-authority {domain} {}\n", ca.trim()),
        None => {
            let keys = login.ssh_host_keys.iter();
            keys.map(|key| format!("{domain} {}\n", key.trim())).collect()
        }
    }
}

/// The public half of the key that is this login's; made where there is none.
fn public_key(state: &StateDir, login: &Login) -> Result<String, Failure> {
    let (key, public) = (state.ssh_key(), state.ssh_key().with_extension("pub"));
    if !key.exists() || !public.exists() {
        for stale in [&key, &public] {
            files::remove(stale).map_err(|error| failed(&error))?;
        }
        generate(&key, &format!("{} by adit on {}", login.user, login.device))?;
    }
    let text = files::read(&public).map_err(|error| failed(&error))?.unwrap_or_default();
    Ok(text.trim().to_owned())
}

/// Whoever has ssh has ssh-keygen, which knows best how ssh wants its keys.
fn generate(key: &Path, comment: &str) -> Result<(), Failure> {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(key);
    let made = keygen.stdin(Stdio::null()).stdout(Stdio::null()).status();
    match made {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(Exit::Failed, format!("ssh-keygen failed: {status}"))),
        Err(error) => Err(Failure::new(Exit::Failed, format!("ssh-keygen cannot be run: {error}"))
            .hint("install the OpenSSH client")),
    }
}

fn remembered(state: &StateDir) -> Result<Option<Shown>, Failure> {
    let text = files::read(&state.ssh_memory()).map_err(|error| failed(&error))?;
    // One that can not be read is made anew.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

fn is_whole(state: &StateDir) -> bool {
    state.ssh_key().exists() && state.ssh_certificate().exists()
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the SSH key: {error}"))
}

/// One that ends while it is being shown has ended.
const MARGIN: u64 = Duration::from_secs(60).as_secs();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_quarter_of_its_time_is_left() {
        let shown = |signed, expires| Shown {
            file: String::new(),
            agent: "laptop".to_owned(),
            serial: 1,
            signed,
            expires,
        };
        assert!(shown(0, 28_800).is_fresh(21_000));
        assert!(!shown(0, 28_800).is_fresh(21_700));
        assert!(!shown(0, 28_800).is_fresh(40_000));
        assert!(!shown(0, 100).is_fresh(50), "less than a minute is nothing");
    }

    #[test]
    fn the_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let login: Login = serde_json::from_value(serde_json::json!({
            "relay": "https://relay.test", "domain": "relay.test", "user": "alice",
            "agent": "laptop", "device": "box", "quic_port": 443, "ssh_port": 2222,
        }))
        .unwrap();
        let key = public_key(&state, &login).unwrap();
        assert!(key.starts_with("ssh-ed25519 ") && key.ends_with(" alice by adit on box"), "{key}");
        assert_eq!(public_key(&state, &login).unwrap(), key);
        std::fs::remove_file(state.ssh_key()).unwrap();
        assert_ne!(public_key(&state, &login).unwrap(), key);
    }
}
