//! The order in which the parts of a relay come to be.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use gateway_ssh::{SshConfig, SshGateway};
use russh::keys::PrivateKey;
use session::{Broker, Limits};
use store::{MasterKey, Store};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tunnel::endpoint::Congestion;
use tunnel::tls::Expiry;
use zeroize::Zeroizing;

use super::ServeError;
use super::ready::Ready;
use crate::agents::Agents;
use crate::authn::Authn;
use crate::ca::{Ca, ServerCertificate, server_names};
use crate::config::Config;
use crate::connectors::Connectors;
use crate::init::{DATABASE, MASTER_KEY, MASTER_KEY_VARIABLE};
use crate::listen::https::Https;
use crate::listen::quic::Machines;
use crate::listen::{https, quic, ssh, tcp};
use crate::lobby::Lobby;
use crate::policy::PolicyPublisher;
use crate::{AppState, RelayInfo, api, host_keys};

/// A relay that listens.
pub struct Relay {
    pub(super) config: Config,
    pub(super) state: AppState,
    pub(super) endpoint: quinn::Endpoint,
    pub(super) ready: Ready,
    pub(super) tokens: Tokens,
    /// Listeners with their connections, and the publisher's follower.
    pub(super) tasks: JoinSet<()>,
}

/// How the parts of a relay are told to stop.
#[derive(Clone, Default)]
pub(super) struct Tokens {
    /// No new peers.
    pub(super) accepting: CancellationToken,
    /// Sessions end now.
    pub(super) drain: CancellationToken,
    /// Everything else.
    pub(super) stop: CancellationToken,
}

/// Starts every part and binds every door.
pub async fn build(config: Config) -> Result<Relay, ServeError> {
    let now = SystemTime::now();
    let store = open_store(&config).await?;
    let abandoned = store.close_abandoned(now).await?;
    if abandoned > 0 {
        tracing::warn!(abandoned, "Closed sessions that the last run left open");
    }
    let core = Core::start(&config, store).await?;
    let names = server_names(&config.domain, &config.names);
    let certificate = core.ca.server_certificate(&core.store, &names, now).await?;
    let doors = Doors::bind(&config, &core, &certificate).await?;
    let ready = doors.ready()?;
    let state = core.state(&config, &ready)?;
    let tasks = doors.open(&config, &core, &state, &certificate)?;
    Ok(Relay { config, state, endpoint: tasks.1, ready, tokens: core.tokens, tasks: tasks.0 })
}

async fn open_store(config: &Config) -> Result<Store, ServeError> {
    let key = master_key(&config.data)?;
    let path = config.data.join(DATABASE);
    Ok(Store::open_for(&path, key, config.limits.max_sessions).await?)
}

fn master_key(data: &Path) -> Result<MasterKey, ServeError> {
    if let Ok(text) = std::env::var(MASTER_KEY_VARIABLE) {
        return Ok(MasterKey::from_base64(Zeroizing::new(text).trim())?);
    }
    let path = data.join(MASTER_KEY);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(MasterKey::from_base64(Zeroizing::new(text).trim())?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ServeError::NoMasterKey(path))
        }
        Err(source) => Err(ServeError::Read { path, source }),
    }
}

/// The parts behind the doors.
struct Core {
    store: Store,
    ca: Arc<Ca>,
    policy: Arc<PolicyPublisher>,
    authn: Arc<Authn>,
    connectors: Arc<Connectors>,
    broker: Broker,
    host_keys: Vec<PrivateKey>,
    ssh: SshGateway,
    agents: Arc<Agents>,
    tokens: Tokens,
}

impl Core {
    async fn start(config: &Config, store: Store) -> Result<Self, ServeError> {
        let tokens = Tokens::default();
        let ca = Arc::new(Ca::load(&store).await?);
        let host_keys = host_keys::load(&store).await?;
        let policy = PolicyPublisher::start(store.clone()).await?;
        let audit = store.audit();
        let authn = Arc::new(Authn::new(store.clone(), policy.subscribe(), audit.clone()));
        let connectors = Connectors::new(audit.clone());
        let limits = Limits { max_sessions: config.limits.max_sessions };
        let (dialer, drain) = (connectors.clone(), tokens.drain.clone());
        let broker = Broker::new(audit, dialer, policy.subscribe(), drain.clone(), limits);
        policy.watch_sessions(broker.clone());
        let ssh = SshGateway::new(SshConfig {
            host_keys: host_keys.clone(),
            broker: broker.clone(),
            authn: authn.clone(),
            secrets: Arc::new(store.clone()),
            target_keys: Arc::new(store.clone()),
            domain: config.domain.clone(),
        });
        let agents =
            Agents::new(authn.clone(), broker.clone(), ssh.clone(), policy.subscribe(), drain);
        Ok(Self { store, ca, policy, authn, connectors, broker, host_keys, ssh, agents, tokens })
    }

    fn state(&self, config: &Config, ready: &Ready) -> Result<AppState, ServeError> {
        let info = RelayInfo {
            name: config.domain.clone(),
            version: env!("CARGO_PKG_VERSION"),
            domain: config.domain.clone(),
            https_port: ready.https.port(),
            quic_port: ready.quic.port(),
            ssh_port: ready.ssh.port(),
            ssh_host_keys: host_keys::public_lines(&self.host_keys)?,
        };
        Ok(AppState {
            store: self.store.clone(),
            authn: self.authn.clone(),
            broker: self.broker.clone(),
            policy: self.policy.clone(),
            connectors: self.connectors.clone(),
            agents: self.agents.clone(),
            ca: self.ca.clone(),
            info: Arc::new(info),
        })
    }
}

/// The bound sockets.
struct Doors {
    https: TcpListener,
    ssh: TcpListener,
    quic: quinn::Endpoint,
}

impl Doors {
    async fn bind(
        config: &Config,
        core: &Core,
        certificate: &ServerCertificate,
    ) -> Result<Self, ServeError> {
        let listen = &config.listen;
        let https = bind("https", listen.https).await?;
        let ssh = bind("ssh", listen.ssh).await?;
        let verifier = tunnel::tls::client_verifier(core.ca.certificate_pem(), Expiry::ForRenewal)?;
        let ServerCertificate { chain_pem, key_pem } = certificate;
        let quic =
            tunnel::endpoint::server_config(chain_pem, key_pem, verifier, Congestion::default())?;
        let reset_key = core.ca.reset_key(&core.store).await?;
        let quic = tunnel::endpoint::listen(listen.quic, quic, &reset_key)
            .map_err(|source| ServeError::Listen { door: "quic", address: listen.quic, source })?;
        Ok(Self { https, ssh, quic })
    }

    fn ready(&self) -> Result<Ready, ServeError> {
        let unbound = |source| {
            let address = SocketAddr::from(([0, 0, 0, 0], 0));
            ServeError::Listen { door: "any", address, source }
        };
        Ok(Ready {
            https: self.https.local_addr().map_err(unbound)?,
            quic: self.quic.local_addr().map_err(unbound)?,
            ssh: self.ssh.local_addr().map_err(unbound)?,
            pid: std::process::id(),
        })
    }

    /// Starts accepting.
    fn open(
        self,
        config: &Config,
        core: &Core,
        state: &AppState,
        certificate: &ServerCertificate,
    ) -> Result<(JoinSet<()>, quinn::Endpoint), ServeError> {
        let lobby = || Lobby::new(config.limits.max_unauthenticated);
        let Tokens { accepting, drain, stop } = core.tokens.clone();
        let served = Arc::new(https_door(core, state, certificate)?);
        let mut tasks = JoinSet::new();
        let handle = move |socket, peer, guest| served.clone().serve(socket, peer, guest);
        tasks.spawn(tcp::accept(self.https, lobby(), accepting.clone(), handle));
        let gateway = core.ssh.clone();
        let handle =
            move |socket, peer, guest| ssh(gateway.clone(), drain.clone(), socket, peer, guest);
        tasks.spawn(tcp::accept(self.ssh, lobby(), accepting.clone(), handle));
        let machines = Arc::new(Machines {
            store: core.store.clone(),
            authn: core.authn.clone(),
            agents: core.agents.clone(),
            connectors: core.connectors.clone(),
            ca: core.ca.clone(),
        });
        tasks.spawn(quic::accept(self.quic.clone(), machines, lobby(), accepting));
        let policy = core.policy.clone();
        tasks.spawn(async move { policy.follow(stop).await });
        Ok((tasks, self.quic))
    }
}

fn https_door(
    core: &Core,
    state: &AppState,
    certificate: &ServerCertificate,
) -> Result<Https, ServeError> {
    let ca_pem = core.ca.certificate_pem();
    let verifier = tunnel::tls::client_verifier(ca_pem, Expiry::Enforced)?;
    Ok(Https {
        router: api::router(state.clone()),
        ssh: core.ssh.clone(),
        store: core.store.clone(),
        authn: core.authn.clone(),
        open: https::tls(certificate, None, &[b"h2", b"http/1.1"])?,
        agents: https::tls(certificate, Some(verifier), &[wire::ALPN_API])?,
        stop: core.tokens.accepting.clone(),
        drain: core.tokens.drain.clone(),
    })
}

async fn bind(door: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Listen { door, address, source })
}
