//! What a relay says of itself, and how connectors and agents are enrolled.

use access::{AgentId, ConnectorId, Name};
use serde::{Deserialize, Serialize};

use crate::Secret;

/// `GET /info`: what anybody may know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Info {
    pub name: String,
    pub version: String,
    pub domain: String,
    pub quic_port: u16,
    pub ssh_port: u16,
    pub https_port: u16,
    /// The MySQL door's, where there is one: it can not share the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql_port: Option<u16>,
    pub ca_pem: String,
    /// The SSH door's host keys, one OpenSSH line each.
    pub ssh_host_keys: Vec<String>,
    /// The public key of the CA that vouches for them, in OpenSSH form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_host_ca: Option<String>,
}

/// `GET /healthz`: `ready` is false while the relay is stopping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    pub ready: bool,
}

/// `POST /connectors/join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    pub token: Secret,
    pub csr_pem: String,
    /// How lists call the connector; the relay makes one up where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub software: String,
}

/// A connector's enrolment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Joined {
    pub id: ConnectorId,
    pub name: String,
    pub site: Name,
    pub domain: String,
    pub quic_port: u16,
    pub certificate_pem: String,
    pub ca_pem: String,
    /// What updates of the connector are signed with: an Ed25519 public key in Base64. Absent: the
    /// relay serves none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_key: Option<String>,
    /// Whether the connector is to update by itself.
    #[serde(default)]
    pub update_automatically: bool,
}

/// `POST /agents/login`, with a login or admin token as Bearer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub csr_pem: String,
    /// The machine's name, as lists show it.
    #[serde(default)]
    pub device: String,
}

/// An agent's enrolment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoggedIn {
    pub id: AgentId,
    pub user: Name,
    pub domain: String,
    pub quic_port: u16,
    pub ssh_port: u16,
    pub https_port: u16,
    pub certificate_pem: String,
    pub ca_pem: String,
    pub ssh_host_keys: Vec<String>,
    /// The public key of the CA that vouches for them, in OpenSSH form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_host_ca: Option<String>,
    /// When the enrolment ends and a new login is needed.
    pub expires: u64,
}
