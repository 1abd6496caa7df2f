//! The order in which the parts of a relay come to be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gateway_mysql::{MysqlConfig, MysqlGateway};
use gateway_postgres::{PostgresConfig, PostgresGateway};
use gateway_rdp::{RdpConfig, RdpGateway};
use gateway_redis::{RedisConfig, RedisGateway};
use gateway_ssh::{HostCa, SshConfig, SshGateway, TargetCa, UserCa};
use gateway_web::{Keeper, Signer, WebConfig, WebGateway};
use rdgateway::{RdGateway, RdGatewayConfig};
use record::{Archive, RecordingsKey};
use rustls::client::danger::ServerCertVerifier;
use session::{Broker, Dialer, Limits};
use store::Store;
use telemetry::Log;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ServeError;
use super::identity::{self, Identity};
use super::passed::Passed;
use super::ready::Ready;
use super::reload::{Knobs, Lobbies};
use crate::accounts::Sweeper;
use crate::acme::{self, Acme, Challenges};
use crate::admin::{Admin, Dials, Measured};
use crate::agents::Agents;
use crate::api::Calls;
use crate::authn::{Authn, Browsers};
use crate::ca::{Ca, ServerCertificate, server_names};
use crate::certificates::{self, Certificates};
use crate::cluster::{Cluster, Forwarding};
use crate::config::{Challenge, Config, PublicUrl};
use crate::connectors::Connectors;
use crate::deliver::Deliveries;
use crate::desktops::{Desktops, Native};
use crate::ends::Ends;
use crate::host_keys::HostKeyring;
use crate::ldap::{self, Directories};
use crate::listen::http01::Http01;
use crate::listen::https::Https;
use crate::listen::mysql::Mysql;
use crate::listen::postgres::Postgres;
use crate::listen::quic::Machines;
use crate::listen::redis::Redis;
use crate::listen::spare::Spare;
use crate::listen::{admin, quic, ssh, tcp};
use crate::notify::Notices;
use crate::oidc::Providers;
use crate::playbacks::Playbacks;
use crate::policy::PolicyPublisher;
use crate::seen::Sightings;
use crate::terminals::Terminals;
use crate::traces::Traces;
use crate::updates::Updates;
use crate::{AppState, RelayInfo, api, database, host_keys, portal, retention, statements};

/// A relay that listens.
pub struct Relay {
    pub(super) config: Config,
    pub(super) state: AppState,
    pub(super) endpoint: quinn::Endpoint,
    pub(super) ready: Ready,
    pub(super) tokens: Tokens,
    pub(super) knobs: Knobs,
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
pub async fn build(config: Config, log: Log) -> Result<Relay, ServeError> {
    let now = SystemTime::now();
    let store = database::open(&config).await?;
    let (ca, cluster, abandoned) = match &config.cluster {
        None => {
            let abandoned = store.close_abandoned(now).await?;
            (Arc::new(Ca::load(&store).await?), None, abandoned)
        }
        Some(own) => {
            let ca = Arc::new(Ca::load(&store).await?);
            let joined = Cluster::join(&config, own, &store, ca.clone(), now).await?;
            (ca, Some(joined.0), joined.1)
        }
    };
    if abandoned > 0 {
        tracing::warn!(abandoned, "Closed sessions that the last run left open");
    }
    let names = server_names(&config.domain, &config.names);
    let certificate = ca.server_certificate(&store, &names, now).await?;
    let (core, keeper) = Core::start(&config, store, ca, cluster, &certificate).await?;
    let doors = Doors::bind(&config, &core, &certificate).await?;
    let (ready, endpoint) = (doors.ready()?, doors.quic.clone());
    if let Some(cluster) = &core.cluster {
        cluster.announce(ready.quic.port(), ready.https.port()).await?;
    }
    let state = core.state(&config, &ready)?;
    let identity = Identity::new(&core, certificate, &names, config.tls.oldest, endpoint.clone())?;
    identity.warn();
    let lobbies = Lobbies::new(config.limits.max_unauthenticated);
    let deliveries = core.deliveries.clone();
    let (identity, ssh) = (Arc::new(identity), core.ssh.clone());
    let knobs = Knobs { log, lobbies, identity, deliveries, ssh };
    let mut tasks = doors.open(&core, &state, &knobs);
    tasks.spawn(keeper.run());
    trace(&config, &core, &mut tasks);
    certify(&config, &core, &mut tasks);
    Ok(Relay { config, state, endpoint, ready, tokens: core.tokens, knobs, tasks })
}

/// The CAs that the machine trusts. A relay without them serves, and trusts no origin that has none
/// of its own.
fn system_roots() -> Option<Arc<dyn ServerCertVerifier>> {
    let roots = tunnel::tls::system_roots();
    roots.inspect_err(|error| tracing::warn!(%error, "This machine has no CA certificates")).ok()
}

/// Asks a CA for certificates where the configuration names one.
fn certify(config: &Config, core: &Core, tasks: &mut JoinSet<()>) {
    let Some(ca) = &config.tls.acme else { return };
    let parts = acme::Parts {
        store: core.store.clone(),
        certificates: core.certificates.clone(),
        challenges: core.challenges.clone(),
        audit: core.audit.clone(),
    };
    let acme = Acme::new(ca, parts, acme::Pace::default());
    tasks.spawn(acme.run(core.policy.subscribe(), core.tokens.accepting.clone()));
}

/// Sends traces where the configuration names a collector.
fn trace(config: &Config, core: &Core, tasks: &mut JoinSet<()>) {
    let Some(url) = config.telemetry.otlp.clone() else { return };
    let (traces, exporter) = Traces::to(url, config.telemetry.sample_percent);
    core.authn.traced_by(traces.clone());
    core.broker.witnessed_by(traces);
    tasks.spawn(exporter.run(core.tokens.stop.clone()));
}

/// The parts behind the doors.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) ca: Arc<Ca>,
    cluster: Option<Arc<Cluster>>,
    pub(super) certificates: Arc<Certificates>,
    challenges: Arc<Challenges>,
    policy: Arc<PolicyPublisher>,
    authn: Arc<Authn>,
    connectors: Arc<Connectors>,
    broker: Broker,
    /// The public halves.
    host_keys: Vec<String>,
    host_ca: Arc<HostCa>,
    target_ca: Arc<TargetCa>,
    user_ca: Arc<UserCa>,
    ssh: SshGateway,
    web: WebGateway,
    postgres: PostgresGateway,
    redis: RedisGateway,
    rdgateway: RdGateway,
    mysql: MysqlGateway,
    rdp: RdpGateway,
    signer: Arc<Signer>,
    agents: Arc<Agents>,
    audit: Arc<Measured>,
    dials: Arc<Dials>,
    deliveries: Arc<Deliveries>,
    recordings: Archive,
    updates: Arc<Updates>,
    pub(super) tokens: Tokens,
}

impl Core {
    async fn start(
        config: &Config,
        store: Store,
        ca: Arc<Ca>,
        cluster: Option<Arc<Cluster>>,
        certificate: &ServerCertificate,
    ) -> Result<(Self, Keeper), ServeError> {
        let tokens = Tokens::default();
        store.call_relay(&config.domain, &config.names);
        let HostKeyring { current, next } = host_keys::load(&store).await?;
        let host_keys = host_keys::public_lines(&current)?;
        let policy = PolicyPublisher::start(store.clone()).await?;
        let shown = (certificate, certificates::read(&config.tls.certificates)?);
        let certificates =
            Certificates::new(ca.clone(), &config.domain, policy.subscribe(), shown)?;
        let audit = Measured::new(store.audit());
        let authn = Authn::new(store.clone(), policy.subscribe(), audit.clone());
        let authn = Arc::new(authn.knowing(Browsers::load(&store).await?));
        let connectors = Connectors::new(audit.clone());
        let limits = Limits { max_sessions: config.limits.max_sessions };
        let dialer: Arc<dyn Dialer> = match cluster.clone() {
            Some(cluster) => Arc::new(Forwarding { connectors: connectors.clone(), cluster }),
            None => connectors.clone(),
        };
        let (dials, drain) = (Dials::new(dialer), tokens.drain.clone());
        let broker =
            Broker::new(audit.clone(), dials.clone(), policy.subscribe(), drain.clone(), limits);
        policy.watch_sessions(broker.clone());
        let recordings = recordings(config, &store, audit.clone()).await?;
        broker.recorded_by(Arc::new(recordings.clone()));
        let target_ca = Arc::new(host_keys::target_ca(&store, &config.domain).await?);
        let host_ca = Arc::new(host_keys::host_ca(&store, &config.domain).await?);
        let user_ca = Arc::new(host_keys::user_ca(&store, &config.domain).await?);
        let ssh = SshGateway::new(SshConfig {
            host_keys: current,
            next_host_keys: next,
            host_ca: host_ca.clone(),
            host_names: host_names(config),
            broker: broker.clone(),
            authn: authn.clone(),
            secrets: Arc::new(store.clone()),
            target_keys: Arc::new(store.clone()),
            target_ca: target_ca.clone(),
            user_ca: user_ca.clone(),
            domain: config.domain.clone(),
            texts: config.ssh.clone(),
        });
        let signer = Arc::new(statements::signer(&store, &config.domain).await?);
        let (web, keeper) = WebGateway::new(WebConfig {
            broker: broker.clone(),
            authn: authn.clone(),
            sign_ins: authn.clone(),
            domain: config.domain.clone(),
            public: config.proxy.url.as_ref().map(PublicUrl::place),
            roots: system_roots(),
            signer: signer.clone(),
            log: Arc::new(store.clone()),
            stop: tokens.accepting.clone(),
        });
        let postgres = PostgresGateway::new(PostgresConfig {
            broker: broker.clone(),
            authn: authn.clone(),
            secrets: Arc::new(store.clone()),
            log: Arc::new(store.clone()),
            domain: config.domain.clone(),
            roots: system_roots(),
        });
        let redis = RedisGateway::new(RedisConfig {
            broker: broker.clone(),
            authn: authn.clone(),
            secrets: Arc::new(store.clone()),
            log: Arc::new(store.clone()),
            domain: config.domain.clone(),
            roots: system_roots(),
        });
        let rdp = RdpGateway::new(RdpConfig {
            broker: broker.clone(),
            secrets: Arc::new(store.clone()),
            certificates: Arc::new(store.clone()),
            shown: certificates.clone(),
            domain: config.domain.clone(),
            roots: system_roots(),
        });
        let rdgateway = RdGateway::new(RdGatewayConfig {
            broker: broker.clone(),
            authn: authn.clone(),
            domain: config.domain.clone(),
            drain: drain.clone(),
            desks: Arc::new(Native(rdp.clone())),
        });
        let mysql = MysqlGateway::new(MysqlConfig {
            broker: broker.clone(),
            authn: authn.clone(),
            secrets: Arc::new(store.clone()),
            log: Arc::new(store.clone()),
            domain: config.domain.clone(),
            roots: system_roots(),
            version: config.mysql.version.clone(),
            native_password: config.mysql.native_password,
        });
        let destinations = config.audit.destinations.clone();
        let deliveries = Deliveries::new(store.clone(), &config.domain, destinations);
        let doors = (ssh.clone(), rdp.clone());
        let agents = Agents::new(authn.clone(), broker.clone(), doors, policy.subscribe(), drain);
        let core = Self {
            store,
            ca,
            cluster,
            certificates,
            challenges: Arc::default(),
            policy,
            authn,
            connectors,
            broker,
            host_keys,
            host_ca,
            target_ca,
            user_ca,
            ssh,
            web,
            postgres,
            redis,
            rdgateway,
            mysql,
            rdp,
            signer,
            agents,
            audit,
            dials,
            deliveries,
            recordings,
            updates: Updates::new(&config.updates),
            tokens,
        };
        Ok((core, keeper))
    }

    fn notices(&self, config: &Config, url: String) -> Arc<Notices> {
        Notices::new(self.store.clone(), self.audit.clone(), config.notify.clone(), url)
    }

    fn state(&self, config: &Config, ready: &Ready) -> Result<AppState, ServeError> {
        let info = RelayInfo {
            name: config.domain.clone(),
            version: env!("CARGO_PKG_VERSION"),
            domain: config.domain.clone(),
            proxy: config.proxy.clone(),
            https_port: ready.https.port(),
            quic_port: ready.quic.port(),
            ssh_port: ready.ssh.port(),
            mysql_port: ready.mysql.map(|address| address.port()),
            ssh_host_keys: self.host_keys.clone(),
            ssh_host_ca: self.host_ca.line().map_err(host_keys::HostKeyError::Key)?,
            ssh_target_ca: self.target_ca.line().map_err(host_keys::HostKeyError::Key)?,
            statement_keys: self.signer.key_set(),
            updates: (config.updates.key, config.updates.automatic),
            requests_kept: DAY * config.limits.request_log_days,
            statements_kept: DAY * config.limits.statement_log_days,
        };
        let url = info.url();
        self.authn.reached_at(url.clone());
        Ok(AppState {
            store: self.store.clone(),
            cluster: self.cluster.clone(),
            authn: self.authn.clone(),
            broker: self.broker.clone(),
            policy: self.policy.clone(),
            connectors: self.connectors.clone(),
            agents: self.agents.clone(),
            ca: self.ca.clone(),
            user_ca: self.user_ca.clone(),
            certificates: self.certificates.clone(),
            ends: Arc::default(),
            deliveries: self.deliveries.clone(),
            notices: self.notices(config, url),
            directories: Directories::new(config.ldap.clone()),
            recordings: self.recordings.clone(),
            terminals: Terminals::new(
                self.ssh.clone(),
                self.store.clone(),
                self.tokens.drain.clone(),
            ),
            desktops: Desktops::new(self.rdp.clone()),
            playbacks: Playbacks::new(
                self.recordings.clone(),
                self.broker.clone(),
                self.ca.clone(),
            ),
            oidc: Arc::new(Providers::new(&config.oidc)),
            calls: Arc::new(Calls::new(config.limits.api_calls)),
            info: Arc::new(info),
        })
    }
}

/// What SSH clients may have called the relay when they check its host key.
fn host_names(config: &Config) -> Vec<String> {
    std::iter::once(&config.domain).chain(&config.names).cloned().collect()
}

/// Recordings in the data folder, sealed with what follows from a secret of the store.
async fn recordings(
    config: &Config,
    store: &Store,
    audit: Arc<Measured>,
) -> Result<Archive, ServeError> {
    let secret = store.secret_or_make(RECORDINGS_KEY).await?;
    let root = config.data.join(database::RECORDINGS);
    Ok(Archive::open(root, RecordingsKey::new(&secret), audit).await?)
}

/// The name of the secret that the keys of recordings follow from.
const RECORDINGS_KEY: &str = "recordings-key";
/// That of the key by which the QUIC socket tells peers of the time before a restart that their
/// connection is gone.
const RESET_KEY: &str = "quic-reset-key";

impl Core {
    fn machines(&self, state: &AppState) -> Machines {
        Machines {
            store: self.store.clone(),
            authn: self.authn.clone(),
            agents: self.agents.clone(),
            connectors: self.connectors.clone(),
            ca: self.ca.clone(),
            updates: self.updates.clone(),
            cluster: self.cluster.clone().map(|cluster| (cluster, state.clone())),
            stop: self.tokens.stop.clone(),
        }
    }

    fn admin(&self, state: &AppState, knobs: &Knobs) -> axum::Router {
        let lobbies = knobs.lobbies.named();
        crate::admin::router(Admin {
            state: state.clone(),
            registry: Arc::new(crate::admin::registry(state, (&self.audit, &self.dials), lobbies)),
            log: knobs.log.clone(),
            stopping: self.tokens.accepting.clone(),
        })
    }
}

/// The bound sockets.
struct Doors {
    https: TcpListener,
    ssh: TcpListener,
    postgres: Option<(TcpListener, bool)>,
    redis: Option<(TcpListener, bool)>,
    mysql: Option<(TcpListener, bool)>,
    quic: quinn::Endpoint,
    admin: Option<TcpListener>,
    http01: Option<TcpListener>,
}

impl Doors {
    async fn bind(
        config: &Config,
        core: &Core,
        certificate: &ServerCertificate,
    ) -> Result<Self, ServeError> {
        let (listen, mut passed) = (&config.listen, Passed::take()?);
        let mut bind = |door, address| bind(&mut passed, door, address);
        let https = bind("https", listen.https)?;
        let ssh = bind("ssh", listen.ssh)?;
        let postgres = match listen.postgres {
            Some(address) => Some((bind("postgres", address)?, listen.postgres_plain)),
            None => None,
        };
        let redis = match listen.redis {
            Some(address) => Some((bind("redis", address)?, listen.redis_plain)),
            None => None,
        };
        let mysql = match listen.mysql {
            Some(address) => Some((bind("mysql", address)?, listen.mysql_plain)),
            None => None,
        };
        let admin = match listen.admin {
            Some(address) => Some(bind("admin", address)?),
            None => None,
        };
        let http01 = match config.tls.acme.as_ref().map(|acme| acme.challenge) {
            Some(Challenge::Http(address)) => Some(bind("http", address)?),
            Some(Challenge::TlsAlpn) | None => None,
        };
        let quic = identity::quic(&core.ca, certificate)?;
        let reset_key = core.store.secret_or_make(RESET_KEY).await?;
        let socket = match passed.udp(listen.quic) {
            Some(socket) => tunnel::endpoint::fit(socket),
            None => tunnel::endpoint::bind_udp(listen.quic),
        };
        let quic = socket
            .and_then(|socket| tunnel::endpoint::listen(socket, quic, &reset_key))
            .map_err(|source| ServeError::Listen { door: "quic", address: listen.quic, source })?;
        passed.warn_of_the_rest();
        Ok(Self { https, ssh, postgres, redis, mysql, quic, admin, http01 })
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
            postgres: self.postgres.as_ref().and_then(|(door, _)| door.local_addr().ok()),
            redis: self.redis.as_ref().and_then(|(door, _)| door.local_addr().ok()),
            mysql: self.mysql.as_ref().and_then(|(door, _)| door.local_addr().ok()),
            admin: self.admin.as_ref().and_then(|admin| admin.local_addr().ok()),
            pid: std::process::id(),
        })
    }

    /// Starts accepting.
    fn open(self, core: &Core, state: &AppState, knobs: &Knobs) -> JoinSet<()> {
        let (lobbies, mut tasks) = (&knobs.lobbies, JoinSet::new());
        let Tokens { accepting, drain, stop } = core.tokens.clone();
        let machines = Arc::new(core.machines(state));
        let served = Arc::new(https_door(core, state, knobs, machines.clone()));
        let handle = move |socket, peer, guest| served.clone().serve(socket, peer, guest);
        let entrance = (lobbies.https.clone(), Some(Spare::keep()));
        tasks.spawn(tcp::accept(self.https, entrance, accepting.clone(), handle));
        let gateway = core.ssh.clone();
        let handle =
            move |socket, peer, guest| ssh(gateway.clone(), drain.clone(), socket, peer, guest);
        let entrance = (lobbies.ssh.clone(), None);
        tasks.spawn(tcp::accept(self.ssh, entrance, accepting.clone(), handle));
        if let Some((listener, plain)) = self.postgres {
            let door = Arc::new(postgres_door(core, knobs));
            let handle = move |socket, peer, guest| door.clone().serve(plain, socket, peer, guest);
            let entrance = (lobbies.postgres.clone(), None);
            tasks.spawn(tcp::accept(listener, entrance, accepting.clone(), handle));
        }
        if let Some((listener, plain)) = self.redis {
            let door = Arc::new(redis_door(core, knobs));
            let handle = move |socket, peer, guest| door.clone().serve(plain, socket, peer, guest);
            let entrance = (lobbies.redis.clone(), None);
            tasks.spawn(tcp::accept(listener, entrance, accepting.clone(), handle));
        }
        if let Some((listener, plain)) = self.mysql {
            let door = Arc::new(mysql_door(core, knobs));
            let handle = move |socket, peer, guest| door.clone().serve(plain, socket, peer, guest);
            let entrance = (lobbies.mysql.clone(), None);
            tasks.spawn(tcp::accept(listener, entrance, accepting.clone(), handle));
        }
        tasks.spawn(quic::accept(self.quic, machines, lobbies.quic.clone(), accepting));
        let (policy, until) = (core.policy.clone(), stop.clone());
        tasks.spawn(async move { policy.follow(until).await });
        tasks.spawn(Ends::follow(state.clone(), stop.clone()));
        tasks.spawn(core.deliveries.clone().run(stop.clone()));
        let leader = state.clone();
        let leads = move || leader.leads();
        tasks.spawn(state.notices.clone().run(leads, stop.clone()));
        if let Some(cluster) = &core.cluster {
            tasks.spawn(cluster.clone().follow(state.clone(), stop.clone()));
        }
        tasks.spawn(ldap::follow(state.clone(), stop.clone()));
        tasks.spawn(Sightings::follow(state.clone(), stop.clone()));
        tasks.spawn(retention::follow(state.clone(), stop.clone()));
        if let Some(listener) = self.http01 {
            let door = Arc::new(http01_door(core, state, knobs));
            let handle = move |socket, _, guest| door.clone().serve(socket, guest);
            let entrance = (lobbies.http.clone(), None);
            tasks.spawn(tcp::accept(listener, entrance, core.tokens.accepting.clone(), handle));
        }
        tasks.spawn(crate::browsers::follow(state.clone(), stop.clone()));
        let dialer = core.dials.clone();
        let (postgres, mysql) = (core.postgres.clone(), core.mysql.clone());
        let sweeper = Sweeper { state: state.clone(), dialer, postgres, mysql };
        tasks.spawn(sweeper.run(stop.clone()));
        if let Some(listener) = self.admin {
            // Open until the very end: it says that the relay is stopping.
            let (router, until) = (core.admin(state, knobs), stop.clone());
            let handle =
                move |socket, _, guest| admin::serve(router.clone(), until.clone(), socket, guest);
            let entrance = (lobbies.admin.clone(), Some(Spare::keep()));
            tasks.spawn(tcp::accept(listener, entrance, stop, handle));
        }
        tasks
    }
}

fn http01_door(core: &Core, state: &AppState, knobs: &Knobs) -> Http01 {
    Http01 {
        challenges: core.challenges.clone(),
        web: core.web.clone(),
        tls: knobs.identity.tls(),
        port: state.info.https_port,
        stop: core.tokens.accepting.clone(),
    }
}

fn postgres_door(core: &Core, knobs: &Knobs) -> Postgres {
    Postgres {
        gateway: core.postgres.clone(),
        web: core.web.clone(),
        tls: knobs.identity.tls(),
        drain: core.tokens.drain.clone(),
    }
}

fn redis_door(core: &Core, knobs: &Knobs) -> Redis {
    Redis {
        gateway: core.redis.clone(),
        web: core.web.clone(),
        tls: knobs.identity.tls(),
        drain: core.tokens.drain.clone(),
    }
}

fn mysql_door(core: &Core, knobs: &Knobs) -> Mysql {
    Mysql {
        gateway: core.mysql.clone(),
        web: core.web.clone(),
        tls: knobs.identity.tls(),
        drain: core.tokens.drain.clone(),
    }
}

fn https_door(core: &Core, state: &AppState, knobs: &Knobs, machines: Arc<Machines>) -> Https {
    let proxy = &state.info.proxy;
    let router = portal::router(state.clone(), api::router(state.clone()));
    Https {
        router: portal::below(
            proxy.url.as_ref().map_or("", PublicUrl::base),
            &state.info.domain,
            router,
        ),
        web: core.web.clone(),
        ssh: core.ssh.clone(),
        postgres: Arc::new(postgres_door(core, knobs)),
        redis: Arc::new(redis_door(core, knobs)),
        rdgateway: core.rdgateway.clone(),
        machines,
        store: core.store.clone(),
        authn: core.authn.clone(),
        proxies: proxy.addresses.clone().into(),
        tls: knobs.identity.tls(),
        challenges: core.challenges.clone(),
        stop: core.tokens.accepting.clone(),
        drain: core.tokens.drain.clone(),
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Listens at a socket that was passed for it, else at one of its own.
fn bind(
    passed: &mut Passed,
    door: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, ServeError> {
    let bound = match passed.tcp(address) {
        Some(listener) => TcpListener::from_std(listener),
        None => listen_tcp(address),
    };
    bound.map_err(|source| ServeError::Listen { door, address, source })
}

fn listen_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(UNACCEPTED)
}

/// Connections that wait in the kernel to be accepted.
const UNACCEPTED: u32 = 1024;
