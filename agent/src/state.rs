//! The folder that keeps a login: whom to reach, as whom, and the key that proves it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tunnel::Transport;

use crate::exit::{Exit, Failure};
use crate::files;
use crate::settings::RelayUrl;

/// `$ADIT_HOME`, else `$XDG_CONFIG_HOME/adit`, else `~/.config/adit`.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// What a login left behind, beside the key and the certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub relay: String,
    /// The name in the relay's certificate.
    pub domain: String,
    pub user: String,
    /// This machine's registration.
    pub agent: String,
    pub device: String,
    pub quic_port: u16,
    pub ssh_port: u16,
    /// When the registration ends, in Unix seconds; `None`: when it is revoked.
    #[serde(default)]
    pub expires: Option<u64>,
    /// The relay's own SSH host keys, as OpenSSH lines.
    #[serde(default)]
    pub ssh_host_keys: Vec<String>,
    /// The CA that vouches for them.
    #[serde(default)]
    pub ssh_host_ca: Option<String>,
}

impl Login {
    pub fn relay(&self) -> Result<RelayUrl, Failure> {
        self.relay.parse()
    }
}

impl StateDir {
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where the environment, read by `variable`, says it is.
    pub fn from_environment(variable: impl Fn(&'static str) -> Option<String>) -> Option<Self> {
        let given = variable("ADIT_HOME").map(PathBuf::from);
        let shared = || variable("XDG_CONFIG_HOME").map(|config| Path::new(&config).join("adit"));
        let own = || variable("HOME").map(|home| Path::new(&home).join(".config/adit"));
        given.or_else(shared).or_else(own).map(Self)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The SSH host keys seen at applications.
    pub fn known_hosts(&self) -> PathBuf {
        self.0.join("known_hosts")
    }

    /// The SSH configuration that `~/.ssh/config` includes.
    pub fn ssh_config(&self) -> PathBuf {
        self.0.join("ssh_config")
    }

    /// By which way the relay was reached last.
    pub fn transport(&self) -> Option<Transport> {
        files::read(&self.0.join(TRANSPORT)).ok()??.trim().parse().ok()
    }

    /// Keeps it for the next time; where it can not be kept, all ways are tried again.
    pub fn keep_transport(&self, transport: Transport) {
        let kept = files::replace(&self.0.join(TRANSPORT), transport.as_str().as_bytes());
        if let Err(error) = kept {
            tracing::debug!(%error, "Could not keep how the relay was reached");
        }
    }

    /// The key that certificates of the relay are for, for ssh.
    pub fn ssh_key(&self) -> PathBuf {
        self.0.join("ssh_key")
    }

    /// The certificate for it.
    pub fn ssh_certificate(&self) -> PathBuf {
        self.0.join("ssh_key-cert.pub")
    }

    /// The relay's own SSH host keys, under its name.
    pub fn relay_hosts(&self) -> PathBuf {
        self.0.join("relay_known_hosts")
    }

    /// What is known of the certificate.
    pub fn ssh_memory(&self) -> PathBuf {
        self.0.join("ssh_cert.json")
    }

    /// A page that leads a browser to where it is signed in.
    pub fn sign_in_page(&self) -> PathBuf {
        self.0.join("sign-in.html")
    }

    /// The relay's CA certificate, for programs that are told to trust it.
    pub fn ca(&self) -> PathBuf {
        self.0.join(CA)
    }

    /// Makes the folder, closed to everyone else.
    pub fn prepare(&self) -> Result<(), Failure> {
        files::private_dir(&self.0).map_err(|error| self.unusable(&error))
    }

    pub fn login(&self) -> Result<Option<Login>, Failure> {
        let file = self.0.join(LOGIN);
        let Some(text) = files::read(&file).map_err(|error| self.unusable(&error))? else {
            return Ok(None);
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Failure::new(Exit::Failed, format!("{} is damaged: {error}", file.display()))
                .hint("run `adit login URL` again")
        })
    }

    pub fn save_login(&self, login: &Login) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(login).map_err(std::io::Error::from)?;
        files::replace(&self.0.join(LOGIN), &text).map_err(|error| self.unusable(&error))
    }

    /// The relay's CA certificate, as the login stored it.
    pub fn ca_pem(&self) -> Result<String, Failure> {
        let pem = files::read(&self.0.join(CA)).map_err(|error| self.unusable(&error))?;
        pem.ok_or_else(|| {
            Failure::new(Exit::Failed, format!("{} has lost its {CA}", self.0.display()))
                .hint("run `adit login URL` again")
        })
    }

    /// Forgets the login. What SSH learned of host keys stays.
    pub fn forget(&self) -> Result<(), Failure> {
        // The record goes first: a login without its key would look signed in.
        for name in FORGOTTEN {
            files::remove(&self.0.join(name)).map_err(|error| self.unusable(&error))?;
        }
        Ok(())
    }

    fn unusable(&self, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Failed, format!("{}: {error}", self.0.display()))
    }
}

const LOGIN: &str = "login.json";
const CA: &str = "ca.pem";
const TRANSPORT: &str = "transport";
/// What is left of a login; its record goes first.
const FORGOTTEN: [&str; 10] = [
    LOGIN,
    "key.pem",
    "certificate.pem",
    CA,
    TRANSPORT,
    "ssh_key",
    "ssh_key.pub",
    "ssh_key-cert.pub",
    "ssh_cert.json",
    "relay_known_hosts",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_follows_the_environment() {
        let dir = |set: &[(&str, &str)]| {
            let found = StateDir::from_environment(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            });
            found.map(|dir| dir.path().display().to_string()).unwrap_or_default()
        };
        let all = [("ADIT_HOME", "/x"), ("XDG_CONFIG_HOME", "/cfg"), ("HOME", "/home/ann")];
        assert_eq!(dir(&all), "/x");
        assert_eq!(dir(&all[1..]), "/cfg/adit");
        assert_eq!(dir(&all[2..]), "/home/ann/.config/adit");
        assert_eq!(dir(&[]), "");
    }

    #[test]
    fn forgetting_a_login_leaves_only_what_ssh_learned() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        for name in FORGOTTEN.into_iter().chain(["known_hosts"]) {
            std::fs::write(dir.path().join(name), "{}").unwrap();
        }
        state.forget().unwrap();
        state.forget().unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "known_hosts");
    }
}
