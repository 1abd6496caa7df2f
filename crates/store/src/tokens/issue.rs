use std::time::{Duration, SystemTime};

use access::{ApplicationId, SiteId, TokenKind, TokenText, UserId};
use data_encoding::HEXLOWER;
use sqlx::SqliteConnection;

use super::list::one;
use crate::columns::scalar;
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
}

impl Store {
    /// Keeps the token's digest. A second `api` token of one user and application revokes the
    /// first in the same transaction.
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
            revoke_last(change.db(), &new, now).await?;
        }
        insert(change.db(), token, &new, now).await?;
        let row = one(change.db(), token.id()).await?;
        change.commit().await?;
        Ok(row)
    }
}

/// Refuses a token that could not be used for what its kind is for.
async fn check(
    db: &mut SqliteConnection,
    kind: TokenKind,
    new: &NewToken,
) -> Result<(), StoreError> {
    let mut problems = Vec::new();
    let mut wrong = |code, detail: &str| {
        problems.push(Problem::new(format!("{kind} token"), code, detail));
    };
    if new.uses == Some(0) {
        wrong("token.uses", "a token has at least one use");
    }
    match (kind, new.user, new.application, new.site) {
        (TokenKind::Join, None, None, Some(_)) => {}
        (TokenKind::Join, ..) => wrong("token.site", "a join token is for a site only"),
        (_, None, ..) | (_, _, _, Some(_)) => wrong("token.user", "it is for a user, not a site"),
        (TokenKind::Api, _, None, _) => wrong("token.application", "it is for one application"),
        (TokenKind::Login | TokenKind::Admin, _, Some(_), _) => {
            wrong("token.application", "it is for no application");
        }
        (TokenKind::Api | TokenKind::Access | TokenKind::Login | TokenKind::Admin, ..) => {}
    }
    if let Some(user) = new.user {
        let admin = scalar(db, USER, user.to_string()).await?;
        match admin.ok_or_else(|| StoreError::NotFound("such user".to_owned()))? {
            0 if kind == TokenKind::Admin => wrong("token.not_admin", "its user is no admin"),
            _ => {}
        }
    }
    if let Some(application) = new.application {
        let allowed = scalar(db, APPLICATION, application.to_string()).await?;
        match allowed.ok_or_else(|| StoreError::NotFound("such application".to_owned()))? {
            0 if kind == TokenKind::Api => {
                wrong("token.api_not_allowed", "the application does not allow api tokens");
            }
            _ => {}
        }
    }
    if let Some(site) = new.site {
        let known = scalar(db, SITE, site.to_string()).await?;
        known.ok_or_else(|| StoreError::NotFound("such site".to_owned()))?;
    }
    if problems.is_empty() { Ok(()) } else { Err(StoreError::Invalid(problems)) }
}

/// Removes tokens that ended so long ago that nobody asks why.
async fn forget(db: &mut SqliteConnection, now: SystemTime) -> Result<(), StoreError> {
    let before = now.checked_sub(REMEMBERED).unwrap_or(SystemTime::UNIX_EPOCH);
    sqlx::query("DELETE FROM tokens WHERE revoked < $1 OR expires < $1")
        .bind(clock::column(clock::seconds(before)))
        .execute(db)
        .await?;
    Ok(())
}

async fn revoke_last(
    db: &mut SqliteConnection,
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

async fn insert(
    db: &mut SqliteConnection,
    token: &TokenText,
    new: &NewToken,
    now: SystemTime,
) -> Result<(), StoreError> {
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
        .execute(db)
        .await?;
    Ok(())
}

/// How long a token that expired or was revoked is still told apart from one that never was.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const USER: &str = "SELECT admin FROM users WHERE id = $1";
const APPLICATION: &str = "SELECT allow_api FROM applications WHERE id = $1";
const SITE: &str = "SELECT 1 FROM sites WHERE id = $1";

const REVOKE_LAST: &str = "UPDATE tokens SET revoked = $3
    WHERE user_id = $1 AND application_id = $2 AND kind = 'api' AND revoked IS NULL";

const INSERT: &str = "INSERT INTO tokens
    (id, kind, digest, user_id, application_id, site_id, created, expires, uses_left)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
