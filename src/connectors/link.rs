//! One connector's connection, as dialling sees it.

use async_trait::async_trait;
use session::{DialError, DialRequest};
use splice::BoxStream;

/// A way to reach the targets of a site.
#[async_trait]
pub trait Link: Send + Sync {
    /// Opens a stream to the target. The caller's deadline stands around it; dropping the future
    /// gives up the stream.
    async fn dial(&self, request: &DialRequest) -> Result<BoxStream, DialError>;

    /// Whether it is worth asking.
    fn is_open(&self) -> bool;

    /// Streams open or being opened.
    fn streams(&self) -> usize;

    /// Ends the connection and with it every stream.
    fn close(&self, why: &str);
}
