//! From a local port, or from stdin and stdout, to an application.

mod board;
mod ending;
mod listener;
mod port;
mod standard;

pub use board::Board;
pub use ending::told;
pub use listener::{Clients, bind, serve};
pub use port::LocalPort;
pub use standard::standard_streams;

use std::sync::Arc;

use crate::exit::Failure;

/// Opens a way to one application.
pub trait Opener: Send + Sync + 'static {
    type Stream: splice::Stream + 'static;

    /// Opens one session; bounded by a deadline of its own.
    fn open(&self) -> impl Future<Output = Result<Self::Stream, Failure>> + Send;

    /// What the admin who ended a session had to say to its user. May never complete.
    fn last_words(&self, session: &Self::Stream) -> impl Future<Output = Option<Arc<str>>> + Send;
}
