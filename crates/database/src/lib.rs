//! What the doors of databases have in common: which application is meant and whether it opens, what
//! the relay shows its server, what is kept of statements, and how a session ends. No protocol.

mod charset;
mod finish;
mod knock;
mod record;
mod server;
mod values;
mod way;

pub use charset::Charset;
pub use finish::{Finish, note_fault, traffic};
pub use knock::{Knock, Refused};
pub use record::{Done, Event, Events, Mark, Masks, Recorder, Text, Transcript};
pub use server::{
    Credential, CredentialError, Maker, Tls, TlsOptionsError, credential, keeper, maker,
    note_failed, tls,
};
pub use values::Values;
pub use way::{Swept, Way};
