//! The web door: requests with a token, or of a browser that is signed in, to applications that
//! speak HTTP.
//!
//! `Grant → Broker::open → Session::dial` is the only way from here to a network. One session serves
//! the requests of one credential to one application from one address, over as many streams as they
//! need; it ends when access is withdrawn, and its requests with it.

mod answer;
mod body;
mod browser;
mod change;
mod door;
mod faults;
mod grpc;
mod headers;
mod host;
mod leftover;
mod links;
mod log;
mod open;
mod origin;
mod problem;
mod request_id;
mod sessions;
mod statement;
mod strict;
mod target;
mod token;
mod upgrade;
mod visitor;

pub use answer::{BodyError, WebBody};
pub use browser::{Asset, DENIED, Html, asset, document, is_own, navigates, security};
pub use door::{Client, WebConfig, WebGateway};
pub use host::{Place, authority, without_port};
pub use leftover::{Leftover, Watched, watch};
pub use open::LetIn;
pub use sessions::Keeper;
pub use statement::Signer;
#[doc(hidden)]
pub use strict::fuzzing;
pub use strict::{Asking, Guarded, Ledger};
pub use upgrade::{Switch, SwitchedStream};
