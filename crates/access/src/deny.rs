//! Why somebody does not get in, and in which words they are told.

use std::borrow::Cow;

use crate::end::SIGN_IN;
use crate::{Code, Explain, RuleId, Shortfall};

/// Why access was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Deny {
    #[error("the user is disabled or gone")]
    User,
    #[error("the credential is revoked or unknown")]
    Revoked,
    #[error("the credential has expired")]
    Expired,
    #[error("the token is for another application")]
    OtherApplication,
    #[error("the token's kind opens no application")]
    Kind,
    #[error("the application does not allow api tokens")]
    ApiNotAllowed,
    #[error("the browser's sign-in has ended, or api tokens of the application need one")]
    SignedOut,
    #[error("the application is gone")]
    Gone,
    #[error("no rule names this user and application")]
    NoRule,
    #[error("rule {0} falls short by {term}", term = .1.as_str())]
    Short(RuleId, Shortfall),
}

impl Deny {
    /// The status by which HTTP says so: 401 where another sign-in or token would do (RFC 9110,
    /// section 15).
    pub fn http_status(self) -> u16 {
        match self {
            Self::Revoked
            | Self::Expired
            | Self::SignedOut
            | Self::Short(_, Shortfall::Session | Shortfall::Authentication) => 401,
            Self::User
            | Self::OtherApplication
            | Self::Kind
            | Self::ApiNotAllowed
            | Self::Gone
            | Self::NoRule
            | Self::Short(..) => 403,
        }
    }
}

/// Why a text names no application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfound {
    #[error("no application is called {0:?}")]
    Unknown(String),
    #[error("{0:?} is at several sites")]
    Ambiguous(String),
}

impl Explain for Unfound {
    fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Deny::NoRule.code(),
            Self::Ambiguous(_) => Code("access.ambiguous"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Unknown(_) => Deny::NoRule.public(),
            Self::Ambiguous(_) => Cow::Borrowed("several sites have an application of that name"),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unknown(_) => Deny::NoRule.hint(),
            Self::Ambiguous(_) => Some(Cow::Borrowed("name its site too: `app.site`")),
        }
    }
}

impl Explain for Deny {
    fn code(&self) -> Code {
        Code(match self {
            Self::User => "access.user_disabled",
            Self::Revoked => "token.revoked",
            Self::Expired => "token.expired",
            Self::SignedOut | Self::Short(_, Shortfall::Session) => "session.required",
            Self::Short(_, Shortfall::Authentication) => "access.authentication",
            Self::Short(_, Shortfall::Recording) => "access.recording",
            Self::OtherApplication | Self::Gone | Self::NoRule | Self::Short(..) => "access.denied",
            Self::Kind => "token.wrong_kind",
            Self::ApiNotAllowed => "token.api_not_allowed",
        })
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::User => "your account is disabled",
            Self::Revoked => "your token or login was revoked",
            Self::Expired => "your token or login has expired",
            Self::SignedOut | Self::Short(_, Shortfall::Session) => {
                "this access is good only while you are signed in, and you are not"
            }
            Self::Short(_, Shortfall::Authentication) => {
                "this access asks for other proofs of who you are, or for more of them"
            }
            Self::Short(_, Shortfall::Recording) => {
                "this access has to be recorded, and it can not be on this way"
            }
            Self::OtherApplication | Self::Gone | Self::NoRule | Self::Short(..) => {
                "there is no such application, or you have no access to it"
            }
            Self::Kind => "this kind of token opens no application",
            Self::ApiNotAllowed => "this application does not accept api tokens",
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::User => "ask your administrator",
            Self::Revoked | Self::Expired => "get a new one: `adit token new APP` or `adit login`",
            Self::SignedOut | Self::Short(_, Shortfall::Session) => SIGN_IN,
            Self::Short(_, Shortfall::Authentication) => {
                "name the application as you connect, login+app: ssh then asks for what is missing"
            }
            Self::Short(_, Shortfall::Recording) => "ask your administrator for a way that records",
            Self::OtherApplication | Self::Gone | Self::NoRule | Self::Short(..) => {
                "a token opens only what it was issued for; signed in, `adit ls` shows what you can \
                 reach"
            }
            Self::Kind => "use an api or access token: `adit token new APP`",
            Self::ApiNotAllowed => "use an access token: `adit token new APP`",
        }))
    }
}
