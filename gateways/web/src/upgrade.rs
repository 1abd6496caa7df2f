//! After a 101: the bytes of another protocol, for as long as the session lasts.

use bytes::Bytes;
use splice::{Counters, FromIo, join};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::log::Entry;
use crate::origin::OriginIo;
use crate::sessions::Visit;

/// A connection that changes to another protocol once its answer is written.
pub struct Switch {
    pub(crate) origin: OriginIo,
    /// Read of the origin already.
    pub(crate) ahead: Bytes,
    pub(crate) visit: Visit,
    pub(crate) entry: Entry,
}

impl Switch {
    /// Carries bytes between the connection's stream, of which `early` was read already, and the
    /// origin, until a side ends or the session does. To be run when the connection's HTTP has ended.
    pub async fn carry(self, mut client: impl AsyncRead + AsyncWrite + Send + Unpin, early: Bytes) {
        let Self { mut origin, ahead, visit, mut entry } = self;
        let over = visit.over();
        let counters = Counters::default();
        let carried = async {
            let written = client.write_all(&ahead).await.and(origin.write_all(&early).await);
            if written.is_err() {
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
