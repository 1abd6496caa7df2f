//! Listeners: accepting peers without ever waiting for one of them.

pub(crate) mod admin;
pub(crate) mod afterwards;
mod aside;
mod forwarded;
pub(crate) mod http01;
pub(crate) mod https;
mod linger;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod presence;
pub(crate) mod quic;
pub(crate) mod redis;
pub(crate) mod spare;
mod taken;
pub(crate) mod tcp;

use std::net::SocketAddr;
use std::time::Duration;

use gateway_ssh::SshGateway;
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::lobby::Guest;

/// From accept to a finished TLS handshake, or to the first byte that tells which protocol it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Runs the SSH door on one connection. Until somebody has signed in it may have to make room.
pub(crate) async fn ssh(
    gateway: SshGateway,
    drain: CancellationToken,
    socket: TcpStream,
    peer: SocketAddr,
    guest: Guest,
) {
    let proven = CancellationToken::new();
    let serving = gateway.serve_stranger(socket, peer, proven.clone(), drain);
    while_welcome(serving, proven, guest).await;
}

/// Serves a guest, who may have to make room for others until `proven`.
async fn while_welcome(serving: impl Future<Output = ()>, proven: CancellationToken, guest: Guest) {
    let ousted = async {
        tokio::select! {
            biased;
            () = proven.cancelled() => {}
            () = guest.ousted() => return,
        }
        drop(guest);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = serving => {}
        () = ousted => {}
    }
}

/// A connection's task ended; a panic ended that connection only.
fn note(done: Result<(), JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        tracing::error!(%error, "A connection's task panicked");
    }
}
