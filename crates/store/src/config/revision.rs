//! Reading an object to change it, and changing it only as it was read.

use std::time::SystemTime;

use access::{Name, RuleId};
use api::{ApplicationSpec, Change, Document, GrantSpec, GroupSpec, SettingsSpec, UserSpec};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::merge::merge;
use super::state::{AppName, GrantName, State, Subject, Target};
use super::within::Within;
use super::{Apply, carry_out, list};
use crate::{Problem, Store, StoreError};

/// Something as a document writes it, and its revision: a short text that differs when anything of
/// it does, its stored credential included.
#[derive(Clone, Debug)]
pub struct Revised<T> {
    pub spec: T,
    pub revision: String,
}

/// What whoever changes something last saw of it.
#[derive(Clone, Debug, Default)]
pub enum Expected {
    /// They do not say.
    #[default]
    Anything,
    /// One of these revisions.
    OneOf(Vec<String>),
}

/// An object and what it is to be: all of it, but for secrets, which stay as they are where none
/// is given.
#[derive(Clone, Debug)]
pub enum Edit {
    User(Name, UserSpec),
    Group(Name, GroupSpec),
    /// `app` or `app.site`.
    Application(String, Box<ApplicationSpec>),
    Grant(RuleId, Box<GrantSpec>),
    /// Only what is given.
    Settings(SettingsSpec),
}

impl Store {
    pub async fn revised_settings(&self) -> Result<Revised<SettingsSpec>, StoreError> {
        Ok(self.state().await?.revised_settings())
    }

    pub async fn revised_user(&self, name: &Name) -> Result<Option<Revised<UserSpec>>, StoreError> {
        Ok(self.state().await?.revised_user(name))
    }

    pub async fn revised_group(
        &self,
        name: &Name,
    ) -> Result<Option<Revised<GroupSpec>>, StoreError> {
        Ok(self.state().await?.revised_group(name))
    }

    /// The application called `app` or `app.site`, without its secret.
    pub async fn revised_application(
        &self,
        text: &str,
    ) -> Result<Option<Revised<ApplicationSpec>>, StoreError> {
        let state = self.state().await?;
        let name = state.find(text)?;
        Ok(name.and_then(|name| state.revised_application(name)))
    }

    pub async fn revised_grant(
        &self,
        id: RuleId,
    ) -> Result<Option<Revised<GrantSpec>>, StoreError> {
        Ok(self.state().await?.revised_grant(id).map(|(_, grant)| grant))
    }

    /// The configuration as a document, without secrets: applying it again changes nothing.
    pub async fn export(&self) -> Result<Revised<Document>, StoreError> {
        Ok(self.state().await?.revised())
    }

    /// Makes an object what it is to be, if it is as expected: looked at and changed in one moment.
    pub async fn edit(
        &self,
        edit: &Edit,
        expected: &Expected,
        now: SystemTime,
    ) -> Result<Vec<Change>, StoreError> {
        self.edit_within(&Within::Everything, edit, expected, now).await
    }

    /// The same, where nothing but what is `within` may change.
    pub async fn edit_within(
        &self,
        within: &Within,
        edit: &Edit,
        expected: &Expected,
        now: SystemTime,
    ) -> Result<Vec<Change>, StoreError> {
        let mut change = self.changing().await?;
        let before = State::load(change.db()).await?;
        let revision = edit.revision(&before)?;
        expected.check(|| revision)?;
        let (how, with) = ((Apply::default(), now), (&self.inner.sealer, &self.own_hosts()));
        let after = merge(&before, &edit.document(), how, with)?;
        within.check(&before, &after)?;
        carry_out(change, &before, &after, now).await
    }
}

impl Expected {
    /// Refuses another revision than was expected.
    pub(super) fn check(&self, revision: impl FnOnce() -> String) -> Result<(), StoreError> {
        match self {
            Self::Anything => Ok(()),
            Self::OneOf(known) if known.contains(&revision()) => Ok(()),
            Self::OneOf(_) => Err(StoreError::Stale),
        }
    }
}

impl Edit {
    /// The revision of what it changes, which has to be there and to be what it says.
    fn revision(&self, state: &State) -> Result<String, StoreError> {
        let (object, found) = match self {
            Self::User(name, spec) => {
                let found =
                    state.revised_user(name).map(|found| (found.revision, spec.name == *name));
                (format!("user {name}"), found)
            }
            Self::Group(name, spec) => {
                let found =
                    state.revised_group(name).map(|found| (found.revision, spec.name == *name));
                (format!("group {name}"), found)
            }
            Self::Application(text, spec) => {
                let name = state.find(text)?;
                let found = name.and_then(|name| {
                    let same = spec.name == name.name && spec.site == name.site;
                    Some((state.revised_application(name)?.revision, same))
                });
                (format!("application {text}"), found)
            }
            Self::Grant(id, spec) => {
                let found = state.revised_grant(*id);
                let found =
                    found.map(|(name, grant)| (grant.revision, names_it(spec, name, state)));
                (format!("grant {id}"), found)
            }
            Self::Settings(_) => {
                ("settings".to_owned(), Some((state.revised_settings().revision, true)))
            }
        };
        match found {
            Some((revision, true)) => Ok(revision),
            Some((_, false)) => {
                let detail = "what was sent names another object; remove this one and add that";
                let problem = Problem::new(object, "request.other_object", detail);
                Err(StoreError::Invalid(vec![problem]))
            }
            None => Err(StoreError::NotFound(object)),
        }
    }

    fn document(&self) -> Document {
        let mut document = Document::default();
        match self {
            Self::User(_, user) => document.users.push(user.clone()),
            Self::Group(_, group) => document.groups.push(group.clone()),
            Self::Application(_, application) => {
                document.applications.push((**application).clone());
            }
            Self::Grant(_, grant) => document.grants.push((**grant).clone()),
            Self::Settings(settings) => document.settings = Some(settings.clone()),
        }
        document
    }
}

/// Whether a grant as written is for whom, and opens what, the one of this name does.
fn names_it(spec: &GrantSpec, name: &GrantName, state: &State) -> bool {
    let subject = match &name.subject {
        Subject::User(user) => spec.user.as_ref() == Some(user) && spec.group.is_none(),
        Subject::Group(group) => spec.group.as_ref() == Some(group) && spec.user.is_none(),
    };
    let application = spec.application.as_deref();
    let target = match &name.target {
        Target::Application(app) => {
            let found = application.and_then(|text| state.find(text).ok().flatten());
            found == Some(app) && spec.tag.is_none()
        }
        Target::Tag { key, value } => {
            spec.tag.as_deref() == Some(&format!("{key}={value}")) && application.is_none()
        }
    };
    subject && target
}

impl State {
    fn revised_settings(&self) -> Revised<SettingsSpec> {
        let spec = self.settings.spec();
        Revised { revision: revision(&spec), spec }
    }

    fn revised_user(&self, name: &Name) -> Option<Revised<UserSpec>> {
        let user = self.users.get(name)?;
        let spec = list::user_spec(self, name, user);
        let expiries: Vec<_> = user.keys.values().map(|key| key.expires).collect();
        Some(Revised { revision: revision(&(user.id, &spec, expiries)), spec })
    }

    fn revised_group(&self, name: &Name) -> Option<Revised<GroupSpec>> {
        let group = self.groups.get(name)?;
        let members = Some(group.members.iter().cloned().collect());
        let spec = GroupSpec { name: name.clone(), members };
        Some(Revised { revision: revision(&(group.id, &spec)), spec })
    }

    fn revised_application(&self, name: &AppName) -> Option<Revised<ApplicationSpec>> {
        let app = self.applications.get(name)?;
        let spec = list::application_spec((name, app));
        let sealed = app.secret.as_ref().map(|secret| &secret.sealed);
        let revision = revision(&(app.id, &spec, sealed, &app.level_passwords));
        Some(Revised { revision, spec })
    }

    fn revised_grant(&self, id: RuleId) -> Option<(&GrantName, Revised<GrantSpec>)> {
        let (name, grant) = self.grants.iter().find(|(_, grant)| grant.id == id)?;
        let spec = list::grant_spec(name, grant);
        Some((name, Revised { revision: revision(&(id, &spec)), spec }))
    }

    pub(super) fn revised(&self) -> Revised<Document> {
        let users = self.users.iter().map(|(name, user)| list::user_spec(self, name, user));
        let groups = self.groups.keys().cloned();
        let spec = Document {
            settings: Some(self.settings.spec()),
            sites: self.sites.keys().cloned().map(|name| api::SiteSpec { name }).collect(),
            users: users.collect(),
            // Who is in them stands with the users.
            groups: groups.map(|name| GroupSpec { name, members: None }).collect(),
            applications: self.applications.iter().map(list::application_spec).collect(),
            grants: self.grants.iter().map(|(name, grant)| list::grant_spec(name, grant)).collect(),
        };
        let secrets = self.applications.values().map(|app| &app.secret);
        let sealed: Vec<_> = secrets.map(|secret| secret.as_ref().map(|s| &s.sealed)).collect();
        let levels: Vec<_> = self.applications.values().map(|app| &app.level_passwords).collect();
        Revised { revision: revision(&(&spec, sealed, levels)), spec }
    }
}

/// A short text that differs when what is given does.
pub fn revision(of: &impl Serialize) -> String {
    // Names, texts, numbers and lists of them: all are JSON.
    let text = serde_json::to_vec(of).unwrap_or_default();
    HEXLOWER.encode(&digest(&SHA256, &text).as_ref()[..16])
}
