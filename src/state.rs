//! What the HTTPS API is handed.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::{AgentId, Name, SessionId, UserId};
use gateway_ssh::UserCa;
use record::Archive;
use session::Broker;
use store::{AgentToken, Store};

use crate::agents::Agents;
use crate::api::Calls;
use crate::authn::Authn;
use crate::ca::Ca;
use crate::certificates::Certificates;
use crate::cluster::Cluster;
use crate::config::Proxy;
use crate::connectors::Connectors;
use crate::deliver::Deliveries;
use crate::desktops::Desktops;
use crate::ends::Ends;
use crate::ldap::Directories;
use crate::notify::Notices;
use crate::oidc::Providers;
use crate::playbacks::Playbacks;
use crate::policy::PolicyPublisher;
use crate::terminals::Terminals;

/// Everything the API's handlers reach. Gateways get none of this.
#[derive(Clone)]
pub struct AppState {
    pub store: Store,
    /// The other relays; absent: this one serves alone.
    pub cluster: Option<Arc<Cluster>>,
    pub authn: Arc<Authn>,
    pub broker: Broker,
    pub policy: Arc<PolicyPublisher>,
    pub connectors: Arc<Connectors>,
    pub agents: Arc<Agents>,
    pub ca: Arc<Ca>,
    pub user_ca: Arc<UserCa>,
    pub certificates: Arc<Certificates>,
    pub ends: Arc<Ends>,
    pub deliveries: Arc<Deliveries>,
    pub notices: Arc<Notices>,
    pub directories: Arc<Directories>,
    pub recordings: Archive,
    pub terminals: Arc<Terminals>,
    pub desktops: Arc<Desktops>,
    pub playbacks: Arc<Playbacks>,
    pub oidc: Arc<Providers>,
    pub calls: Arc<Calls>,
    pub info: Arc<RelayInfo>,
}

impl AppState {
    /// Whether this relay does what one of all must do, and one only.
    pub(crate) fn leads(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.leads())
    }

    /// The sessions that are open at any relay. `None`: it can not be told now.
    pub(crate) async fn live_everywhere(&self) -> Option<HashSet<SessionId>> {
        let elsewhere = match &self.cluster {
            Some(_) => self.store.live_ids().await.ok()?,
            None => Vec::new(),
        };
        let here = self.broker.live().into_iter().map(|session| session.id);
        Some(here.chain(elsewhere).collect())
    }
}

/// What a relay says about itself.
#[derive(Clone, Debug)]
pub struct RelayInfo {
    pub name: String,
    pub version: &'static str,
    pub domain: String,
    /// What stands in front of the HTTPS port.
    pub proxy: Proxy,
    /// The ports in use, which may have been chosen by the system.
    pub https_port: u16,
    pub quic_port: u16,
    pub ssh_port: u16,
    /// `None`: the door is shut.
    pub mysql_port: Option<u16>,
    /// The SSH door's public keys in OpenSSH form.
    pub ssh_host_keys: Vec<String>,
    /// The public key of the CA that vouches for them, in OpenSSH form.
    pub ssh_host_ca: String,
    /// The public key that targets trust certificates by, in OpenSSH form.
    pub ssh_target_ca: String,
    /// The JWK set that checks what the web door says of users.
    pub statement_keys: serde_json::Value,
    /// The publisher's key, and whether connectors that join update by themselves.
    pub updates: (Option<update::PublicKey>, bool),
    /// For how long requests at the web door are kept.
    pub requests_kept: Duration,
    /// For how long statements at the doors of databases are kept.
    pub statements_kept: Duration,
}

impl RelayInfo {
    /// Where people reach the relay's pages: `https://relay.example.com`, with port and path where it
    /// has them.
    pub fn url(&self) -> String {
        match self.https_port {
            443 => self.url_at(""),
            port => self.url_at(&format!(":{port}")),
        }
    }

    /// The port of an application's host in a link that somebody followed: the relay's own or its
    /// proxy's, for nobody else's may be led to.
    pub(crate) fn port_of(&self, authority: &str, asked: &str) -> String {
        let named = authority.strip_prefix(gateway_web::without_port(authority));
        let own = match self.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        match named {
            Some(named) if self.proxy.url.is_some() && named == own => own,
            Some(_) | None => asked.to_owned(),
        }
    }

    /// The same for a browser that has reached it at this port: `:8443`, or empty.
    pub fn url_at(&self, port: &str) -> String {
        match &self.proxy.url {
            Some(public) => format!("https://{}", public.place()),
            None => format!("https://{}{port}", self.domain),
        }
    }
}

/// The peer of one HTTPS connection; an extension of each of its requests.
#[derive(Clone, Debug)]
pub struct Peer {
    pub addr: SocketAddr,
    /// Known from the verified client certificate of an `adit-api/1` connection.
    pub agent: Option<AgentIdentity>,
}

/// An enrolled agent, as its registered key says. Its rights are decided anew at each use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentIdentity {
    pub id: AgentId,
    pub user: UserId,
    pub user_name: Name,
    pub device: String,
    /// `None`: it stands on itself, and may do what its user may.
    pub token: Option<AgentToken>,
}
