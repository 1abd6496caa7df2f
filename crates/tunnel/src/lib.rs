//! The wire protocol over QUIC, and where UDP does not get through over TLS: dialling out, accepting,
//! and the streams in between. Free of policy and of the store.
//!
//! [`dial_out`] and [`accept()`] give a [`Connection`] whose two sides have greeted each other, know
//! when the other is gone, and renew the machine's certificate. Sessions are [`Stream`]s on it.

mod accept;
mod carried;
mod carrier;
pub mod certificate;
mod closed;
mod congestion;
mod connection;
mod control;
mod dial;
pub mod doctor;
pub mod endpoint;
pub mod https;
pub mod identity;
pub mod ladder;
mod local;
mod mux;
pub mod proxy;
#[cfg(unix)]
mod socket;
mod stream;
mod tcp;
pub mod tls;
pub mod websocket;
mod window;
mod words;

pub use accept::{Knock, Renewer, accept, accept_speaking, accept_tls};
pub use carried::{Stream, StreamError, end_reason};
pub use carrier::Transport;
pub use closed::{Closed, ConnectError, OpenError};
pub use connection::{Connection, Opened, Peer};
pub use dial::{DialOut, dial_out, dial_out_speaking};
pub use identity::Identity;
pub use ladder::Ladder;
pub use tcp::{Interception, OverTcp, prepare};
