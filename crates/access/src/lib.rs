//! Who may reach what: names, principals, applications, grant rules and the decision over them.
//!
//! INVARIANT: nothing in this crate performs I/O, reads a clock, draws randomness or spawns a task.
//! The current time and fresh random bytes are arguments.

mod application;
mod code;
mod database;
mod deny;
mod end;
mod explain;
mod hash;
mod host_name;
mod hours;
mod id;
mod index;
mod judge;
mod mask;
mod name;
mod native;
mod network;
mod policy;
mod principal;
mod proof;
mod rdp;
mod rule;
#[cfg(feature = "schema")]
mod schema;
mod scram;
mod ssh;
mod terms;
pub mod text;
mod token;
mod web;
mod web_service;

pub use application::{Address, AddressError, Application, Kind, Login, Site};
pub use code::{Code, Explain};
pub use database::{DatabaseOptions, TlsMode};
pub use deny::{Deny, Unfound};
pub use end::{EndReason, Side};
pub use explain::{Explanation, Question};
pub use hash::sha256;
pub use host_name::{HostName, HostNameError};
pub use hours::{Hours, HoursError, Window, Zone};
pub use id::{
    AgentId, ApplicationId, ConnectorId, GroupId, RuleId, SessionId, SignInId, SiteId, TokenId,
    UserId,
};
pub use mask::Mask;
pub use name::{Name, NameError};
pub use native::{NativeProof, NativeVerifier};
pub use network::network;
pub use policy::{Context, Grant, Keeps, PolicyData, PolicySnapshot, Standing};
pub use principal::{Agent, Authenticated, Credential, SignIn, SshKey, User};
pub use proof::{Proof, Proofs};
pub use rdp::RdpOptions;
pub use rule::{Rule, Subject, Target};
pub use scram::{SCRAM_ITERATIONS, ScramVerifier, TokenProof, scram_salt};
pub use ssh::{Allowed, Channels, Sftp, SshTerms, ports};
pub use terms::{Clipboard, Level, Recording, Shortfall, Terms};
pub use token::{CaPin, TokenDigest, TokenError, TokenKind, TokenText};
pub use web::{Scheme, Version, WebOptions};
pub use web_service::WebService;
