use std::net::IpAddr;
use std::time::SystemTime;

use access::{
    ApplicationId, Name, NativeProof, NativeVerifier, ScramVerifier, SiteId, TokenDigest, TokenId,
    TokenKind, TokenProof, TokenText, UserId,
};
use api::Scopes;
use data_encoding::HEXLOWER;
use sqlx::{FromRow, Row as _};

use crate::columns::Columns;
use crate::db::{Connection, Row};
use crate::{Store, StoreError, UseTokenError, clock};

/// A token that was good, with one use of it spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedToken {
    pub id: TokenId,
    pub kind: TokenKind,
    /// Whose it is, and whether they are an admin.
    pub user: Option<(UserId, Name, bool)>,
    pub application: Option<ApplicationId>,
    pub site: Option<SiteId>,
    pub expires: Option<SystemTime>,
    /// `None`: as often as wanted.
    pub uses_left: Option<u32>,
    /// What it may be used for. `None`: all its user may do.
    pub scopes: Option<Scopes>,
}

/// What somebody shows of a token.
#[derive(Clone, Copy)]
enum Shown<'a> {
    Text(&'a TokenText),
    Proof(&'a TokenProof),
    Native(&'a NativeProof),
}

impl<'a> Shown<'a> {
    fn id(self) -> &'a TokenId {
        match self {
            Self::Text(token) => token.id(),
            Self::Proof(proof) => &proof.token,
            Self::Native(proof) => &proof.token,
        }
    }
}

impl Store {
    /// Checks a token and spends one use of it. Of any number of calls at once, no more succeed
    /// than it had uses.
    pub async fn use_token(
        &self,
        token: &TokenText,
        now: SystemTime,
        from: IpAddr,
    ) -> Result<UsedToken, UseTokenError> {
        Ok(self.spend_one(Shown::Text(token), now, from).await?.0)
    }

    /// As [`use_token`](Self::use_token), for who shows that they know it. Also what shows them that
    /// the relay does.
    pub async fn use_proof(
        &self,
        proof: &TokenProof,
        now: SystemTime,
        from: IpAddr,
    ) -> Result<(UsedToken, [u8; 32]), UseTokenError> {
        let (used, signature) = self.spend_one(Shown::Proof(proof), now, from).await?;
        Ok((used, signature.ok_or(UseTokenError::Unknown)?))
    }

    /// As [`use_token`](Self::use_token), for who shows that they know it as older clients of MySQL do.
    pub async fn use_native(
        &self,
        proof: &NativeProof,
        now: SystemTime,
        from: IpAddr,
    ) -> Result<UsedToken, UseTokenError> {
        Ok(self.spend_one(Shown::Native(proof), now, from).await?.0)
    }

    async fn spend_one(
        &self,
        shown: Shown<'_>,
        now: SystemTime,
        from: IpAddr,
    ) -> Result<(UsedToken, Option<[u8; 32]>), UseTokenError> {
        // A guess costs one read: it neither holds the writer nor waits for it.
        let held = self.held(shown).await?;
        held.check(shown, now)?;
        let uses_left = match held.uses_left {
            Some(_) => Some(self.spend(shown, &held, now, from).await?),
            None => {
                // Worth knowing, not worth locking an admin out for while the disk is full.
                if let Err(error) = self.stamp(&held, shown.id(), now, from).await {
                    tracing::warn!(%error, "Could not note when a token was used");
                }
                None
            }
        };
        let signature = held.signature(shown);
        Ok((held.used(shown.id(), uses_left), signature))
    }

    /// Whether this is the text of a token that was issued, whatever became of it. Costs what
    /// looking at one costs, and spends nothing.
    pub async fn is_genuine(&self, token: &TokenText) -> Result<bool, StoreError> {
        let shown = Shown::Text(token);
        Ok(self.find(shown).await?.is_some_and(|held| held.is(shown)))
    }

    async fn held(&self, shown: Shown<'_>) -> Result<Held, UseTokenError> {
        self.find(shown).await?.ok_or(UseTokenError::Unknown)
    }

    async fn find(&self, shown: Shown<'_>) -> Result<Option<Held>, StoreError> {
        let held = sqlx::query_as(HELD).bind(shown.id().as_str());
        Ok(held.fetch_optional(&self.inner.readers).await?)
    }

    async fn spend(
        &self,
        shown: Shown<'_>,
        held: &Held,
        now: SystemTime,
        from: IpAddr,
    ) -> Result<u32, UseTokenError> {
        let spend = Spend {
            id: shown.id().to_string(),
            digest: held.digest.clone(),
            now: clock::column(clock::seconds(now)),
            from: from.to_string(),
        };
        let spent = self.inner.queue.spend(spend).await;
        if let Some(left) = spent.map_err(StoreError::Database)? {
            return Ok(left);
        }
        // Something changed since it was read: say what.
        self.held(shown).await?.check(shown, now)?;
        Err(UseTokenError::UsedUp(shown.id().clone()))
    }

    /// Notes when a token of unlimited use was used, at most once a minute.
    async fn stamp(
        &self,
        held: &Held,
        id: &TokenId,
        now: SystemTime,
        from: IpAddr,
    ) -> Result<(), StoreError> {
        let now = clock::seconds(now);
        if held.used.is_some_and(|used| now < used + STAMP_EVERY) {
            return Ok(());
        }
        sqlx::query("UPDATE tokens SET used = $2, used_from = $3 WHERE id = $1")
            .bind(id.as_str())
            .bind(clock::column(now))
            .bind(from.to_string())
            .execute(&self.inner.writer)
            .await?;
        Ok(())
    }
}

/// One use of a token, to be stored with whatever else waits.
pub(crate) struct Spend {
    id: String,
    digest: String,
    now: i64,
    from: String,
}

impl Spend {
    /// How many uses are left after this one; `None`: there was none to spend.
    pub(crate) async fn run(&self, db: &mut Connection) -> Result<Option<u32>, sqlx::Error> {
        let left: Option<i64> = sqlx::query_scalar(SPEND)
            .bind(&self.id)
            .bind(&self.digest)
            .bind(self.now)
            .bind(&self.from)
            .fetch_optional(db)
            .await?;
        Ok(left.map(|left| u32::try_from(left).unwrap_or(u32::MAX)))
    }
}

/// A token as it stands in the store.
struct Held {
    kind: TokenKind,
    digest: String,
    user: Option<(UserId, Name, bool)>,
    user_enabled: bool,
    application: Option<ApplicationId>,
    site: Option<SiteId>,
    expires: Option<u64>,
    uses_left: Option<u32>,
    used: Option<u64>,
    revoked: Option<u64>,
    scopes: Option<Scopes>,
    scram: Option<String>,
    native: Option<String>,
}

impl Held {
    /// Who does not hold the genuine text learns nothing about the token.
    fn check(&self, shown: Shown<'_>, now: SystemTime) -> Result<(), UseTokenError> {
        let id = || shown.id().clone();
        if !self.is(shown) {
            Err(UseTokenError::Unknown)
        } else if self.revoked.is_some() {
            Err(UseTokenError::Revoked(id()))
        } else if self.expires.is_some_and(|end| clock::seconds(now) >= end) {
            Err(UseTokenError::Expired(id()))
        } else if self.uses_left == Some(0) {
            Err(UseTokenError::UsedUp(id()))
        } else if !self.user_enabled {
            Err(UseTokenError::UserDisabled(id()))
        } else {
            Ok(())
        }
    }

    fn is(&self, shown: Shown<'_>) -> bool {
        match shown {
            Shown::Text(token) => self.has_text(token),
            Shown::Proof(_) => self.signature(shown).is_some(),
            Shown::Native(proof) => {
                let verifier = self.native.as_deref().and_then(|text| text.parse().ok());
                verifier.is_some_and(|verifier: NativeVerifier| verifier.check(proof))
            }
        }
    }

    /// What shows who has proved that they know the token that the relay does too.
    fn signature(&self, shown: Shown<'_>) -> Option<[u8; 32]> {
        let Shown::Proof(proof) = shown else { return None };
        let verifier: ScramVerifier = self.scram.as_deref()?.parse().ok()?;
        verifier.check(proof)
    }

    fn has_text(&self, token: &TokenText) -> bool {
        let digest = HEXLOWER.decode(self.digest.as_bytes()).ok();
        let digest = digest.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let genuine = digest.is_some_and(|digest| TokenDigest(digest).matches(&token.digest()));
        genuine && self.kind == token.kind()
    }

    fn used(self, id: &TokenId, uses_left: Option<u32>) -> UsedToken {
        UsedToken {
            id: id.clone(),
            kind: self.kind,
            user: self.user,
            application: self.application,
            site: self.site,
            expires: self.expires.map(clock::at),
            uses_left,
            scopes: self.scopes,
        }
    }
}

impl FromRow<'_, Row> for Held {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        let user = match row.perhaps("user_id")? {
            Some(id) => Some((id, row.parsed("user_name")?, row.flag("user_admin")?)),
            None => None,
        };
        Ok(Self {
            kind: row.parsed("kind")?,
            digest: row.try_get("digest")?,
            user,
            user_enabled: row.flag("user_enabled")?,
            application: row.perhaps("application_id")?,
            site: row.perhaps("site_id")?,
            expires: row.perhaps_number("expires")?,
            uses_left: row.perhaps_number("uses_left")?,
            used: row.perhaps_number("used")?,
            revoked: row.perhaps_number("revoked")?,
            scopes: row.perhaps("scopes")?,
            scram: row.try_get("scram")?,
            native: row.try_get("native")?,
        })
    }
}

const STAMP_EVERY: u64 = 60;

const HELD: &str = "SELECT tokens.kind, digest, user_id, users.name AS user_name,
        users.admin AS user_admin, COALESCE(users.enabled, 1) AS user_enabled,
        application_id, site_id, expires, uses_left, used, revoked, scopes, scram, native
    FROM tokens LEFT JOIN users ON users.id = tokens.user_id
    WHERE tokens.id = $1";

// The row that comes back is the use: whoever gets none has not used it.
const SPEND: &str = "UPDATE tokens SET uses_left = uses_left - 1, used = $3, used_from = $4
    WHERE id = $1 AND digest = $2 AND uses_left > 0 AND revoked IS NULL
        AND (expires IS NULL OR expires > $3)
        AND (user_id IS NULL
            OR EXISTS (SELECT 1 FROM users WHERE users.id = user_id AND enabled = 1))
    RETURNING uses_left";
