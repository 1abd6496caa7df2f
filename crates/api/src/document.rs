//! The configuration document that `apply` takes and `export` gives.

use std::collections::BTreeMap;

use access::{Address, Kind, Name};
use serde::{Deserialize, Serialize};

/// Sites, users, groups, applications and grants, as one TOML file or JSON value describes them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Document {
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
#[serde(deny_unknown_fields)]
pub struct SiteSpec {
    pub name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    pub name: Name,
    #[serde(default)]
    pub admin: bool,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Groups it is in; more may name it in their `members`. `None`: left as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Name>>,
    /// Public keys in OpenSSH form. `None`: left as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    pub name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Name>>,
}

/// An application. With `account` its login is managed; without, transparent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationSpec {
    pub name: Name,
    pub site: Name,
    pub kind: Kind,
    pub address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Never given back by the relay; absent on an existing application: unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Private key in OpenSSH PEM form. Never given back by the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    #[serde(default)]
    pub allow_api: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// One change that applying a document makes, or would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `add`, `change` or `remove`.
    pub action: String,
    /// `site hq`, `user alice`, `grant alice → web1.hq`.
    pub object: String,
    /// What differs, without secrets.
    pub detail: String,
}

fn yes() -> bool {
    true
}
