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
    /// The layout of the user's keyboard, as Windows numbers them (0x407 is German); absent: what the
    /// desktop takes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<u32>,
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

/// `POST /playbacks/{id}`: what a recorded desktop that is shown is to do; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SteerPlayback {
    /// Where to go on, in milliseconds since the session opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// How many times as fast as it happened: from 0.1 to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playing: Option<bool>,
    /// Whether pauses are cut short, to a second and a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_idle: Option<bool>,
    /// `true`: what comes is shown as it comes, while the session goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

/// How a recorded desktop is that is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Playback {
    /// What is shown, in milliseconds since the session opened.
    pub at_ms: u64,
    /// How long the recording is by now.
    pub length_ms: u64,
    pub speed: f64,
    pub playing: bool,
    pub skip_idle: bool,
    /// Whether the session goes on.
    pub live: bool,
    /// Whether what comes is shown as it comes.
    pub follows: bool,
    /// The keys that were pressed last, where they were recorded.
    pub keys: Vec<PlayedKey>,
}

/// A key of a recorded desktop's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayedKey {
    pub at_ms: u64,
    /// By where it is: its scan code of set 1, from 0xE000 on with its prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Or what it stands for: a character, or half of one, as UTF-16 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<u16>,
    pub pressed: bool,
}
