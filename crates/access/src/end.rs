//! Why a session ended, and in which words its user is told.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Code, Explain};

/// Why a session ended: one word for the code, the audit row and the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndReason {
    /// The relay's process ended without closing it; written at the next start.
    Abandoned,
    /// A side failed.
    Broken,
    /// A side closed in order.
    Closed,
    /// The relay is stopping.
    Drained,
    /// The allowed time was over.
    Expired,
    /// It never reached its target.
    Failed,
    /// It carried no byte for longer than the rule allows.
    Idle,
    /// An admin ended it.
    Killed,
    /// What it stood on was withdrawn.
    Revoked,
    /// It needs a user who is signed in, and they are nowhere any more.
    #[serde(rename = "signed_out")]
    SignedOut,
    /// It has to be recorded, and its recording failed.
    Unrecorded,
}

impl EndReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Broken => "broken",
            Self::Closed => "closed",
            Self::Drained => "drained",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Idle => "idle",
            Self::Killed => "killed",
            Self::Revoked => "revoked",
            Self::SignedOut => "signed_out",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// The status by which HTTP says so (RFC 9110, section 15).
    pub fn http_status(self) -> u16 {
        match self {
            Self::Revoked | Self::Expired | Self::SignedOut => 401,
            Self::Killed | Self::Idle => 403,
            Self::Drained
            | Self::Abandoned
            | Self::Broken
            | Self::Closed
            | Self::Failed
            | Self::Unrecorded => 503,
        }
    }

    /// The number by which an aborted stream tells its peer why it ended.
    pub fn number(self) -> u32 {
        match self {
            Self::Closed => 0,
            Self::Broken => 1,
            Self::Failed => 2,
            Self::Abandoned => 3,
            Self::Drained => 4,
            Self::Expired => 5,
            Self::Idle => 6,
            Self::Killed => 7,
            Self::Revoked => 8,
            Self::SignedOut => 9,
            Self::Unrecorded => 10,
        }
    }

    /// The reason behind a [`number`](Self::number); one that a newer peer sent reads as broken.
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Closed,
            2 => Self::Failed,
            3 => Self::Abandoned,
            4 => Self::Drained,
            5 => Self::Expired,
            6 => Self::Idle,
            7 => Self::Killed,
            8 => Self::Revoked,
            9 => Self::SignedOut,
            10 => Self::Unrecorded,
            _ => Self::Broken,
        }
    }
}

impl Explain for EndReason {
    fn code(&self) -> Code {
        Code(match self {
            Self::Abandoned => "session.abandoned",
            Self::Broken => "session.broken",
            Self::Closed => "session.closed",
            Self::Drained => "session.drained",
            Self::Expired => "session.expired",
            Self::Failed => "session.failed",
            Self::Idle => "session.idle",
            Self::Killed => "session.killed",
            Self::Revoked => "session.revoked",
            Self::SignedOut => "session.signed_out",
            Self::Unrecorded => "session.unrecorded",
        })
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Abandoned => "the relay stopped unexpectedly",
            Self::Broken => "the connection broke",
            Self::Closed => "the session is over",
            Self::Drained => "the relay is stopping; connect again",
            Self::Expired => "the allowed time is over",
            Self::Failed => "the application could not be reached",
            Self::Idle => "nothing was sent for too long",
            Self::Killed => "an administrator ended this session",
            Self::Revoked => "your access was withdrawn",
            Self::SignedOut => "you are signed in nowhere any more, which this access needs",
            Self::Unrecorded => "this access has to be recorded, and the relay no longer can",
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::SignedOut => Some(Cow::Borrowed(SIGN_IN)),
            Self::Abandoned
            | Self::Broken
            | Self::Closed
            | Self::Drained
            | Self::Expired
            | Self::Failed
            | Self::Idle
            | Self::Killed
            | Self::Revoked
            | Self::Unrecorded => None,
        }
    }
}

/// Which end of a session something happened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Client,
    Relay,
    Target,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Relay => "relay",
            Self::Target => "target",
        }
    }
}

pub(crate) const SIGN_IN: &str = "sign in with `adit login URL`";
