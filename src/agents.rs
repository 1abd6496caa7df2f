//! The agents that are connected, and the streams they open.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use access::{
    AgentId, ApplicationId, Authenticated, Code, Context, Deny, EndReason, Explain, Grant, Keeps,
    Kind, PolicySnapshot, Shortfall,
};
use gateway_rdp::RdpGateway;
use gateway_ssh::SshGateway;
use session::{Broker, Door, pace};
use splice::Io;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel::{Connection, Stream};
use wire::{Header, Mode, Open, Refusal, Reply};

use crate::AgentIdentity;
use crate::authn::Authn;
use crate::seen::Sightings;

/// Serves the agents' connections.
pub struct Agents {
    authn: Arc<Authn>,
    broker: Broker,
    ssh: SshGateway,
    rdp: RdpGateway,
    policy: watch::Receiver<Arc<PolicySnapshot>>,
    drain: CancellationToken,
    connections: Mutex<HashMap<AgentId, Vec<(u64, Connection)>>>,
    epochs: AtomicU64,
}

impl Agents {
    pub fn new(
        authn: Arc<Authn>,
        broker: Broker,
        (ssh, rdp): (SshGateway, RdpGateway),
        policy: watch::Receiver<Arc<PolicySnapshot>>,
        drain: CancellationToken,
    ) -> Arc<Self> {
        let (connections, epochs) = (Mutex::default(), AtomicU64::new(1));
        Arc::new(Self { authn, broker, ssh, rdp, policy, drain, connections, epochs })
    }

    /// Cuts the connections of an agent that was revoked. Whether it had any.
    pub fn disconnect(&self, id: AgentId) -> bool {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let own = connections.get(&id).map(Vec::as_slice).unwrap_or_default();
        own.iter().for_each(|(_, connection)| connection.close(EndReason::Revoked, REVOKED));
        !own.is_empty()
    }

    /// Whether an agent is connected.
    pub(crate) fn is_connected(&self, id: AgentId) -> bool {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.contains_key(&id)
    }

    /// Notes that those who are connected are there.
    pub(crate) fn see(&self, sightings: &Sightings) {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, connection) in connections.iter().flat_map(|(id, all)| Some((id, all.last()?))) {
            sightings.agent(*id, connection.1.remote_address().ip());
        }
    }

    /// How often the SSH door held a connection because a channel's reader did not move.
    pub(crate) fn ssh_held(&self) -> u64 {
        self.ssh.held()
    }

    /// What the SSH door asks for a token with.
    pub(crate) fn ssh_prompt(&self) -> String {
        self.ssh.token_prompt()
    }

    /// Asks every agent to take its sessions elsewhere.
    pub(crate) fn drain(&self) {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.values().flatten().for_each(|(_, connection)| connection.drain());
    }

    /// Serves one connection until it ends or its agent may no longer be here.
    pub(crate) async fn serve(self: Arc<Self>, agent: AgentIdentity, connection: Connection) {
        let _place = self.enter(agent.id, &connection);
        let mut streams = JoinSet::new();
        let mut policy = self.policy.clone();
        // Decided once for each change of policy, not once for each stream.
        let mut withdrawn = pin!(withdrawn(&self.authn, &agent, &connection, &mut policy));
        let mut welcome = true;
        loop {
            tokio::select! {
                biased;
                () = &mut withdrawn, if welcome => {
                    welcome = false;
                    connection.close(EndReason::Revoked, REVOKED);
                }
                Some(done) = streams.join_next() => note(done),
                opened = connection.accept() => match opened {
                    Ok(stream) => {
                        let (this, agent) = (self.clone(), agent.clone());
                        let connection = connection.clone();
                        streams.spawn(async move {
                            this.handle_stream(agent, &connection, stream).await;
                        });
                    }
                    Err(closed) => {
                        tracing::debug!(agent = %agent.id, %closed, "Agent left");
                        break;
                    }
                },
            }
        }
        self.authn.sightings().agent(agent.id, connection.remote_address().ip());
        // Each session notices that its stream is gone and writes its own end.
        let ended = async {
            while let Some(done) = streams.join_next().await {
                note(done);
            }
        };
        if timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!(agent = %agent.id, left = streams.len(), "Aborted an agent's streams");
        }
    }

    async fn handle_stream(
        &self,
        agent: AgentIdentity,
        connection: &Connection,
        mut stream: Stream,
    ) {
        let open = match timeout(HEADER_DEADLINE, stream.recv_frame()).await {
            Ok(Ok(Header::Open(open))) => open,
            Ok(Ok(
                Header::Dial(_)
                | Header::Check(_)
                | Header::Examine
                | Header::Forward(_)
                | Header::Reaching
                | Header::Fetch(_)
                | Header::Unknown,
            )) => {
                return refuse(stream, Instant::now(), &NotServed).await;
            }
            Ok(Err(error)) => {
                return tracing::debug!(agent = %agent.id, %error, "No header came");
            }
            Err(_) => return tracing::debug!(agent = %agent.id, "No header came in time"),
        };
        let asked = Instant::now();
        // Decided anew for each stream: the connection may be older than a change.
        let peer = connection.remote_address();
        let from = peer.ip().to_canonical();
        let who = match self.authn.agent_at(Door::Agent, &agent, from) {
            Ok(who) => who,
            Err(error) => return refuse(stream, asked, &error).await,
        };
        match self.door(&who, &open) {
            Some(Way::Ssh(application)) => self.hand_to_ssh(who, application, peer, stream).await,
            Some(Way::Desktop(grant)) => self.hand_to_rdp(*grant, asked, stream).await,
            None => self.carry_raw(&who, &open, asked, (connection, stream)).await,
        }
    }

    /// How an application is reached where the relay logs in to it for its user, by its own protocol.
    fn door(&self, who: &Authenticated, open: &Open) -> Option<Way> {
        if open.raw {
            return None;
        }
        let policy = self.broker.policy();
        let application = policy.find(&open.application, who).ok()?;
        if !application.login.is_ours() {
            return None;
        }
        if application.kind == Kind::Rdp {
            // Who could open nothing there is answered, and recorded, by the raw way.
            let context = Context::native(who.from(), application);
            let grant = policy.authorize(who, application, context, SystemTime::now());
            return grant.ok().map(|grant| Way::Desktop(Box::new(grant)));
        }
        if application.kind != Kind::Ssh {
            return None;
        }
        // The door authorises with the login that is named there. Who could open nothing there gets
        // the one answer for the absent and the forbidden, from the raw way.
        let context = Context { from: who.from(), login: None, database: None, keeps: Keeps::SSH };
        match policy.authorize(who, application, context, SystemTime::now()) {
            Ok(_) => Some(Way::Ssh(application.id)),
            Err(Deny::Short(_, term)) if shown_there(term) => Some(Way::Ssh(application.id)),
            Err(_) => None,
        }
    }

    async fn hand_to_ssh(
        &self,
        who: Authenticated,
        application: ApplicationId,
        peer: std::net::SocketAddr,
        mut stream: Stream,
    ) {
        let host_keys = self.ssh.host_keys().to_vec();
        let opened = Reply::Opened { session: None, mode: Mode::Door, host_keys };
        if stream.send_frame(&opened).await.is_ok() {
            let (io, vouched) = (Io::new(stream), Some((who, application)));
            self.ssh.serve(io, peer, vouched, self.drain.clone()).await;
        }
    }

    /// A native client signs in with a login that is good once; its desktop gets the relay's account.
    async fn hand_to_rdp(&self, grant: Grant, asked: Instant, mut stream: Stream) {
        let session = match self.broker.open(grant, Door::Agent, SystemTime::now()).await {
            Ok(session) => session,
            Err(error) => return refuse(stream, asked, &error).await,
        };
        let (id, host_keys) = (Some(session.id()), Vec::new());
        let opened = Reply::Opened { session: id, mode: Mode::Raw, host_keys };
        // As there, what is broken breaks again.
        drop(stream.send_frame(&opened).await);
        self.rdp.serve(session, Io::new(stream), CancellationToken::new()).await;
    }

    async fn carry_raw(
        &self,
        who: &Authenticated,
        open: &Open,
        asked: Instant,
        (connection, mut stream): (&Connection, Stream),
    ) {
        let at = (Door::Agent, SystemTime::now());
        match gateway_tcp::open(&self.broker, who, &open.application, at, &mut stream).await {
            Ok(tunnel) => {
                let (id, host_keys) = (tunnel.id(), Vec::new());
                let opened = Reply::Opened { session: Some(id), mode: Mode::Raw, host_keys };
                // A stream that broke meanwhile breaks again at the first byte, and so ends the
                // session with the right reason.
                drop(stream.send_frame(&opened).await);
                let ended = tunnel.carry(stream).await;
                if ended.reason == EndReason::Killed {
                    // Also where there are none: who waits for them need not then wait long.
                    connection.tell_killed(id, ended.words.unwrap_or_else(|| "".into()));
                }
            }
            Err(error) => refuse(stream, asked, &error).await,
        }
    }

    fn enter<'a>(&'a self, id: AgentId, connection: &Connection) -> Place<'a> {
        let epoch = self.epochs.fetch_add(1, Relaxed);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.entry(id).or_default().push((epoch, connection.clone()));
        Place { agents: self, id, epoch }
    }
}

/// By which door of the relay an application is reached.
enum Way {
    Ssh(ApplicationId),
    Desktop(Box<Grant>),
}

/// A connection's place in the table of agents.
struct Place<'a> {
    agents: &'a Agents,
    id: AgentId,
    epoch: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut table = self.agents.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = table.get_mut(&self.id) else { return };
        own.retain(|(epoch, _)| *epoch != self.epoch);
        if own.is_empty() {
            table.remove(&self.id);
        }
    }
}

/// Whether the SSH door may keep a term that can not be kept over raw bytes.
fn shown_there(term: Shortfall) -> bool {
    match term {
        Shortfall::Authentication
        | Shortfall::Login
        | Shortfall::FileTransfer
        | Shortfall::Ssh
        | Shortfall::Level
        | Shortfall::Databases => true,
        Shortfall::Session
        | Shortfall::Clipboard
        | Shortfall::Printer
        | Shortfall::Audio
        | Shortfall::Recording
        | Shortfall::Source
        | Shortfall::Hours
        | Shortfall::NotYetValid
        | Shortfall::NoLongerValid => false,
    }
}

/// Completes once when the agent is revoked or expires, or its user is disabled.
async fn withdrawn(
    authn: &Authn,
    agent: &AgentIdentity,
    connection: &Connection,
    policy: &mut watch::Receiver<Arc<PolicySnapshot>>,
) {
    while connection.is_open() {
        // Marked as seen before it is decided: a change in between wakes us again.
        let end = policy.borrow_and_update().agent_end(agent.id);
        let from = connection.remote_address().ip();
        if authn.agent(agent, from).is_err() {
            return;
        }
        let left = end.and_then(|end| end.duration_since(SystemTime::now()).ok());
        tokio::select! {
            changed = policy.changed() => if changed.is_err() { return },
            () = sleep(left.unwrap_or_default().min(RECHECK)) => {}
        }
    }
    std::future::pending::<()>().await;
}

/// Refuses what was `asked` then; how long it took to decide tells nothing of what is there.
async fn refuse(mut stream: Stream, asked: Instant, error: &impl Explain) {
    pace::even(asked, pace::DENIED).await;
    let refusal = Reply::Refused(Refusal::of(error));
    let said = async {
        if stream.send_frame(&refusal).await.is_ok() {
            stream.deliver().await;
        }
    };
    // Who does not read the answer goes without it.
    drop(timeout(FAREWELL, said).await);
}

fn note(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        tracing::error!(%error, "A stream's task panicked");
    }
}

/// A header of a kind that this relay does not serve to agents.
#[derive(Debug)]
struct NotServed;

impl Explain for NotServed {
    fn code(&self) -> Code {
        Code("wire.unknown")
    }

    fn public(&self) -> std::borrow::Cow<'static, str> {
        "this relay does not know that request".into()
    }

    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("install the version of Adit that the relay has".into())
    }
}

/// From a stream's first packet to its whole header.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(5);
/// A clock may be set: an enrolment's end is looked at again now and then.
const RECHECK: Duration = Duration::from_secs(3600);
const REVOKED: &str = "this machine's login is no longer good";
