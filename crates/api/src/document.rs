//! The configuration document that `apply` takes and `export` gives.

use std::collections::BTreeMap;

use access::{
    Address, Clipboard, DatabaseOptions, Kind, Level, Name, RdpOptions, Recording, SshTerms,
    WebOptions,
};
use serde::{Deserialize, Serialize};

use crate::SettingsSpec;

/// Settings, sites, users, groups, applications and grants, as one TOML file or JSON value describes
/// them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsSpec>,
    #[serde(rename = "site", skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteSpec>,
    #[serde(rename = "user", skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserSpec>,
    #[serde(rename = "group", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupSpec>,
    #[serde(rename = "application", skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<ApplicationSpec>,
    #[serde(rename = "grant", skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantSpec>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SiteSpec {
    pub name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    pub name: Name,
    #[serde(default)]
    pub admin: bool,
    /// Sees what admins see, and changes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auditor: bool,
    /// Decides on every request for access but their own, and may nothing else that admins may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approver: bool,
    /// Sites whose connectors, applications, grants and sessions they administer, and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin_of: Vec<Name>,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it is a program. It signs in by token or SSH key only, and decides on no request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub machine: bool,
    /// Groups it is in; more may name it in their `members`. `None`: left as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Name>>,
    /// Public keys. `None`: left as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<Vec<KeySpec>>,
}

impl UserSpec {
    /// A user with a name and nothing else.
    pub fn named(name: Name) -> Self {
        Self {
            name,
            admin: false,
            auditor: false,
            approver: false,
            admin_of: Vec::new(),
            enabled: true,
            machine: false,
            groups: None,
            ssh_keys: None,
        }
    }
}

/// A public key of a user: its text, or its text and its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a key is a public key in OpenSSH form, or { key, expires }")]
pub enum KeySpec {
    /// In OpenSSH form. One that is registered keeps its end; another gets the usual one.
    Plain(String),
    Dated(DatedKey),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DatedKey {
    /// In OpenSSH form.
    pub key: String,
    /// RFC 3339; or `never`, for machine users.
    pub expires: String,
}

impl From<String> for KeySpec {
    fn from(key: String) -> Self {
        Self::Plain(key)
    }
}

impl From<&str> for KeySpec {
    fn from(key: &str) -> Self {
        Self::Plain(key.to_owned())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Name>>,
}

/// An application. With `account` its login is managed; without, transparent.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApplicationSpec {
    pub name: Name,
    pub site: Name,
    pub kind: Kind,
    pub address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether the relay logs in with a certificate that it signs for each session; as `account`, or
    /// as whom the user names. The target's sshd trusts the relay's key (`TrustedUserCAKeys`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificate: bool,
    /// Never given back by the relay; absent on an existing application: unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Private key in OpenSSH PEM form. Never given back by the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The SSH host key of its target, `ssh-ed25519 AAAA…`; or `@cert-authority` and the key of a CA
    /// that signs host certificates, as in `known_hosts`. Absent: learned at first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// Whether an SSH target may use algorithms too weak for others, where it has none better:
    /// SHA-1 in key exchanges, host keys (`ssh-rsa`) and MACs, 1024-bit groups, AES-CBC.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_algorithms: bool,
    #[serde(default)]
    pub allow_api: bool,
    /// Whether API tokens work only while their user is signed in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_active_session: bool,
    /// Whether users may ask for access to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requestable: bool,
    /// Groups whose members decide on that, besides the admins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Name>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How the origin of a web application is spoken to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebOptions>,
    /// How a database is spoken to, and its account for each level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseOptions>,
    /// By what the target of an RDP application is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdp: Option<RdpOptions>,
    /// The passwords of the accounts in `database`, by level. Never given back by the relay; absent
    /// where there is one: unchanged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub level_passwords: BTreeMap<Level, String>,
}

impl std::fmt::Debug for ApplicationSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApplicationSpec({} at {} to {})", self.name, self.site, self.address)
    }
}

/// A grant rule. Exactly one of `user` and `group`, exactly one of `application` and `tag`.
///
/// It has no name of its own: what it is for and what it opens are its identity, so applying one
/// again with other terms changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GrantSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// `app` or `app.site`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logins: Option<Vec<String>>,
    #[serde(default)]
    pub forwarding: bool,
    /// Whether sftp, scp and rsync are allowed, and a desktop is shown drives and files.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub file_transfer: bool,
    /// What may be done on an SSH connection, one by one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ssh: SshTerms,
    /// The most that may be done in a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Databases that may be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub clipboard: Clipboard,
    /// Whether a desktop may print at its user's printers.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub printer: bool,
    /// Whether a desktop's sound is heard by its user, and their microphone by the desktop.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub audio: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub recording: Recording,
    /// Whether the user must be signed in for as long as the session lasts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_active_session: bool,
    /// CIDRs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// A duration such as `8h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_session: Option<String>,
    /// A duration such as `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// When sessions may be open: `mon-fri 08:00-18:00` and the like, in `zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Vec<String>>,
    /// An IANA time zone, such as `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Default for GrantSpec {
    fn default() -> Self {
        Self {
            user: None,
            group: None,
            application: None,
            tag: None,
            logins: None,
            forwarding: false,
            file_transfer: true,
            ssh: SshTerms::default(),
            level: None,
            databases: None,
            clipboard: Clipboard::Both,
            printer: true,
            audio: true,
            recording: Recording::Off,
            require_active_session: false,
            sources: None,
            max_session: None,
            idle: None,
            valid_from: None,
            valid_until: None,
            hours: None,
            zone: None,
        }
    }
}

impl GrantSpec {
    /// Whom it is for and what it opens: `alice → web1.hq`, `group dba → env=prod`.
    pub fn title(&self) -> String {
        let user = self.user.as_ref().map(ToString::to_string);
        let subject = user.or_else(|| self.group.as_ref().map(|group| format!("group {group}")));
        let target = self.application.as_deref().or(self.tag.as_deref());
        format!("{} → {}", subject.unwrap_or_default(), target.unwrap_or_default())
    }
}

/// One change that applying a document makes, or would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// `add`, `change` or `remove`.
    pub action: String,
    /// `site hq`, `user alice`, `grant alice → web1.hq`.
    pub object: String,
    /// What differs, without secrets.
    pub detail: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}
