//! What the relay shows a database's server, and what it wants to see of it.

use std::borrow::Cow;
use std::sync::Arc;

use access::{Application, Code, Explain, Level, TlsMode};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};
use session::{SecretError, Secrets, Session, TargetCredential};
use trust::{Trust, TrustError};

/// How TLS is spoken to a server.
#[derive(Clone, Debug)]
pub struct Tls {
    pub name: ServerName<'static>,
    pub config: Arc<ClientConfig>,
    /// Whether a server without TLS is spoken to in the clear.
    pub optional: bool,
    /// Whether the server is known by its certificate.
    pub checked: bool,
}

/// An application's TLS options can not be used.
#[derive(Debug, thiserror::Error)]
#[error("the application's TLS options can not be used: {0}")]
pub struct TlsOptionsError(String);

impl From<TrustError> for TlsOptionsError {
    fn from(error: TrustError) -> Self {
        Self(error.detail)
    }
}

/// The TLS that an application's options ask for, with the certificate that the relay shows there, if
/// it has one; `None`: none.
pub async fn tls(
    application: &Application,
    trust: &Trust,
    secrets: &dyn Secrets,
) -> Result<Option<Tls>, TlsOptionsError> {
    let options = &application.database;
    let (optional, checked) = match options.mode() {
        TlsMode::Disable => return Ok(None),
        TlsMode::Prefer => (true, false),
        TlsMode::Require => (false, false),
        TlsMode::VerifyFull => (false, true),
    };
    let mut config = match checked {
        true => trust.client(options.ca.as_deref(), options.pin.as_deref())?,
        false => trust.anybody()?,
    };
    let found = secrets.credential(application.id).await;
    let found = found.map_err(|error| TlsOptionsError(error.detail))?;
    if let Some(TargetCredential::Tls(pem)) = found {
        trust.show(&mut config, pem.expose_secret())?;
    }
    // Each session has its own, so there is nothing to resume.
    config.resumption = Resumption::disabled();
    let host = options.sni.as_deref().unwrap_or(application.address.host());
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| TlsOptionsError(format!("{host:?} is no server name")))?;
    Ok(Some(Tls { name, config: Arc::new(config), optional, checked }))
}

/// Notes that a session did not get in at its server, with all that is known of why: the reason of a
/// TLS failure is the last of the causes.
pub fn note_failed(session: &Session, code: Code, error: &dyn std::error::Error) {
    let error = access::text::in_full(error);
    session.note("target.login_failed", &error);
    tracing::info!(session = %session.id(), %code, error, "No login at a database");
}

/// The account of a session at its database.
#[derive(Debug)]
pub struct Credential {
    pub account: String,
    pub password: SecretString,
}

/// A session has no account to log in with.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("the stored credential could not be read: {0}")]
    Unreadable(String),
    #[error("the stored credential is no password, or there is none")]
    None,
}

/// The account that the session's rule leads to, with its password.
pub async fn credential(
    secrets: &dyn Secrets,
    session: &Session,
) -> Result<Credential, CredentialError> {
    let (application, level) = (session.application(), session.terms().level);
    let account = application.account(level).ok_or(CredentialError::None)?.to_owned();
    let mapped = level.unwrap_or(Level::Owner);
    let found = if application.database.accounts.contains_key(&mapped) {
        let own = secrets.level_credential(application.id, mapped).await;
        match own {
            // The relay's certificate may be all that the account asks for.
            Ok(None) => secrets.credential(application.id).await,
            found => found,
        }
    } else {
        secrets.credential(application.id).await
    };
    password(account, found)
}

/// Who makes the account that a session has to itself.
#[derive(Debug)]
pub struct Maker {
    pub credential: Credential,
    /// What the account is to be in.
    pub role: String,
}

/// Who makes an account for the session; `None`: it logs in with one that is there.
pub async fn maker(
    secrets: &dyn Secrets,
    session: &Session,
) -> Result<Option<Maker>, CredentialError> {
    let (application, level) = (session.application(), session.terms().level);
    let role = application.database.roles.get(&level.unwrap_or(Level::Owner));
    let Some(role) = role.cloned() else { return Ok(None) };
    Ok(Some(Maker { credential: keeper(secrets, application).await?, role }))
}

/// The account that makes others at an application, and takes them away.
pub async fn keeper(
    secrets: &dyn Secrets,
    application: &Application,
) -> Result<Credential, CredentialError> {
    let account = application.login.fixed().ok_or(CredentialError::None)?.to_owned();
    let found = secrets.credential(application.id).await;
    password(account, found)
}

fn password(
    account: String,
    found: Result<Option<TargetCredential>, SecretError>,
) -> Result<Credential, CredentialError> {
    match found.map_err(|error| CredentialError::Unreadable(error.detail))? {
        Some(TargetCredential::Password(password)) => Ok(Credential { account, password }),
        Some(TargetCredential::Tls(_)) => Ok(Credential { account, password: "".into() }),
        Some(TargetCredential::SshKey(_)) | None => Err(CredentialError::None),
    }
}

impl Explain for TlsOptionsError {
    fn code(&self) -> Code {
        Code("database.tls_options")
    }

    fn public(&self) -> Cow<'static, str> {
        "the application's TLS options can not be used".into()
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("an admin checks `database` of the application".into())
    }
}

impl Explain for CredentialError {
    fn code(&self) -> Code {
        Code("target.bad_credential")
    }

    fn public(&self) -> Cow<'static, str> {
        "the stored credential of the application can not be used".into()
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("an admin sets it again".into())
    }
}
