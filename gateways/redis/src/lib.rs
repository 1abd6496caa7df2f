//! The Redis door: a token for a password, the database's own login by the relay, and every command
//! on record.
//!
//! `Grant → Broker::open → Session::dial` is the only way from here to a network.

mod client;
#[doc(hidden)]
pub mod commands;
mod connection;
#[doc(hidden)]
pub mod proto;
mod pump;
mod record;
#[doc(hidden)]
pub mod reply;
mod server;
#[doc(hidden)]
pub mod track;
mod words;

pub use connection::Arrival;

use std::sync::Arc;

use database::Masks;
use rustls::client::danger::ServerCertVerifier;
use session::{Authn, Broker, Secrets, StatementLog};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use trust::Trust;

/// What the door needs of the relay.
pub struct RedisConfig {
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

/// The Redis door. Cheap to clone.
#[derive(Clone)]
pub struct RedisGateway(Arc<Gateway>);

impl RedisGateway {
    pub fn new(config: RedisConfig) -> Self {
        let RedisConfig { broker, authn, secrets, log, domain, roots } = config;
        let (trust, masks) = (Trust::new(roots), Masks::default());
        Self(Arc::new(Gateway { broker, authn, secrets, log, domain, trust, masks }))
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
}

/// Tells a client in the clear that the door is open over TLS only.
pub async fn refuse_plain<S: AsyncWrite + Unpin>(io: &mut S) {
    // Who has left is told nothing.
    drop(io.write_all(&words::tls_required()).await);
    drop(io.shutdown().await);
}

struct Gateway {
    broker: Broker,
    authn: Arc<dyn Authn>,
    secrets: Arc<dyn Secrets>,
    log: Arc<dyn StatementLog>,
    domain: String,
    trust: Trust,
    masks: Masks,
}

/// The first byte of every command.
pub const FIRST: u8 = b'*';
