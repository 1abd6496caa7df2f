//! The admin listener's connections: plain HTTP/1.1.

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::https::{finish, http1_server};
use crate::lobby::Guest;

/// Serves one connection until the peer leaves, has to make room, or `stop`.
pub(crate) async fn serve(
    router: Router,
    stop: CancellationToken,
    socket: TcpStream,
    guest: Guest,
) {
    let service = TowerToHyperService::new(router);
    let connection = http1_server().serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        biased;
        () = finish(connection, stop.cancelled()) => {}
        () = guest.ousted() => {}
    }
}
