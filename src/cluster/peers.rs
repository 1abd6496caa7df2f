//! The connections between relays. Each shows a certificate that it signs for itself with the CA's key
//! and is known by the key that stands in its row: nobody else has the one or writes the other.

use std::collections::HashMap;
use std::time::Duration;

use access::EndReason;
use futures_util::future::join_all;
use store::RelayRow;
use tokio::time::timeout;
use tunnel::endpoint::Congestion;
use tunnel::ladder::Ways;
use tunnel::{ConnectError, Connection, Identity, Ladder, OverTcp};
use wire::Header;

use super::follow::GAP;
use super::{Cluster, Others, machine};

/// Why another relay was not reached.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("this relay can not show who it is")]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer within {REACH:?}")]
    Silent,
}

impl LinkError {
    /// Whether the other one has found no row of this relay: it has been taken for gone.
    fn says_gone(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::Refused { source }) if source.code == UNKNOWN)
    }
}

impl Cluster {
    /// The connection to another relay, made where there is none that is good. One that is not
    /// carries what it carries.
    pub(super) async fn link(&self, relay: &RelayRow) -> Option<Connection> {
        let reached = self.reach(relay).await.inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(relay = %relay.name, error, "Could not reach another relay");
        });
        reached.ok()
    }

    async fn reach(&self, relay: &RelayRow) -> Result<Connection, LinkError> {
        let mut links = self.links.lock().await;
        let own = links.entry(relay.epoch).or_default();
        own.retain(Connection::is_open);
        let good = |link: &&Connection| !link.is_doubted() && !link.is_draining();
        if let Some(link) = own.last().filter(good) {
            return Ok(link.clone());
        }
        let link = timeout(REACH, self.dial(relay)).await.map_err(|_| LinkError::Silent)??;
        own.retain(|old| old.streams() > 0);
        own.push(link.clone());
        Ok(link)
    }

    async fn dial(&self, relay: &RelayRow) -> Result<Connection, LinkError> {
        let identity = self.identity().map_err(LinkError::Identity)?;
        let ways = Ways {
            quic: relay.quic.clone(),
            https: relay.https.clone(),
            domain: self.domain.clone(),
            software: SOFTWARE,
            congestion: Congestion::default(),
            over_tcp: OverTcp::default(),
        };
        Ok(Ladder::new(ways, None).dial(&identity).await?)
    }

    fn identity(&self) -> Result<Identity, Box<dyn std::error::Error + Send + Sync>> {
        let (pem, _) = self.ca.sign_client(&self.key.csr_pem()?, &machine(&self.name))?;
        Ok(Identity::new(&self.key, pem, self.ca.certificate_pem().to_owned())?)
    }

    /// Keeps the connection of another relay, to cut it when that is gone.
    pub(crate) fn host(&self, epoch: i64, connection: &Connection) {
        let mut guests = self.guests();
        let own = guests.entry(epoch).or_default();
        own.retain(Connection::is_open);
        own.push(connection.clone());
    }

    /// Ends the connections with relays that are gone, and with them what went over them.
    pub(super) async fn forget_gone(&self) {
        let others = self.others();
        cut_gone(&mut self.guests(), &others);
        // A link that is being made is looked at the next time.
        if let Ok(mut links) = self.links.try_lock() {
            cut_gone(&mut links, &others);
        }
    }

    /// Whether another relay says that the store answers it, or that this one is gone from there.
    pub(super) async fn is_reached_elsewhere(&self) -> bool {
        let others = self.others();
        let asked = others.relays.iter().map(|relay| async move {
            match self.reach(relay).await {
                Ok(link) => {
                    let answer = timeout(REACH, link.open(&Header::Reaching)).await;
                    matches!(answer, Ok(Ok(_)))
                }
                Err(error) => error.says_gone(),
            }
        });
        join_all(asked).await.contains(&true)
    }

    /// Whether the store answers this relay.
    pub(super) fn reaches(&self) -> bool {
        self.silent() < GAP
    }
}

/// Ends the connections with relays that are none of these, and forgets those that are closed.
fn cut_gone(connections: &mut HashMap<i64, Vec<Connection>>, others: &Others) {
    connections.retain(|epoch, own| {
        own.retain(Connection::is_open);
        let is_there = others.relays.iter().any(|relay| relay.epoch == *epoch);
        if !is_there {
            own.iter().for_each(|one| one.close(EndReason::Closed, "the relay is gone"));
        }
        is_there && !own.is_empty()
    });
}

/// What a relay says to a key that it does not know.
const UNKNOWN: &str = "machine.unknown";
/// For a connection to another relay.
const REACH: Duration = Duration::from_secs(4);
const SOFTWARE: &str = concat!("adit-relay ", env!("CARGO_PKG_VERSION"));
