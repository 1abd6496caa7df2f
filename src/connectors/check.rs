//! Asking every connector of a site whether it reaches an application.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{Address, Application, ConnectorId, SessionId};
use futures_util::future::join_all;
use session::{DialError, DialRequest};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::dial::DIAL_TIMEOUT;
use super::{Connectors, Member};

/// What one connector found at one address.
#[derive(Clone, Debug)]
pub struct Checked {
    pub connector: ConnectorId,
    pub name: String,
    pub address: Address,
    /// How long it took, or why it failed and where.
    pub outcome: Result<Duration, (DialError, Hop)>,
}

/// On which part of the way something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Between the relay and the connector.
    Connector,
    /// The connector's own list.
    Allow,
    /// The name of the application's host, in its site.
    Name,
    /// Between the connector and the target.
    Target,
}

impl Hop {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connector => "connector",
            Self::Allow => "allow-list",
            Self::Name => "name",
            Self::Target => "target",
        }
    }

    fn of(error: &DialError) -> Self {
        match error {
            DialError::NotAllowed => Self::Allow,
            DialError::Unresolved => Self::Name,
            DialError::Refused | DialError::Unreachable => Self::Target,
            // The connector gives up on a target before the relay gives up on the connector.
            DialError::TimedOut { after } if *after < DIAL_TIMEOUT => Self::Target,
            DialError::TimedOut { .. }
            | DialError::Offline { .. }
            | DialError::Tunnel { .. }
            | DialError::Ended { .. }
            | DialError::Left => Self::Connector,
        }
    }
}

impl Connectors {
    /// Has each connector of the application's site that is connected dial each of its addresses and
    /// close at once. They go the way that sessions go, their own lists included; nobody gets a
    /// stream to the target. In the order of the connectors' names, and of the addresses.
    pub async fn check(&self, application: &Arc<Application>) -> Vec<Checked> {
        let members = self.of_site(application.site.id);
        let asked = members.iter().flat_map(|member| {
            application.addresses().map(|address| self.ask_one(member, application, address))
        });
        let mut checked = join_all(asked).await;
        checked.sort_by(|a, b| (&a.name, a.connector).cmp(&(&b.name, b.connector)));
        checked
    }

    async fn ask_one(
        &self,
        member: &Member,
        application: &Arc<Application>,
        address: &Address,
    ) -> Checked {
        let session = SessionId(Uuid::now_v7());
        let (application, address) = (application.clone(), address.clone());
        let request = DialRequest { session, application, address };
        let started = Instant::now();
        let answer = match timeout(DIAL_TIMEOUT, member.link.check(&request)).await {
            Ok(answer) => answer.map(|()| started.elapsed()),
            Err(_) => Err(DialError::TimedOut { after: DIAL_TIMEOUT }),
        };
        self.measured(member, &request, answer.as_ref().copied(), SystemTime::now());
        Checked {
            connector: member.connector.id,
            name: member.connector.name.clone(),
            address: request.address,
            outcome: answer.map_err(|error| {
                let hop = Hop::of(&error);
                (error, hop)
            }),
        }
    }
}
