//! Desktops in the browser.

use access::{Clipboard, SessionId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `POST /me/desktops`: a desktop that is to be opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenDesktop {
    /// `app` or `app.site`.
    pub application: String,
}

/// What a page needs to open it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DesktopTicket {
    pub id: Uuid,
    /// Opens one line, once and within half a minute, for the browser that asked.
    pub ticket: String,
    /// The account that the relay signs in with; absent: users do themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Which way the clipboard carries.
    pub clipboard: Clipboard,
}

/// `GET /me/desktops/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DesktopRow {
    pub state: DesktopState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Why it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DesktopState {
    /// Its ticket was not used yet.
    Offered,
    /// Its target is being reached.
    Opening,
    Open,
    Over,
}
