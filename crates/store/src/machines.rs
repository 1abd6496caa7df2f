//! Enrolled agents and connectors, known by the SHA-256 of their public key.

use std::time::SystemTime;

use access::{AgentId, ConnectorId, Name, SiteId, TokenId, UserId};
use data_encoding::{BASE64_NOPAD, HEXLOWER};
use sqlx::{FromRow, Row as _};

use crate::columns::{Columns, scalar};
use crate::db::{Connection, Row};
use crate::keys::PublicKey;
use crate::search::Search;
use crate::{AgentRow, AgentToken, ConnectorRow, Problem, Store, StoreError, clock};

/// Which agents are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct AgentQuery {
    pub user: Option<Name>,
    /// Only those whose enrolment has not ended by then.
    pub enrolled_at: Option<SystemTime>,
    /// Only those that come after the one of this user, with this `created` and id.
    pub after: Option<(Name, u64, AgentId)>,
    /// `None`: all.
    pub limit: Option<u32>,
}

impl Store {
    /// Registers an agent's key for its user until `expires`. With `token` it stands on that token.
    pub async fn enrol_agent(
        &self,
        id: AgentId,
        user: UserId,
        device: &str,
        spki: [u8; 32],
        expires: SystemTime,
        token: Option<&TokenId>,
    ) -> Result<(), StoreError> {
        let mut change = self.changing().await?;
        let known = scalar(change.db(), "SELECT 1 FROM users WHERE id = $1", user.to_string());
        known.await?.ok_or_else(|| StoreError::NotFound("such user".to_owned()))?;
        fresh(change.db(), "agent", AGENT_KEY, &spki).await?;
        sqlx::query(ENROL_AGENT)
            .bind(id.to_string())
            .bind(user.to_string())
            .bind(device)
            .bind(HEXLOWER.encode(&spki))
            .bind(clock::column(clock::seconds(expires)))
            .bind(clock::column(clock::seconds(SystemTime::now())))
            .bind(token.map(TokenId::as_str))
            .execute(change.db())
            .await?;
        change.commit().await
    }

    /// Registers the agent's next key and the next end of its enrolment. `false`: it is revoked.
    pub async fn renew_agent(
        &self,
        id: AgentId,
        spki: [u8; 32],
        expires: SystemTime,
    ) -> Result<bool, StoreError> {
        let mut change = self.changing().await?;
        let renewed = sqlx::query("UPDATE agents SET spki = $2, expires = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(HEXLOWER.encode(&spki))
            .bind(clock::column(clock::seconds(expires)))
            .execute(change.db())
            .await?;
        Ok(change.commit_if(renewed.rows_affected()).await? > 0)
    }

    /// Makes a public SSH key the one that certificates are signed for at this agent, and gives its
    /// fingerprint. `None`: the agent is revoked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for a text that is no key, or one that is too weak.
    pub async fn certify_agent(
        &self,
        id: AgentId,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let key = PublicKey::of_user(key).map_err(|error| {
            let problem = Problem::new("ssh key", "user.ssh_key", error.to_string());
            StoreError::Invalid(vec![problem])
        })?;
        let fingerprint = key.fingerprint();
        let mut change = self.changing().await?;
        let known = sqlx::query("SELECT ssh_key FROM agents WHERE id = $1").bind(id.to_string());
        let Some(row) = known.fetch_optional(change.db()).await? else { return Ok(None) };
        let known: Option<String> = row.try_get("ssh_key")?;
        if known.as_ref() == Some(&fingerprint) {
            return Ok(known);
        }
        sqlx::query("UPDATE agents SET ssh_key = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(&fingerprint)
            .execute(change.db())
            .await?;
        change.commit().await?;
        Ok(Some(fingerprint))
    }

    /// Whose key this is, whether or not its enrolment has ended.
    pub async fn agent_by_key(&self, spki: [u8; 32]) -> Result<Option<AgentRow>, StoreError> {
        let agent = sqlx::query_as(AGENT_BY_KEY).bind(HEXLOWER.encode(&spki));
        Ok(agent.fetch_optional(&self.inner.readers).await?)
    }

    /// The agents that fit the query, by user, the eldest of each first.
    pub async fn agents(&self, query: AgentQuery) -> Result<Vec<AgentRow>, StoreError> {
        let mut search = Search::new(AGENTS);
        search.text("users.name =", query.user);
        search.number("agents.expires >", query.enrolled_at.map(clock::seconds));
        if let Some((user, created, id)) = query.after {
            let last = (user.to_string(), created, id.to_string());
            search.after("users.name", "agents.created", "agents.id", last);
        }
        let order = "users.name, agents.created, agents.id";
        search.rows(order, query.limit, &self.inner.readers).await
    }

    /// Forgets an agent and its key. `false`: there is no such agent.
    pub async fn revoke_agent(&self, id: AgentId) -> Result<bool, StoreError> {
        self.forget("DELETE FROM agents WHERE id = $1", id.to_string()).await
    }

    /// Registers a connector's key for its site.
    pub async fn enrol_connector(
        &self,
        id: ConnectorId,
        site: SiteId,
        name: &str,
        spki: [u8; 32],
    ) -> Result<(), StoreError> {
        let mut change = self.changing().await?;
        let known = scalar(change.db(), "SELECT 1 FROM sites WHERE id = $1", site.to_string());
        known.await?.ok_or_else(|| StoreError::NotFound("such site".to_owned()))?;
        fresh(change.db(), "connector", CONNECTOR_KEY, &spki).await?;
        sqlx::query(ENROL_CONNECTOR)
            .bind(id.to_string())
            .bind(site.to_string())
            .bind(name)
            .bind(HEXLOWER.encode(&spki))
            .bind(clock::column(clock::seconds(SystemTime::now())))
            .execute(change.db())
            .await?;
        change.commit().await
    }

    /// Registers the connector's next key. `false`: it is removed.
    pub async fn renew_connector(
        &self,
        id: ConnectorId,
        spki: [u8; 32],
    ) -> Result<bool, StoreError> {
        let mut change = self.changing().await?;
        let renewed = sqlx::query("UPDATE connectors SET spki = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(HEXLOWER.encode(&spki))
            .execute(change.db())
            .await?;
        Ok(change.commit_if(renewed.rows_affected()).await? > 0)
    }

    /// Whose key this is.
    pub async fn connector_by_key(
        &self,
        spki: [u8; 32],
    ) -> Result<Option<ConnectorRow>, StoreError> {
        let connector = sqlx::query_as(CONNECTOR_BY_KEY).bind(HEXLOWER.encode(&spki));
        Ok(connector.fetch_optional(&self.inner.readers).await?)
    }

    /// All connectors, by site and name.
    pub async fn connectors(&self) -> Result<Vec<ConnectorRow>, StoreError> {
        Ok(sqlx::query_as(CONNECTORS).fetch_all(&self.inner.readers).await?)
    }

    /// Forgets a connector and its key. `false`: there is no such connector.
    pub async fn remove_connector(&self, id: ConnectorId) -> Result<bool, StoreError> {
        self.forget("DELETE FROM connectors WHERE id = $1", id.to_string()).await
    }

    async fn forget(&self, statement: &'static str, id: String) -> Result<bool, StoreError> {
        let mut change = self.changing().await?;
        let removed = sqlx::query(statement).bind(id).execute(change.db()).await?;
        Ok(change.commit_if(removed.rows_affected()).await? > 0)
    }
}

/// Refuses a key that another machine is known by.
async fn fresh(
    db: &mut Connection,
    kind: &str,
    statement: &'static str,
    spki: &[u8; 32],
) -> Result<(), StoreError> {
    match scalar(db, statement, HEXLOWER.encode(spki)).await? {
        None => Ok(()),
        Some(_) => {
            let detail = "its key is enrolled already; make a new one";
            Err(StoreError::Invalid(vec![Problem::new(kind, "machine.key_taken", detail)]))
        }
    }
}

impl FromRow<'_, Row> for AgentRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
            user: row.parsed("user_id")?,
            user_name: row.parsed("user_name")?,
            admin: row.flag("admin")?,
            enabled: row.flag("enabled")?,
            device: row.try_get("device")?,
            expires: row.number("expires")?,
            created: row.number("created")?,
            token: token(row)?,
        })
    }
}

fn token(row: &Row) -> Result<Option<AgentToken>, sqlx::Error> {
    let Some(id) = row.try_get::<Option<String>, _>("token_id")? else { return Ok(None) };
    let (kind, application) = (row.parsed("token_kind")?, row.perhaps("token_application")?);
    Ok(Some(AgentToken { id: TokenId::from(id), kind, application }))
}

impl FromRow<'_, Row> for ConnectorRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.try_get("name")?,
            site_id: row.parsed("site_id")?,
            site_name: row.parsed("site_name")?,
            key: fingerprint(row.try_get("spki")?)?,
            created: row.number("created")?,
        })
    }
}

/// A key's stored hash as people compare keys.
fn fingerprint(spki: &str) -> Result<String, sqlx::Error> {
    let hash =
        HEXLOWER.decode(spki.as_bytes()).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(format!("SHA256:{}", BASE64_NOPAD.encode(&hash)))
}

macro_rules! agents {
    ($which:literal) => {
        concat!(
            "SELECT agents.id, agents.user_id, users.name AS user_name, admin, enabled, device,
                agents.expires, agents.created, token_id, tokens.kind AS token_kind,
                tokens.application_id AS token_application
            FROM agents JOIN users ON users.id = agents.user_id
            LEFT JOIN tokens ON tokens.id = agents.token_id ",
            $which
        )
    };
}

macro_rules! connectors {
    ($which:literal) => {
        concat!(
            "SELECT connectors.id, connectors.name, site_id, sites.name AS site_name, spki, created
            FROM connectors JOIN sites ON sites.id = connectors.site_id ",
            $which
        )
    };
}

const AGENT_BY_KEY: &str = agents!("WHERE spki = $1");
const AGENTS: &str = agents!("WHERE 1 = 1");
const CONNECTOR_BY_KEY: &str = connectors!("WHERE spki = $1");
const CONNECTORS: &str = connectors!("ORDER BY sites.name, connectors.name, connectors.id");

const AGENT_KEY: &str = "SELECT 1 FROM agents WHERE spki = $1";
const CONNECTOR_KEY: &str = "SELECT 1 FROM connectors WHERE spki = $1";

const ENROL_AGENT: &str = "INSERT INTO agents
    (id, user_id, device, spki, expires, created, token_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const ENROL_CONNECTOR: &str = "INSERT INTO connectors (id, site_id, name, spki, created)
    VALUES ($1, $2, $3, $4, $5)";
