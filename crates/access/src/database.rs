//! How a database is spoken to and logged in to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::web::{is_host, is_pem, is_sha256};
use crate::{Level, Mask};

/// The options of a database application. Each has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseOptions {
    /// Absent: `verify-full` where `ca` or `pin` is given, `prefer` where neither is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// The CAs that sign the server's certificate (PEM); absent: those the relay's machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The SHA-256 of the server's one good certificate (hex), whoever signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The name in the TLS handshake; absent: the address's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The account of each level, whose password the relay keeps.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub accounts: BTreeMap<Level, String>,
    /// The role of each level. A session gets an account of its own in it, which the application's
    /// account makes for it and takes away with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Level, String>,
    /// Regular expressions; the log of statements has `***` for what they find, or for their groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<String>,
    /// Whether the log of statements keeps the values that are bound to parameters, and of Redis those
    /// of commands.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub values: bool,
    /// Whether logical replication passes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replication: bool,
}

/// Whether TLS is spoken to a database, and by what its server is known. As libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// None.
    Disable,
    /// Where the server has it, whoever the server is.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, and the server's certificate is checked.
    VerifyFull,
}

impl DatabaseOptions {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The mode in force.
    pub fn mode(&self) -> TlsMode {
        let known = self.ca.is_some() || self.pin.is_some();
        self.tls.unwrap_or(if known { TlsMode::VerifyFull } else { TlsMode::Prefer })
    }

    /// What stands for `level` at the database: an account, or the role of accounts.
    pub fn mapped(&self, level: Level) -> Option<&str> {
        self.accounts.get(&level).or_else(|| self.roles.get(&level)).map(String::as_str)
    }

    /// What is not valid, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let known = self.ca.is_some() || self.pin.is_some();
        let checks = [
            ("ca is no certificate in PEM form", self.ca.as_deref().is_none_or(is_pem)),
            ("pin is no SHA-256 in hex", self.pin.as_deref().is_none_or(is_sha256)),
            ("pin and ca: one is enough", self.pin.is_none() || self.ca.is_none()),
            ("ca and pin are for verify-full", !known || self.mode() == TlsMode::VerifyFull),
            ("sni is no host name", self.sni.as_deref().is_none_or(is_host)),
            ("an account has 1 to 63 bytes of text", self.accounts.values().all(|a| is_role(a))),
            ("a role has 1 to 63 bytes of text", self.roles.values().all(|a| is_role(a))),
            (
                "accounts and roles: one is enough",
                self.accounts.is_empty() || self.roles.is_empty(),
            ),
        ];
        let faults = checks.into_iter().filter(|(_, good)| !good);
        let mask = Mask::new(&self.mask).err().map(|fault| format!("mask: {fault}"));
        faults.map(|(fault, _)| fault.to_owned()).chain(mask).collect()
    }
}

/// Whether a server can have a role of this name.
fn is_role(name: &str) -> bool {
    (1..=63).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_server_has_it_checked() {
        let pinned = DatabaseOptions { pin: Some("ab".repeat(32)), ..DatabaseOptions::default() };
        assert_eq!(pinned.mode(), TlsMode::VerifyFull);
        assert_eq!(pinned.faults(), Vec::<String>::new());
        assert_eq!(DatabaseOptions::default().mode(), TlsMode::Prefer);
    }

    #[test]
    fn each_fault_is_told() {
        let one = |change: fn(&mut DatabaseOptions)| {
            let mut options = DatabaseOptions::default();
            change(&mut options);
            options
        };
        let bad = [
            one(|o| o.ca = Some("abc".to_owned())),
            one(|o| o.pin = Some("abc".to_owned())),
            one(|o| o.sni = Some("a b".to_owned())),
            one(|o| (o.tls, o.pin) = (Some(TlsMode::Require), Some("ab".repeat(32)))),
            one(|o| o.accounts = [(Level::Viewer, String::new())].into()),
            one(|o| o.roles = [(Level::Viewer, "x".repeat(64))].into()),
            one(|o| o.mask = vec!["(".to_owned()]),
            one(|o| {
                o.accounts = [(Level::Viewer, "a".to_owned())].into();
                o.roles = [(Level::Editor, "b".to_owned())].into();
            }),
        ];
        for options in bad {
            assert_eq!(options.faults().len(), 1, "{options:?}");
        }
    }
}
