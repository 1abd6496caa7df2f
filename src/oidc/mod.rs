//! Signing people in by an OpenID provider: the authorization code flow with PKCE (OpenID Connect
//! Core 1.0, RFC 6749, RFC 7636).
//!
//! What is begun is bound to its browser: the state, the nonce and the PKCE verifier stay here, under
//! a secret that only that browser holds, and count once. So a code that somebody else was given is
//! worth nothing in it, nor one of another provider (RFC 9207).

#[cfg(test)]
pub(crate) mod fake;
mod fetch;
mod keys;
mod provider;
mod statement;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use access::{Code, Explain, Name, sha256};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::BASE64URL_NOPAD;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::authn::Waiting;
use crate::config::OidcProvider;
use fetch::FetchError;
use provider::Provider;
pub(crate) use statement::Vouched;

/// The providers of the relay's file.
pub struct Providers {
    all: Vec<Provider>,
    begun: Waiting<Begun>,
}

/// A sign-in on its way through a provider.
#[derive(Clone)]
struct Begun {
    provider: Name,
    state: String,
    nonce: String,
    verifier: String,
    next: String,
}

/// What the browser brings back from the provider.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answered {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Why a provider signs nobody in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("there is no such provider")]
    Unknown,
    #[error("the browser has begun no sign-in with this provider, or it took too long")]
    NotBegun,
    #[error("the answer is not to what this browser has asked: {0}")]
    Foreign(&'static str),
    #[error("the provider says no: {0}")]
    Refused(String),
    #[error("the provider does not answer as it should")]
    Fetch(#[from] FetchError),
    #[error("the provider took longer than {LONGEST:?}")]
    Slow,
    #[error("the provider's statement is not good: {0}")]
    Statement(#[from] statement::StatementError),
}

impl Explain for OidcError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Unknown => "request.not_found",
            Self::NotBegun | Self::Foreign(_) => "sign_in.not_completed",
            Self::Refused(_) => "oidc.refused",
            Self::Fetch(_) | Self::Slow => "oidc.unavailable",
            Self::Statement(_) => "oidc.statement",
        })
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Unknown => "the relay has no such provider".into(),
            Self::NotBegun | Self::Foreign(_) => {
                "this sign-in took too long, or was begun in another browser".into()
            }
            Self::Refused(why) => format!("the provider did not sign you in: {why}").into(),
            Self::Fetch(_) | Self::Slow => "the provider does not answer as it should".into(),
            Self::Statement(_) => "what the provider says of you can not be checked".into(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Unknown | Self::NotBegun | Self::Foreign(_) => "begin again".into(),
            Self::Refused(_) => "begin again, or ask your administrator".into(),
            Self::Fetch(_) | Self::Slow | Self::Statement(_) => {
                "try again in a minute; the relay's audit log says more".into()
            }
        })
    }
}

impl Providers {
    pub fn new(providers: &[OidcProvider]) -> Self {
        let all = providers.iter().cloned().map(Provider::new).collect();
        Self { all, begun: Waiting::default() }
    }

    /// Name and title of each.
    pub(crate) fn buttons(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.all.iter().map(|provider| (&provider.config.name, provider.config.title.as_str()))
    }

    pub(crate) fn config(&self, name: &str) -> Option<&OidcProvider> {
        self.find(name).map(|provider| &provider.config).ok()
    }

    /// Where a browser is sent to sign in, and what it has to hold until it is back.
    pub(crate) async fn begin(
        &self,
        name: &str,
        back: &str,
        next: String,
    ) -> Result<(String, SecretString), OidcError> {
        let provider = self.find(name)?;
        let metadata = within(provider.metadata()).await?;
        let [state, nonce, verifier] = [(); 3].map(|()| BASE64URL_NOPAD.encode(&random()));
        let challenge = BASE64URL_NOPAD.encode(&sha256(verifier.as_bytes()));
        let scope = std::iter::once("openid")
            .chain(provider.config.scopes.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ");
        let asked = fetch::form(&[
            ("response_type", "code"),
            ("client_id", &provider.config.client_id),
            ("redirect_uri", back),
            ("scope", &scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let mark = if metadata.authorization_endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{}{mark}{asked}", metadata.authorization_endpoint);
        let provider = provider.config.name.clone();
        let begun = Begun { provider, state, nonce, verifier, next };
        Ok((url, self.begun.begin(begun, Instant::now())))
    }

    /// Takes what a browser brings back, and says whom the provider vouches for and where the
    /// browser wanted to go.
    pub(crate) async fn finish(
        &self,
        name: &str,
        back: &str,
        secret: &SecretString,
        answered: Answered,
    ) -> Result<(Vouched, String), OidcError> {
        let provider = self.find(name)?;
        // Gone with the first look: nothing is tried twice.
        let begun = self.begun.take(secret, Instant::now()).ok_or(OidcError::NotBegun)?;
        let code = check(provider, &begun, answered)?;
        let vouched = provider.exchange(&code, back, &begun.verifier, &begun.nonce);
        Ok((within(vouched).await?, begun.next))
    }

    /// Where a browser signs out of the provider too, if that can be.
    pub(crate) async fn sign_out(&self, name: &str, back: &str) -> Option<String> {
        let provider = self.find(name).ok()?;
        let metadata = within(provider.metadata()).await.ok()?;
        let end = metadata.end_session_endpoint?;
        let asked = fetch::form(&[
            ("client_id", &provider.config.client_id),
            ("post_logout_redirect_uri", back),
        ]);
        let mark = if end.contains('?') { '&' } else { '?' };
        Some(format!("{end}{mark}{asked}"))
    }

    /// As if keys were last asked for long ago.
    #[cfg(test)]
    pub(crate) async fn asked_long_ago(&self) {
        for provider in &self.all {
            provider.forget_when().await;
        }
    }

    fn find(&self, name: &str) -> Result<&Provider, OidcError> {
        let mut all = self.all.iter();
        all.find(|provider| provider.config.name.as_str() == name).ok_or(OidcError::Unknown)
    }
}

/// Holds an answer against what was asked, and gives its code.
fn check(provider: &Provider, begun: &Begun, answered: Answered) -> Result<String, OidcError> {
    let Answered { code, state, iss, error, error_description } = answered;
    if begun.provider != provider.config.name {
        return Err(OidcError::Foreign("another provider was asked"));
    }
    let state = state.unwrap_or_default();
    verify_slices_are_equal(state.as_bytes(), begun.state.as_bytes())
        .map_err(|_| OidcError::Foreign("the state is another"))?;
    if iss.is_some_and(|iss| iss != provider.config.issuer) {
        return Err(OidcError::Foreign("another issuer answers"));
    }
    if let Some(error) = error {
        let words = error_description.map(|words| format!("{error}: {words}")).unwrap_or(error);
        let words: String = access::text::visible(&words).chars().take(LONGEST_WORDS).collect();
        return Err(OidcError::Refused(words));
    }
    code.ok_or_else(|| OidcError::Refused("it sent no code".to_owned()))
}

async fn within<T>(work: impl Future<Output = Result<T, OidcError>>) -> Result<T, OidcError> {
    timeout(LONGEST, work).await.unwrap_or(Err(OidcError::Slow))
}

fn random() -> [u8; 32] {
    rand::random()
}

/// Unix seconds.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Discovery, keys and the exchange of a code together.
const LONGEST: Duration = Duration::from_secs(15);
/// Of what a provider says, in characters.
const LONGEST_WORDS: usize = 200;

#[cfg(test)]
mod tests;
