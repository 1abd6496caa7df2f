//! Storing the difference. What goes, goes first: a name, label or key that moves is free by then.

use access::{ApplicationId, UserId};

use super::plan::{Plan, Step};
use super::settings;
use super::state::{App, AppName, Grant, GrantName, Group, State, Subject, Target, User};
use crate::StoreError;
use crate::db::Connection;
use crate::secrets::level_row;

impl Plan<'_> {
    pub(super) async fn write(&self, db: &mut Connection) -> Result<(), StoreError> {
        self.remove(db).await?;
        for (key, _, value) in &self.settings {
            settings::put(db, key, value).await?;
        }
        for step in &self.sites {
            if let Some(id) = step.to {
                execute(db, ADD_SITE, [Some(id.to_string()), Some(step.name.to_string())]).await?;
            }
        }
        for step in &self.users {
            put_user(db, step, self.after).await?;
        }
        for step in &self.groups {
            put_group(db, step, self.after).await?;
        }
        for step in &self.applications {
            put_application(db, step, self.after).await?;
        }
        for step in &self.grants {
            put_grant(db, step, self.after).await?;
        }
        Ok(())
    }

    async fn remove(&self, db: &mut Connection) -> Result<(), StoreError> {
        let grants = gone(&self.grants, |grant| grant.id.to_string());
        delete(db, "DELETE FROM grants WHERE id = $1", grants).await?;
        let applications = gone(&self.applications, |app| app.id.to_string());
        delete(db, "DELETE FROM applications WHERE id = $1", applications).await?;
        let groups = gone(&self.groups, |group| group.id.to_string());
        delete(db, "DELETE FROM user_groups WHERE id = $1", groups).await?;
        let users = gone(&self.users, |user| user.id.to_string());
        delete(db, "DELETE FROM users WHERE id = $1", users).await?;
        let sites = gone(&self.sites, ToString::to_string);
        delete(db, "DELETE FROM sites WHERE id = $1", sites).await?;
        let keys = self.users.iter().flat_map(keys_gone).cloned();
        delete(db, "DELETE FROM ssh_keys WHERE fingerprint = $1", keys.collect()).await?;
        let changed = self.groups.iter().filter_map(|step| step.from);
        let groups = changed.map(|group| group.id.to_string()).collect();
        delete(db, "DELETE FROM members WHERE group_id = $1", groups).await
    }
}

/// The ids of what goes.
fn gone<K, V>(steps: &[Step<'_, K, V>], id: impl Fn(&V) -> String) -> Vec<String> {
    steps.iter().filter(|step| step.to.is_none()).filter_map(|step| step.from.map(&id)).collect()
}

async fn delete(
    db: &mut Connection,
    statement: &'static str,
    ids: Vec<String>,
) -> Result<(), StoreError> {
    for id in ids {
        sqlx::query(statement).bind(id).execute(&mut *db).await?;
    }
    Ok(())
}

async fn put_user(
    db: &mut Connection,
    step: &Step<'_, access::Name, User>,
    after: &State,
) -> Result<(), StoreError> {
    let Some(user) = step.to else { return Ok(()) };
    let sites = user.admin_of.iter().filter_map(|site| after.sites.get(site));
    let sites: Vec<String> = sites.map(ToString::to_string).collect();
    sqlx::query(PUT_USER)
        .bind(user.id.to_string())
        .bind(step.name.as_str())
        .bind(i64::from(user.admin))
        .bind(i64::from(user.enabled))
        .bind(i64::from(user.machine))
        .bind(i64::from(user.auditor))
        .bind(i64::from(user.approver))
        .bind(serde_json::json!(sites).to_string())
        .execute(&mut *db)
        .await?;
    let known =
        |fingerprint, key| step.from.and_then(|from| from.keys.get(fingerprint)) == Some(key);
    for (fingerprint, key) in
        user.keys.iter().filter(|(fingerprint, key)| !known(*fingerprint, key))
    {
        sqlx::query(ADD_KEY)
            .bind(fingerprint)
            .bind(user.id.to_string())
            .bind(&key.text)
            .bind(key.expires.map(crate::clock::column))
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// The keys that go or change. What stays as it is keeps what the table says of it besides.
fn keys_gone<'a>(step: &'a Step<'_, access::Name, User>) -> impl Iterator<Item = &'a String> {
    let stays = |fingerprint, key| step.to.and_then(|to| to.keys.get(fingerprint)) == Some(key);
    let keys = step.from.into_iter().flat_map(|from| &from.keys);
    keys.filter(move |(fingerprint, key)| !stays(*fingerprint, *key)).map(|(key, _)| key)
}

async fn put_group(
    db: &mut Connection,
    step: &Step<'_, access::Name, Group>,
    after: &State,
) -> Result<(), StoreError> {
    let Some(group) = step.to else { return Ok(()) };
    let id = group.id.to_string();
    execute(db, PUT_GROUP, [Some(id.clone()), Some(step.name.to_string())]).await?;
    for user in group.members.iter().filter_map(|name| after.users.get(name)) {
        execute(db, ADD_MEMBER, [Some(id.clone()), Some(user.id.to_string())]).await?;
    }
    Ok(())
}

async fn put_application(
    db: &mut Connection,
    step: &Step<'_, AppName, App>,
    after: &State,
) -> Result<(), StoreError> {
    let Some(app) = step.to else { return Ok(()) };
    let site = after.sites.get(&step.name.site).map(ToString::to_string);
    sqlx::query(PUT_APPLICATION)
        .bind(app.id.to_string())
        .bind(step.name.name.as_str())
        .bind(site)
        .bind(step.name.label())
        .bind(app.kind.as_str())
        .bind(app.address.to_string())
        .bind(&app.account)
        .bind(&app.host_key)
        .bind(i64::from(app.allow_api))
        .bind(json(&app.tags)?)
        .bind(i64::from(app.requestable))
        .bind(json(&app.web)?)
        .bind(i64::from(app.require_active_session))
        .bind(i64::from(app.certificate))
        .bind(i64::from(app.legacy_algorithms))
        .bind(json(&app.database)?)
        .bind(json(&app.rdp)?)
        .execute(&mut *db)
        .await?;
    put_approvers(db, app, after).await?;
    // Another address is another target, with a host key of its own; and an admin who says another
    // key, or takes one back, stands by nothing that was learned.
    let moved = |from: &App| {
        (&from.address, &from.host_key, &from.rdp) != (&app.address, &app.host_key, &app.rdp)
    };
    if step.from.is_some_and(moved) {
        delete(db, FORGET_HOST_KEY, vec![app.id.to_string()]).await?;
    }
    put_level_passwords(db, app).await?;
    put_credential(db, app.id, app).await
}

async fn put_approvers(db: &mut Connection, app: &App, after: &State) -> Result<(), StoreError> {
    let id = app.id.to_string();
    delete(db, "DELETE FROM approvers WHERE application_id = $1", vec![id.clone()]).await?;
    for group in app.approvers.iter().filter_map(|name| after.groups.get(name)) {
        execute(db, ADD_APPROVER, [Some(id.clone()), Some(group.id.to_string())]).await?;
    }
    Ok(())
}

async fn put_level_passwords(db: &mut Connection, app: &App) -> Result<(), StoreError> {
    let id = app.id.to_string();
    delete(db, "DELETE FROM level_credentials WHERE application_id = $1", vec![id.clone()]).await?;
    for (level, sealed) in &app.level_passwords {
        let row = level_row(&id, *level);
        let values = [row, id.clone(), level.to_string(), sealed.clone()].map(Some);
        execute(db, ADD_LEVEL_CREDENTIAL, values).await?;
    }
    Ok(())
}

async fn put_credential(
    db: &mut Connection,
    id: ApplicationId,
    app: &App,
) -> Result<(), StoreError> {
    let id = id.to_string();
    match &app.secret {
        Some(secret) => {
            let values = [id, secret.kind.clone(), secret.sealed.clone()].map(Some);
            execute(db, PUT_CREDENTIAL, values).await
        }
        None => delete(db, "DELETE FROM credentials WHERE application_id = $1", vec![id]).await,
    }
}

async fn put_grant(
    db: &mut Connection,
    step: &Step<'_, GrantName, Grant>,
    after: &State,
) -> Result<(), StoreError> {
    let Some(grant) = step.to else { return Ok(()) };
    let users = |name| after.users.get(name).map(|user| user.id);
    let (user, group) = match &step.name.subject {
        Subject::User(name) => (users(name).map(|id: UserId| id.to_string()), None),
        Subject::Group(name) => (None, after.groups.get(name).map(|group| group.id.to_string())),
    };
    let (application, tag) = match &step.name.target {
        Target::Application(name) => {
            (after.applications.get(name).map(|app| app.id.to_string()), None)
        }
        Target::Tag { key, value } => (None, Some((key.clone(), value.clone()))),
    };
    let (key, value) = tag.unzip();
    let identity = [&user, &group, &application, &key, &value]
        .map(|part| part.as_deref().unwrap_or("-"))
        .join(" ");
    let terms = Some(json(&grant.terms)?);
    let id = Some(grant.id.to_string());
    let values = [id, Some(identity), user, group, application, key, value, terms];
    execute(db, PUT_GRANT, values).await
}

async fn execute<const N: usize>(
    db: &mut Connection,
    statement: &'static str,
    values: [Option<String>; N],
) -> Result<(), StoreError> {
    let mut query = sqlx::query(statement);
    for value in values {
        query = query.bind(value);
    }
    query.execute(db).await?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

const ADD_SITE: &str = "INSERT INTO sites (id, name) VALUES ($1, $2)";

const PUT_USER: &str =
    "INSERT INTO users (id, name, admin, enabled, machine, auditor, approver, admin_of)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (id) DO UPDATE SET admin = excluded.admin, enabled = excluded.enabled,
        machine = excluded.machine, auditor = excluded.auditor,
        approver = excluded.approver, admin_of = excluded.admin_of";

const ADD_KEY: &str = "INSERT INTO ssh_keys (fingerprint, user_id, public_key, expires)
    VALUES ($1, $2, $3, $4)";

const PUT_GROUP: &str = "INSERT INTO user_groups (id, name) VALUES ($1, $2)
    ON CONFLICT (id) DO NOTHING";

const ADD_MEMBER: &str = "INSERT INTO members (group_id, user_id) VALUES ($1, $2)";

const PUT_APPLICATION: &str = "INSERT INTO applications
    (id, name, site_id, label, kind, address, account, host_key, allow_api, tags,
        requestable, web, require_active_session, certificate, legacy_algorithms,
        database_options, rdp_options)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, address = excluded.address,
        account = excluded.account, host_key = excluded.host_key,
        allow_api = excluded.allow_api, tags = excluded.tags,
        requestable = excluded.requestable, web = excluded.web,
        require_active_session = excluded.require_active_session,
        certificate = excluded.certificate,
        legacy_algorithms = excluded.legacy_algorithms,
        database_options = excluded.database_options,
        rdp_options = excluded.rdp_options";

const ADD_APPROVER: &str = "INSERT INTO approvers (application_id, group_id) VALUES ($1, $2)";

const ADD_LEVEL_CREDENTIAL: &str =
    "INSERT INTO level_credentials (id, application_id, level, sealed)
    VALUES ($1, $2, $3, $4)";

const FORGET_HOST_KEY: &str = "DELETE FROM host_keys WHERE application_id = $1";

const PUT_CREDENTIAL: &str = "INSERT INTO credentials (application_id, kind, sealed)
    VALUES ($1, $2, $3)
    ON CONFLICT (application_id) DO UPDATE SET kind = excluded.kind, sealed = excluded.sealed";

const PUT_GRANT: &str = "INSERT INTO grants
    (id, identity, user_id, group_id, application_id, tag_key, tag_value, terms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (id) DO UPDATE SET terms = excluded.terms";
