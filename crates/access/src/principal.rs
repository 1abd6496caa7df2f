//! Who somebody is, once vouched for.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::{AgentId, ApplicationId, GroupId, Name, Proof, SignInId, TokenId, TokenKind, UserId};

/// A user, human or machine, as policy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: Name,
    pub enabled: bool,
    /// May administer the relay through its API. Gives access to no application.
    pub admin: bool,
    /// A program: no agent's login vouches for it, only a token or an SSH key.
    pub machine: bool,
    /// Sees what admins see, and changes nothing.
    pub auditor: bool,
    /// Sites that they administer without being an admin: what is there, and nothing else.
    pub admin_of: Vec<Name>,
    pub groups: Vec<GroupId>,
    pub ssh_keys: Vec<SshKey>,
}

/// A registered SSH public key of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    pub expires: Option<SystemTime>,
}

/// An enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub id: AgentId,
    pub user: UserId,
    /// When its enrolment ends.
    pub expires: SystemTime,
    /// Whether it stands on a token for an application: it then signs nobody in.
    pub bound: bool,
    /// `SHA256:…` of the SSH key that certificates were signed for.
    pub ssh_key: Option<String>,
}

/// A browser that is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    pub id: SignInId,
    pub user: UserId,
    /// When it ends at the latest.
    pub expires: SystemTime,
}

/// Proof that a peer showed a credential that is good, or several. Made only by the relay's `authn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    user: UserId,
    name: Name,
    credential: Credential,
    /// What was shown before, in order.
    before: Vec<Credential>,
    from: IpAddr,
}

impl Authenticated {
    /// Vouches that the peer at `from` showed `credential` of `user`.
    ///
    /// Only the relay's `authn` may call this (`clippy.toml` holds it): anywhere else it forges a
    /// principal.
    pub fn assertion(user: UserId, name: Name, credential: Credential, from: IpAddr) -> Self {
        Self { user, name, credential, before: Vec::new(), from }
    }

    /// The same peer, who has shown what `later` vouches for too; `None`: that is another user, or
    /// somebody elsewhere.
    pub fn and(self, later: Self) -> Option<Self> {
        let same = self.user == later.user && self.from == later.from;
        let before = self.before.into_iter().chain([self.credential]).chain(later.before);
        same.then_some(())?;
        Some(Self { before: before.collect(), ..later })
    }

    pub fn user(&self) -> UserId {
        self.user
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What was shown last.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// All that was shown, in order. It has to be good as a whole.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.before.iter().chain([&self.credential])
    }

    /// The application that a token binds them to.
    pub fn bound(&self) -> Option<ApplicationId> {
        self.credentials().find_map(Credential::application)
    }

    /// What they have proven at the SSH door, in order.
    pub(crate) fn proofs(&self) -> Vec<Proof> {
        self.credentials().map(Proof::of).collect()
    }

    /// The peer's address.
    pub fn from(&self) -> IpAddr {
        self.from
    }
}

/// What was shown. A session stands on its credential and ends when that is withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An issued token; `application` is the only one it opens, where it names one.
    Token {
        id: TokenId,
        kind: TokenKind,
        application: Option<ApplicationId>,
        expires: Option<SystemTime>,
    },
    /// A registered SSH public key that signed this connection.
    SshKey { fingerprint: String },
    /// The key of an enrolled agent, by mutual TLS.
    Agent { id: AgentId },
    /// A certificate for an enrolled agent's SSH key, which signed this connection.
    Certificate { agent: AgentId, serial: u64 },
    /// The cookie of a browser that is signed in.
    SignIn { id: SignInId },
}

impl Credential {
    /// The only application it opens, where it names one.
    fn application(&self) -> Option<ApplicationId> {
        match self {
            Self::Token { application, .. } => *application,
            Self::SshKey { .. }
            | Self::Agent { .. }
            | Self::Certificate { .. }
            | Self::SignIn { .. } => None,
        }
    }

    /// A short word for records: `token`, `ssh-key`, `agent`, `certificate` or `sign-in`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::SshKey { .. } => "ssh-key",
            Self::Agent { .. } => "agent",
            Self::Certificate { .. } => "certificate",
            Self::SignIn { .. } => "sign-in",
        }
    }
}
