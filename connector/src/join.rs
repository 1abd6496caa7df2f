//! `adit-connector join`: from a join token to a key, a certificate and a configuration.

use std::path::{Path, PathBuf};

use access::{CaPin, TokenError, TokenKind, TokenText};
use api::{JoinRequest, Joined, Secret};
use tunnel::https::{CallError, Client};
use tunnel::identity::{Identity, IdentityError, Key, write_file};
use tunnel::tls::Trust;

use crate::SOFTWARE;
use crate::allow::Entry;
use crate::config::{self, ProxyChoice, ProxyChoiceError};

/// What a join needs.
#[derive(Debug)]
pub struct Join {
    pub url: String,
    pub token: TokenText,
    pub state: PathBuf,
    pub allow: Vec<Entry>,
    pub name: Option<String>,
    pub proxy: ProxyChoice,
}

/// Why a connector did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("{path:?} holds a connector already; choose another directory, or remove it")]
    Occupied { path: PathBuf },
    #[error("can not make the directory {path:?}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("a connector joins with a join token, and this is one of kind {kind}")]
    Kind { kind: TokenKind },
    #[error("the token does not say which relay it is for")]
    NoPin,
    #[error("not a token")]
    Token {
        #[from]
        source: TokenError,
    },
    #[error(transparent)]
    Proxy(#[from] ProxyChoiceError),
    #[error("{}", outcome(source))]
    Call {
        #[from]
        source: CallError,
    },
    #[error("the relay sent another CA than the token says")]
    OtherCa,
    #[error("the enrolment can not be kept")]
    Identity {
        #[from]
        source: IdentityError,
    },
}

impl JoinError {
    /// Whether the trouble is on the way to the relay, which has not answered.
    pub fn is_unanswered(&self) -> bool {
        match self {
            Self::Call { source } => {
                !matches!(source, CallError::Refused(_) | CallError::Url { .. })
            }
            Self::Occupied { .. }
            | Self::Directory { .. }
            | Self::Kind { .. }
            | Self::NoPin
            | Self::Token { .. }
            | Self::Proxy(_)
            | Self::OtherCa
            | Self::Identity { .. } => false,
        }
    }
}

/// How far the question came.
fn outcome(error: &CallError) -> &'static str {
    match error {
        CallError::Url { .. } | CallError::Tls { .. } | CallError::Request { .. } => {
            "no relay was asked"
        }
        CallError::Connect { .. }
        | CallError::Handshake { .. }
        | CallError::Intercepted { .. }
        | CallError::Proxy { .. } => "the relay was not reached",
        CallError::Exchange { .. } | CallError::TimedOut { .. } => "the relay gave no answer",
        CallError::Body { .. } | CallError::Json { .. } => "the relay's answer is of no use",
        CallError::Refused(_) => "the relay did not take the connector",
    }
}

/// Enrols this machine as a connector of the token's site.
pub async fn join(how: &Join) -> Result<Joined, JoinError> {
    if how.token.kind() != TokenKind::Join {
        return Err(JoinError::Kind { kind: how.token.kind() });
    }
    let pin = how.token.pin().ok_or(JoinError::NoPin)?;
    let proxies = how.proxy.read()?;
    prepare(&how.state)?;
    let key = Key::generate()?;
    let request = JoinRequest {
        token: Secret::from(how.token.expose().to_owned()),
        csr_pem: key.csr_pem()?,
        name: how.name.clone(),
        software: SOFTWARE.to_owned(),
    };
    let client = Client::new(&how.url, &Trust::Pin(pin), None)?.through(proxies);
    let joined: Joined = client.post("/api/v1/connectors/join", None, &request).await?;
    let ca = tunnel::certificate::chain(&joined.ca_pem).map_err(IdentityError::from)?;
    if CaPin::of(&ca[0]) != pin {
        return Err(JoinError::OtherCa);
    }
    let mut identity = Identity::new(&key, joined.certificate_pem.clone(), joined.ca_pem.clone())?;
    identity.save(&how.state)?;
    let quic = client.beside(joined.quic_port);
    let mut text = config::template(&how.url, &joined.domain, &quic, &how.proxy, &how.allow);
    // The relay vouches for the publisher once, now: what it says later changes nothing.
    if let Some(key) = &joined.update_key {
        text.push_str(&config::update_section(key, joined.update_automatically));
    }
    // Last, so that a directory with a configuration holds all that it needs.
    write_file(&how.state.join(config::FILE), text.as_bytes(), 0o644)?;
    Ok(joined)
}

/// Makes the directory before the token is spent.
fn prepare(state: &Path) -> Result<(), JoinError> {
    if state.join(config::FILE).exists() {
        return Err(JoinError::Occupied { path: state.to_owned() });
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(state).map_err(|source| JoinError::Directory { path: state.to_owned(), source })
}
