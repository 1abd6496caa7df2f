//! Reading the configuration again while the relay runs: what can change does, what needs a restart
//! is named, and a file with mistakes changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_ssh::SshGateway;
use telemetry::Log;
use tokio::signal::unix::Signal;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use crate::config::{Config, ConfigError, OwnCertificate};
use crate::deliver::Deliveries;
use crate::lobby::Lobby;

/// What can be changed while the relay runs.
#[derive(Clone)]
pub(super) struct Knobs {
    pub(super) log: Log,
    pub(super) lobbies: Lobbies,
    pub(super) identity: Arc<Identity>,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) ssh: SshGateway,
}

/// Where strangers wait, by listener.
#[derive(Clone)]
pub(super) struct Lobbies {
    pub(super) https: Arc<Lobby>,
    pub(super) quic: Arc<Lobby>,
    pub(super) ssh: Arc<Lobby>,
    pub(super) postgres: Arc<Lobby>,
    pub(super) redis: Arc<Lobby>,
    pub(super) mysql: Arc<Lobby>,
    /// Where a CA looks, and where others are sent on from.
    pub(super) http: Arc<Lobby>,
    pub(super) admin: Arc<Lobby>,
}

/// Brings a running relay in line with its file.
pub(super) struct Reloader {
    path: PathBuf,
    /// What is in force.
    config: Config,
    knobs: Knobs,
}

/// What came of reading the file again, by the keys that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reloaded {
    /// In force now.
    pub(super) applied: Vec<&'static str>,
    /// In force after the next start.
    pub(super) restart: Vec<&'static str>,
    /// Could not be put in force; the log says why.
    pub(super) failed: Vec<&'static str>,
}

impl Lobbies {
    pub(super) fn new(most: usize) -> Self {
        let lobby = || Lobby::new(most);
        let admin = Lobby::new(ADMIN_PEERS);
        Self {
            https: lobby(),
            quic: lobby(),
            ssh: lobby(),
            postgres: lobby(),
            redis: lobby(),
            mysql: lobby(),
            http: lobby(),
            admin,
        }
    }

    pub(super) fn named(&self) -> Vec<(&'static str, Arc<Lobby>)> {
        let Self { https, quic, ssh, postgres, redis, mysql, http, admin } = self.clone();
        vec![
            ("https", https),
            ("quic", quic),
            ("ssh", ssh),
            ("postgres", postgres),
            ("redis", redis),
            ("mysql", mysql),
            ("http", http),
            ("admin", admin),
        ]
    }

    fn resize(&self, most: usize) {
        self.open().into_iter().for_each(|lobby| lobby.resize(most));
    }

    /// While memory is short, crowds have to go, and whoever signs in quickly still may.
    pub(super) fn squeeze(&self, short: bool) {
        let squeeze = |lobby: &Arc<Lobby>| lobby.squeeze(short.then_some(PEERS_IN_NEED));
        self.open().into_iter().for_each(squeeze);
    }

    /// Those of listeners that everybody reaches.
    fn open(&self) -> [&Arc<Lobby>; 7] {
        [&self.https, &self.quic, &self.ssh, &self.postgres, &self.redis, &self.mysql, &self.http]
    }
}

impl Reloader {
    pub(super) fn new(path: PathBuf, config: Config, knobs: Knobs) -> Self {
        Self { path, config, knobs }
    }

    /// Reads the file at each signal, and renews the relay's certificate in time, until `stop`.
    pub(super) async fn follow(mut self, mut signal: Signal, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                asked = signal.recv() => match asked {
                    Some(()) => self.reload_and_say().await,
                    None => return,
                },
                () = sleep(RENEWAL) => {
                    let Config { names, tls, .. } = &self.config;
                    self.show(names, &tls.certificates).await;
                    self.knobs.identity.warn();
                }
            }
        }
    }

    /// Reads the file and applies what differs from what is in force.
    pub(super) async fn reload(&mut self) -> Result<Reloaded, ConfigError> {
        let wanted = Config::read(&self.path)?;
        let mut outcome = Reloaded { restart: self.needs_restart(&wanted), ..Reloaded::default() };
        if let Some(done) = self.level(&wanted) {
            outcome.note("log.level", done);
        }
        if wanted.names != self.config.names {
            let done = self.show(&wanted.names, &self.config.tls.certificates).await.is_some();
            outcome.note("names", done);
            if done {
                self.config.names = wanted.names;
            }
        }
        // The files may have changed where their names have not.
        let files = wanted.tls.certificates;
        let old = &self.config.tls.certificates;
        if !files.is_empty() || !old.is_empty() {
            let differ = files != *old;
            let changed = self.show(&self.config.names, &files).await;
            if changed != Some(false) || differ {
                outcome.note("tls", changed.is_some());
            }
            if changed.is_some() {
                self.config.tls.certificates = files;
            }
        }
        let most = wanted.limits.max_unauthenticated;
        if most != self.config.limits.max_unauthenticated {
            self.knobs.lobbies.resize(most);
            self.config.limits.max_unauthenticated = most;
            outcome.note("limits.max_unauthenticated", true);
        }
        if wanted.ssh != self.config.ssh {
            self.knobs.ssh.show(wanted.ssh.clone());
            self.config.ssh = wanted.ssh;
            outcome.note("ssh", true);
        }
        if wanted.audit != self.config.audit {
            self.knobs.deliveries.want(wanted.audit.destinations.clone());
            self.config.audit = wanted.audit;
            outcome.note("audit.destination", true);
        }
        Ok(outcome)
    }

    async fn reload_and_say(&mut self) {
        match self.reload().await {
            Ok(outcome) if outcome == Reloaded::default() => {
                tracing::info!("Read the configuration again: nothing in it has changed");
            }
            Ok(Reloaded { applied, restart, failed }) => {
                let [applied, restart, failed] =
                    [applied, restart, failed].map(|keys| keys.join(", "));
                tracing::warn!(applied, restart, failed, "Read the configuration again");
            }
            Err(error) => {
                tracing::error!(%error, "The configuration has mistakes; the old one stays in force");
            }
        }
    }

    /// The level is compared with what is logged now, which the admin listener may have changed.
    fn level(&self, wanted: &Config) -> Option<bool> {
        // The environment wins over the file, as it does at the start.
        let level = telemetry::from_environment().unwrap_or_else(|| wanted.log.level.clone());
        (level != self.knobs.log.level()).then(|| {
            let set = self.knobs.log.set_level(&level);
            set.inspect_err(|error| tracing::error!(%error, "Could not change the level")).is_ok()
        })
    }

    /// Whether a certificate is another than before; `None`: those shown stay.
    async fn show(&self, names: &[String], files: &[OwnCertificate]) -> Option<bool> {
        match self.knobs.identity.show(&self.config.domain, names, files).await {
            Ok(changed) => {
                if changed {
                    tracing::info!("Showing a new certificate");
                }
                Some(changed)
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "No new certificate");
                None
            }
        }
    }

    fn needs_restart(&self, wanted: &Config) -> Vec<&'static str> {
        let Config {
            data,
            database,
            cluster,
            domain,
            names: _,
            listen,
            tls,
            ssh: _,
            mysql,
            limits,
            log,
            telemetry,
            audit: _,
            oidc,
            ldap,
            notify,
            proxy,
            updates,
        } = &self.config;
        let differs = [
            ("data", *data != wanted.data),
            ("database", database.at != wanted.database.at),
            ("database_password_file", database.password_file != wanted.database.password_file),
            ("cluster", *cluster != wanted.cluster),
            ("domain", *domain != wanted.domain),
            ("tls.minimum", tls.oldest != wanted.tls.oldest),
            ("listen.https", listen.https != wanted.listen.https),
            ("listen.quic", listen.quic != wanted.listen.quic),
            ("listen.ssh", listen.ssh != wanted.listen.ssh),
            ("listen.postgres", listen.postgres != wanted.listen.postgres),
            ("listen.postgres_tls", listen.postgres_plain != wanted.listen.postgres_plain),
            ("listen.redis", listen.redis != wanted.listen.redis),
            ("listen.redis_tls", listen.redis_plain != wanted.listen.redis_plain),
            ("listen.mysql", listen.mysql != wanted.listen.mysql),
            ("listen.mysql_tls", listen.mysql_plain != wanted.listen.mysql_plain),
            ("mysql.version", mysql.version != wanted.mysql.version),
            ("mysql.native_password", mysql.native_password != wanted.mysql.native_password),
            ("listen.admin", listen.admin != wanted.listen.admin),
            ("limits.max_sessions", limits.max_sessions != wanted.limits.max_sessions),
            ("limits.api_calls", limits.api_calls != wanted.limits.api_calls),
            ("limits.request_log_days", limits.request_log_days != wanted.limits.request_log_days),
            (
                "limits.statement_log_days",
                limits.statement_log_days != wanted.limits.statement_log_days,
            ),
            ("ldap", *ldap != wanted.ldap),
            ("notify", *notify != wanted.notify),
            ("oidc", *oidc != wanted.oidc),
            ("proxy", *proxy != wanted.proxy),
            ("updates", *updates != wanted.updates),
            ("tls.acme", tls.acme != wanted.tls.acme),
            ("log.format", log.format != wanted.log.format),
            ("telemetry.otlp", telemetry.otlp != wanted.telemetry.otlp),
            (
                "telemetry.sample_percent",
                telemetry.sample_percent != wanted.telemetry.sample_percent,
            ),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

impl Reloaded {
    fn note(&mut self, key: &'static str, done: bool) {
        let list = if done { &mut self.applied } else { &mut self.failed };
        list.push(key);
    }
}

/// How often the relay's certificate is looked at: it is renewed a month before its end.
const RENEWAL: Duration = Duration::from_secs(12 * 3600);
const ADMIN_PEERS: usize = 64;
/// Of each listener, while memory is short: some megabytes of handshakes.
const PEERS_IN_NEED: usize = 64;
