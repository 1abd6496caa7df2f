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
use super::spare::Spare;
use crate::lobby::{Guest, Lobby};

/// Accepts until `stop`, then waits for the connections that are left. Dropping the future aborts
/// them.
///
/// Where there is no file descriptor for a newcomer, one is lent from `spare`; else a stranger has
/// to make room; else the newcomer waits.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    (lobby, spare): (Arc<Lobby>, Option<Arc<Spare>>),
    stop: CancellationToken,
    handle: impl Fn(TcpStream, SocketAddr, Guest) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut lent = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(done) = connections.join_next() => note(done),
            accepted = listener.accept() => match accepted.and_then(prepare) {
                Ok((socket, peer)) => {
                    let guest = lobby.enter(peer.ip());
                    let (served, lent) = (handle(socket, peer, guest), lent.take());
                    connections.spawn(async move {
                        served.await;
                        drop(lent);
                    });
                    spare.iter().for_each(|spare| spare.refill());
                }
                Err(error) if out_of_resources(&error) => {
                    if lent.is_none() {
                        lent = spare.as_ref().and_then(Spare::lend);
                        if lent.is_some() {
                            continue;
                        }
                    }
                    let made_room = lobby.make_room();
                    tracing::warn!(%error, made_room, "Could not accept; waiting");
                    sleep(if made_room { MOMENT } else { PAUSE }).await;
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

/// What a peer that has to go needs for it.
const MOMENT: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_millis(100);
