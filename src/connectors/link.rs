//! One connector's connection, as dialling sees it.

use access::EndReason;
use async_trait::async_trait;
use session::{DialError, DialRequest};
use splice::BoxStream;
use tunnel::{Connection, OpenError};
use wire::{Dial, Header, Refusal};

/// A way to reach the targets of a site.
#[async_trait]
pub trait Link: Send + Sync {
    /// Opens a stream to the target. The caller's deadline stands around it; dropping the future
    /// gives up the stream.
    async fn dial(&self, request: &DialRequest) -> Result<BoxStream, DialError>;

    /// Whether the target can be reached: the connector dials it and closes at once. Nobody gets a
    /// stream, and no byte is sent to it.
    async fn check(&self, request: &DialRequest) -> Result<(), DialError>;

    /// What the connector finds wrong on its ways, as it says itself.
    async fn examine(&self) -> Result<wire::Examined, DialError>;

    /// Whether it is worth asking.
    fn is_open(&self) -> bool;

    /// Whether the connector has said that it takes no more sessions.
    fn is_draining(&self) -> bool {
        false
    }

    /// Streams open or being opened.
    fn streams(&self) -> usize;

    /// Asks the connector to take its sessions elsewhere; those under way go on.
    fn drain(&self);

    /// Ends the connection and with it every stream.
    fn close(&self, reason: EndReason, why: &str);
}

#[async_trait]
impl Link for Connection {
    async fn dial(&self, request: &DialRequest) -> Result<BoxStream, DialError> {
        match self.open(&Header::Dial(asked(request))).await {
            Ok((stream, _)) => Ok(Box::new(stream)),
            Err(error) => Err(dial_error(&error)),
        }
    }

    async fn check(&self, request: &DialRequest) -> Result<(), DialError> {
        let reached = self.open(&Header::Check(asked(request))).await;
        reached.map(drop).map_err(|error| dial_error(&error))
    }

    async fn examine(&self) -> Result<wire::Examined, DialError> {
        let (mut stream, _) =
            self.open(&Header::Examine).await.map_err(|error| dial_error(&error))?;
        let said = stream.recv_frame().await;
        said.map_err(|error| DialError::Tunnel { detail: error.to_string() })
    }

    fn is_open(&self) -> bool {
        Self::is_open(self) && !self.is_draining()
    }

    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }

    fn streams(&self) -> usize {
        Self::streams(self)
    }

    fn drain(&self) {
        Self::drain(self);
    }

    fn close(&self, reason: EndReason, why: &str) {
        Self::close(self, reason, why);
    }
}

fn asked(request: &DialRequest) -> Dial {
    Dial {
        session: request.session,
        application: request.application.name.clone(),
        host: request.address.host().to_owned(),
        port: request.address.port(),
    }
}

pub(crate) fn dial_error(error: &OpenError) -> DialError {
    match error {
        OpenError::Refused { source } => refused(source),
        OpenError::Broken { source } => DialError::Tunnel { detail: source.to_string() },
        OpenError::Unknown => DialError::Tunnel { detail: error.to_string() },
    }
}

/// What a connector's refusal says of the target; one that says nothing of it is the tunnel's.
fn refused(refusal: &Refusal) -> DialError {
    match refusal.code.as_str() {
        "dial.not_allowed" => DialError::NotAllowed,
        "dial.unresolved" => DialError::Unresolved,
        "dial.refused" => DialError::Refused,
        "dial.unreachable" => DialError::Unreachable,
        "dial.timeout" => DialError::TimedOut { after: CONNECTOR_TIMEOUT },
        _ => DialError::Tunnel { detail: refusal.to_string() },
    }
}

/// How long a connector waits for a target.
const CONNECTOR_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);
