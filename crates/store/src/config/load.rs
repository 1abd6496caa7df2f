//! The configuration as the tables hold it.

use access::{Name, SiteId};
use sqlx::Row as _;

use super::Settings;
use super::state::{
    App, AppName, Grant, GrantName, Group, Key, Secret, State, Subject, Target, User,
};
use crate::StoreError;
use crate::columns::Columns;
use crate::db::{Connection, Row};

impl State {
    /// Reads it all; the caller's transaction makes it one moment.
    pub(crate) async fn load(db: &mut Connection) -> Result<Self, StoreError> {
        let mut state = Self { settings: Settings::load(db).await?, ..Self::default() };
        for row in sqlx::query("SELECT id, name FROM sites").fetch_all(&mut *db).await? {
            state.sites.insert(row.parsed("name")?, row.parsed::<SiteId>("id")?);
        }
        for row in sqlx::query(USERS).fetch_all(&mut *db).await? {
            let mut user = user(&row)?;
            let ids: Vec<SiteId> = row.json("admin_of")?;
            let its = state.sites.iter().filter(|(_, id)| ids.contains(id));
            user.admin_of = its.map(|(name, _)| name.clone()).collect();
            state.users.insert(row.parsed("name")?, user);
        }
        for row in sqlx::query(KEYS).fetch_all(&mut *db).await? {
            let key =
                Key { text: row.try_get("public_key")?, expires: row.perhaps_number("expires")? };
            if let Some(user) = state.users.get_mut(&row.parsed::<Name>("name")?) {
                user.keys.insert(row.try_get("fingerprint")?, key);
            }
        }
        state.load_groups(db).await?;
        for row in sqlx::query(APPLICATIONS).fetch_all(&mut *db).await? {
            let name = AppName { name: row.parsed("name")?, site: row.parsed("site")? };
            state.applications.insert(name, app(&row)?);
        }
        for row in sqlx::query(APPROVERS).fetch_all(&mut *db).await? {
            let name = AppName { name: row.parsed("name")?, site: row.parsed("site")? };
            if let Some(app) = state.applications.get_mut(&name) {
                app.approvers.insert(row.parsed("group_name")?);
            }
        }
        for row in sqlx::query(LEVEL_CREDENTIALS).fetch_all(&mut *db).await? {
            let name = AppName { name: row.parsed("name")?, site: row.parsed("site")? };
            if let Some(app) = state.applications.get_mut(&name) {
                app.level_passwords.insert(row.parsed("level")?, row.try_get("sealed")?);
            }
        }
        for row in sqlx::query(GRANTS).fetch_all(&mut *db).await? {
            let grant = Grant { id: row.parsed("id")?, terms: row.json("terms")? };
            state.grants.insert(grant_name(&row)?, grant);
        }
        Ok(state)
    }

    async fn load_groups(&mut self, db: &mut Connection) -> Result<(), StoreError> {
        for row in sqlx::query("SELECT id, name FROM user_groups").fetch_all(&mut *db).await? {
            let group = Group { id: row.parsed("id")?, members: Default::default() };
            self.groups.insert(row.parsed("name")?, group);
        }
        for row in sqlx::query(MEMBERS).fetch_all(&mut *db).await? {
            if let Some(group) = self.groups.get_mut(&row.parsed::<Name>("group_name")?) {
                group.members.insert(row.parsed("user_name")?);
            }
        }
        Ok(())
    }
}

fn user(row: &Row) -> Result<User, sqlx::Error> {
    Ok(User {
        id: row.parsed("id")?,
        admin: row.flag("admin")?,
        auditor: row.flag("auditor")?,
        approver: row.flag("approver")?,
        admin_of: Default::default(),
        enabled: row.flag("enabled")?,
        machine: row.flag("machine")?,
        keys: Default::default(),
    })
}

fn app(row: &Row) -> Result<App, sqlx::Error> {
    let secret = match row.try_get("credential")? {
        Some(kind) => Some(Secret { kind, sealed: row.try_get("sealed")? }),
        None => None,
    };
    Ok(App {
        id: row.parsed("id")?,
        kind: row.parsed("kind")?,
        address: row.parsed("address")?,
        account: row.try_get("account")?,
        certificate: row.flag("certificate")?,
        host_key: row.try_get("host_key")?,
        legacy_algorithms: row.flag("legacy_algorithms")?,
        allow_api: row.flag("allow_api")?,
        require_active_session: row.flag("require_active_session")?,
        requestable: row.flag("requestable")?,
        approvers: Default::default(),
        tags: row.json("tags")?,
        web: row.json("web")?,
        database: row.json("database_options")?,
        rdp: row.json("rdp_options")?,
        secret,
        level_passwords: Default::default(),
    })
}

fn grant_name(row: &Row) -> Result<GrantName, sqlx::Error> {
    let subject = match row.perhaps("user_name")? {
        Some(user) => Subject::User(user),
        None => Subject::Group(row.parsed("group_name")?),
    };
    let target = match row.perhaps("application")? {
        Some(name) => Target::Application(AppName { name, site: row.parsed("site")? }),
        None => Target::Tag { key: row.try_get("tag_key")?, value: row.try_get("tag_value")? },
    };
    Ok(GrantName { subject, target })
}

const USERS: &str = "SELECT id, name, admin, auditor, approver, enabled, machine, admin_of
    FROM users";

const KEYS: &str = "SELECT users.name, fingerprint, public_key, expires
    FROM ssh_keys JOIN users ON users.id = user_id";

const MEMBERS: &str = "SELECT user_groups.name AS group_name, users.name AS user_name
    FROM members
    JOIN user_groups ON user_groups.id = group_id
    JOIN users ON users.id = user_id";

const APPLICATIONS: &str = "SELECT applications.id, applications.name, sites.name AS site,
        applications.kind, address, account, certificate, host_key, allow_api, require_active_session,
        requestable, tags, web, database_options, rdp_options, legacy_algorithms,
        credentials.kind AS credential, sealed
    FROM applications
    JOIN sites ON sites.id = site_id
    LEFT JOIN credentials ON credentials.application_id = applications.id";

const LEVEL_CREDENTIALS: &str = "SELECT applications.name, sites.name AS site, level, sealed
    FROM level_credentials
    JOIN applications ON applications.id = application_id
    JOIN sites ON sites.id = applications.site_id";

const APPROVERS: &str = "SELECT applications.name, sites.name AS site,
        user_groups.name AS group_name
    FROM approvers
    JOIN applications ON applications.id = application_id
    JOIN sites ON sites.id = applications.site_id
    JOIN user_groups ON user_groups.id = group_id";

const GRANTS: &str = "SELECT grants.id, users.name AS user_name,
        user_groups.name AS group_name, applications.name AS application,
        sites.name AS site, tag_key, tag_value, terms
    FROM grants
    LEFT JOIN users ON users.id = grants.user_id
    LEFT JOIN user_groups ON user_groups.id = grants.group_id
    LEFT JOIN applications ON applications.id = grants.application_id
    LEFT JOIN sites ON sites.id = applications.site_id";
