//! One accept loop for every TCP listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::note;
use crate::lobby::{Guest, Lobby};

/// Accepts until `stop`, then waits for the connections that are left. Dropping the future aborts
/// them.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    lobby: Arc<Lobby>,
    stop: CancellationToken,
    handle: impl Fn(TcpStream, SocketAddr, Guest) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(done) = connections.join_next() => note(done),
            accepted = listener.accept() => match accepted.and_then(prepare) {
                Ok((socket, peer)) => {
                    let guest = lobby.enter(peer.ip());
                    connections.spawn(handle(socket, peer, guest));
                }
                Err(error) if out_of_resources(&error) => {
                    tracing::warn!(%error, "Could not accept; waiting");
                    sleep(PAUSE).await;
                }
                Err(error) => tracing::debug!(%error, "Could not accept"),
            },
        }
    }
    drop(listener);
    while let Some(done) = connections.join_next().await {
        note(done);
    }
}

fn prepare((socket, peer): (TcpStream, SocketAddr)) -> io::Result<(TcpStream, SocketAddr)> {
    // An answer must not wait for the peer's delayed acknowledgement (40 ms).
    socket.set_nodelay(true)?;
    Ok((socket, peer))
}

/// Whether accepting again at once would fail again at once.
fn out_of_resources(error: &io::Error) -> bool {
    use libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    error.raw_os_error().is_some_and(|code| [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(&code))
}

const PAUSE: Duration = Duration::from_millis(100);
