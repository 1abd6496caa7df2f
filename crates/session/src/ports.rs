//! What gateways need of the relay, as traits the relay implements.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{
    Address, AgentId, Application, ApplicationId, Authenticated, Code, EndReason, Explain, Level,
    NativeProof, SessionId, Side, TokenProof,
};
use async_trait::async_trait;
use secrecy::SecretString;
use splice::BoxStream;

use crate::{AuditEvent, Door};

/// Told what becomes of sessions, for traces. Whoever tells it does not wait.
pub trait Witness: Send + Sync {
    /// A step that began then is over; `failed` is the code of why it failed.
    fn step(&self, session: SessionId, step: Step, began: SystemTime, failed: Option<&'static str>);

    /// A session is over: its closing record, and when it came how far.
    fn ended(&self, event: &AuditEvent, life: Life);
}

/// The steps of a session before bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From the decision to the broker.
    Authorise,
    /// Storing the opening record.
    Open,
    /// Reaching the target through a connector.
    Dial,
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorise => "authorise",
            Self::Open => "open",
            Self::Dial => "dial",
        }
    }
}

/// When a session came how far.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub opened: SystemTime,
    /// When its target was first reached; `None`: it never was.
    pub dialled: Option<SystemTime>,
}

/// What is dialled, for whom.
#[derive(Clone, Debug)]
pub struct DialRequest {
    pub session: SessionId,
    pub application: Arc<Application>,
    /// One of the application's.
    pub address: Address,
}

/// Reaches targets through a site's connectors.
#[async_trait]
pub trait Dialer: Send + Sync {
    /// Opens a stream to the application's address. One deadline stands around the whole step.
    async fn dial(&self, request: DialRequest) -> Result<BoxStream, DialError>;
}

/// Why a target could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    #[error("no connector of site {site} is connected")]
    Offline { site: String },
    #[error("the connector's own list does not allow this address")]
    NotAllowed,
    #[error("the target's name does not resolve")]
    Unresolved,
    #[error("the target refused the connection")]
    Refused,
    #[error("the target is unreachable")]
    Unreachable,
    #[error("no answer within {after:?}")]
    TimedOut { after: Duration },
    #[error("the tunnel broke: {detail}")]
    Tunnel { detail: String },
    #[error("the session ended before there was an answer")]
    Ended { reason: EndReason },
    #[error("the client left before there was an answer")]
    Left,
}

impl DialError {
    /// How a session ends that got no further.
    pub fn outcome(&self) -> (EndReason, Side) {
        match self {
            Self::Ended { reason } => (*reason, Side::Relay),
            Self::Left => (EndReason::Broken, Side::Client),
            Self::Offline { .. }
            | Self::NotAllowed
            | Self::Unresolved
            | Self::Refused
            | Self::Unreachable
            | Self::TimedOut { .. }
            | Self::Tunnel { .. } => (EndReason::Failed, Side::Target),
        }
    }
}

impl Explain for DialError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Offline { .. } => "connector.offline",
            Self::NotAllowed => "dial.not_allowed",
            Self::Unresolved => "dial.unresolved",
            Self::Refused => "dial.refused",
            Self::Unreachable => "dial.unreachable",
            Self::TimedOut { .. } => "dial.timeout",
            Self::Tunnel { .. } => "dial.tunnel",
            Self::Ended { reason } => return reason.code(),
            Self::Left => return EndReason::Broken.code(),
        })
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Offline { .. } => "the application's site is offline",
            Self::NotAllowed => "the site's connector does not allow this application's address",
            Self::Unresolved => "the application's host name does not resolve in its site",
            Self::Refused => "the application refused the connection",
            Self::Unreachable => "the application's host is unreachable from its site",
            Self::TimedOut { .. } => "the application does not answer",
            Self::Tunnel { .. } => "the connection to the application's site broke",
            Self::Ended { reason } => return reason.public(),
            Self::Left => return EndReason::Broken.public(),
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Offline { .. } => "an admin sees its connectors with `adit admin connector ls`",
            Self::NotAllowed => "an admin adds it to `allow` in the connector's connector.toml",
            Self::Unresolved => "an admin checks the application's address",
            Self::Refused | Self::Unreachable | Self::TimedOut { .. } => {
                "check that the service is running and reachable from its connector"
            }
            Self::Tunnel { .. } | Self::Left => "try again",
            Self::Ended { reason } => return reason.hint(),
        }))
    }
}

/// Vouches for peers. The relay's `authn` is the only implementation outside tests.
#[async_trait]
pub trait Authn: Send + Sync {
    /// Checks a token's text and counts one use of it.
    async fn token(
        &self,
        text: &SecretString,
        door: Door,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError>;

    /// The same for who shows that they know a token; also what shows them that the relay does. An
    /// id that is no token's is told as a wrong proof is.
    async fn token_proof(
        &self,
        _: &TokenProof,
        _: Door,
        _: IpAddr,
    ) -> Result<(Authenticated, [u8; 32]), AuthnError> {
        Err(AuthnError::Unknown)
    }

    /// The same for who shows it as older clients of MySQL do.
    async fn token_native(
        &self,
        _: &NativeProof,
        _: Door,
        _: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        Err(AuthnError::Unknown)
    }

    /// Vouches for the owner of a registered SSH key, after the caller has verified a signature by
    /// it over this connection. `fingerprint` is `SHA256:…`.
    async fn ssh_key(&self, fingerprint: &str, from: IpAddr) -> Result<Authenticated, AuthnError>;

    /// Vouches for the user of the agent that a certificate of the relay's own CA was signed for,
    /// after the caller has checked all that stands in it, and a signature by its key over this
    /// connection.
    async fn ssh_certificate(
        &self,
        claim: &CertificateClaim,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError>;

    /// Counts and records a proof at the SSH door that was not accepted; `why` is for the auditor.
    async fn refuse(&self, why: &str, from: IpAddr) -> AuthnError;

    /// Records that somebody left the SSH door who showed nothing that could be looked at. `user` is
    /// what they called themselves.
    fn left(&self, user: &str, from: IpAddr);

    /// Has a browser asked whether whoever stands at a connection may go on as its user. `None`: too
    /// many wait, or nobody can be asked.
    fn ask_browser(&self, _: AskingBrowser<'_>) -> Option<BrowserLink> {
        None
    }

    /// Vouches for whoever has approved that in their browser, to who knows the number that its page
    /// then gives. [`AuthnError::NotApproved`]: it may be tried again.
    async fn by_browser(
        &self,
        _: &BrowserLink,
        _: &SecretString,
        _: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        Err(AuthnError::NotCompleted)
    }

    /// Nobody waits for that browser any more.
    fn forget_browser(&self, _: &BrowserLink) {}

    /// Whether a signature by this key could be worth asking for: it is registered, or was certified.
    /// Proves nothing.
    fn may_sign_in(&self, fingerprint: &str) -> bool;
}

/// Who waits for a browser, as its page shows it.
#[derive(Clone, Copy, Debug)]
pub struct AskingBrowser<'a> {
    /// The account at the application, as it was written.
    pub login: &'a str,
    /// The application, as it was written.
    pub application: Option<&'a str>,
    pub from: IpAddr,
}

/// How a browser is led to the page that approves.
#[derive(Debug)]
pub struct BrowserLink {
    pub url: String,
    /// Stands on the page as well.
    pub code: String,
    /// Nobody but the connection that waits has it.
    pub secret: SecretString,
}

/// What a sound certificate of the relay's user CA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateClaim {
    pub agent: AgentId,
    /// The users it may sign in.
    pub principals: Vec<String>,
    /// `SHA256:…` of the key it is for.
    pub fingerprint: String,
    pub serial: u64,
}

/// Why a credential was not accepted. The words for users tell apart only what the holder of the
/// genuine secret may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    #[error("not a token")]
    Form,
    #[error("the token's checksum is wrong: mistyped or cut")]
    Mistyped,
    #[error("no such token or key")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("the token was revoked")]
    Revoked,
    #[error("the token is used up")]
    UsedUp,
    #[error("the token's kind is not for this door")]
    WrongKind,
    #[error("the user is disabled")]
    UserDisabled,
    #[error("the SSH key has expired")]
    KeyExpired,
    #[error("the key signs in with a certificate, and none that is good came with it")]
    Uncertified,
    #[error("nothing was shown")]
    Nothing,
    #[error("the user is a machine, and machines do not sign in as people do")]
    Machine,
    #[error("the user name or the password is wrong")]
    Password,
    #[error("the one-time password was not used in time")]
    PasswordExpired,
    #[error("the second factor is wrong, or was used before")]
    SecondFactor,
    #[error("the passkey is not known, or has not answered as asked")]
    Passkey,
    #[error("the sign-in was not completed in time, or failed too often")]
    NotCompleted,
    #[error("the directory knows them, and there is no user for them")]
    NoUser,
    #[error("nobody has approved it in the browser, or the number is another")]
    NotApproved,
    #[error("too many failures from this address, for this token or for this name")]
    Throttled,
    #[error("the store does not answer")]
    Unavailable,
}

impl AuthnError {
    /// The status by which HTTP says so (RFC 9110, section 15; 429: RFC 6585).
    pub fn http_status(self) -> u16 {
        match self {
            Self::Form
            | Self::Mistyped
            | Self::Unknown
            | Self::Expired
            | Self::Revoked
            | Self::UsedUp
            | Self::WrongKind
            | Self::UserDisabled
            | Self::KeyExpired
            | Self::Uncertified
            | Self::Nothing
            | Self::Machine
            | Self::Password
            | Self::PasswordExpired
            | Self::SecondFactor
            | Self::Passkey
            | Self::NotCompleted
            | Self::NoUser
            | Self::NotApproved => 401,
            Self::Throttled => 429,
            Self::Unavailable => 503,
        }
    }
}

impl Explain for AuthnError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Form | Self::Mistyped | Self::Unknown => "authn.failed",
            Self::Expired => "token.expired",
            Self::Revoked => "token.revoked",
            Self::UsedUp => "token.used_up",
            Self::WrongKind => "token.wrong_kind",
            Self::UserDisabled => "access.user_disabled",
            Self::KeyExpired => "ssh_key.expired",
            Self::Uncertified => "ssh_certificate.refused",
            Self::Nothing => "authn.nothing",
            Self::Machine => "user.machine",
            Self::Password => "authn.password",
            Self::PasswordExpired => "password.expired",
            Self::SecondFactor => "authn.second_factor",
            Self::Passkey => "authn.passkey",
            Self::NotCompleted => "sign_in.not_completed",
            Self::NoUser => "directory.no_user",
            Self::NotApproved => "ssh.not_approved",
            Self::Throttled => "authn.throttled",
            Self::Unavailable => "store.unavailable",
        })
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Form | Self::Mistyped | Self::Unknown => "sign-in failed",
            Self::Expired => "this token has expired",
            Self::Revoked => "this token was revoked",
            Self::UsedUp => "this token is used up",
            Self::WrongKind => "this kind of token is not for this door",
            Self::UserDisabled => "your account is disabled",
            Self::KeyExpired => "this SSH key has expired",
            Self::Uncertified => {
                "this SSH key needs a certificate, and none that is good came with it"
            }
            Self::Nothing => "nothing was shown that signs in",
            Self::Machine => "a machine user does not sign in as a person does",
            Self::Password => "the user name or the password is wrong",
            Self::PasswordExpired => "this one-time password was not used in time",
            Self::SecondFactor => "the code is wrong, or was used already",
            Self::Passkey => "this passkey does not sign in here",
            Self::NotCompleted => "this sign-in took too long or failed too often",
            Self::NoUser => "the directory knows you, and this relay has no user for you",
            Self::NotApproved => "nobody has approved it in the browser, or the number is another",
            Self::Throttled => {
                "too many failed sign-ins from your address, for this name or with this token"
            }
            Self::Unavailable => "the relay can not check sign-ins just now",
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Form | Self::Mistyped | Self::Unknown => "copy the whole token and try again",
            Self::Expired | Self::Revoked | Self::UsedUp => {
                "get a new one: `adit token new APP`, or ask your administrator"
            }
            Self::WrongKind => "`adit token new APP` issues one that opens an application",
            Self::UserDisabled => "ask your administrator",
            Self::Uncertified => "`adit ssh-cert` gets a new one; check the machine's clock too",
            Self::Nothing => "show a token, or a key that is registered",
            Self::KeyExpired => "register it again or another one: `adit key add FILE`",
            Self::Machine => {
                "give the program an api or access token, or register an SSH key for it"
            }
            Self::Password => {
                "try again; who has forgotten it asks their administrator for another"
            }
            Self::PasswordExpired => "ask your administrator for another",
            Self::SecondFactor => "wait for the next code; or take one of your recovery codes",
            Self::Passkey => "try again; or sign in another way, and look at Security",
            Self::NotCompleted => "begin again",
            Self::NoUser => "ask your administrator for one",
            Self::NotApproved => "open the link, approve, and type the number of its page",
            Self::Throttled | Self::Unavailable => "wait a minute and try again",
        }))
    }
}

/// Stored credentials for targets of managed applications.
#[async_trait]
pub trait Secrets: Send + Sync {
    async fn credential(
        &self,
        application: ApplicationId,
    ) -> Result<Option<TargetCredential>, SecretError>;

    /// The password of the account that a level is mapped to. Nobody has one where no level is
    /// mapped.
    async fn level_credential(
        &self,
        _: ApplicationId,
        _: Level,
    ) -> Result<Option<TargetCredential>, SecretError> {
        Ok(None)
    }
}

/// How the relay logs in to a managed target.
#[derive(Debug)]
pub enum TargetCredential {
    Password(SecretString),
    /// A private key in OpenSSH PEM form, without a passphrase.
    SshKey(SecretString),
    /// A certificate with its chain, and its private key: both in one PEM text.
    Tls(SecretString),
}

/// A stored credential could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored credential could not be read: {detail}")]
pub struct SecretError {
    pub detail: String,
}

/// The SSH host keys of targets: pinned on the application or learned once, then enforced.
#[async_trait]
pub trait HostKeys: Send + Sync {
    /// Compares `presented` (`ssh-ed25519 AAAA…`, no comment) with what is known of the application,
    /// and stores it where nothing is.
    async fn check(
        &self,
        application: &Application,
        presented: &str,
    ) -> Result<HostKeyVerdict, SecretError>;
}

/// The certificates of desktops: learned once where nothing else says what is good, then enforced.
#[async_trait]
pub trait Certificates: Send + Sync {
    /// Compares the SHA-256 of a certificate (hex) with what was learned of the application, and learns
    /// it where nothing was.
    async fn learn(
        &self,
        application: ApplicationId,
        sha256: &str,
    ) -> Result<HostKeyVerdict, SecretError>;
}

/// What a target's host key, or certificate, turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKeyVerdict {
    /// As pinned or learned.
    Known,
    /// The first one seen; now enforced.
    Learned,
    /// Another than the known one, given in OpenSSH form.
    Changed { known: String },
}
