//! What a connection becomes after an answer that changes its protocol, where the relay itself speaks
//! the next one.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection's stream, or a stream of one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What is spoken on once the answer is written.
pub(crate) struct Line {
    pub(crate) io: Box<dyn Stream>,
    /// Read of it already.
    pub(crate) early: Bytes,
}

/// Speaks to the end of a line.
pub(crate) type Speak = Box<dyn FnOnce(Line) -> BoxFuture<'static, ()> + Send>;

/// Where a request's handler leaves what comes after its answer; an extension of each request.
#[derive(Clone, Default)]
pub(crate) struct Afterwards(Arc<Mutex<Option<Speak>>>);

impl Afterwards {
    pub(crate) fn set<F>(&self, speak: impl FnOnce(Line) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let speak: Speak = Box::new(move |line| Box::pin(speak(line)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(speak);
    }

    pub(super) fn take(&self) -> Option<Speak> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
