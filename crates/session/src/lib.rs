//! One access of one user to one application, from open to end.
//!
//! The only way from a peer to a target is `Grant` → [`Broker::open`] → [`Session::dial`] →
//! [`Session::splice`]. A session cannot open without a stored record and cannot end without one.

mod audit;
mod broker;
mod did;
mod lease;
pub mod pace;
mod ports;
mod recording;
mod requests;
mod sign_ins;
mod statements;

pub use audit::{
    AuditError, AuditEvent, AuditLog, ClosingSlot, Door, ShownCertificate, Stamped, with_cause,
};
pub use broker::{Broker, Ended, Limits, LiveSession, OpenError, Session, WayBack};
pub use did::{Facts, FileChange, FileMode, FileSum, FileUse, OK};
pub use lease::Lease;
pub use ports::{
    AskingBrowser, Authn, AuthnError, BrowserLink, CertificateClaim, Certificates, DialError,
    DialRequest, Dialer, HostKeyVerdict, HostKeys, Life, SecretError, Secrets, Step,
    TargetCredential, Witness,
};
pub use recording::{About, Entry, Key, RecordingError, Recordings, Screen, Tape, TapeEnd};
pub use requests::{RequestLog, WebRequest};
pub use sign_ins::{Entered, SignIns};
pub use statements::{Outcome, Statement, StatementLog, StatementScope};
