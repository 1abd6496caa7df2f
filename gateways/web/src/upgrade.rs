//! After a change: the bytes of another protocol, for as long as the session lasts.

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use splice::{Counters, FromIo, join};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::log::Entry;
use crate::origin::Lane;
use crate::sessions::Visit;

/// A connection that changes to another protocol once its answer is written.
pub struct Switch {
    pub(crate) origin: Box<dyn Far>,
    /// Of an origin's connection that several use.
    pub(crate) lane: Option<Lane>,
    /// Read of the origin already.
    pub(crate) ahead: Bytes,
    pub(crate) visit: Visit,
    pub(crate) entry: Entry,
}

/// A stream of a connection that changes to another protocol once its answer is written.
pub struct SwitchedStream {
    pub(crate) switch: Switch,
    pub(crate) client: OnUpgrade,
}

/// An origin's stream.
pub(crate) trait Far: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Far for T {}

impl SwitchedStream {
    /// As [`Switch::carry`], once the answer is written.
    pub async fn carry(self) {
        match self.client.await {
            Ok(client) => self.switch.carry(TokioIo::new(client), Bytes::new()).await,
            Err(error) => tracing::debug!(%error, "A stream ended before it changed"),
        }
    }
}

impl Switch {
    /// Carries bytes between the connection's stream, of which `early` was read already, and the
    /// origin, until a side ends or the session does. To be run when the connection's HTTP has ended.
    pub async fn carry(self, mut client: impl AsyncRead + AsyncWrite + Send + Unpin, early: Bytes) {
        let Self { mut origin, lane: _lane, ahead, visit, mut entry } = self;
        let over = visit.over();
        let counters = Counters::default();
        let carried = async {
            let written = client.write_all(&ahead).await.and(origin.write_all(&early).await);
            if written.and(origin.flush().await).is_err() {
                return;
            }
            let (mut client, mut origin) = (FromIo::new(client), FromIo::new(origin));
            join(&mut client, &mut origin, &counters).await;
        };
        tokio::select! {
            biased;
            () = over.cancelled() => {}
            () = carried => {}
        }
        entry.carried(&counters);
    }
}
