//! Signing a machine in by a browser that is signed in.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// `POST /device-logins`: a machine asks to be signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AskDeviceLogin {
    /// The machine's name, as whoever approves sees it.
    #[serde(default)]
    pub device: String,
}

/// What the machine shows its user, and what it asks with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceLogin {
    /// Nobody but the machine sees it.
    pub device_code: Secret,
    /// `ABCD-EFGH`: the same stands on the page that approves.
    pub user_code: String,
    pub url: String,
    /// Seconds between two questions.
    pub interval: u64,
    pub expires: u64,
}

/// `POST /device-logins/token`: asks whether it was approved.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PollDeviceLogin {
    pub device_code: Secret,
}

/// It was: a login token, given once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceLoginToken {
    pub token: Secret,
}
