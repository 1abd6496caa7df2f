//! Connectors and agents, known by their registered keys: the QUIC listener, and whoever the HTTPS
//! port hands over.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::text::is_hidden;
use access::{Code, EndReason, Explain};
use async_trait::async_trait;
use session::Door;
use store::{RelayRow, Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tunnel::certificate::{self, Facts};
use tunnel::{Closed, ConnectError, Connection, Knock, Renewer};
use wire::Refusal;

use super::note;
use crate::AgentIdentity;
use crate::AppState;
use crate::agents::Agents;
use crate::authn::Authn;
use crate::ca::Ca;
use crate::cluster::{self, Cluster};
use crate::connectors::{CertificateEnd, ConnectorIdentity, Connectors, Shown};
use crate::lobby::{Guest, Lobby};
use crate::updates::Updates;

/// Whom machines are handed to, however they came.
pub(crate) struct Machines {
    pub(crate) store: Store,
    pub(crate) authn: Arc<Authn>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) connectors: Arc<Connectors>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) updates: Arc<Updates>,
    /// What answers other relays, where there are any.
    pub(crate) cluster: Option<(Arc<Cluster>, AppState)>,
    /// When every connection is to end.
    pub(crate) stop: CancellationToken,
}

/// Accepts until `stop`, then waits for the connections that are left.
pub(crate) async fn accept(
    endpoint: quinn::Endpoint,
    machines: Arc<Machines>,
    lobby: Arc<Lobby>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(done) = connections.join_next() => note(done),
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                // Under pressure only addresses that are proven real get a place.
                if lobby.is_crowded() && incoming.may_retry() {
                    drop(incoming.retry());
                    continue;
                }
                let guest = lobby.enter(incoming.remote_address().ip());
                let (machines, peer) = (machines.clone(), incoming.remote_address());
                connections.spawn(async move {
                    machines.serve(peer, Box::pin(tunnel::accept(incoming)), guest).await;
                });
            }
        }
    }
    // Whoever comes now is told so, and need not wait for an answer.
    endpoint.set_server_config(None);
    while let Some(done) = connections.join_next().await {
        note(done);
    }
}

/// A peer whose key is registered.
pub(super) enum Machine {
    Connector(ConnectorIdentity, Knock),
    Agent(AgentIdentity, Knock),
    /// Another relay of the same database.
    Relay(RelayRow, Knock),
}

impl Machines {
    /// Serves a machine once it has said who it is; until then it may have to make room. In boxes, so
    /// that a connection does not carry what its greeting took.
    pub(super) async fn serve(
        &self,
        peer: SocketAddr,
        knocking: impl Future<Output = Result<Knock, ConnectError>>,
        guest: Guest,
    ) {
        let known = tokio::select! {
            biased;
            known = Box::pin(self.meet(peer, knocking)) => known,
            () = guest.ousted() => None,
        };
        drop(guest);
        if let Some(machine) = known {
            Box::pin(self.host(machine)).await;
        }
    }

    /// Hears a peer out, and says who it is or turns it away.
    pub(super) async fn meet(
        &self,
        peer: SocketAddr,
        knocking: impl Future<Output = Result<Knock, ConnectError>>,
    ) -> Option<Machine> {
        let knock = knocking.await;
        let knock = knock.inspect_err(|error| tracing::debug!(%peer, %error, "No greeting"));
        self.identify(knock.ok()?).await
    }

    /// Serves a machine until its connection is over.
    pub(super) async fn host(&self, machine: Machine) {
        match machine {
            // No connection of the machine's, and so nothing that takes the place of one.
            Machine::Connector(_, knock) | Machine::Agent(_, knock) | Machine::Relay(_, knock)
                if knock.examines() =>
            {
                knock.assure(SOFTWARE).await;
            }
            Machine::Connector(connector, knock) => self.connector(connector, knock).await,
            Machine::Agent(agent, knock) => self.agent(agent, knock).await,
            Machine::Relay(relay, knock) => self.relay(relay, knock).await,
        }
    }

    /// Says who the peer is by its key alone, or turns it away.
    async fn identify(&self, knock: Knock) -> Option<Machine> {
        let key = knock.certificate().spki;
        let refusal = match connector_of(&self.store, key).await {
            Ok(Some(connector)) => return Some(Machine::Connector(connector, knock)),
            Ok(None) => match agent_of(&self.store, key).await {
                Ok(Some(agent)) => match self.may_enter(&agent, &knock) {
                    Ok(()) => return Some(Machine::Agent(agent, knock)),
                    Err(refusal) => refusal,
                },
                Ok(None) => match self.relay_of(&knock).await {
                    Ok(Some(relay)) => return Some(Machine::Relay(relay, knock)),
                    Ok(None) => Refusal::of(&UnknownKey),
                    Err(error) => unavailable(&error),
                },
                Err(error) => unavailable(&error),
            },
            Err(error) => unavailable(&error),
        };
        if refusal.code == UnknownKey.code().0 {
            let from = knock.remote_address().ip().to_canonical();
            self.authn.refused_key(Door::Connector, from, knock.certificate());
        }
        knock.refuse(refusal).await;
        None
    }

    /// The relay whose key this is. The certificate has to say so too: one that was signed for another
    /// kind of machine opens nothing here, whatever stands in the database.
    async fn relay_of(&self, knock: &Knock) -> Result<Option<RelayRow>, StoreError> {
        let certificate = knock.certificate();
        let row = self.store.relay_by_key(certificate.spki).await?;
        Ok(row.filter(|row| certificate.name == cluster::machine(&row.name)))
    }

    fn may_enter(&self, agent: &AgentIdentity, knock: &Knock) -> Result<(), Refusal> {
        let from = knock.remote_address().ip().to_canonical();
        self.authn.agent_at(Door::Agent, agent, from).map(drop).map_err(|error| Refusal::of(&error))
    }

    async fn connector(&self, connector: ConnectorIdentity, knock: Knock) {
        let key = knock.certificate().spki;
        let certificate = Arc::new(CertificateEnd::default());
        certificate.set(knock.certificate().not_after);
        let renewer = Renewal::new(self, format!("connector:{}", connector.id), &certificate);
        let Some(connection) = welcome(knock, renewer).await else { return };
        connection.ready().await;
        let (peer, software) = (connection.remote_address(), said(&connection.peer().software));
        let link = Arc::new(connection.clone());
        let (id, from) = (connector.id, peer.ip());
        self.authn.sightings().connector(id, from, &software);
        let (transport, instance) = (connection.transport(), connection.peer().instance.clone());
        let version = software.clone();
        let shown = Shown { address: peer, transport, instance, version, certificate };
        let place = self.connectors.join(connector, shown, link);
        // It may have been removed after it was looked up and before it could be found here.
        if !matches!(connector_of(&self.store, key).await, Ok(Some(_))) {
            connection.close(EndReason::Revoked, "the connector was removed");
        }
        let closed = tokio::select! {
            closed = self.answer(&connection) => closed,
            never = self.end(&connection) => match never {},
            never = self.connectors.look_after(id) => match never {},
            never = self.tell(&connection) => match never {},
        };
        tracing::debug!(%peer, %closed, "Connector left");
        self.authn.sightings().connector(id, from, &software);
        drop(place);
    }

    /// Tells a connector of other relays; that there are none, where this one serves alone.
    async fn tell(&self, connection: &Connection) -> Infallible {
        match &self.cluster {
            Some((cluster, _)) => cluster.tell(connection).await,
            None => {
                connection.tell_relays(Arc::default());
                std::future::pending().await
            }
        }
    }

    /// Answers what a connector asks for by itself, a little at a time, until its connection is over.
    async fn answer(&self, connection: &Connection) -> Closed {
        let mut asked = JoinSet::new();
        loop {
            tokio::select! {
                Some(done) = asked.join_next() => note(done),
                stream = connection.accept(), if asked.len() < ASKED_AT_ONCE => match stream {
                    Ok(stream) => {
                        let updates = self.updates.clone();
                        asked.spawn(async move { updates.serve(stream).await });
                    }
                    Err(closed) => return closed,
                },
                closed = connection.closed() => return closed,
            }
        }
    }

    async fn agent(&self, agent: AgentIdentity, knock: Knock) {
        let renewer = Renewal::new(self, format!("agent:{}", agent.id), &Arc::default());
        let Some(connection) = welcome(knock, renewer).await else { return };
        tokio::select! {
            () = self.agents.clone().serve(agent, connection.clone()) => {}
            never = self.end(&connection) => match never {},
        }
    }

    async fn relay(&self, relay: RelayRow, knock: Knock) {
        let renewer = Renewal::new(self, cluster::machine(&relay.name), &Arc::default());
        let Some((cluster, state)) = self.cluster.clone() else { return };
        let Some(connection) = welcome(knock, renewer).await else { return };
        cluster.host(relay.epoch, &connection);
        let mut asked = JoinSet::new();
        let answer = async {
            loop {
                tokio::select! {
                    Some(done) = asked.join_next() => note(done),
                    stream = connection.accept() => match stream {
                        Ok(stream) => {
                            asked.spawn(cluster.clone().answer(state.clone(), stream));
                        }
                        Err(closed) => return closed,
                    },
                }
            }
        };
        tokio::select! {
            closed = answer => tracing::debug!(relay = %relay.name, %closed, "Another relay left"),
            never = self.end(&connection) => match never {},
        }
        // Each tells its target that it broke, and does not leave it with half of something.
        let all = async { while asked.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            tracing::warn!(relay = %relay.name, "Dropped what went for another relay");
        }
    }

    /// Closes a connection when the relay stops; who serves it sees it end.
    async fn end(&self, connection: &Connection) -> Infallible {
        self.stop.cancelled().await;
        connection.close(EndReason::Drained, "the relay is stopping");
        std::future::pending().await
    }
}

async fn welcome(knock: Knock, renewer: Renewal) -> Option<Connection> {
    let peer = knock.remote_address();
    let welcomed = knock.welcome(SOFTWARE, Arc::new(renewer)).await;
    welcomed.inspect_err(|error| tracing::debug!(%peer, %error, "No greeting")).ok()
}

/// What a machine says of itself, fit for lists and terminals.
fn said(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).take(LONGEST_SAID).collect()
}

async fn connector_of(
    store: &Store,
    key: [u8; 32],
) -> Result<Option<ConnectorIdentity>, StoreError> {
    Ok(store.connector_by_key(key).await?.map(|row| ConnectorIdentity {
        id: row.id,
        name: row.name,
        site: row.site_id,
        site_name: row.site_name,
    }))
}

/// The agent whose registered key this is.
pub(crate) async fn agent_of(
    store: &Store,
    key: [u8; 32],
) -> Result<Option<AgentIdentity>, StoreError> {
    Ok(store.agent_by_key(key).await?.map(|row| AgentIdentity {
        id: row.id,
        user: row.user,
        user_name: row.user_name,
        device: row.device,
        token: row.token,
    }))
}

/// Signs new certificates for one connected machine's registered key.
struct Renewal {
    ca: Arc<Ca>,
    store: Store,
    name: String,
    certificate: Arc<CertificateEnd>,
}

impl Renewal {
    fn new(machines: &Machines, name: String, certificate: &Arc<CertificateEnd>) -> Self {
        let (ca, store) = (machines.ca.clone(), machines.store.clone());
        Self { ca, store, name, certificate: certificate.clone() }
    }

    /// Tells lists when the new certificate expires.
    fn renewed(&self, pem: &str) {
        let leaf = certificate::chain(pem).ok().and_then(|chain| Facts::of(chain.first()?).ok());
        if let Some(facts) = leaf {
            self.certificate.set(facts.not_after);
        }
    }

    async fn still_known(&self, key: [u8; 32]) -> Result<bool, StoreError> {
        Ok(self.store.connector_by_key(key).await?.is_some()
            || self.store.agent_by_key(key).await?.is_some()
            || self.store.relay_by_key(key).await?.is_some())
    }
}

#[async_trait]
impl Renewer for Renewal {
    async fn renew(&self, csr_pem: &str) -> Result<String, Refusal> {
        let signed = self.ca.sign_client(csr_pem, &self.name);
        let (pem, key) = signed.map_err(|error| {
            tracing::warn!(machine = self.name, %error, "Could not renew a certificate");
            Refusal::of(&BadRequest)
        })?;
        match self.still_known(key).await {
            Ok(true) => {
                self.renewed(&pem);
                Ok(pem)
            }
            Ok(false) => Err(Refusal::of(&UnknownKey)),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::error!(%error, "Could not look a machine up");
    Refusal::of(&session::AuthnError::Unavailable)
}

/// A certificate of our CA whose key is not, or no longer, registered.
#[derive(Debug)]
struct UnknownKey;

impl Explain for UnknownKey {
    fn code(&self) -> Code {
        Code("machine.unknown")
    }

    fn public(&self) -> std::borrow::Cow<'static, str> {
        "this machine is not enrolled, or was removed".into()
    }

    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("enrol it again: `adit login`, or `adit-connector join` with a new token".into())
    }
}

/// A certificate request that can not be signed.
#[derive(Debug)]
struct BadRequest;

impl Explain for BadRequest {
    fn code(&self) -> Code {
        Code("request.csr")
    }

    fn public(&self) -> std::borrow::Cow<'static, str> {
        "the certificate request can not be signed".into()
    }
}

/// For what went over a connection to end once that has.
const FAREWELL: Duration = Duration::from_secs(5);

/// Streams of one connector that are answered at a time.
const ASKED_AT_ONCE: usize = 2;

const LONGEST_SAID: usize = 64;

const SOFTWARE: &str = concat!("adit-relay ", env!("CARGO_PKG_VERSION"));
