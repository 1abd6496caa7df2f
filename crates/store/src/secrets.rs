//! Sealed blobs, credentials of managed targets, and the host keys of targets.

use std::fmt::Display;

use access::{Application, ApplicationId, Level};
use async_trait::async_trait;
use secrecy::SecretString;
use session::{Certificates, HostKeyVerdict, HostKeys, SecretError, Secrets, TargetCredential};
use zeroize::Zeroizing;

use crate::keys::PublicKey;
use crate::seal::random;
use crate::{Store, StoreError};

impl Store {
    /// Seals `value` and keeps it under `name`, in place of what was there.
    pub async fn put_secret(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let sealed = self.inner.sealer.seal(&blob(name), value)?;
        sqlx::query(PUT).bind(name).bind(sealed).execute(&self.inner.writer).await?;
        Ok(())
    }

    /// The same of several that belong together: of two relays that do this at once, all are one's.
    pub async fn put_secrets(&self, secrets: &[(&str, &[u8])]) -> Result<(), StoreError> {
        let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
        for (name, value) in secrets {
            let sealed = self.inner.sealer.seal(&blob(name), value)?;
            sqlx::query(PUT).bind(*name).bind(sealed).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// What [`put_secret`](Self::put_secret) keeps under `name`.
    pub async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed = sqlx::query_scalar("SELECT sealed FROM secrets WHERE name = $1").bind(name);
        let sealed: Option<String> = sealed.fetch_optional(&self.inner.readers).await?;
        sealed.map(|sealed| self.inner.sealer.open(&blob(name), &sealed)).transpose()
    }

    /// The secret of `N` bytes kept under `name`; made at random if there is none. Of several that ask
    /// at once, all get the same.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for one of another length: what was sealed with it would be lost with
    /// it, so it is not replaced.
    pub async fn secret_or_make<const N: usize>(
        &self,
        name: &'static str,
    ) -> Result<Zeroizing<[u8; N]>, StoreError> {
        if self.secret(name).await?.is_none() {
            let sealed = self.inner.sealer.seal(&blob(name), random::<N>().as_slice())?;
            sqlx::query(MAKE).bind(name).bind(sealed).execute(&self.inner.writer).await?;
        }
        let stored = self.secret(name).await?.unwrap_or_default();
        let secret = <[u8; N]>::try_from(stored.as_slice()).map_err(|_| {
            let detail = format!("it has {} bytes and should have {N}", stored.len());
            StoreError::Corrupt { what: name, detail }
        })?;
        Ok(Zeroizing::new(secret))
    }

    /// Forgets a target's learned host key, so that the next connection learns it anew. What it was.
    pub async fn forget_host_key(
        &self,
        application: ApplicationId,
    ) -> Result<Option<String>, StoreError> {
        let forgotten = sqlx::query_scalar(FORGET_HOST_KEY).bind(application.to_string());
        Ok(forgotten.fetch_optional(&self.inner.writer).await?)
    }

    /// A target's learned host key.
    pub async fn learned_host_key(
        &self,
        application: ApplicationId,
    ) -> Result<Option<String>, StoreError> {
        let known = sqlx::query_scalar(HOST_KEY).bind(application.to_string());
        Ok(known.fetch_optional(&self.inner.readers).await?)
    }

    async fn target_credential(
        &self,
        application: ApplicationId,
    ) -> Result<Option<TargetCredential>, StoreError> {
        let found = sqlx::query_as(CREDENTIAL).bind(application.to_string());
        let found: Option<(String, String)> = found.fetch_optional(&self.inner.readers).await?;
        let Some((kind, sealed)) = found else { return Ok(None) };
        let bytes = self.inner.sealer.open(&credential(application), &sealed)?;
        let corrupt =
            |detail: &str| StoreError::Corrupt { what: "credential", detail: detail.to_owned() };
        let text = str::from_utf8(&bytes).map_err(|_| corrupt("it is no text"))?;
        let text = SecretString::from(text);
        match kind.as_str() {
            PASSWORD => Ok(Some(TargetCredential::Password(text))),
            SSH_KEY => Ok(Some(TargetCredential::SshKey(text))),
            TLS => Ok(Some(TargetCredential::Tls(text))),
            _ => Err(corrupt("its kind is unknown")),
        }
    }

    async fn level_password(
        &self,
        application: ApplicationId,
        level: Level,
    ) -> Result<Option<TargetCredential>, StoreError> {
        let row = level_row(application, level);
        let found = sqlx::query_scalar(LEVEL_CREDENTIAL).bind(&row);
        let found: Option<String> = found.fetch_optional(&self.inner.readers).await?;
        let Some(sealed) = found else { return Ok(None) };
        let bytes = self.inner.sealer.open(&credential(&row), &sealed)?;
        let text = str::from_utf8(&bytes).map_err(|_| StoreError::Corrupt {
            what: "credential",
            detail: "it is no text".to_owned(),
        })?;
        Ok(Some(TargetCredential::Password(SecretString::from(text))))
    }

    /// Keeps the first key shown. `false`: another connection was first.
    async fn learn_first(&self, application: ApplicationId, key: &str) -> Result<bool, StoreError> {
        let learned = sqlx::query(LEARN).bind(application.to_string()).bind(key);
        Ok(learned.execute(&self.inner.writer).await?.rows_affected() > 0)
    }
}

#[async_trait]
impl Secrets for Store {
    async fn credential(
        &self,
        application: ApplicationId,
    ) -> Result<Option<TargetCredential>, SecretError> {
        self.target_credential(application).await.map_err(|error| detail(&error))
    }

    async fn level_credential(
        &self,
        application: ApplicationId,
        level: Level,
    ) -> Result<Option<TargetCredential>, SecretError> {
        self.level_password(application, level).await.map_err(|error| detail(&error))
    }
}

#[async_trait]
impl HostKeys for Store {
    async fn check(
        &self,
        application: &Application,
        presented: &str,
    ) -> Result<HostKeyVerdict, SecretError> {
        let shown: PublicKey = presented
            .parse()
            .map_err(|_| SecretError { detail: "the target's host key is unreadable".into() })?;
        let known = match &application.host_key {
            Some(pinned) => Some(pinned.clone()),
            None => self.learned_host_key(application.id).await.map_err(|error| detail(&error))?,
        };
        if let Some(known) = known {
            return Ok(verdict(known, &shown));
        }
        let first = self.learn_first(application.id, &shown.bare()).await;
        if first.map_err(|error| detail(&error))? {
            return Ok(HostKeyVerdict::Learned);
        }
        let first = self.learned_host_key(application.id).await.map_err(|error| detail(&error))?;
        let gone = || SecretError { detail: "the application is gone".into() };
        first.map(|first| verdict(first, &shown)).ok_or_else(gone)
    }
}

#[async_trait]
impl Certificates for Store {
    async fn learn(
        &self,
        application: ApplicationId,
        sha256: &str,
    ) -> Result<HostKeyVerdict, SecretError> {
        let shown = format!("{CERTIFICATE}{sha256}");
        let known = async || {
            let learned = self.learned_host_key(application).await;
            learned.map_err(|error| detail(&error))
        };
        let compared = |known: String| match known == shown {
            true => HostKeyVerdict::Known,
            false => HostKeyVerdict::Changed { known },
        };
        if let Some(known) = known().await? {
            return Ok(compared(known));
        }
        if self.learn_first(application, &shown).await.map_err(|error| detail(&error))? {
            return Ok(HostKeyVerdict::Learned);
        }
        let gone = || SecretError { detail: "the application is gone".into() };
        known().await?.map(compared).ok_or_else(gone)
    }
}

/// What stands before the fingerprint of a certificate among host keys.
const CERTIFICATE: &str = "certificate sha256:";

/// The record a credential is sealed as.
pub(crate) fn credential(application: impl Display) -> String {
    format!("credential {application}")
}

/// The row of the password of a level's account, which is sealed as its credential.
pub(crate) fn level_row(application: impl Display, level: Level) -> String {
    format!("{application} {level}")
}

/// Kinds of credentials, as the table has them.
pub(crate) const PASSWORD: &str = "password";
pub(crate) const SSH_KEY: &str = "ssh-key";
pub(crate) const TLS: &str = "tls";

pub(crate) fn blob(name: &str) -> String {
    format!("secret {name}")
}

fn verdict(known: String, shown: &PublicKey) -> HostKeyVerdict {
    // A pinned key may carry a comment; what counts is the key.
    if known.parse::<PublicKey>().is_ok_and(|known| known.same_key(shown)) {
        HostKeyVerdict::Known
    } else {
        HostKeyVerdict::Changed { known }
    }
}

fn detail(error: &StoreError) -> SecretError {
    tracing::warn!(error = error as &dyn std::error::Error, "Could not read a target's secrets");
    SecretError { detail: error.to_string() }
}

const PUT: &str = "INSERT INTO secrets (name, sealed) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed";
const MAKE: &str =
    "INSERT INTO secrets (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
const CREDENTIAL: &str = "SELECT kind, sealed FROM credentials WHERE application_id = $1";
const LEVEL_CREDENTIAL: &str = "SELECT sealed FROM level_credentials WHERE id = $1";
const FORGET_HOST_KEY: &str =
    "DELETE FROM host_keys WHERE application_id = $1 RETURNING public_key";
const HOST_KEY: &str = "SELECT public_key FROM host_keys WHERE application_id = $1";
// The application may have been removed while its target was being dialled.
const LEARN: &str = "INSERT INTO host_keys (application_id, public_key)
    SELECT id, $2 FROM applications WHERE id = $1
    ON CONFLICT (application_id) DO NOTHING";
