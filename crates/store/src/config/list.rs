//! The configuration as rows for lists, and as documents write it.

use access::{DatabaseOptions, Name, RdpOptions, RuleId, WebOptions};
use api::{ApplicationSpec, DatedKey, GrantSpec, KeySpec, UserSpec};

use super::merge::NEVER;
use super::policy::login;
use super::state::{App, AppName, Grant, GrantName, Key, State, Subject, Target, User};
use super::terms;
use crate::{ApplicationRow, GrantRow, GroupRow, SiteRow, SshKeyRow, Store, StoreError, UserRow};

impl Store {
    /// All sites, by name.
    pub async fn sites(&self) -> Result<Vec<SiteRow>, StoreError> {
        let sites = self.state().await?.sites;
        Ok(sites.into_iter().map(|(name, id)| SiteRow { id, name }).collect())
    }

    /// All users, by name.
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        let state = self.state().await?;
        Ok(state.users.iter().map(|(name, user)| user_row(&state, name, user)).collect())
    }

    /// All groups, by name.
    pub async fn groups(&self) -> Result<Vec<GroupRow>, StoreError> {
        let groups = self.state().await?.groups.into_iter();
        let row = |(name, group): (Name, super::state::Group)| GroupRow {
            id: group.id,
            name,
            members: group.members.into_iter().collect(),
        };
        Ok(groups.map(row).collect())
    }

    /// All applications, by name and site.
    pub async fn applications(&self) -> Result<Vec<ApplicationRow>, StoreError> {
        let state = self.state().await?;
        let row = |(name, app)| application_row(&state, name, app);
        Ok(state.applications.iter().filter_map(row).collect())
    }

    /// All grants, by whom they are for and what they open.
    pub async fn grants(&self) -> Result<Vec<GrantRow>, StoreError> {
        let grants = self.state().await?.grants;
        let row = |(name, grant): (&GrantName, &Grant)| {
            let id: RuleId = grant.id;
            GrantRow { id, spec: grant_spec(name, grant) }
        };
        Ok(grants.iter().map(row).collect())
    }

    /// The user called `name`.
    pub async fn user(&self, name: &Name) -> Result<Option<UserRow>, StoreError> {
        let state = self.state().await?;
        Ok(state.users.get(name).map(|user| user_row(&state, name, user)))
    }

    /// The application called `app` or `app.site`.
    pub async fn application(&self, text: &str) -> Result<Option<ApplicationRow>, StoreError> {
        let state = self.state().await?;
        let Some(name) = state.find(text)? else { return Ok(None) };
        let app = state.applications.get(name);
        Ok(app.and_then(|app| application_row(&state, name, app)))
    }
}

fn groups_of(state: &State, user: &Name) -> Vec<Name> {
    let groups = state.groups.iter().filter(|(_, group)| group.members.contains(user));
    groups.map(|(name, _)| name.clone()).collect()
}

fn user_row(state: &State, name: &Name, user: &User) -> UserRow {
    UserRow {
        id: user.id,
        name: name.clone(),
        admin: user.admin,
        auditor: user.auditor,
        approver: user.approver,
        admin_of: user.admin_of.iter().cloned().collect(),
        enabled: user.enabled,
        machine: user.machine,
        groups: groups_of(state, name),
        ssh_keys: user.keys.iter().map(key_row).collect(),
    }
}

pub(super) fn key_row((fingerprint, key): (&String, &Key)) -> SshKeyRow {
    SshKeyRow { fingerprint: fingerprint.clone(), key: key.text.clone(), expires: key.expires }
}

fn application_row(state: &State, name: &AppName, app: &App) -> Option<ApplicationRow> {
    Some(ApplicationRow {
        id: app.id,
        name: name.name.clone(),
        site_id: *state.sites.get(&name.site)?,
        site: name.site.clone(),
        label: name.label(),
        kind: app.kind,
        address: app.address.clone(),
        login: login(app),
        host_key: app.host_key.clone(),
        legacy_algorithms: app.legacy_algorithms,
        allow_api: app.allow_api,
        require_active_session: app.require_active_session,
        requestable: app.requestable,
        approvers: app.approvers.iter().cloned().collect(),
        tags: app.tags.clone(),
        web: web(app),
        database: database(app),
        rdp: rdp(app),
    })
}

pub(super) fn user_spec(state: &State, name: &Name, user: &User) -> UserSpec {
    UserSpec {
        name: name.clone(),
        admin: user.admin,
        auditor: user.auditor,
        approver: user.approver,
        admin_of: user.admin_of.iter().cloned().collect(),
        enabled: user.enabled,
        machine: user.machine,
        groups: Some(groups_of(state, name)),
        ssh_keys: Some(user.keys.values().map(key_spec).collect()),
    }
}

fn key_spec(key: &Key) -> KeySpec {
    let expires = key.expires.map_or_else(|| NEVER.to_owned(), terms::point_text);
    KeySpec::Dated(DatedKey { key: key.text.clone(), expires })
}

pub(super) fn application_spec((name, app): (&AppName, &App)) -> ApplicationSpec {
    ApplicationSpec {
        name: name.name.clone(),
        site: name.site.clone(),
        kind: app.kind,
        address: app.address.clone(),
        account: app.account.clone(),
        certificate: app.certificate,
        password: None,
        key: None,
        host_key: app.host_key.clone(),
        legacy_algorithms: app.legacy_algorithms,
        allow_api: app.allow_api,
        require_active_session: app.require_active_session,
        requestable: app.requestable,
        approvers: app.approvers.iter().cloned().collect(),
        tags: app.tags.clone(),
        web: web(app),
        database: database(app),
        rdp: rdp(app),
        level_passwords: Default::default(),
    }
}

fn web(app: &App) -> Option<WebOptions> {
    (!app.web.is_default()).then(|| app.web.clone())
}

fn database(app: &App) -> Option<DatabaseOptions> {
    (!app.database.is_default()).then(|| app.database.clone())
}

fn rdp(app: &App) -> Option<RdpOptions> {
    (!app.rdp.is_default()).then(|| app.rdp.clone())
}

pub(super) fn grant_spec(name: &GrantName, grant: &Grant) -> GrantSpec {
    let (user, group) = match &name.subject {
        Subject::User(user) => (Some(user.clone()), None),
        Subject::Group(group) => (None, Some(group.clone())),
    };
    let (application, tag) = match &name.target {
        Target::Application(app) => (Some(app.to_string()), None),
        Target::Tag { key, value } => (None, Some(format!("{key}={value}"))),
    };
    terms::write(&grant.terms, GrantSpec { user, group, application, tag, ..GrantSpec::default() })
}
