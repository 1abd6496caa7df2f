//! Applications: the named targets in a site.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ApplicationId, DatabaseOptions, Level, Name, RdpOptions, SiteId, WebOptions};

/// A named target in a site. Access is always to an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    pub id: ApplicationId,
    pub name: Name,
    pub site: Site,
    pub kind: Kind,
    /// Resolved and checked by the connector, never by the relay.
    pub address: Address,
    pub login: Login,
    /// Pinned SSH host key in OpenSSH form (`ssh-ed25519 AAAA…`), or, behind `@cert-authority `, the
    /// key of a CA that signs host certificates; `None`: learned at first use.
    pub host_key: Option<String>,
    /// Whether SSH targets may use what is too weak for others (SHA-1, CBC, small groups).
    pub legacy_algorithms: bool,
    /// Whether `api` tokens may be issued and used for it.
    pub allow_api: bool,
    /// Whether those work only while their user is signed in.
    pub require_active_session: bool,
    pub tags: BTreeMap<String, String>,
    /// How its origin is spoken to, where it is a web application.
    pub web: WebOptions,
    /// How its server is spoken to and logged in to, where it is a database.
    pub database: DatabaseOptions,
    /// By what its target is known, where it is a desktop.
    pub rdp: RdpOptions,
}

impl Application {
    /// The DNS label `<app>-<site>` under the relay's domain.
    pub fn label(&self) -> String {
        format!("{}-{}", self.name, self.site.name)
    }

    /// `app.site`, by which nobody takes it for another one.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.name, self.site.name)
    }

    /// The database account for those who may do at most `level`, or the role of the one that they
    /// get; `None` is everything.
    pub fn account(&self, level: Option<Level>) -> Option<&str> {
        let mapped = self.database.mapped(level.unwrap_or(Level::Owner));
        // The one that makes others is nobody's.
        let shared = || self.login.fixed().filter(|_| self.database.roles.is_empty());
        mapped.or_else(|| level.is_none().then(shared).flatten())
    }

    /// Whether the relay has an account to log in to it with.
    pub fn has_account(&self) -> bool {
        self.login.fixed().is_some() || !self.database.accounts.is_empty()
    }

    /// All addresses at which it is: its own, and then those of its services.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(self.web.services.iter().map(|s| &s.address))
    }
}

/// One private network; its connectors can reach its applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub id: SiteId,
    pub name: Name,
}

/// What an application speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ssh,
    Rdp,
    Tcp,
    Postgres,
    Mysql,
    Redis,
    Web,
}

impl Kind {
    /// Whether it is one of those that doors for databases are for.
    pub fn is_database(self) -> bool {
        match self {
            Self::Postgres | Self::Mysql | Self::Redis => true,
            Self::Ssh | Self::Rdp | Self::Tcp | Self::Web => false,
        }
    }

    pub const ALL: [Self; 7] =
        [Self::Ssh, Self::Rdp, Self::Tcp, Self::Postgres, Self::Mysql, Self::Redis, Self::Web];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Rdp => "rdp",
            Self::Tcp => "tcp",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Web => "web",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            format!("unknown kind {text:?}; one of ssh, rdp, tcp, postgres, mysql, redis, web")
        })
    }
}

/// How the target is logged in to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Login {
    /// The user shows the target their own login.
    Transparent,
    /// The relay shows a stored credential of this account, which the user never sees.
    Managed { account: String },
    /// The relay shows a certificate that it signs for the one session, as this account or, absent,
    /// as the one the user names. Only for SSH.
    Certificate { account: Option<String> },
}

impl Login {
    /// The account at the target for a user who named `typed`.
    pub fn account<'a>(&'a self, typed: &'a str) -> &'a str {
        self.fixed().unwrap_or(typed)
    }

    /// The account that everybody gets, whatever they name.
    pub fn fixed(&self) -> Option<&str> {
        match self {
            Self::Managed { account } => Some(account),
            Self::Certificate { account } => account.as_deref(),
            Self::Transparent => None,
        }
    }

    /// Whether the relay logs in, and nobody is asked anything.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Managed { .. } | Self::Certificate { .. } => true,
            Self::Transparent => false,
        }
    }
}

/// Host and port of a target, as the site's connectors will resolve it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("an address is host:port, for example db1.corp:5432 or [fd00::1]:22")]
    Form,
    #[error("the port is a number from 1 to 65535")]
    Port,
    #[error(
        "a host is an IP address or a DNS name of at most 253 letters, digits, '-', '_' and '.'"
    )]
    Host,
}

impl Address {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Form)?;
        let port = port.parse().ok().filter(|&port: &u16| port != 0).ok_or(AddressError::Port)?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => {
                inner.parse::<std::net::Ipv6Addr>().map_err(|_| AddressError::Host)?;
                inner
            }
            None => host,
        };
        let name_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let valid = host.parse::<IpAddr>().is_ok()
            || (!host.is_empty() && host.len() <= 253 && host.chars().all(name_like));
        if !valid {
            return Err(AddressError::Host);
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_it_parses() {
        for text in ["db1.corp:5432", "10.0.0.7:22", "[fd00::1]:22", "my_host:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let bad = [
            ("db1", AddressError::Form),
            ("db1:0", AddressError::Port),
            ("db1:65536", AddressError::Port),
            (":22", AddressError::Host),
            ("a b:22", AddressError::Host),
            ("[nope]:22", AddressError::Host),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}
