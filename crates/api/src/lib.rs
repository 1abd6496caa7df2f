//! The messages of the HTTPS API, as relay and agent share them. Pure data.
//!
//! Times are Unix seconds, or milliseconds where the field's name ends in `_ms`; lengths of time
//! are texts such as `12h` ([`Span`]).

mod admin;
mod certificate;
mod desktop;
mod device;
mod document;
mod enrol;
mod key;
mod me;
mod page;
mod passkey;
mod password;
mod problem;
mod provisioner;
mod recording;
mod request;
#[cfg(feature = "schema")]
mod schema;
mod scope;
mod second_factor;
mod secret;
mod settings;
mod sign_in;
mod span;
mod statements;
mod token;
mod web;

pub use admin::{
    AgentRow, ApplicationRow, Applied, ApplyRequest, AuditCheck, AuditDamage, AuditDestination,
    AuditPage, AuditRow, CheckRow, Checked, ConnectorDoctor, ConnectorRow, DirectoryRow, DoctorRow,
    EndedSessionRow, GrantRow, GroupRow, KeptRecording, LastSeen, NoticeChannel, ReachRow, Removed,
    SessionRow, SiteRow, SshCa, UserRow, Why, Withdrawn,
};
pub use certificate::{CertificateRow, CertificateSource};
pub use desktop::{
    DesktopRow, DesktopState, DesktopTicket, OpenDesktop, Playback, PlayedKey, SteerPlayback,
};
pub use device::{AskDeviceLogin, DeviceLogin, DeviceLoginToken, PollDeviceLogin};
pub use document::{
    ApplicationSpec, Change, DatedKey, Document, GrantSpec, GroupSpec, KeySpec, SiteSpec, UserSpec,
};
pub use enrol::{Health, Info, JoinRequest, Joined, LoggedIn, LoginRequest};
pub use key::{AddSshKey, HostKey, MySshKey, SignSshKey, SshCertificate, SshKeyRow};
pub use me::{Me, MyApplication, MyRdpFile, MyRdpLogin, MyToken, RdpFile, RdpLogin};
pub use page::Page;
pub use passkey::{AddPasskey, PasskeyOffer, PasskeyState};
pub use password::{ChangePassword, OneTimePassword, PasswordState, SignInMethods};
pub use problem::{Fault, Problem};
pub use provisioner::{AddProvisioner, AddedProvisioner, ProvisionerRow};
pub use recording::{
    CommandsPage, RecordedTerminal, RecordingEvent, RecordingMatch, RecordingPage, SearchPage,
    TypedCommand,
};
pub use request::{AccessRequest, AskAccess, Decision, RequestState};
pub use scope::{Scope, Scopes};
pub use second_factor::{Qr, RecoveryCodes, ShowSecond, TakeTotp, TotpOffer, TotpState};
pub use secret::Secret;
pub use settings::{DoorKind, SecondFactorRule, SettingError, SettingsSpec, TokenRulesSpec};
pub use sign_in::{SignInCode, SignInRow};
pub use span::{Span, SpanError};
pub use statements::{StatementPage, StatementRow};
pub use token::{IssueToken, Issued, JoinToken, SshLogin, TokenRow, TokenState};
pub use web::{WebRequestPage, WebRequestRow};
