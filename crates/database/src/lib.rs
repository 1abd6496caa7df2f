//! What the doors of databases have in common: which application is meant and whether it opens, and
//! what the relay shows its server. No protocol.

mod knock;
mod server;

pub use knock::{Knock, Refused};
pub use server::{
    Credential, CredentialError, Maker, Tls, TlsOptionsError, credential, keeper, maker, tls,
};
