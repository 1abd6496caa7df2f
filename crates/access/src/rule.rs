//! Grant rules: a subject, a target, and the terms of access.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Application, ApplicationId, Context, GroupId, RuleId, User, UserId};

/// One grant rule. Without a rule there is no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: RuleId,
    pub subject: Subject,
    pub target: Target,
    pub terms: Terms,
}

impl Rule {
    pub(crate) fn names(&self, user: &User) -> bool {
        match &self.subject {
            Subject::User(id) => *id == user.id,
            Subject::Group(id) => user.groups.contains(id),
        }
    }

    pub(crate) fn covers(&self, application: &Application) -> bool {
        match &self.target {
            Target::Application(id) => *id == application.id,
            Target::Tag { key, value } => application.tags.get(key) == Some(value),
        }
    }
}

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    User(UserId),
    Group(GroupId),
}

/// What a rule opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Application(ApplicationId),
    /// Every application that has this tag.
    Tag {
        key: String,
        value: String,
    },
}

/// Under which terms. A term that is absent restricts nothing; an empty list allows nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Accounts at the target that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins: Option<Vec<String>>,
    /// Whether ports and the agent may be forwarded.
    pub forwarding: bool,
    /// Networks the user may come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<IpNet>>,
    /// The longest session, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_session: Option<u64>,
    /// How long a session may carry no byte, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
    /// Not before, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<u64>,
    /// Not from then on, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
}

impl Terms {
    /// The first term under which `context` falls short at `now`.
    pub(crate) fn shortfall(&self, context: &Context, now: SystemTime) -> Option<Shortfall> {
        if self.valid_from().is_some_and(|from| now < from) {
            return Some(Shortfall::NotYetValid);
        }
        if self.valid_until().is_some_and(|until| now >= until) {
            return Some(Shortfall::NoLongerValid);
        }
        if self.sources.as_ref().is_some_and(|nets| !contains(nets, context.from)) {
            return Some(Shortfall::Source);
        }
        match (&self.logins, &context.login) {
            (Some(logins), Some(login)) if !logins.contains(login) => Some(Shortfall::Login),
            // Raw bytes show no login, so a rule that limits logins can not be kept over them.
            (Some(_), None) => Some(Shortfall::Login),
            _ => None,
        }
    }

    pub(crate) fn valid_from(&self) -> Option<SystemTime> {
        self.valid_from.map(unix)
    }

    pub(crate) fn valid_until(&self) -> Option<SystemTime> {
        self.valid_until.map(unix)
    }
}

/// By which term a rule fell short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortfall {
    Login,
    NoLongerValid,
    NotYetValid,
    Source,
}

impl Shortfall {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::NoLongerValid => "valid-until",
            Self::NotYetValid => "valid-from",
            Self::Source => "source",
        }
    }
}

fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    nets.iter().any(|net| net.contains(&address))
}

// Seconds past what SystemTime can hold mean "never" for every practical clock.
fn unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX) * 64))
}
