use std::time::SystemTime;

use access::{ApplicationId, Name, TokenId, TokenKind, UserId};
use api::TokenState;
use sqlx::{FromRow, Row as _};

use crate::columns::Columns;
use crate::db::{Connection, Row};
use crate::search::Search;
use crate::{Problem, Store, StoreError, TokenRow, clock};

/// Which tokens are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct TokenQuery {
    pub user: Option<Name>,
    pub application: Option<ApplicationId>,
    pub kind: Option<TokenKind>,
    /// As it is at a moment.
    pub state: Option<(TokenState, SystemTime)>,
    /// Only those that expire until then.
    pub expires_by: Option<SystemTime>,
    /// Only those that come after the one with this `created` and id.
    pub after: Option<(u64, TokenId)>,
    /// `None`: all.
    pub limit: Option<u32>,
}

impl Store {
    /// The tokens that fit the query, newest first.
    pub async fn tokens(&self, query: TokenQuery) -> Result<Vec<TokenRow>, StoreError> {
        let mut search = Search::new(TOKENS);
        search.text("users.name =", query.user);
        search.text("tokens.application_id =", query.application.map(|id| id.to_string()));
        search.text("tokens.kind =", query.kind.map(TokenKind::as_str));
        if let Some((state, now)) = query.state {
            in_state(&mut search, state, clock::seconds(now));
        }
        search.number("expires <=", query.expires_by.map(clock::seconds));
        let after = query.after.map(|(created, id)| (created, id.to_string()));
        search.older("created", "tokens.id", after);
        search.rows("created DESC, tokens.id", query.limit, &self.inner.readers).await
    }

    /// Revokes a token, of `owner` only where one is given. `false`: there is none to revoke.
    pub async fn revoke_token(
        &self,
        id: &TokenId,
        owner: Option<UserId>,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let mut change = self.changing().await?;
        let revoked = sqlx::query(REVOKE)
            .bind(id.as_str())
            .bind(owner.map(|owner| owner.to_string()))
            .bind(clock::column(clock::seconds(now)))
            .execute(change.db())
            .await?;
        Ok(change.commit_if(revoked.rows_affected()).await? > 0)
    }

    /// Revokes what is live of a user's tokens, of an application's, or of both; says how many.
    pub async fn revoke_tokens(
        &self,
        user: Option<&Name>,
        application: Option<&str>,
        now: SystemTime,
    ) -> Result<u64, StoreError> {
        if user.is_none() && application.is_none() {
            let problem = Problem::new("tokens", "token.unnamed", "name a user or an application");
            return Err(StoreError::Invalid(vec![problem]));
        }
        let application = self.application_id(application).await?;
        let mut change = self.changing().await?;
        let revoked = sqlx::query(REVOKE_ALL)
            .bind(user.map(Name::as_str))
            .bind(application)
            .bind(clock::column(clock::seconds(now)))
            .execute(change.db())
            .await?;
        change.commit_if(revoked.rows_affected()).await
    }

    async fn application_id(&self, text: Option<&str>) -> Result<Option<String>, StoreError> {
        let Some(text) = text else { return Ok(None) };
        let found = self.application(text).await?;
        let found = found.ok_or_else(|| StoreError::NotFound(format!("application {text}")))?;
        Ok(Some(found.id.to_string()))
    }
}

/// The token as lists show it.
pub(crate) async fn one(db: &mut Connection, id: &TokenId) -> Result<TokenRow, StoreError> {
    Ok(sqlx::query_as(TOKEN).bind(id.as_str()).fetch_one(db).await?)
}

/// As [`TokenRow::state`] tells it.
fn in_state(search: &mut Search, state: TokenState, now: u64) {
    if state == TokenState::Revoked {
        return search.that("revoked IS NOT NULL");
    }
    search.that("revoked IS NULL");
    if state == TokenState::Expired {
        return search.number("expires <=", Some(now));
    }
    search.number("COALESCE(expires, 9223372036854775807) >", Some(now));
    search.that(match state {
        TokenState::UsedUp => "uses_left = 0",
        TokenState::Live | TokenState::Expired | TokenState::Revoked => {
            "(uses_left IS NULL OR uses_left > 0)"
        }
    });
}

impl FromRow<'_, Row> for TokenRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: TokenId::from(row.try_get::<String, _>("id")?),
            kind: row.parsed("kind")?,
            user: row.perhaps("user_name")?,
            application: row.try_get("application")?,
            site: row.perhaps("site_name")?,
            created: row.number("created")?,
            expires: row.perhaps_number("expires")?,
            uses_left: row.perhaps_number("uses_left")?,
            used: row.perhaps_number("used")?,
            used_from: row.perhaps("used_from")?,
            revoked: row.perhaps_number("revoked")?,
            replaced: row.perhaps_number("replaced")?,
            scopes: row.perhaps("scopes")?,
        })
    }
}

// The two statements differ in their last line only; a statement is one literal text.
macro_rules! tokens {
    ($which:literal) => {
        concat!(
            "SELECT tokens.id, tokens.kind, users.name AS user_name,
                applications.name || '.' || homes.name AS application, sites.name AS site_name,
                created, expires, uses_left, used, used_from, revoked, replaced, scopes
            FROM tokens
            LEFT JOIN users ON users.id = tokens.user_id
            LEFT JOIN applications ON applications.id = tokens.application_id
            LEFT JOIN sites AS homes ON homes.id = applications.site_id
            LEFT JOIN sites ON sites.id = tokens.site_id
            WHERE ",
            $which
        )
    };
}

const TOKEN: &str = tokens!("tokens.id = $1");
const TOKENS: &str = tokens!("1 = 1");

const REVOKE: &str = "UPDATE tokens SET revoked = $3
    WHERE id = $1 AND (CAST($2 AS TEXT) IS NULL OR user_id = $2) AND revoked IS NULL";

// Used up ones too: sessions may stand on them.
const REVOKE_ALL: &str = "UPDATE tokens SET revoked = $3
    WHERE revoked IS NULL AND (expires IS NULL OR expires > $3)
        AND (CAST($1 AS TEXT) IS NULL
            OR user_id = (SELECT id FROM users WHERE name = $1))
        AND (CAST($2 AS TEXT) IS NULL OR application_id = $2)";
