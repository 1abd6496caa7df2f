//! The PostgreSQL door: a token for a password, the database's own login by the relay, and every
//! statement on record.
//!
//! `Grant → Broker::open → Session::dial` is the only way from here to a network.

mod accounts;
mod cancel;
mod charset;
mod client;
mod connection;
mod desk;
#[doc(hidden)]
pub mod proto;
mod prove;
mod pump;
mod record;
#[doc(hidden)]
pub mod scan;
mod scram;
mod server;
mod sql;
mod texts;
#[doc(hidden)]
pub mod track;
mod values;
mod words;

pub use client::{ClientError, Greeting, greet};
pub use connection::Arrival;
pub use database::{Swept, Way};
pub use scram::end_point;

use std::collections::HashSet;
use std::sync::Arc;

use access::{Application, SessionId};
use database::Masks;
use rustls::client::danger::ServerCertVerifier;
use session::{Authn, Broker, Secrets, StatementLog};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use trust::Trust;

use crate::accounts::Accounts;
use crate::proto::Key;
use crate::server::ServerError;

/// What the door needs of the relay.
pub struct PostgresConfig {
    pub broker: Broker,
    pub authn: Arc<dyn Authn>,
    pub secrets: Arc<dyn Secrets>,
    pub log: Arc<dyn StatementLog>,
    /// Applications are one label below it.
    pub domain: String,
    /// Checks the certificates of servers that have no CA and no pin of their own; `None`: those
    /// are not trusted.
    pub roots: Option<Arc<dyn ServerCertVerifier>>,
}

/// The PostgreSQL door. Cheap to clone.
#[derive(Clone)]
pub struct PostgresGateway(Arc<Gateway>);

impl PostgresGateway {
    pub fn new(config: PostgresConfig) -> Self {
        let PostgresConfig { broker, authn, secrets, log, domain, roots } = config;
        let (trust, keys, masks) = (Trust::new(roots), Arc::default(), Masks::default());
        Self(Arc::new(Gateway { broker, authn, secrets, log, domain, trust, keys, masks }))
    }

    /// Serves one client to its end. `proven` is cancelled once it has shown who it is: until then
    /// the caller may give its place to others. Dropping the future cuts the connection.
    pub async fn serve<S>(
        &self,
        io: S,
        arrival: Arrival,
        proven: CancellationToken,
        drain: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.serve(Box::new(io), arrival, &proven, &drain).await;
    }

    /// Takes away the accounts that this relay made at an application for sessions that are not
    /// among those that `live` gives.
    ///
    /// # Errors
    ///
    /// When the server could not be reached or asked.
    pub async fn sweep(
        &self,
        application: &Application,
        way: &dyn Way,
        live: impl Future<Output = Option<HashSet<SessionId>>> + Send,
    ) -> Result<Swept, SweepError> {
        let gateway = &*self.0;
        let tls = database::tls(application, &gateway.trust, &*gateway.secrets).await;
        let tls = tls.map_err(ServerError::from)?;
        let keeper = database::keeper(&*gateway.secrets, application).await;
        let credential = &keeper.map_err(ServerError::from)?;
        let relay = &gateway.domain;
        let accounts = Accounts { way, tls: tls.as_ref(), credential, relay };
        Ok(accounts.sweep(live).await?)
    }

    /// Cancels what runs on the connection whose key this is. Nobody learns whether there is one.
    pub fn cancel(&self, key: &Key) {
        self.0.keys.show(key);
    }
}

/// The accounts at a server could not be looked through.
#[derive(Debug, thiserror::Error)]
#[error("the accounts at a database could not be looked through")]
pub struct SweepError(#[from] ServerError);

struct Gateway {
    broker: Broker,
    authn: Arc<dyn Authn>,
    secrets: Arc<dyn Secrets>,
    log: Arc<dyn StatementLog>,
    domain: String,
    trust: Trust,
    keys: Arc<cancel::Keys>,
    masks: Masks,
}

/// The protocol by which clients that begin with TLS say that they speak PostgreSQL.
pub const ALPN: &[u8] = b"postgresql";
