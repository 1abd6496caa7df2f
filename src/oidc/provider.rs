//! One provider: what it says of itself, its keys, and the exchange of a code.

use std::time::{Duration, SystemTime};

use axum::http::HeaderValue;
use data_encoding::BASE64;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::OidcError;
use super::fetch::{self, FetchError, Post, encoded};
use super::keys::{Key, KeySet};
use super::statement::{self, Expected, Vouched};
use crate::config::OidcProvider;

pub(super) struct Provider {
    pub(super) config: OidcProvider,
    /// One task asks at a time; the others wait for its answer.
    known: Mutex<Known>,
}

/// What a provider has told lately.
#[derive(Default)]
struct Known {
    metadata: Option<(Metadata, Instant)>,
    keys: Vec<Key>,
    asked: Option<Instant>,
}

/// OpenID Connect Discovery, section 3: as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    pub(super) end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

impl Provider {
    pub(super) fn new(config: OidcProvider) -> Self {
        Self { config, known: Mutex::default() }
    }

    /// What the provider says of itself, an hour old at most.
    pub(super) async fn metadata(&self) -> Result<Metadata, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((metadata, at)) = &known.metadata
            && at.elapsed() < METADATA
        {
            return Ok(metadata.clone());
        }
        let url = format!(
            "{}/.well-known/openid-configuration",
            self.config.issuer.trim_end_matches('/')
        );
        let metadata: Metadata = self.get("discovery", &url).await?;
        if metadata.issuer != self.config.issuer {
            let detail = format!("it calls itself {:?}", metadata.issuer);
            return Err(FetchError::Other { what: "discovery", detail }.into());
        }
        let leads =
            [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        let ends = leads.into_iter().chain(&metadata.end_session_endpoint);
        if let Some(plain) = ends.into_iter().find(|url| !url.starts_with("https://")) {
            let detail = format!("{plain:?} is not https");
            return Err(FetchError::Other { what: "discovery", detail }.into());
        }
        known.metadata = Some((metadata.clone(), Instant::now()));
        Ok(metadata)
    }

    /// Exchanges a code for a statement, and checks it.
    pub(super) async fn exchange(
        &self,
        code: &str,
        back: &str,
        verifier: &str,
        nonce: &str,
    ) -> Result<Vouched, OidcError> {
        let metadata = self.metadata().await?;
        let post = self.post(&metadata, code, back, verifier)?;
        let ca_file = self.config.ca_file.as_deref();
        let url = &metadata.token_endpoint;
        let tokens: Tokens = fetch::json("the token endpoint", url, ca_file, Some(post)).await?;
        let keys = self.keys(&metadata, statement::kid(&tokens.id_token)).await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce,
            now: SystemTime::now(),
        };
        Ok(statement::check(&tokens.id_token, &keys, &expected)?)
    }

    /// The provider's keys. It is asked anew for one that is not known, which is how keys change; not
    /// more often than once in a while, whatever ids tokens name.
    async fn keys(&self, metadata: &Metadata, kid: Option<String>) -> Result<Vec<Key>, OidcError> {
        let mut known = self.known.lock().await;
        let has = !known.keys.is_empty()
            && (kid.is_none() || known.keys.iter().any(|key| key.kid == kid));
        let lately = known.asked.is_some_and(|asked| asked.elapsed() < KEYS);
        if !has && !lately {
            known.asked = Some(Instant::now());
            let set: KeySet = self.get("the keys", &metadata.jwks_uri).await?;
            known.keys = set.keys;
        }
        Ok(known.keys.clone())
    }

    #[cfg(test)]
    pub(super) async fn forget_when(&self) {
        self.known.lock().await.asked = None;
    }

    /// The request that exchanges a code, and shows the client's secret where there is one.
    fn post(
        &self,
        metadata: &Metadata,
        code: &str,
        back: &str,
        verifier: &str,
    ) -> Result<Post, OidcError> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", back),
            ("code_verifier", verifier),
        ];
        let id = self.config.client_id.as_str();
        let Some(file) = &self.config.client_secret_file else {
            fields.push(("client_id", id));
            return Ok(Post { body: fetch::form(&fields), shown: None });
        };
        let what = "the client's secret";
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|source| FetchError::Failed { what, source })?;
        let text = Zeroizing::new(text);
        let secret = text.trim();
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let basic = methods.is_none_or(|all| all.iter().any(|how| how == "client_secret_basic"));
        if !basic {
            fields.extend([("client_id", id), ("client_secret", secret)]);
            return Ok(Post { body: fetch::form(&fields), shown: None });
        }
        // RFC 6749, 2.3.1: each half is encoded as in a form first.
        let pair = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
        let shown = format!("Basic {}", BASE64.encode(pair.as_bytes()));
        let mut shown = HeaderValue::from_str(&shown)
            .map_err(|error| FetchError::Other { what, detail: error.to_string() })?;
        shown.set_sensitive(true);
        Ok(Post { body: fetch::form(&fields), shown: Some(shown) })
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        url: &str,
    ) -> Result<T, FetchError> {
        fetch::json(what, url, self.config.ca_file.as_deref(), None).await
    }
}

const METADATA: Duration = Duration::from_secs(3600);
/// Between two looks for a key that is not known.
const KEYS: Duration = Duration::from_secs(10);
