//! The whole configuration in memory, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use access::{
    Address, ApplicationId, DatabaseOptions, GroupId, Kind, Level, Name, RdpOptions, RuleId,
    SiteId, Terms, UserId, WebOptions,
};

use super::Settings;
use crate::StoreError;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) sites: BTreeMap<Name, SiteId>,
    pub(crate) users: BTreeMap<Name, User>,
    pub(crate) groups: BTreeMap<Name, Group>,
    pub(crate) applications: BTreeMap<AppName, App>,
    pub(crate) grants: BTreeMap<GrantName, Grant>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) admin: bool,
    pub(crate) auditor: bool,
    pub(crate) approver: bool,
    pub(crate) admin_of: BTreeSet<Name>,
    pub(crate) enabled: bool,
    pub(crate) machine: bool,
    /// By fingerprint.
    pub(crate) keys: BTreeMap<String, Key>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// In OpenSSH form.
    pub(crate) text: String,
    /// Unix seconds; `None`: never.
    pub(crate) expires: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) members: BTreeSet<Name>,
}

/// An application is known by its name in its site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AppName {
    pub(crate) name: Name,
    pub(crate) site: Name,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct App {
    pub(crate) id: ApplicationId,
    pub(crate) kind: Kind,
    pub(crate) address: Address,
    pub(crate) account: Option<String>,
    pub(crate) certificate: bool,
    pub(crate) host_key: Option<String>,
    pub(crate) legacy_algorithms: bool,
    pub(crate) allow_api: bool,
    pub(crate) require_active_session: bool,
    pub(crate) requestable: bool,
    pub(crate) approvers: BTreeSet<Name>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) web: WebOptions,
    pub(crate) database: DatabaseOptions,
    pub(crate) rdp: RdpOptions,
    pub(crate) secret: Option<Secret>,
    /// The sealed password of each level's account.
    pub(crate) level_passwords: BTreeMap<Level, String>,
}

/// A sealed credential.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Secret {
    /// As the table has it.
    pub(crate) kind: String,
    pub(crate) sealed: String,
}

/// A grant is known by whom it is for and what it opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GrantName {
    pub(crate) subject: Subject,
    pub(crate) target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    User(Name),
    Group(Name),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Application(AppName),
    Tag { key: String, value: String },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grant {
    pub(crate) id: RuleId,
    pub(crate) terms: Terms,
}

impl State {
    /// Finds an application by `app` or `app.site`.
    pub(crate) fn find(&self, text: &str) -> Result<Option<&AppName>, StoreError> {
        let (name, site) = match text.split_once('.') {
            Some((name, site)) => (name, Some(site)),
            None => (text, None),
        };
        let is_meant = |app: &&AppName| {
            app.name.as_str() == name && site.is_none_or(|site| app.site.as_str() == site)
        };
        let mut found = self.applications.keys().filter(is_meant);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
            (found, None) => Ok(found),
        }
    }

    /// Takes out what stands on something that is gone.
    pub(crate) fn tidy(&mut self) {
        let Self { settings: _, sites, users, groups, applications, grants } = self;
        applications.retain(|app, _| sites.contains_key(&app.site));
        for user in users.values_mut() {
            user.admin_of.retain(|site| sites.contains_key(site));
        }
        for group in groups.values_mut() {
            group.members.retain(|user| users.contains_key(user));
        }
        for app in applications.values_mut() {
            app.approvers.retain(|group| groups.contains_key(group));
        }
        grants.retain(|grant, _| {
            let subject = match &grant.subject {
                Subject::User(user) => users.contains_key(user),
                Subject::Group(group) => groups.contains_key(group),
            };
            let target = match &grant.target {
                Target::Application(app) => applications.contains_key(app),
                Target::Tag { .. } => true,
            };
            subject && target
        });
    }
}

impl AppName {
    /// The DNS label under the relay's domain.
    pub(crate) fn label(&self) -> String {
        format!("{}-{}", self.name, self.site)
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.site)
    }
}

impl fmt::Display for GrantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.subject, self.target)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "{name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application(app) => write!(f, "{app}"),
            Self::Tag { key, value } => write!(f, "{key}={value}"),
        }
    }
}
