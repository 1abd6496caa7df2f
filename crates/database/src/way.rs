//! How the relay reaches a database for something that it does there by itself.

use async_trait::async_trait;
use session::{DialError, WayBack};
use splice::BoxStream;

/// How a server is reached.
#[async_trait]
pub trait Way: Send + Sync {
    async fn dial(&self) -> Result<BoxStream, DialError>;
}

#[async_trait]
impl Way for WayBack {
    async fn dial(&self) -> Result<BoxStream, DialError> {
        Self::dial(self).await
    }
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Accounts of sessions that are no more, taken away.
    pub gone: usize,
    /// Those that could not be.
    pub left: usize,
}

impl Swept {
    /// Counts what became of an account.
    pub fn count<E: std::error::Error + 'static>(&mut self, account: &str, removed: Result<(), E>) {
        let Err(error) = removed else {
            self.gone += 1;
            return;
        };
        tracing::warn!(
            account,
            error = &error as &dyn std::error::Error,
            "Could not take away a database account"
        );
        self.left += 1;
    }
}
