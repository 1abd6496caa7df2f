//! Native clients of desktops where the relay signs in.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use gateway_rdp::{Ending, RdpGateway, Shown};
use rdgateway::{Desks, Duplex, Over};
use rustls::sign::CertifiedKey;
use session::Session;
use tokio_util::sync::CancellationToken;

use crate::certificates::Certificates;

/// What the RD Gateway door is given for such desktops.
pub(crate) struct Native(pub(crate) RdpGateway);

impl Desks for Native {
    fn serve<'a>(
        &'a self,
        session: Session,
        client: Box<dyn Duplex + 'a>,
        left: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Over> + Send + 'a>> {
        Box::pin(async move {
            let Ending { reason, side, words, code } = self.0.serve(session, client, left).await;
            Over { reason, side, words, code }
        })
    }
}

impl Shown for Certificates {
    fn shown(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.key_for(&host.to_ascii_lowercase(), SystemTime::now())
    }
}
