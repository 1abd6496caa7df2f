//! What runs on a session channel, and whether it may.

use std::borrow::Cow;

use access::{Channels, Code, Explain, Sftp};

use crate::{mosh, transfer};

pub(crate) enum Program {
    Shell,
    Exec(Vec<u8>),
    Subsystem(String),
}

/// What a grant does not allow on a session channel, or the door can not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Shell,
    Command,
    Subsystem,
    Files,
    Mosh,
}

impl Program {
    pub(crate) fn is_shell(&self) -> bool {
        matches!(self, Self::Shell)
    }

    pub(crate) fn is_sftp(&self) -> bool {
        matches!(self, Self::Subsystem(name) if name == SFTP)
    }

    /// Whether sftp is what goes over its input and output, be it as a command.
    pub(crate) fn speaks_sftp(&self) -> bool {
        match self {
            Self::Exec(command) => transfer::serves_sftp(&String::from_utf8_lossy(command)),
            Self::Shell | Self::Subsystem(_) => self.is_sftp(),
        }
    }

    pub(crate) fn judge(&self, allowed: &Channels) -> Result<(), Refused> {
        match self {
            Self::Shell if allowed.shell => Ok(()),
            Self::Shell => Err(Refused::Shell),
            Self::Exec(command) => command_may_run(command, allowed),
            Self::Subsystem(name) if name == SFTP => match allowed.sftp {
                Sftp::Off => Err(Refused::Files),
                Sftp::Read | Sftp::Write => Ok(()),
            },
            // It is a command of the target's choice.
            Self::Subsystem(_) if allowed.any_command() => Ok(()),
            Self::Subsystem(_) => Err(Refused::Subsystem),
        }
    }

    /// The action's name and detail in the record.
    pub(crate) fn noted(&self) -> (&'static str, String) {
        match self {
            Self::Shell => ("ssh.shell", String::new()),
            Self::Exec(command) => ("ssh.exec", String::from_utf8_lossy(command).into_owned()),
            Self::Subsystem(name) if name == SFTP => ("ssh.sftp", String::new()),
            Self::Subsystem(name) => ("ssh.subsystem", name.clone()),
        }
    }
}

fn command_may_run(command: &[u8], allowed: &Channels) -> Result<(), Refused> {
    let text = String::from_utf8_lossy(command);
    // What an sftp server that is run as a command is asked is not looked into.
    let sftp = transfer::serves_sftp(&text) && allowed.sftp != Sftp::Write;
    if sftp || (transfer::copies(&text) && !allowed.scp) {
        return Err(Refused::Files);
    }
    let plain_copy = allowed.scp && transfer::is_plain_copy(&text);
    if !allowed.exec(command) && !plain_copy {
        return Err(Refused::Command);
    }
    if mosh::is_server(&text) { Err(Refused::Mosh) } else { Ok(()) }
}

impl Explain for Refused {
    fn code(&self) -> Code {
        match self {
            Self::Files => Code("access.file_transfer"),
            Self::Shell | Self::Command | Self::Subsystem => Code("access.ssh"),
            Self::Mosh => Code("ssh.mosh"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Files => "your access to this application does not allow this file transfer",
            Self::Shell => "your access to this application allows no shell",
            Self::Command => "your access to this application does not allow this command",
            Self::Subsystem => "your access to this application does not allow this subsystem",
            Self::Mosh => "mosh goes on over UDP, which does not pass this door",
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Shell | Self::Command | Self::Subsystem | Self::Files => "ask your administrator",
            Self::Mosh => "use ssh; in tmux or screen at the target, work outlives a connection",
        }))
    }
}

const SFTP: &str = "sftp";
