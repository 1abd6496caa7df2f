//! What clients are told of a server that could not be used.

use std::borrow::Cow;

use access::{Code, Explain};

use crate::server::ServerError;

impl Explain for ServerError {
    fn code(&self) -> Code {
        match self {
            Self::Dial(error) => error.code(),
            Self::Options(error) => error.code(),
            Self::Credential(error) => error.code(),
            Self::NoTls | Self::Handshake(_) => Code("target.tls"),
            Self::Broken(_) => Code("target.broken"),
            Self::Strange(_) | Self::Old { .. } => Code("target.handshake"),
            Self::Way(_)
            | Self::InTheClear
            | Self::Key(_)
            | Self::Refused(_)
            | Self::Database { .. } => Code("target.login_refused"),
            Self::TimedOut { .. } => Code("target.timeout"),
            Self::Account(_) | Self::Kill(_) | Self::GoesOn => Code("target.account"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Dial(error) => error.public(),
            Self::Options(error) => error.public(),
            Self::Credential(error) => error.public(),
            Self::NoTls => "the database speaks no TLS, which its application demands".into(),
            Self::Handshake(_) => {
                "the relay does not trust the database's certificate, or it speaks no TLS".into()
            }
            Self::Broken(_) => "the connection to the database broke".into(),
            Self::Strange(_) => "the database does not speak MySQL as expected".into(),
            Self::Old { .. } => "the database is older than MySQL 5.7 or MariaDB 10.2".into(),
            Self::Way(_)
            | Self::InTheClear
            | Self::Key(_)
            | Self::Refused(_)
            | Self::Database { .. } => "the database refused the login".into(),
            Self::TimedOut { .. } => "the database does not answer".into(),
            Self::Account(_) => "no account could be made for you at the database".into(),
            Self::Kill(_) | Self::GoesOn => "the database did not end a connection".into(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Dial(error) => return error.hint(),
            Self::Options(error) => return error.hint(),
            Self::Credential(error) => return error.hint(),
            Self::NoTls | Self::Handshake(_) => {
                "an admin checks `database` of the application: its CA, pin and mode of TLS".into()
            }
            Self::Broken(_) => "try again".into(),
            Self::Strange(_) | Self::TimedOut { .. } => {
                "check that a MySQL or MariaDB server answers at the application's address".into()
            }
            Self::Old { .. } => "`adit tunnel APP` leads to it".into(),
            Self::Way(_) | Self::InTheClear | Self::Key(_) | Self::Refused(_) => {
                "an admin checks the application's account; the audit log says what was wrong"
                    .into()
            }
            Self::Account(_) | Self::Kill(_) | Self::GoesOn => {
                "an admin checks what the application's account may do; the audit log says what \
                 was wrong"
                    .into()
            }
            Self::Database { .. } => return None,
        })
    }
}
