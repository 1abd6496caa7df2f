use std::fmt::Display;
use std::time::{Duration, SystemTime};

use access::{ApplicationId, NativeVerifier, ScramVerifier, SiteId, TokenKind, TokenText, UserId};
use api::Scopes;
use data_encoding::HEXLOWER;

use super::list::one;
use crate::columns::scalar;
use crate::db::Connection;
use crate::{Problem, Store, StoreError, TokenRow, clock};

/// What a new token is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewToken {
    pub user: Option<UserId>,
    pub application: Option<ApplicationId>,
    pub site: Option<SiteId>,
    /// `None`: it does not expire.
    pub expires: Option<SystemTime>,
    /// `None`: as often as wanted.
    pub uses: Option<u32>,
    /// Of api tokens: until when the one before stays good. `None`: it ends at once.
    pub overlap: Option<SystemTime>,
    /// Of admin tokens: what it may be used for. `None`: all its user may do.
    pub scopes: Option<Scopes>,
}

impl Store {
    /// Keeps the token's digest. A second `api` token of one user and application takes the place
    /// of the first in the same transaction: that is revoked, or with an overlap ends after it.
    pub async fn issue_token(
        &self,
        token: &TokenText,
        new: NewToken,
        now: SystemTime,
    ) -> Result<TokenRow, StoreError> {
        let mut change = self.changing().await?;
        check(change.db(), token.kind(), &new).await?;
        forget(change.db(), now).await?;
        if token.kind() == TokenKind::Api {
            match new.overlap {
                Some(until) => replace_last(change.db(), &new, until, now).await?,
                None => revoke_last(change.db(), &new, now).await?,
            }
        }
        insert(change.db(), token, &new, now).await?;
        let row = one(change.db(), token.id()).await?;
        change.commit().await?;
        Ok(row)
    }
}

/// Refuses a token that could not be used for what its kind is for.
async fn check(db: &mut Connection, kind: TokenKind, new: &NewToken) -> Result<(), StoreError> {
    let mut wrong: Vec<(&'static str, &str)> = Vec::new();
    if new.uses == Some(0) {
        wrong.push(("token.uses", "a token has at least one use"));
    }
    wrong.extend(misfit(kind, new));
    if new.scopes.is_some() && kind != TokenKind::Admin {
        wrong.push(("token.scopes", "only admin tokens have scopes"));
    }
    if let Some(user) = new.user
        && found(db, USER, user, "such user").await? == 0
        && kind == TokenKind::Admin
    {
        wrong.push(("token.not_admin", "its user is no admin and no auditor"));
    }
    if let Some(application) = new.application
        && found(db, APPLICATION, application, "such application").await? == 0
        && kind == TokenKind::Api
    {
        wrong.push(("token.api_not_allowed", "the application does not allow api tokens"));
    }
    if let Some(site) = new.site {
        found(db, SITE, site, "such site").await?;
    }
    let problem = |(code, detail)| Problem::new(format!("{kind} token"), code, detail);
    let problems: Vec<_> = wrong.into_iter().map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(StoreError::Invalid(problems)) }
}

/// Whether the kind is for what the token is for.
fn misfit(kind: TokenKind, new: &NewToken) -> Option<(&'static str, &'static str)> {
    match (kind, new.user, new.application, new.site) {
        (TokenKind::Join, None, None, Some(_)) => None,
        (TokenKind::Join, ..) => Some(("token.site", "it is for a site and nothing else")),
        (_, None, ..) | (.., Some(_)) => Some(("token.user", "it is for a user, not a site")),
        (TokenKind::Api, _, None, _) => Some(("token.application", "it is for one application")),
        (TokenKind::Login | TokenKind::Admin | TokenKind::SignIn, _, Some(_), _) => {
            Some(("token.application", "it is for no application"))
        }
        (
            TokenKind::Api
            | TokenKind::Access
            | TokenKind::Login
            | TokenKind::Admin
            | TokenKind::SignIn,
            ..,
        ) => None,
    }
}

async fn found(
    db: &mut Connection,
    statement: &'static str,
    id: impl Display,
    what: &str,
) -> Result<i64, StoreError> {
    let found = scalar(db, statement, id.to_string()).await?;
    found.ok_or_else(|| StoreError::NotFound(what.to_owned()))
}

/// Removes tokens that ended so long ago that nobody asks why.
async fn forget(db: &mut Connection, now: SystemTime) -> Result<(), StoreError> {
    let before = now.checked_sub(REMEMBERED).unwrap_or(SystemTime::UNIX_EPOCH);
    sqlx::query("DELETE FROM tokens WHERE revoked < $1 OR expires < $1")
        .bind(clock::column(clock::seconds(before)))
        .execute(db)
        .await?;
    Ok(())
}

async fn revoke_last(
    db: &mut Connection,
    new: &NewToken,
    now: SystemTime,
) -> Result<(), StoreError> {
    sqlx::query(REVOKE_LAST)
        .bind(new.user.map(|id| id.to_string()))
        .bind(new.application.map(|id| id.to_string()))
        .bind(clock::column(clock::seconds(now)))
        .execute(db)
        .await?;
    Ok(())
}

async fn replace_last(
    db: &mut Connection,
    new: &NewToken,
    until: SystemTime,
    now: SystemTime,
) -> Result<(), StoreError> {
    sqlx::query(REPLACE_LAST)
        .bind(new.user.map(|id| id.to_string()))
        .bind(new.application.map(|id| id.to_string()))
        .bind(clock::column(clock::seconds(now)))
        .bind(clock::column(clock::seconds(until)))
        .execute(db)
        .await?;
    Ok(())
}

async fn insert(
    db: &mut Connection,
    token: &TokenText,
    new: &NewToken,
    now: SystemTime,
) -> Result<(), StoreError> {
    let opens = token.kind().opens();
    let scram = opens.then(|| ScramVerifier::of(token).to_string());
    let native = opens.then(|| NativeVerifier::of(token).to_string());
    sqlx::query(INSERT)
        .bind(token.id().as_str())
        .bind(token.kind().as_str())
        .bind(HEXLOWER.encode(&token.digest().0))
        .bind(new.user.map(|id| id.to_string()))
        .bind(new.application.map(|id| id.to_string()))
        .bind(new.site.map(|id| id.to_string()))
        .bind(clock::column(clock::seconds(now)))
        .bind(new.expires.map(|end| clock::column(clock::seconds(end))))
        .bind(new.uses.map(i64::from))
        .bind(new.scopes.map(|scopes| scopes.to_string()))
        .bind(scram)
        .bind(native)
        .execute(db)
        .await?;
    Ok(())
}

/// How long a token that expired or was revoked is still told apart from one that never was.
pub const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

const USER: &str = "SELECT admin + auditor + CASE WHEN admin_of = '[]' THEN 0 ELSE 1 END
    FROM users WHERE id = $1";
const APPLICATION: &str = "SELECT allow_api FROM applications WHERE id = $1";
const SITE: &str = "SELECT 1 FROM sites WHERE id = $1";

const REVOKE_LAST: &str = "UPDATE tokens SET revoked = $3
    WHERE user_id = $1 AND application_id = $2 AND kind = 'api' AND revoked IS NULL";

// Its end comes no later than it would have.
const REPLACE_LAST: &str = "UPDATE tokens SET replaced = $3,
        expires = CASE WHEN expires IS NULL OR expires > $4 THEN $4 ELSE expires END
    WHERE user_id = $1 AND application_id = $2 AND kind = 'api' AND revoked IS NULL
        AND replaced IS NULL";

const INSERT: &str = "INSERT INTO tokens
    (id, kind, digest, user_id, application_id, site_id, created, expires, uses_left, scopes,
        scram, native)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
