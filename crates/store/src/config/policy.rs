//! What the decision needs, at one version.

use std::collections::HashMap;

use access::{
    Agent, Application, GroupId, Login, Name, PolicyData, Rule, Site, SshKey, TokenId, User,
};

use sqlx::Row as _;

use super::state::{App, AppName, Grant, GrantName, State, Subject, Target};
use crate::columns::Columns;
use crate::db::{Connection, Row, version};
use crate::{Store, StoreError, clock};

impl Store {
    /// The policy as it is stored, in one consistent view. `killed` is the relay's to fill.
    pub async fn load_policy(&self) -> Result<PolicyData, StoreError> {
        let mut tx = self.reading().await?;
        let version = version(&mut tx).await?;
        let state = State::load(&mut tx).await?;
        let grants = state.grants.iter().filter_map(|grant| rule(&state, grant));
        let requests = crate::requests::rules(&mut tx).await?;
        Ok(PolicyData {
            version,
            users: users(&state),
            applications: applications(&state),
            groups: state.groups.iter().map(|(name, group)| (group.id, name.clone())).collect(),
            rules: grants.chain(requests).collect(),
            tokens: tokens(&mut tx).await?,
            agents: agents(&mut tx).await?,
            sign_ins: crate::sign_ins::live(&mut tx).await?,
            killed: HashMap::new(),
        })
    }
}

fn users(state: &State) -> Vec<User> {
    let mut groups: HashMap<&Name, Vec<GroupId>> = HashMap::new();
    for group in state.groups.values() {
        for member in &group.members {
            groups.entry(member).or_default().push(group.id);
        }
    }
    let user = |(name, user): (&Name, &super::state::User)| User {
        id: user.id,
        name: name.clone(),
        enabled: user.enabled,
        admin: user.admin,
        machine: user.machine,
        auditor: user.auditor,
        admin_of: user.admin_of.iter().cloned().collect(),
        groups: groups.remove(name).unwrap_or_default(),
        ssh_keys: user
            .keys
            .iter()
            .map(|(fingerprint, key)| SshKey {
                fingerprint: fingerprint.clone(),
                expires: key.expires.map(clock::at),
            })
            .collect(),
    };
    state.users.iter().map(user).collect()
}

fn applications(state: &State) -> Vec<Application> {
    let application = |(name, app): (&AppName, &App)| {
        let site = Site { id: *state.sites.get(&name.site)?, name: name.site.clone() };
        Some(Application {
            id: app.id,
            name: name.name.clone(),
            site,
            kind: app.kind,
            address: app.address.clone(),
            login: login(app),
            host_key: app.host_key.clone(),
            legacy_algorithms: app.legacy_algorithms,
            allow_api: app.allow_api,
            require_active_session: app.require_active_session,
            tags: app.tags.clone(),
            web: app.web.clone(),
            database: app.database.clone(),
            rdp: app.rdp.clone(),
        })
    };
    state.applications.iter().filter_map(application).collect()
}

pub(super) fn login(app: &App) -> Login {
    match (app.certificate, &app.account) {
        (true, account) => Login::Certificate { account: account.clone() },
        (false, Some(account)) => Login::Managed { account: account.clone() },
        (false, None) => Login::Transparent,
    }
}

fn rule(state: &State, (name, grant): (&GrantName, &Grant)) -> Option<Rule> {
    let subject = match &name.subject {
        Subject::User(user) => access::Subject::User(state.users.get(user)?.id),
        Subject::Group(group) => access::Subject::Group(state.groups.get(group)?.id),
    };
    let target = match &name.target {
        Target::Application(app) => access::Target::Application(state.applications.get(app)?.id),
        Target::Tag { key, value } => {
            access::Target::Tag { key: key.clone(), value: value.clone() }
        }
    };
    Some(Rule { id: grant.id, subject, target, terms: grant.terms.clone() })
}

// Used-up tokens too: sessions stand on them.
async fn tokens(db: &mut Connection) -> Result<Vec<TokenId>, StoreError> {
    let ids = sqlx::query_scalar::<_, String>("SELECT id FROM tokens WHERE revoked IS NULL");
    Ok(ids.fetch_all(db).await?.into_iter().map(TokenId::from).collect())
}

async fn agents(db: &mut Connection) -> Result<Vec<Agent>, StoreError> {
    let agent = |row: &Row| {
        Ok(Agent {
            id: row.parsed("id")?,
            user: row.parsed("user_id")?,
            expires: clock::at(row.number("expires")?),
            bound: row.flag("bound")?,
            ssh_key: row.try_get("ssh_key")?,
        })
    };
    sqlx::query(AGENTS).fetch_all(db).await?.iter().map(agent).collect()
}

const AGENTS: &str = "SELECT id, user_id, expires, ssh_key,
        CAST(CASE WHEN token_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS bound
    FROM agents";
