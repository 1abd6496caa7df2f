//! Grant rules: a subject, a target, and the terms of access.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::hours::Open;
use crate::{Application, ApplicationId, Context, GroupId, Hours, Kind, RuleId, UserId};

/// One grant rule. Without a rule there is no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: RuleId,
    pub subject: Subject,
    pub target: Target,
    pub terms: Terms,
}

/// Whom a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Accounts at the target that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins: Option<Vec<String>>,
    /// Whether ports and the agent may be forwarded.
    pub forwarding: bool,
    /// Whether files may be transferred by the protocols that are made for it: sftp, scp, rsync.
    pub file_transfer: bool,
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
    /// Weekdays and hours at which sessions may be open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            logins: None,
            forwarding: false,
            file_transfer: true,
            sources: None,
            max_session: None,
            idle: None,
            valid_from: None,
            valid_until: None,
            hours: None,
        }
    }
}

impl Terms {
    /// The terms under which `facts` fall short at `now`, the hardest to meet first.
    pub(crate) fn shortfalls(&self, facts: &Facts<'_>, now: SystemTime) -> Vec<Shortfall> {
        let not_yet = self.valid_from().is_some_and(|from| now < from);
        let over = self.valid_until().is_some_and(|until| now >= until);
        let closed = self.hours.as_ref().is_some_and(|hours| hours.open(now) == Open::No);
        let foreign = self.sources.as_ref().is_some_and(|nets| match facts.from {
            Some(from) => !contains(nets, from),
            None => nets.is_empty(),
        });
        let login = self.logins.as_ref().is_some_and(|logins| match facts.login {
            Shown::As(login) => !logins.iter().any(|allowed| allowed == login),
            // Raw bytes show no login, so a rule that limits logins can not be kept over them.
            Shown::Raw => true,
            Shown::Unasked => logins.is_empty(),
        });
        // Nor do they show what of SSH runs in them.
        let files = !self.file_transfer && facts.kind == Kind::Ssh && facts.login == Shown::Raw;
        let checks = [
            (over, Shortfall::NoLongerValid),
            (not_yet, Shortfall::NotYetValid),
            (closed, Shortfall::Hours),
            (foreign, Shortfall::Source),
            (files, Shortfall::FileTransfer),
            (login, Shortfall::Login),
        ];
        checks.into_iter().filter_map(|(short, term)| short.then_some(term)).collect()
    }

    /// When the hours in which `now` lies end; `None`: they do not.
    pub(crate) fn closes(&self, now: SystemTime) -> Option<SystemTime> {
        match self.hours.as_ref()?.open(now) {
            Open::No => Some(now),
            Open::Until(end) => Some(end),
            Open::Always => None,
        }
    }

    pub(crate) fn valid_from(&self) -> Option<SystemTime> {
        self.valid_from.map(unix)
    }

    pub(crate) fn valid_until(&self) -> Option<SystemTime> {
        self.valid_until.map(unix)
    }
}

/// What terms are held against besides the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) kind: Kind,
    /// `None`: not asked.
    pub(crate) from: Option<IpAddr>,
    pub(crate) login: Shown<'a>,
}

/// What is known of the account at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    As(&'a str),
    /// The bytes do not show it.
    Raw,
    Unasked,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(context: &'a Context, application: &Application) -> Self {
        let login = context.login.as_deref().map_or(Shown::Raw, Shown::As);
        Self { kind: application.kind, from: Some(context.from), login }
    }
}

/// By which term a rule fell short. In the order of what it takes to meet them: another login, a way
/// that shows what is done, another place, another time, a changed rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shortfall {
    Login,
    FileTransfer,
    Source,
    Hours,
    NotYetValid,
    NoLongerValid,
}

impl Shortfall {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::FileTransfer => "file-transfer",
            Self::Source => "source",
            Self::Hours => "hours",
            Self::NotYetValid => "valid-from",
            Self::NoLongerValid => "valid-until",
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
