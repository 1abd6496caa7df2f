//! Channels that the door opens to nothing: what their user is told, and what is on record.

use std::borrow::Cow;
use std::sync::Arc;

use access::{Application, Code, Deny, Explain, Unfound};
use russh::ChannelOpenFailure;
use session::Facts;

use crate::connection::Connection;
use crate::reach::denied_as;
use crate::words;

/// Why a channel, or a port or socket at the target, is not opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// The grant of the connection's application does not allow it.
    Terms,
    /// No application of that name is open to the user, and the connection has none to lead through.
    Nowhere,
    /// It is for a target to open, and the connection has no application.
    NoTarget,
    /// The application that is named, which is open to the user, is not at that port.
    OtherPort(Arc<Application>),
    /// Several sites have an application of that name that is open to the user.
    Ambiguous(Unfound),
    /// The target listens there already, or on as much as one session may have.
    TooManyPorts,
    TooManyChannels,
    /// The door opens no channels of this type.
    Type(String),
}

impl Unopened {
    /// As the client calls the type, as far as it is fit to be shown.
    pub(crate) fn of_type(name: &str) -> Self {
        Self::Type(name.chars().filter(char::is_ascii_graphic).take(MAX_TYPE).collect())
    }

    /// Where the connection has an application, a forward that names no other is that one's.
    pub(crate) fn within(self, connection: &Connection) -> Self {
        match self {
            Self::Nowhere | Self::NoTarget if connection.reach().is_some() => Self::Terms,
            other => other,
        }
    }

    /// Records that `what` was refused: under the connection's session, where it has one. `leads`:
    /// where a port or socket was to lead; empty for other channels.
    pub(crate) async fn record(&self, connection: &Connection, leads: &str) {
        let facts = Facts::Refused { code: self.code() };
        match (connection.reach(), connection.who()) {
            (Some(reach), _) if leads.is_empty() => {
                reach.note_with("ssh.channel_refused", &self.public(), facts).await;
            }
            (Some(reach), _) => reach.note_with("ssh.forward_refused", leads, facts).await,
            (None, Some(who)) => {
                let asked: String = leads.chars().take(MAX_ASKED).collect();
                denied_as(connection, who, &asked, (self.code(), &self.public()));
            }
            // Nobody opens a channel before they have signed in.
            (None, None) => {}
        }
    }

    /// In our own words, of which OpenSSH shows one line.
    pub(crate) fn failure(&self) -> ChannelOpenFailure {
        let code = match self {
            Self::TooManyChannels | Self::TooManyPorts => RESOURCE_SHORTAGE,
            Self::Type(_) => UNKNOWN_TYPE,
            _ => PROHIBITED,
        };
        ChannelOpenFailure::Other { code, reason: words::explain(self) }
    }
}

impl Explain for Unopened {
    fn code(&self) -> Code {
        match self {
            Self::Terms => Code("access.forwarding"),
            Self::Nowhere => Deny::NoRule.code(),
            Self::NoTarget => Code("ssh.no_application"),
            Self::OtherPort(_) => Code("access.port"),
            Self::Ambiguous(unfound) => unfound.code(),
            Self::TooManyPorts => Code("ssh.too_many_ports"),
            Self::TooManyChannels => Code("ssh.too_many_channels"),
            Self::Type(_) => Code("ssh.channel_type"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Terms => "your access to this application does not allow this forward",
            Self::Nowhere => "you have no access to an application of that name",
            Self::NoTarget => "this connection has no application whose target could open it",
            Self::OtherPort(app) => {
                let (name, port) = (app.full_name(), app.address.port());
                return Cow::Owned(format!("{name} is at port {port}"));
            }
            Self::Ambiguous(unfound) => return unfound.public(),
            Self::TooManyPorts => "it is open already, or as much is as one session may have",
            Self::TooManyChannels => "this connection has as many channels as one may have",
            Self::Type(name) => {
                return Cow::Owned(format!("no channels of the type {name} are opened"));
            }
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Terms => "ask your administrator",
            Self::Nowhere => {
                "`adit ls` shows what you can reach; to lead through a target, connect as login+app"
            }
            Self::NoTarget => "connect as login+app",
            Self::OtherPort(app) => {
                let (name, port) = (app.full_name(), app.address.port());
                return Some(Cow::Owned(format!("forward to {name}:{port}")));
            }
            Self::Ambiguous(unfound) => return unfound.hint(),
            Self::TooManyPorts => "connect once more for more",
            Self::TooManyChannels => "close some, or connect once more",
            Self::Type(_) => return None,
        }))
    }
}

/// Characters of a destination that are on record.
const MAX_ASKED: usize = 300;

/// Of a type's name.
const MAX_TYPE: usize = 64;

/// RFC 4254, section 5.1.
const PROHIBITED: u32 = 1;
const UNKNOWN_TYPE: u32 = 3;
const RESOURCE_SHORTAGE: u32 = 4;
