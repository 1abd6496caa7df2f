//! The server's side of the door: TLS, and the login that the user never sees.

use std::io;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use database::{Credential, CredentialError, Tls, TlsOptionsError};
use secrecy::ExposeSecret as _;
use session::DialError;
use splice::{BoxStream, Io};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::auth::{KeyError, Plugin, encrypted};
use crate::proto::{
    self, Begin, Failure, Greeting, Hello, Reader, Told, capability, error_body, packet,
};
use crate::wire::{PacketError, Wire, send};

/// A connection whose login is over and that waits for what is asked.
pub(crate) struct Server {
    pub(crate) io: Wire,
    pub(crate) is_mariadb: bool,
    /// By which it is known to `KILL`.
    pub(crate) thread: u32,
    /// What both ends can do.
    pub(crate) capabilities: u32,
    /// How it has agreed, as its client is to have it.
    pub(crate) agreed: Zeroizing<Vec<u8>>,
    pub(crate) security: Security,
}

/// What a password may be shown to.
#[derive(Clone, Debug)]
pub(crate) struct Security {
    encrypted: bool,
    /// The server is known by its certificate.
    checked: bool,
    /// The latest.
    scramble: Vec<u8>,
    plugin: Plugin,
}

/// Why a server could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Options(#[from] TlsOptionsError),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("the server has no TLS")]
    NoTls,
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("the server says what is not understood: {0}")]
    Strange(&'static str),
    #[error("the server is too old: it can not do what its client was offered ({missing:#x})")]
    Old { missing: u32 },
    #[error("the server wants a way of logging in that is not spoken: {0}")]
    Way(String),
    #[error("the server wants the password itself, and is not known by its certificate")]
    InTheClear,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the server refused the login: {0}")]
    Refused(String),
    /// The account is good, and what its client wants to open is not there or not for it.
    #[error("the server refused the database: {message}")]
    Database { message: String, error: Vec<u8> },
    #[error("no account was made for the session: {0}")]
    Account(String),
    #[error("the server did not end a connection: {0}")]
    Kill(String),
    #[error("a connection that was to end goes on")]
    GoesOn,
    #[error("no login within {after:?}")]
    TimedOut { after: Duration },
}

impl From<PacketError> for ServerError {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Broken(error) => Self::Broken(error),
            PacketError::Fault(_) => Self::Strange("a packet that no login has"),
        }
    }
}

/// How the session is to begin.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) credential: &'a Credential,
    pub(crate) hello: &'a Hello,
    /// Whether files of the client's may be asked for.
    pub(crate) files: bool,
}

/// Logs in over `stream`.
pub(crate) async fn log_in(
    stream: BoxStream,
    tls: Option<&Tls>,
    wanted: &Wanted<'_>,
) -> Result<Server, ServerError> {
    let after = DEADLINE;
    // Boxed: it holds a handshake.
    let login = timeout(after, Box::pin(begin(stream, tls, wanted)));
    login.await.map_err(|_| ServerError::TimedOut { after })?
}

async fn begin(
    stream: BoxStream,
    tls: Option<&Tls>,
    wanted: &Wanted<'_>,
) -> Result<Server, ServerError> {
    let (mut io, mut number) = (Wire::new(Io::new(stream)), 0);
    let greeting = greeted(&io.packet(&mut number).await?)?;
    let encrypted = match tls {
        Some(_) if greeting.capabilities & capability::SSL != 0 => true,
        Some(tls) if tls.optional => false,
        Some(_) => return Err(ServerError::NoTls),
        None => false,
    };
    let plugin = Plugin::named(&greeting.plugin).unwrap_or(Plugin::Native);
    let checked = encrypted && tls.is_some_and(|tls| tls.checked);
    let security = Security { encrypted, checked, scramble: greeting.scramble.clone(), plugin };
    let capabilities = wanted.capabilities(&greeting, encrypted)?;
    if let Some(tls) = tls.filter(|_| encrypted) {
        io = secured(io, &mut number, tls, &wanted.begin(capabilities, &[], plugin)).await?;
    }
    let answer = security.answer(wanted.credential)?;
    let (mut out, begin) = (BytesMut::new(), wanted.begin(capabilities, &answer, plugin));
    begin.write(&mut out, &mut number);
    send(&mut io, &out).await?;
    let mut login = Login { io: &mut io, number, security };
    let agreed = login.run(wanted.credential).await?;
    let Login { security, .. } = login;
    let io = if capabilities & capability::COMPRESS == 0 { io } else { io.compressed() };
    let Greeting { thread, version, .. } = greeting;
    let is_mariadb = version.contains("MariaDB");
    Ok(Server { io, is_mariadb, thread, capabilities, agreed, security })
}

/// What a server says of itself; instead of that it may say why it does not.
fn greeted(body: &[u8]) -> Result<Greeting, ServerError> {
    if let Some(failure) = proto::failure(body) {
        return Err(ServerError::Refused(told(&failure)));
    }
    let greeting = proto::greeting(body).ok_or(ServerError::Strange("no greeting"))?;
    let needed = capability::PROTOCOL_41 | capability::SECURE_CONNECTION | capability::PLUGIN_AUTH;
    let missing = needed & !greeting.capabilities;
    if missing == 0 { Ok(greeting) } else { Err(ServerError::Old { missing }) }
}

impl Wanted<'_> {
    fn capabilities(&self, greeting: &Greeting, encrypted: bool) -> Result<u32, ServerError> {
        let client = self.hello.capabilities;
        let missing = client & capability::LAYOUT & !greeting.capabilities;
        let missing = missing | self.hello.extended & !greeting.extended;
        if missing != 0 {
            return Err(ServerError::Old { missing });
        }
        let mut wanted = client & !(capability::SSL | capability::LOCAL_FILES);
        wanted |= capability::PROTOCOL_41
            | capability::SECURE_CONNECTION
            | capability::PLUGIN_AUTH
            | capability::PLUGIN_AUTH_LENENC;
        if self.files {
            wanted |= client & capability::LOCAL_FILES;
        }
        // Whoever names no database must not have one opened by an empty name.
        if self.hello.database.is_none() {
            wanted &= !capability::CONNECT_WITH_DB;
        }
        let tls = if encrypted { capability::SSL } else { 0 };
        Ok(wanted & greeting.capabilities | tls)
    }

    fn begin<'a>(&'a self, capabilities: u32, answer: &'a [u8], plugin: Plugin) -> Begin<'a> {
        Begin {
            capabilities,
            extended: self.hello.extended,
            longest_packet: self.hello.longest_packet,
            charset: self.hello.charset,
            user: &self.credential.account,
            answer,
            database: self.hello.database.as_deref(),
            plugin: plugin.name(),
            attributes: &self.hello.attributes,
        }
    }
}

/// Becomes the account anew on a connection that is logged in, with another database or none, as
/// its client has asked. What the server agreed to is returned.
pub(crate) async fn change<'a>(
    io: &mut Wire,
    security: &mut Security,
    credential: &Credential,
    begin: Begin<'a>,
) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let changing = async {
        let mut number = 0;
        let mut out = BytesMut::new();
        let answer = security
            .plugin
            .answer(credential.password.expose_secret().as_bytes(), &security.scramble);
        let plugin = security.plugin.name();
        // Where the password itself would be the answer, the server asks for it.
        let answer: &[u8] = if security.plugin == Plugin::Clear { &[] } else { &answer };
        Begin { answer, plugin, ..begin }.write_change(&mut out, &mut number);
        io.asks();
        send(io, &out).await?;
        let mut login = Login { io, number, security: security.clone() };
        let agreed = login.run(credential).await?;
        *security = login.security;
        Ok(agreed)
    };
    let after = DEADLINE;
    timeout(after, Box::pin(changing)).await.map_err(|_| ServerError::TimedOut { after })?
}

struct Login<'a> {
    io: &'a mut Wire,
    /// Of the next packet.
    number: u8,
    security: Security,
}

async fn secured(
    mut io: Wire,
    number: &mut u8,
    tls: &Tls,
    begin: &Begin<'_>,
) -> Result<Wire, ServerError> {
    let mut out = BytesMut::new();
    begin.write_tls(&mut out, number);
    send(&mut io, &out).await?;
    let connector = TlsConnector::from(tls.config.clone());
    let io = connector.connect(tls.name.clone(), io).await;
    Ok(Wire::new(io.map_err(ServerError::Handshake)?))
}

impl Security {
    fn answer(&self, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        let password = credential.password.expose_secret().as_bytes();
        match self.plugin {
            Plugin::Clear if !self.checked => Err(ServerError::InTheClear),
            plugin => Ok(plugin.answer(password, &self.scramble)),
        }
    }
}

impl Login<'_> {
    /// Answers what the server asks until it is content; what it says then is returned.
    async fn run(&mut self, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        // Each step asks for something else, so a login has few.
        for _ in 0..MOST_STEPS {
            let body = self.io.packet(&mut self.number).await?;
            let (kind, rest) = body.split_first().ok_or(TOO_SHORT)?;
            match kind {
                0x00 => return Ok(body),
                0xff => return Err(refused(&body)),
                0xfe => self.switched(rest, credential).await?,
                0x01 => self.more(rest, credential).await?,
                _ => return Err(ServerError::Strange("a packet that no login has")),
            }
        }
        Err(ServerError::Strange("a login without an end"))
    }

    async fn switched(&mut self, rest: &[u8], credential: &Credential) -> Result<(), ServerError> {
        let mut reader = Reader(rest);
        let name = String::from_utf8_lossy(reader.last_text()).into_owned();
        let plugin = Plugin::named(&name).ok_or(ServerError::Way(name))?;
        let scramble = plugin.scramble(reader.0).to_vec();
        self.security = Security { plugin, scramble, ..self.security.clone() };
        let answer = self.security.answer(credential)?;
        self.answer(&answer).await
    }

    /// More data, of `caching_sha2_password`: it is content, or wants the password itself.
    async fn more(&mut self, rest: &[u8], credential: &Credential) -> Result<(), ServerError> {
        let password = credential.password.expose_secret().as_bytes();
        match (self.security.plugin, rest) {
            (Plugin::CachingSha2, [FAST]) => Ok(()),
            (Plugin::CachingSha2, [FULL]) if self.security.encrypted => {
                let ended = Zeroizing::new([password, b"\0"].concat());
                self.answer(&ended).await
            }
            (Plugin::CachingSha2, [FULL]) => {
                self.answer(&[ASK_FOR_KEY]).await?;
                let body = self.io.packet(&mut self.number).await?;
                let key = body.strip_prefix(&[1]).ok_or(ServerError::Strange("no public key"))?;
                let answer = encrypted(password, &self.security.scramble, key)?;
                self.answer(&answer).await
            }
            _ => Err(ServerError::Strange("data that no login has")),
        }
    }

    async fn answer(&mut self, answer: &[u8]) -> Result<(), ServerError> {
        let mut out = BytesMut::new();
        packet(&mut out, &mut self.number, |out| out.put_slice(answer));
        Ok(send(self.io, &out).await?)
    }
}

pub(crate) fn refused(body: &[u8]) -> ServerError {
    let Some(failure) = proto::failure(body) else { return TOO_SHORT };
    let message = told(&failure);
    match failure.number {
        NO_DATABASE => ServerError::Database { message, error: body.to_vec() },
        DATABASE_DENIED => ServerError::Database { message, error: denied(&failure) },
        _ => ServerError::Refused(message),
    }
}

/// What a server says of a database that is not there to whom it may not tell, or that its account may
/// not open, without the account.
fn denied(failure: &Failure<'_>) -> Vec<u8> {
    let text = String::from_utf8_lossy(failure.message);
    let named = text.rsplit_once(" to database ").map_or("", |(_, name)| name);
    let message = format!("Access denied to database {named}").trim_end().to_owned();
    let mut body = BytesMut::new();
    error_body(&mut body, &Told { number: DATABASE_DENIED, sqlstate: "42000", message });
    body.to_vec()
}

/// The text of an error, for the operator.
pub(crate) fn told(failure: &Failure<'_>) -> String {
    let text = format!("{} {}", failure.number, String::from_utf8_lossy(failure.message));
    access::text::visible(&text).chars().take(MAX_TOLD).collect()
}

impl ServerError {
    /// What the server said, where its client may read it as it is.
    pub(crate) fn as_is(&self) -> Option<&[u8]> {
        match self {
            Self::Database { error, .. } => Some(error),
            Self::Dial(_)
            | Self::Options(_)
            | Self::Credential(_)
            | Self::NoTls
            | Self::Handshake(_)
            | Self::Broken(_)
            | Self::Strange(_)
            | Self::Old { .. }
            | Self::Way(_)
            | Self::InTheClear
            | Self::Key(_)
            | Self::Refused(_)
            | Self::Account(_)
            | Self::Kill(_)
            | Self::GoesOn
            | Self::TimedOut { .. } => None,
        }
    }
}

const TOO_SHORT: ServerError = ServerError::Strange("a packet that is too short");
/// From a stream to the end of its login.
const DEADLINE: Duration = Duration::from_secs(15);
const MOST_STEPS: usize = 8;
const MAX_TOLD: usize = 300;
/// What `caching_sha2_password` says, and how it is asked for its key.
const FAST: u8 = 3;
const FULL: u8 = 4;
const ASK_FOR_KEY: u8 = 2;
/// `ER_BAD_DB_ERROR`.
const NO_DATABASE: u16 = 1049;
/// `ER_DBACCESS_DENIED_ERROR`: what a server says of a database that is not there to whom it may not
/// tell. Its text names the account.
const DATABASE_DENIED: u16 = 1044;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_for_the_account_is_said_so_without_the_accounts_name() {
        let said = b"\xff\x14\x04#42000Access denied for user 'orders_rw'@'%' to database 'typo'";
        let error = refused(said);
        let wanted = b"\xff\x14\x04#42000Access denied to database 'typo'";
        assert_eq!(error.as_is(), Some(&wanted[..]));
        assert!(error.to_string().contains("'orders_rw'"), "an auditor is told: {error}");
        let password = b"\xff\x15\x04#28000Access denied for user 'orders_rw'@'%'";
        assert_eq!(refused(password).as_is(), None);
    }
}
