//! Programs that keep users and groups as a directory has them.

use access::Name;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// `POST /provisioners`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddProvisioner {
    pub name: Name,
}

/// One that was added, with what it shows. The secret is told once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddedProvisioner {
    pub name: Name,
    pub secret: Secret,
    /// The base URL of SCIM.
    pub url: String,
}

/// One row of `GET /provisioners`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProvisionerRow {
    pub name: Name,
    pub created: u64,
}
