//! What the relay keeps: configuration, tokens, machines, sealed secrets and the audit log.
//!
//! INVARIANT: a change is stored whole or not at all, and the configuration's version grows in the
//! same transaction. An audit event that was acknowledged is on the disk.

mod acme;
mod audit;
mod batch;
mod clock;
mod cluster;
mod columns;
mod config;
mod db;
mod ends;
mod error;
mod identities;
mod inserts;
mod keys;
mod machines;
mod notices;
mod passkeys;
mod passwords;
#[cfg(test)]
mod plans;
mod provisioners;
mod replies;
mod requests;
mod rows;
mod seal;
mod search;
mod second_factors;
mod secrets;
mod seen;
mod sign_ins;
mod statements;
mod tokens;
mod transfer;
mod web_log;
mod writer;

pub use acme::{AcmeClaim, AcmeRow, IssuedPair};
pub use audit::{
    AuditCheck, AuditPart, AuditQuery, Claimed, Delivery, DeliveryRow, EndedQuery, EndedRow,
    RecordingRow,
};
pub use chain::{Damage, Head, HeadError};
pub use cluster::{Joined, LiveRow, NewRelay, Outside, Place, RelayRow, Wakes};
pub use config::{
    Apply, Edit, Expected, KeyEnd, NewSshKey, Object, Revised, Settings, TokenRules, Within,
    revision,
};
pub use db::{Engine, Location, Store};
pub use ends::{Due, DueWhat, Purged};
pub use error::{Problem, StoreError, UseTokenError};
pub use identities::IdentityRow;
pub use machines::AgentQuery;
pub use notices::{NoticeRow, NoticesWaiting};
pub use passkeys::PasskeyRow;
pub use passwords::{EndOthers, NewPassword, PasswordRow};
pub use provisioners::{ProvisionedGroup, ProvisionedUser, ProvisionerRow};
pub use replies::Sent;
pub use requests::{NewRequest, RequestQuery, RequestRow, Settlement};
pub use rows::{
    AgentRow, AgentToken, ApplicationRow, AuditRow, ConnectorRow, GrantRow, GroupRow, SiteRow,
    SshKeyRow, TokenRow, UserRow,
};
pub use seal::{MasterKey, MasterKeyError};
pub use second_factors::{NewTotp, TotpRow};
pub use seen::{Known, Seen};
pub use sign_ins::{NewSignIn, SignInQuery, SignInRow};
pub use statements::{StatementQuery, StatementRow};
pub use tokens::{NewToken, REMEMBERED, TokenQuery, UsedToken};
pub use transfer::{Count, Restore, Rotation, TransferError, backup, migrate_to, restore};
pub use web_log::{WebQuery, WebRequestRow};
