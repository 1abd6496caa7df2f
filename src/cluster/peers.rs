//! The connections between relays. Each shows a certificate that it signs for itself with the CA's key
//! and is known by the key that stands in its row: nobody else has the one or writes the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access::EndReason;
use futures_util::future::join_all;
use store::RelayRow;
use tokio::time::timeout;
use tunnel::endpoint::Congestion;
use tunnel::ladder::Ways;
use tunnel::{Connection, Identity, Ladder, OverTcp};
use wire::Header;

use super::follow::GAP;
use super::{Cluster, machine};

impl Cluster {
    /// The connection to another relay, made where there is none.
    pub(super) async fn link(&self, relay: &RelayRow) -> Option<Connection> {
        let mut links = self.links.lock().await;
        let good = |link: &&Connection| link.is_open() && !link.is_doubted() && !link.is_draining();
        if let Some(link) = links.get(&relay.epoch).filter(good) {
            return Some(link.clone());
        }
        match timeout(REACH, self.dial(relay)).await {
            Ok(Some(link)) => {
                links.insert(relay.epoch, link.clone());
                Some(link)
            }
            Ok(None) => None,
            Err(_) => {
                tracing::warn!(relay = %relay.name, "Another relay does not answer");
                None
            }
        }
    }

    async fn dial(&self, relay: &RelayRow) -> Option<Connection> {
        let identity = self.identity().inspect_err(|error| {
            tracing::error!(%error, "Can not show other relays who this is");
        });
        let ways = Ways {
            quic: relay.quic.clone(),
            https: relay.https.clone(),
            domain: self.domain.clone(),
            software: SOFTWARE,
            congestion: Congestion::default(),
            over_tcp: OverTcp::default(),
        };
        let dialled = Ladder::new(ways, None).dial(&identity.ok()?).await;
        dialled
            .inspect_err(|error| {
                tracing::warn!(relay = %relay.name, %error, "Could not reach another relay");
            })
            .ok()
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
        let is_there = |epoch: &i64| others.relays.iter().any(|relay| relay.epoch == *epoch);
        let cut =
            |connection: &Connection| connection.close(EndReason::Closed, "the relay is gone");
        self.guests().retain(|epoch, own| {
            own.retain(Connection::is_open);
            if !is_there(epoch) {
                own.iter().for_each(cut);
            }
            is_there(epoch) && !own.is_empty()
        });
        // A link that is being made is looked at the next time.
        let Ok(mut links) = self.links.try_lock() else { return };
        let links: &mut HashMap<i64, Connection> = &mut links;
        links.retain(|epoch, link| {
            if !is_there(epoch) {
                cut(link);
            }
            is_there(epoch) && link.is_open()
        });
    }

    /// Whether another relay says that the store answers it.
    pub(super) async fn is_reached_elsewhere(self: &Arc<Self>) -> bool {
        let others = self.others();
        let asked = others.relays.iter().map(|relay| async move {
            let link = self.link(relay).await?;
            timeout(REACH, link.open(&Header::Reaching)).await.ok()?.ok()
        });
        join_all(asked).await.iter().any(Option::is_some)
    }

    /// Whether the store answers this relay.
    pub(super) fn reaches(&self) -> bool {
        self.silent() < GAP
    }
}

/// For a connection to another relay.
const REACH: Duration = Duration::from_secs(4);
const SOFTWARE: &str = concat!("adit-relay ", env!("CARGO_PKG_VERSION"));
