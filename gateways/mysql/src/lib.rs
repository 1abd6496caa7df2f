//! The MySQL and MariaDB door: a token for a password, the database's own login by the relay, and
//! every statement on record.
//!
//! `Grant → Broker::open → Session::dial` is the only way from here to a network.

mod accounts;
mod auth;
mod change;
mod charset;
mod client;
mod compress;
mod connection;
mod desk;
mod explain;
mod flow;
mod judge;
mod kill;
#[doc(hidden)]
pub mod lex;
#[doc(hidden)]
pub mod proto;
mod pump;
mod reading;
mod record;
#[doc(hidden)]
pub mod scan;
mod server;
mod sign_in;
mod texts;
mod threads;
#[doc(hidden)]
pub mod track;
mod values;
mod wire;
mod words;

pub use client::{ClientError, Greeted};
pub use connection::Arrival;
pub use database::{Swept, Way};

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
use crate::server::ServerError;
use crate::wire::Wire;

/// What the door needs of the relay.
pub struct MysqlConfig {
    pub broker: Broker,
    pub authn: Arc<dyn Authn>,
    pub secrets: Arc<dyn Secrets>,
    pub log: Arc<dyn StatementLog>,
    /// Applications are one label below it.
    pub domain: String,
    /// Checks the certificates of servers that have no CA and no pin of their own; `None`: those
    /// are not trusted.
    pub roots: Option<Arc<dyn ServerCertVerifier>>,
    /// What clients are told that the server is, before it is known which one they want.
    pub version: String,
    /// Whether a token whose id is named may be proved by `mysql_native_password`.
    pub native_password: bool,
}

/// The MySQL door. Cheap to clone.
#[derive(Clone)]
pub struct MysqlGateway(Arc<Gateway>);

impl MysqlGateway {
    pub fn new(config: MysqlConfig) -> Self {
        let MysqlConfig { broker, authn, secrets, log, domain, roots, version, native_password } =
            config;
        let (trust, threads, masks) = (Trust::new(roots), Arc::default(), Masks::default());
        let gateway = Gateway {
            broker,
            authn,
            secrets,
            log,
            domain,
            version,
            native_password,
            trust,
            threads,
            masks,
        };
        Self(Arc::new(gateway))
    }

    /// The number of a connection that has just come.
    pub fn thread(&self) -> u32 {
        self.0.threads.give()
    }

    /// Speaks first, as servers do. `plain`: TLS is the client's choice.
    pub async fn greet<S>(
        &self,
        io: &mut S,
        thread: u32,
        plain: bool,
    ) -> Result<Greeted, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        client::greet(io, &self.0.version, thread, plain).await
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
        self.0.serve(Wire::new(io), arrival, &proven, &drain).await;
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
        let accounts = Accounts { way, tls: tls.as_ref(), credential };
        Ok(accounts.sweep(&gateway.domain, live).await?)
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
    version: String,
    native_password: bool,
    trust: Trust,
    threads: Arc<threads::Threads>,
    masks: Masks,
}
