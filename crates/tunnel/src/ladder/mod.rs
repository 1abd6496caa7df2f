//! Reaching a relay by whichever way works, and by a better one as soon as that does.
//!
//! QUIC, then TLS over TCP, then the same inside a WebSocket; the last two through an HTTP proxy where
//! one is named. A race decides which carrier stands first; only that one is greeted, so the relay
//! sees one connection, however many ways were tried.

mod plan;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Identity;
use crate::carrier::{Carrier, Transport};
use crate::closed::ConnectError;
use crate::connection::Connection;
use crate::dial::{self, Asked, DialOut, Hello};
use crate::endpoint::Congestion;
use crate::tcp::{OverTcp, Relay};

use plan::{Climb, Race};

pub(crate) use plan::RUNGS;

/// One relay, and who reaches it.
#[derive(Clone, Debug)]
pub struct Ways {
    /// `host:port` of the relay's QUIC listener.
    pub quic: String,
    /// `host:port` of its HTTPS listener.
    pub https: String,
    /// The name in the relay's certificate.
    pub domain: String,
    /// Program and version of this side, for people.
    pub software: &'static str,
    pub congestion: Congestion,
    pub over_tcp: OverTcp,
}

/// The ways to one relay, and which of them worked.
#[derive(Debug)]
pub struct Ladder {
    ways: Ways,
    /// Tells the relay that several connections are one process's.
    instance: String,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    worked: Option<Transport>,
    climb: Climb,
}

impl Ladder {
    /// `worked` is the way that was good the last time, where that is known.
    pub fn new(ways: Ways, worked: Option<Transport>) -> Self {
        let instance = Self::draw_instance();
        let memory = Mutex::new(Memory { worked, climb: Climb::default() });
        Self { ways, instance, memory }
    }

    /// As one of several of a process, all of which tell their relays that.
    pub fn of_process(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.instance);
        self
    }

    /// What tells one process from another.
    pub fn draw_instance() -> String {
        format!("{:032x}", rand::random::<u128>())
    }

    pub(crate) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// The way that worked last.
    pub fn worked(&self) -> Option<Transport> {
        self.memory().worked
    }

    /// A connection by the best way that answers, within a deadline. An expired certificate is
    /// renewed before it is handed out.
    pub async fn dial(&self, identity: &Identity) -> Result<Connection, ConnectError> {
        let race = Race::of_all(self.worked());
        self.run(race, identity).await
    }

    /// Completes with a connection that should take new sessions in place of `current`: by a better
    /// way, which is tried now and then, or by any where `current` does not answer. `identity` gives
    /// what is shown; without one nothing is dialled.
    ///
    /// `current` stays as it is: what it carries may go on.
    pub async fn replacement(
        &self,
        current: &Connection,
        identity: impl Fn() -> Option<Identity>,
    ) -> Connection {
        let since = Instant::now();
        let transport = current.transport();
        loop {
            let climbing = transport != Transport::Quic;
            let pause = match climbing {
                true => self.memory().climb.pause(rand::random()),
                false => Duration::MAX,
            };
            let race = tokio::select! {
                () = current.doubted() => {
                    tracing::info!(%transport, "The relay does not answer; seeking another way");
                    self.memory().climb.lost_after(since.elapsed());
                    Race::of_all(Some(transport.max(Transport::Tls)))
                }
                () = sleep(pause), if climbing => Race::above(transport),
            };
            let Some(identity) = identity() else {
                sleep(AGAIN).await;
                continue;
            };
            match self.run(race, &identity).await {
                Ok(connection) => return connection,
                Err(error) => tracing::debug!(%error, "No other way yet"),
            }
            if current.is_doubted() {
                sleep(AGAIN).await;
            }
        }
    }

    async fn run(&self, race: Race, identity: &Identity) -> Result<Connection, ConnectError> {
        let connection = match timeout(DEADLINE, Box::pin(self.first(race, identity))).await {
            Ok(connection) => connection?,
            Err(_) => return Err(ConnectError::TimedOut { after: DEADLINE }),
        };
        self.memory().worked = Some(connection.transport());
        Ok(connection)
    }

    /// The first carrier that stands and whose relay greets back. One is greeted at a time; where
    /// that takes long and another stands, the other one is.
    async fn first(&self, mut race: Race, identity: &Identity) -> Result<Connection, ConnectError> {
        let started = Instant::now();
        let (mut tried, mut standing) = (Vec::new(), Vec::<Carrier>::new());
        let mut running = FuturesUnordered::new();
        let mut greeting = FuturesUnordered::new();
        let mut patience = started;
        loop {
            let idle = running.is_empty() && greeting.is_empty();
            if let Some(rung) = race.due(started.elapsed(), idle) {
                running.push(self.attempt(rung, identity));
                continue;
            }
            let impatient = Instant::now() >= patience && !standing.is_empty();
            if (greeting.is_empty() || impatient) && !standing.is_empty() {
                let carrier = standing.remove(0);
                (greeting, patience) = (FuturesUnordered::new(), Instant::now() + PATIENCE);
                greeting.push(self.greet(carrier, identity));
                continue;
            }
            let next = race.next().map(|at| started + at);
            let wake = match greeting.is_empty() || standing.is_empty() {
                true => next,
                false => Some(next.map_or(patience, |next| next.min(patience))),
            };
            tokio::select! {
                biased;
                Some((rung, greeted)) = greeting.next() => match greeted {
                    Err(error) if !error.is_answer() => tried.push((rung, error)),
                    answer => return answer,
                },
                Some((rung, stood)) = running.next() => match stood {
                    Ok(carrier) => {
                        standing.push(carrier);
                        standing.sort_by_key(Carrier::transport);
                    }
                    Err(error) => {
                        tracing::debug!(%rung, %error, "This way does not lead to the relay");
                        tried.push((rung, error));
                    }
                },
                () = sleep_until(wake.unwrap_or(started)), if wake.is_some() => {}
                else => return Err(ConnectError::NoWay { tried }),
            }
        }
    }

    /// A carrier by one way, whose relay has shown who it is and has not been greeted.
    pub(crate) async fn attempt(
        &self,
        rung: Transport,
        identity: &Identity,
    ) -> (Transport, Result<Carrier, ConnectError>) {
        let Ways { quic, https, domain, software, congestion, over_tcp } = &self.ways;
        let relay = Relay { address: https, domain, identity, how: over_tcp };
        let carrier = match rung {
            Transport::Quic => {
                let how = DialOut {
                    relay: quic,
                    domain,
                    identity: identity.clone(),
                    software,
                    capabilities: Vec::new(),
                    congestion: *congestion,
                };
                dial::quic(&how).await
            }
            Transport::Tls => relay.tls().await,
            Transport::WebSocket => relay.websocket().await,
        };
        (rung, carrier)
    }

    async fn greet(
        &self,
        carrier: Carrier,
        identity: &Identity,
    ) -> (Transport, Result<Connection, ConnectError>) {
        (carrier.transport(), dial::greet(self.hello(identity), carrier).await)
    }

    /// What the relay says to this machine, asked by one way whether it would be greeted back.
    pub(crate) async fn ask(
        &self,
        rung: Transport,
        identity: &Identity,
    ) -> Result<Asked, ConnectError> {
        let carrier = self.attempt(rung, identity).await.1?;
        dial::ask_only(self.hello(identity), carrier).await
    }

    fn hello<'a>(&'a self, identity: &'a Identity) -> Hello<'a> {
        let (software, instance) = (self.ways.software, self.instance.as_str());
        Hello { identity, software, capabilities: &[], instance, versions: wire::VERSIONS }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From the first name to the welcome.
const DEADLINE: Duration = Duration::from_secs(10);
/// For the relay to greet back, where another carrier stands already.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Between two searches for another way while the relay does not answer.
const AGAIN: Duration = Duration::from_secs(1);
